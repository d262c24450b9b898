"""What an answer was asked to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from server.structured import asked
from server.structured.fault import Fault, Kind, TooCostlyError
from server.structured.limits import QUICK, THOROUGH, within
from server.structured.rules import Call, TextRule, ToolRule

# Above this an answer is not looked at any more, and so cannot be vouched for.
MAX_CHARS = 4 * 1024 * 1024

_one_at_a_time = anyio.CapacityLimiter(1)


@dataclass(frozen=True)
class Said:
    """What a model gave as its answer."""

    text: str
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Contract:
    text: TextRule | None
    tools: ToolRule | None

    @staticmethod
    def of(document: Mapping[str, Any]) -> Contract | None:
        """None: free text, or a form that only the engine can hold an answer to.

        Raises ApiError for a schema or a pattern that cannot be used.
        """
        text, tools = asked.text_rule(document), asked.tool_rule(document)
        # An answer that echoes its prompt has no form of its own.
        if (text is None and tools is None) or document.get("echo") is True:
            return None
        return Contract(text, tools)

    @property
    def kind(self) -> Kind:
        if self.tools is not None or self.text is None:
            return "tools"
        return self.text.kind

    @property
    def json_text(self) -> bool:
        return self.text is not None and self.text.json

    async def check(self, said: Said) -> Fault | None:
        """At once where that is cheap, else in a thread, within limits there too."""
        try:
            with within(QUICK):
                return self.fault(said)
        except TooCostlyError:
            pass
        try:
            return await anyio.to_thread.run_sync(self._thorough, said, limiter=_one_at_a_time)
        except TooCostlyError:
            return Fault("too_costly", "checking it against its schema takes too long")

    def fault(self, said: Said) -> Fault | None:
        """Within server.structured.limits."""
        if self.tools is not None:
            fault = self.tools.fault(said.calls)
            if fault is not None:
                return fault
        # A call stands in the place of an answer.
        return None if said.calls or self.text is None else self.text.fault(said.text)

    def _thorough(self, said: Said) -> Fault | None:
        with within(THOROUGH):
            return self.fault(said)
