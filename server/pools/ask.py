"""What the gateway must know of a request to choose a pool and a replica for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, get_args

from server.errors import invalid
from server.pools.needs import Needs, needs_of
from server.speculation import TrafficClass

Mode = Literal["auto", "on", "off"]
MODES: tuple[Mode, ...] = get_args(Mode)

FIELD = "speculation"
HEADER = "x-specserve-speculation"

BYTES_PER_TOKEN = 4
UNSAID_TOKENS = 512
"""Expected of a request that gives no bound; corrected as its tokens come."""
PREFIX_CHARS = 4096
PREFIX_IDS = 256


@dataclass(frozen=True)
class Ask:
    mode: Mode
    needs: Needs
    traffic: TrafficClass
    """Requests that are alike to the policy."""
    prefix: bytes
    """Digest of how the prompt begins: what has the same may find it in one engine's cache."""
    prompt_tokens: int
    """Estimated, for all prompts."""
    max_tokens: int
    """Over all answers; `UNSAID_TOKENS` for each that has no bound."""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.max_tokens


def take_mode(document: dict[str, Any], header: str | None) -> Mode:
    """Takes the field out of `document`, which no engine knows. Raises ApiError."""
    said = document.pop(FIELD, None)
    body, headed = _mode(said, FIELD), _mode(header, HEADER)
    if body is not None and headed is not None and body != headed:
        raise invalid(
            f"The field {FIELD!r} says {body!r} and the header {HEADER} says {headed!r}; send one.",
            param=FIELD,
        )
    return body or headed or "auto"


def ask_of(document: Mapping[str, Any], mode: Mode, body_bytes: int, traffic: TrafficClass) -> Ask:
    """Of a request whose fields have been checked."""
    said = document.get("max_completion_tokens") or document.get("max_tokens")
    bound = UNSAID_TOKENS if said is None else said
    return Ask(
        mode=mode,
        needs=needs_of(document),
        traffic=traffic,
        prefix=blake2b(_beginning(document).encode(errors="replace"), digest_size=8).digest(),
        prompt_tokens=body_bytes // BYTES_PER_TOKEN,
        max_tokens=bound * (document.get("n") or 1),
    )


def _beginning(document: Mapping[str, Any]) -> str:
    messages = document.get("messages")
    if messages:
        content = messages[0].get("content")
        text = content if isinstance(content, str) else json.dumps(content)
        return f"{messages[0]['role']}:{text[:PREFIX_CHARS]}"
    prompt = document.get("prompt")
    if isinstance(prompt, str):
        return prompt[:PREFIX_CHARS]
    return json.dumps(prompt[:PREFIX_IDS] if isinstance(prompt, list) else prompt)[:PREFIX_CHARS]


def _mode(said: object, where: str) -> Mode | None:
    for mode in MODES:
        if said == mode:
            return mode
    if said is None:
        return None
    shown = json.dumps(said)[:80]
    raise invalid(f"{where} is {shown}; it is one of {', '.join(MODES)}.", param=FIELD)
