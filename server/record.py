"""What is written down of one request, filled in by whoever knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Scope

from server.structured import FaultKind, Verdict
from server.tracing import NO_TRACE, Trace
from server.usage import Acceptance, Tokens

# In a scope's state.
RECORD = "specserve.record"


@dataclass
class Record:
    request_id: str
    method: str
    path: str
    clock: Callable[[], float]
    """Monotonic seconds; all times below are its."""
    began: float
    trace: Trace = NO_TRACE
    status: int | None = None
    """None: nothing was sent, since the client had gone."""
    code: str | None = None
    key_id: str | None = None
    model: str | None = None
    stream: bool | None = None
    pool: str | None = None
    replica: str | None = None
    queued: float | None = None
    """The queue's beginning, after the body."""
    admitted: float | None = None
    """Its end."""
    asked: float | None = None
    """The engine, the last time."""
    attempts: int = 0
    """Times that an engine was asked."""
    first_token: float | None = None
    ended: float | None = None
    tokens: Tokens | None = None
    acceptance: Acceptance | None = None
    structured: Verdict | FaultKind | None = None
    """The verdict on the answer's form."""
    prompt: object = None
    """Only where it was asked for."""

    def ask(self) -> dict[str, str]:
        """An engine is asked now. The headers that tell it of the trace."""
        self.asked, self.first_token = self.clock(), None
        self.attempts += 1
        return self.trace.ask(self.asked)

    def saw_token(self) -> None:
        if self.first_token is None:
            self.first_token = self.clock()
            self.trace.saw_token(self.first_token)

    @property
    def queue_s(self) -> float | None:
        if self.queued is None or self.admitted is None:
            return None
        return self.admitted - self.queued

    @property
    def ttft_s(self) -> float | None:
        return None if self.first_token is None else self.first_token - self.began

    @property
    def total_s(self) -> float | None:
        return None if self.ended is None else self.ended - self.began


def record_of(scope: Scope) -> Record:
    record: Record = scope["state"][RECORD]
    return record
