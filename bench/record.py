"""What a run leaves behind: raw events and where they came from. No statistics here."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Arm = Literal["plain", "speculative", "direct", "gateway"]
Kind = Literal["speedup", "overhead"]
SCHEMA_VERSION: Final = 3


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Chunk(Fact):
    """One stream event that carried tokens."""

    at_ns: int
    """Arrival of the socket read that completed the event, since the request was written."""
    read: int
    """Index of that read: two chunks with the same index were merged on the way."""
    token_ids: tuple[int, ...]
    text: str


class Speculation(Fact):
    """The engine's own account of one request."""

    steps: int
    drafted: int
    accepted: int
    per_step_accepted: tuple[int, ...] = ()
    per_step_drafted: tuple[int, ...] = ()


class Reply(Fact):
    status: int
    """HTTP status; 0 if no response head came."""
    chunks: tuple[Chunk, ...]
    reads: int
    ended_ns: int
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    speculation: Speculation | None = None
    problem: str | None = None
    """Why nothing may be computed from this reply; `None` if it is usable."""

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def token_ids(self) -> tuple[int, ...]:
        return tuple(token for chunk in self.chunks for token in chunk.token_ids)

    @property
    def merged_chunks(self) -> int:
        """Chunks that share a read with an earlier one, so that the gap between them is lost."""
        reads = [chunk.read for chunk in self.chunks if chunk.token_ids]
        return len(reads) - len(set(reads))


class Measured(Fact):
    """One request of the experiment with its judged answer."""

    workload: str
    concurrency: int
    prompt: int
    repeat: int
    block: int
    arm: Arm
    started_ns: int
    client_lag_ms: float
    """The longest time in which our own event loop could stamp nothing, while this one ran."""
    reply: Reply
    valid: bool
    exact: bool
    reason: str | None = None


class Prompt(Fact):
    workload: str
    index: int
    structured: bool
    token_ids: tuple[int, ...]
    phrasing: int
    answer: str
    temperature: float
    """Above 0 the answer is sampled, with the same seed on both arms: not comparable by token."""


class Settings(Fact):
    workloads: tuple[str, ...]
    prompts: int
    rounds: int
    concurrency: tuple[int, ...]
    max_tokens: int
    seed: int
    guided: bool
    warmup: int
    """Requests per arm and concurrency that ran first and were thrown away.

    Never fewer than the concurrency, unless it is 0.
    """

    @property
    def per_cell(self) -> int:
        """Requests of one workload at one concurrency, both arms together."""
        return self.prompts * 4 * self.rounds


class Launched(Fact):
    """How one arm's engine was started; `argv` is empty if it ran already at `url`."""

    arm: Arm
    url: str
    model: str
    argv: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    ready_s: float | None = None


class Provenance(Fact):
    date: str
    commit: str | None
    dirty: bool | None
    packages: dict[str, str]
    python: str
    platform: str
    cpu: str
    cores: int
    threads: str | None
    others_cpu: float
    """CPUs' worth of time that other processes took just before the first measured request."""
    pair: dict[str, Any] | None
    pair_sha256: str | None
    engines: tuple[Launched, ...]
    weights: dict[str, dict[str, str]]
    """Per model, `target` and `draft`: sha256 of each weight file, where we started the engine."""
    cost_ratio: str


class Result(Fact):
    schema_version: Literal[3]
    kind: Kind
    stopped: str | None
    """Why the run ended before its last request; `None` if it did not."""
    base: Arm
    other: Arm
    settings: Settings
    provenance: Provenance
    prompts: tuple[Prompt, ...]
    requests: tuple[Measured, ...]

    def cell(self, workload: str, concurrency: int) -> list[Measured]:
        return [
            one
            for one in self.requests
            if (one.workload, one.concurrency) == (workload, concurrency)
        ]
