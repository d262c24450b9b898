"""Every option of `server`: flag, environment variable, default and help, said once."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError, model_validator

from neuron.errors import SpecserveError
from server import defaults
from server.defaults import WhenDown
from server.keys_source import KeySource

PREFIX = "SPECSERVE_"
# Read by other programs of this repository.
FOREIGN = frozenset({"SPECSERVE_HOME", "SPECSERVE_STORE", "SPECSERVE_UPDATE_GOLDEN"})
# Kubernetes gives every pod variables for each Service: for one named specserve, these.
SERVICE_LINK = re.compile(
    PREFIX + r"([A-Z0-9_]+_)?"
    r"(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
SERVICE_LINK_SCHEMES = ("tcp://", "udp://", "sctp://")

QUOTA_STORE = r"^(redis|rediss|valkey|valkeys)://"

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


class SettingsError(SpecserveError):
    exit_code = 2


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    pair: str = Field("local", description="Shipped pair or path of a TOML file.")
    target: str | None = Field(None, description="Another target for the pair.")
    draft: str | None = Field(None, description="Another draft for the pair.")
    plain: bool = Field(False, description="The target alone, without speculation.")
    engine_url: HttpUrl | None = Field(
        None, description="Use the engine at this URL and start none; --plain if it has no draft."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    drain_timeout: float = Field(
        25.0, ge=0, allow_inf_nan=False, description="Seconds running requests get after SIGTERM."
    )
    allow_anonymous: bool = Field(
        False, description="Without keys, serve whoever reaches a port that is not loopback."
    )
    keys_file: Path | None = Field(None, description="TOML file of API keys.")
    keys_secret: str | None = Field(
        None, description="Secret in AWS Secrets Manager that holds what a keys file would."
    )
    keys: str | None = Field(
        None, description="What a keys file would hold; meant for the environment."
    )
    quota_store: Annotated[str, Field(pattern=QUOTA_STORE)] | None = Field(
        None,
        description="redis://, rediss://, valkey:// or valkeys:// for gateways that share quotas; "
        "by default each counts alone.",
    )
    quota_store_down: WhenDown = Field(
        "local",
        description="While the quota store does not answer: local counts here alone, refuse "
        "answers 503.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address of --metrics-port.")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="A port with /metrics alone, for which no key is needed."
    )
    header_timeout: Seconds = Field(
        defaults.HEADER_TIMEOUT_S, description="Seconds for a request's headers to arrive."
    )
    body_timeout: Seconds = Field(
        defaults.BODY_TIMEOUT_S, description="Seconds for a request's body to arrive."
    )
    queue_timeout: Seconds = Field(
        defaults.QUEUE_TIMEOUT_S, description="Seconds a request may wait for its turn."
    )
    connect_timeout: Seconds = Field(
        defaults.CONNECT_TIMEOUT_S, description="Seconds to connect to the engine."
    )
    first_token_timeout: Seconds = Field(
        defaults.FIRST_TOKEN_TIMEOUT_S,
        description="Seconds until a stream's first tokens, the engine's queue included.",
    )
    chunk_timeout: Seconds = Field(
        defaults.CHUNK_TIMEOUT_S, description="Seconds between two chunks of a stream."
    )
    write_timeout: Seconds = Field(
        defaults.WRITE_TIMEOUT_S,
        description="Seconds a client may take nothing of its answer before it is dropped.",
    )
    total_timeout: Seconds = Field(
        defaults.TOTAL_TIMEOUT_S, description="Seconds for a whole answer."
    )
    max_in_flight: Count = Field(
        defaults.MAX_IN_FLIGHT, description="Requests that run at once; more wait."
    )
    max_queued: Annotated[int, Field(ge=0)] = Field(
        defaults.MAX_QUEUED, description="Requests that wait at once; more are answered 503."
    )
    max_body_bytes: Count = Field(defaults.MAX_BODY_BYTES, description="Largest request body.")
    engine_start_timeout: Seconds = Field(
        defaults.ENGINE_START_TIMEOUT_S,
        description="Seconds for the engine to give a checked token.",
    )
    engine_stop_grace: Seconds = Field(
        defaults.ENGINE_STOP_GRACE_S,
        description="Seconds between SIGTERM and SIGKILL for the engine.",
    )
    engine_max_failures: Count = Field(
        defaults.ENGINE_MAX_FAILURES,
        description="Engines lost in a row before no more are started.",
    )
    log_dir: Path | None = Field(
        None, description="Folder for the engine's log; by default a new temporary one."
    )

    @model_validator(mode="after")
    def _one_engine(self) -> Self:
        if self.engine_url is not None and (self.target or self.draft):
            raise ValueError("--engine-url names a running engine; leave out --target and --draft")
        return self

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        given = [self.keys_file, self.keys_secret, self.keys]
        keys = sum(source is not None for source in given)
        if keys > 1:
            raise ValueError("keys come from one of --keys-file, --keys-secret and --keys")
        if keys and self.allow_anonymous:
            raise ValueError("--allow-anonymous is for a server without keys; leave it or them out")
        if not keys and not self.allow_anonymous and not is_loopback(self.host):
            raise ValueError(
                f"--host {self.host} is open to others and there are no keys; give --keys-file, "
                "or --allow-anonymous to serve whoever comes"
            )
        return self

    @property
    def key_source(self) -> KeySource:
        return KeySource(self.keys_file, self.keys, self.keys_secret)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Another name may lead anywhere.
        return host == "localhost"


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def load_settings(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """`given` goes before the environment. Raises SettingsError."""
    ours = {
        key: value
        for key, value in environ.items()
        if key.startswith(PREFIX) and not _is_service_link(key, value)
    }
    _refuse_unknown(ours)
    named = {name: PREFIX + name.upper() for name in Settings.model_fields}
    found = {name: ours[key] for name, key in named.items() if key in ours}
    try:
        return Settings.model_validate({**found, **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        text = first["msg"].removeprefix("Value error, ")
        where = f"{flag(name)} ({PREFIX}{name.upper()}): " if name else ""
        raise SettingsError(f"{where}{text}.") from error


def _is_service_link(key: str, value: str) -> bool:
    if SERVICE_LINK.fullmatch(key):
        return True
    return key.endswith("_PORT") and value.startswith(SERVICE_LINK_SCHEMES)


def _refuse_unknown(ours: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | FOREIGN
    for key in sorted(ours):
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "unset it."
            raise SettingsError(f"Unknown environment variable {key}; {hint}")


def options_table() -> str:
    """The list in docs/gateway.md."""
    lines = ["| option | environment | default | what |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "–" if field.default is None else f"`{field.default}`"
        lines.append(
            f"| `{flag(name)}` | `{PREFIX}{name.upper()}` | {default} | {field.description} |"
        )
    return "\n".join(lines) + "\n"
