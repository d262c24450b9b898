"""The sections of the config file that are about replicas; `server.settings` has the rest."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, model_validator

from server.usage import Pool

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Number = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(gt=1, allow_inf_nan=False)]

ONLY_ENGINE = "engine"
"""The replica's name where the file lists none."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReplicaConfig(Section):
    """One engine: a pair that is started here, or a URL where one runs already."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
            description="Its name in `x-specserve-replica`, in metrics and in its log's.",
        ),
    ]
    pool: Annotated[
        Pool, Field(description="`speculative` or `plain`: whether its engine speculates.")
    ]
    pair: Annotated[
        str | None,
        Field(description="Shipped pair or path of a TOML file, started as a child."),
    ] = None
    target: Annotated[str | None, Field(description="Another target for the pair.")] = None
    draft: Annotated[str | None, Field(description="Another draft for the pair.")] = None
    url: Annotated[
        HttpUrl | None, Field(description="Use the engine at this URL and start none.")
    ] = None
    stack: Annotated[
        Literal["cpu", "nxdi", "vllm-neuron", "legacy"] | None,
        Field(
            description="Of a URL: what runs there, which says what it serves exactly "
            "([stacks.md](stacks.md)). Stock vLLM 0.32 is like `cpu`."
        ),
    ] = None
    plugin: Annotated[
        Literal["specserve", "vllm-neuron"],
        Field(description="Of a URL with the stack nxdi: whose plugin runs it."),
    ] = "specserve"
    sampling: Annotated[
        Literal["any", "greedy"],
        Field(description="Of a URL: `greedy` where it was built for the likeliest token only."),
    ] = "any"

    @model_validator(mode="after")
    def _here_or_there(self) -> Self:
        if (self.pair is None) == (self.url is None):
            raise ValueError("give either pair, to start an engine, or url, to use one")
        if self.url is not None and (self.target or self.draft):
            raise ValueError("url names a running engine; leave out target and draft")
        if self.url is None and self.model_fields_set & {"stack", "plugin", "sampling"}:
            raise ValueError("the pair says stack, plugin and sampling; leave them out")
        return self


class SpeculationConfig(Section):
    default: Annotated[
        Literal["auto", "on", "off"],
        Field(
            description="Where a request goes that leaves it to the gateway and that both pools "
            "can serve: `on` to the speculative pool, `off` to the plain one, `auto` to the one "
            "that has been faster for requests like it."
        ),
    ] = "auto"


class BalanceConfig(Section):
    affinity_tokens: Annotated[
        Number,
        Field(
            description="A prompt goes where prompts that begin like it go, unless that replica "
            "has this many more outstanding tokens than the least loaded one. 0: always to the "
            "least loaded."
        ),
    ] = 4096


class EjectionConfig(Section):
    errors: Annotated[
        Count, Field(description="Failures in a row after which a replica is ejected.")
    ] = 5
    slow_factor: Annotated[
        Factor,
        Field(
            description="Ejected too: a replica whose time per token is this many times the "
            "median of the others in its pool."
        ),
    ] = 3.0
    slow_requests: Annotated[
        Count, Field(description="Answers that are needed before a replica is called slow.")
    ] = 20
    seconds: Annotated[
        Seconds,
        Field(description="How long an ejection lasts; each next one in a row twice as long."),
    ] = 30.0
    max_seconds: Annotated[Seconds, Field(description="The longest ejection.")] = 300.0
    max_share: Annotated[
        Share,
        Field(
            description="Largest share of all replicas that is ejected at once, rounded down."
            " A pool of which all are out is used only where the other cannot be."
        ),
    ] = 0.5


class RetryConfig(Section):
    max_retries: Annotated[
        Number, Field(description="How often one request is sent to another replica at most.")
    ] = 2
    share: Annotated[
        Share,
        Field(
            description="Retries, as a share of recent requests. A request whose replica is gone "
            "is moved, which adds no load and is not counted."
        ),
    ] = 0.2
    min_retries: Annotated[
        Number, Field(description="Recent retries that are allowed whatever the share.")
    ] = 3
