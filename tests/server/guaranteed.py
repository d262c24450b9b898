"""Answers of a form, for the tests of what is guaranteed of them."""

from __future__ import annotations

from typing import Any

from tests.server.conftest import Running
from tests.server.fake_engine import (
    FakeWire,
    Script,
    whole,
)

BAD = '{"name": "a", "age": 3}'


def answered(text: str | None, finish: str = "stop", **message: object) -> dict[str, Any]:
    document = whole()
    inner = {"role": "assistant", "content": text, **message}
    document["choices"] = [{"index": 0, "message": inner, "finish_reason": finish}]
    return document


def say(*documents: dict[str, Any]) -> Script:
    """One after the other, then the last again and again."""
    left = list(documents)

    async def script(wire: FakeWire) -> None:
        await wire.respond(200, left.pop(0) if len(left) > 1 else left[0])

    return script


def called(name: str, arguments: str) -> dict[str, Any]:
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    return answered(None, "tool_calls", tool_calls=[call])


async def outcome(gateway: Running, kind: str, result: str) -> float:
    labels = f'form="{kind}",outcome="{result}",pool="speculative"'
    return await gateway.metric(f"specserve_structured_outputs_total{{{labels}}}")
