"""What a run leaves behind: raw events and where they came from. No statistics here."""

from typing import Any, Final, Literal

from pydantic import Field

from bench.events import Event, Events, Fact
from bench.settings import Settings
from bench.validity import AnswerClass

__all__ = ["Event", "Fact", "Settings"]

Arm = Literal["plain", "speculative", "direct", "gateway", "again"]
Kind = Literal["speedup", "overhead", "aa"]
SCHEMA_VERSION: Final = 4


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
    events: Events
    reads: int
    ended_ns: int
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    counted_by: Literal["token_ids", "usage"] | None = None
    """What told how many tokens came with each event; `None` if nothing did."""
    finish_reason: str | None = None
    speculation: Speculation | None = None
    problem: str | None = None
    """Why nothing may be computed from this reply; `None` if it is usable."""

    @property
    def chunks(self) -> tuple[Event, ...]:
        """Events that carried tokens."""
        return tuple(event for event in self.events if event.tokens)

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events)

    @property
    def token_ids(self) -> tuple[int, ...]:
        return tuple(token for event in self.events for token in event.token_ids)

    @property
    def merged_chunks(self) -> int:
        """Chunks that share a read with an earlier one, so that the gap between them is lost."""
        reads = [chunk.read for chunk in self.chunks]
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
    late_ms: float = 0.0
    """How long after the time that the schedule named it left; 0 in a closed loop."""
    client_lag_ms: float
    """The longest time in which our own event loop could stamp nothing, while this one ran."""
    reply: Reply
    valid: bool
    exact: bool
    answer: AnswerClass
    reason: str | None = None


class Counters(Fact):
    """What an engine's own counters grew by; of all its traffic, whoever sent it."""

    requests: int
    prompt_tokens: int
    tokens: int
    steps: int
    drafted: int
    accepted: int
    accepted_per_position: tuple[int, ...] = ()


class Block(Fact):
    """One arm's turn at one workload and level: what is known of all its requests together."""

    workload: str
    concurrency: int
    number: int
    arm: Arm
    started_ns: int
    ended_ns: int
    client_cpu: float
    """CPU time of the thread that stamps, per second of the block."""
    client_stalled: float
    """Share of the block in which that thread could stamp nothing for longer than its watch."""
    counters: Counters | None = None
    """`None` where the server shows none."""


class Probe(Fact):
    """Where an answer left the plain one, and what the plain engine gives both tokens there."""

    workload: str
    concurrency: int
    prompt: int
    arm: Arm
    repeat: int
    position: int
    base_logprob: float | None
    other_logprob: float | None
    """`None`: not among the likeliest that the engine lists."""
    least_logprob: float
    """Of those that it lists: an upper bound for what it does not."""


class Prompt(Fact):
    workload: str
    index: int
    structured: bool
    token_ids: tuple[int, ...]
    phrasing: int
    answer: str
    temperature: float
    """Above 0 the answer is sampled, with the same seed on both arms: not comparable by token."""


class Launched(Fact):
    """How one arm's engine was started; `argv` is empty if it ran already at `url`."""

    arm: Arm
    url: str
    model: str
    argv: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    ready_s: float | None = None
    version: str | None = None
    """What the engine answers at /version."""


class Provenance(Fact):
    date: str
    commit: str | None
    dirty: bool | None
    command: tuple[str, ...]
    """The bench's own command line."""
    packages: dict[str, str]
    python: str
    platform: str
    cpu: str
    cores: int
    memory_bytes: int
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
    schema_version: Literal[4]
    kind: Kind
    stopped: str | None
    """Why the run ended before its last request; `None` if it did not."""
    base: Arm
    other: Arm
    settings: Settings
    provenance: Provenance
    prompts: tuple[Prompt, ...]
    requests: tuple[Measured, ...]
    blocks: tuple[Block, ...] = ()
    probes: tuple[Probe, ...] = ()

    def cell(self, workload: str, concurrency: int) -> list[Measured]:
        return [
            one
            for one in self.requests
            if (one.workload, one.concurrency) == (workload, concurrency)
        ]
