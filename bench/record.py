"""What a run leaves behind: raw events, and what was sent for them. No statistics here."""

from typing import Final, Literal

from bench.events import Event, Events, Fact
from bench.origin import Arm, Launched, Provenance
from bench.settings import Settings
from bench.validity import AnswerClass

__all__ = ["Arm", "Event", "Fact", "Launched", "Provenance", "Settings"]

Kind = Literal["speedup", "overhead", "aa"]
SCHEMA_VERSION: Final = 4


class Speculation(Fact):
    """The engine's own account of one request."""

    steps: int
    drafted: int
    accepted: int
    per_step_accepted: tuple[int, ...] = ()
    """Empty where the engine tells sums only, as `per_step_drafted`."""
    per_step_drafted: tuple[int, ...] = ()


class Reply(Fact):
    status: int
    """HTTP status; 0 if no response head came."""
    events: Events
    reads: int
    """Of the socket, of the whole exchange."""
    ended_ns: int
    """When the exchange was over, since the request was written."""
    prompt_tokens: int | None = None
    """By the stream's usage, as `completion_tokens`."""
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
    """The level: 0 is the open loop of the settings' `arrivals`."""
    prompt: int
    """The prompt's `index` in its workload."""
    repeat: int
    """Of this prompt on this arm, from 0."""
    block: int
    """The block's `number`."""
    arm: Arm
    started_ns: int
    """When the request was written, by the clock that `Block` has too."""
    late_ms: float = 0.0
    """How long after the time that the schedule named it left; 0 in a closed loop."""
    client_lag_ms: float
    """The longest time in which our own event loop could stamp nothing, while this one ran."""
    reply: Reply
    valid: bool
    """The format holds, by the task's own validator."""
    exact: bool
    """The content is right too."""
    answer: AnswerClass
    """`bench explain answers` says what each is."""
    reason: str | None = None
    """What the validator found wrong."""


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
    """Its place among the workload's blocks at this level, from 0."""
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
    """Index of the first token that differs."""
    base_logprob: float | None
    other_logprob: float | None
    """`None`: not among the likeliest that the engine lists."""
    least_logprob: float
    """Of those that it lists: an upper bound for what it does not."""


class Prompt(Fact):
    workload: str
    index: int
    structured: bool
    """False: a control."""
    token_ids: tuple[int, ...]
    """As both arms got it."""
    phrasing: int
    """Which of the workload's ways to ask."""
    answer: str
    """The expected one."""
    temperature: float
    """Above 0 the answer is sampled, with the same seed on both arms: not comparable by token."""


class Result(Fact):
    schema_version: Literal[4]
    kind: Kind
    """speedup: plain against speculative; aa: plain against itself; overhead: with the gateway."""
    stopped: str | None
    """Why the run ended before its last request; `None` if it did not."""
    base: Arm
    """What the other arm is set against."""
    other: Arm
    settings: Settings
    provenance: Provenance
    prompts: tuple[Prompt, ...]
    requests: tuple[Measured, ...]
    blocks: tuple[Block, ...] = ()
    probes: tuple[Probe, ...] = ()
    """Asked after the last block."""

    def cell(self, workload: str, concurrency: int) -> list[Measured]:
        return [
            one
            for one in self.requests
            if (one.workload, one.concurrency) == (workload, concurrency)
        ]
