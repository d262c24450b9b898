"""A streamed completion: the request. What comes back is read in bench/reply.py, later:

parsing one stream would delay another's stamps.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11

from bench.record import Arm
from bench.wire import DEFAULT_LIMITS, Address, Clock, Exchange, Limits, exchange


@dataclass(frozen=True)
class Target:
    """An engine, or a gateway in front of one, that answers `model` at `base_url`."""

    arm: Arm
    base_url: str
    model: str
    headers: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    """Where what we started writes; `None` if it ran already."""

    @property
    def see_log(self) -> str:
        """For the end of a sentence about its failure."""
        return "" if self.log is None else f"; its log is {self.log}"


@dataclass(frozen=True)
class Call:
    prompt: tuple[int, ...]
    max_tokens: int
    salt: str
    """Unique per request: no prefix of it can be taken from an earlier request's cache."""
    schema: Mapping[str, Any] | None = None
    temperature: float = 0.0
    seed: int | None = None


async def send(
    target: Target,
    call: Call,
    limits: Limits = DEFAULT_LIMITS,
    clock: Clock = time.perf_counter_ns,
) -> Exchange:
    """Sends `call`; what came back is not looked at."""
    address = Address.parse(target.base_url)
    return await exchange(address, _request(address, target, call), limits, clock)


def body(model: str, call: Call) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "model": model,
        "prompt": list(call.prompt),
        "max_tokens": call.max_tokens,
        "temperature": call.temperature,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "return_token_ids": True,
        "cache_salt": call.salt,
    }
    if call.seed is not None:
        fields["seed"] = call.seed
    if call.schema is not None:
        fields["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": dict(call.schema), "strict": True},
        }
    return fields


def _request(address: Address, target: Target, call: Call) -> bytes:
    payload = json.dumps(body(target.model, call)).encode()
    connection = h11.Connection(h11.CLIENT)
    head = connection.send(
        h11.Request(
            method="POST",
            target=f"{address.prefix}/v1/completions",
            headers=[
                ("Host", f"{address.host}:{address.port}"),
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(payload))),
                ("Accept", "text/event-stream"),
                ("Connection", "close"),
                *target.headers.items(),
            ],
        )
    )
    return (head or b"") + (connection.send(h11.Data(data=payload)) or b"")
