"""Which requests are alike: the class of a request and the wider classes that it backs off to.

How often a draft is right is a matter of what the answer looks like. A schema says most about
that, then the tools, then the system prompt. Who asks says something only where none of them does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

Kind = Literal["schema", "tools", "system", "text"]

ROOT = "all"
SYSTEM_CHARS = 512
"""Of a system prompt: instructions come first, dates and names that change tend to come later."""
_DIGEST_BYTES = 6


@dataclass(frozen=True, slots=True)
class TrafficClass:
    path: tuple[str, ...]
    """Names of classes, widest first; the last is the request's own."""

    @classmethod
    def of(
        cls, kind: Kind, *, digest: str | None = None, key_id: str | None = None
    ) -> TrafficClass:
        """`digest` is that of the schema, the tools or the system prompt.

        A digest is one class whoever sends it. The key stands above it for a client whose digests
        are new each time: what was learnt of the earlier ones then counts for the next.
        """
        key = [] if key_id is None else [f"{kind}@{key_id}"]
        own = [] if digest is None else [f"{kind}:{digest}"]
        return cls((ROOT, kind, *key, *own))

    def __str__(self) -> str:
        return self.path[-1]


def classify(document: Mapping[str, Any], *, key_id: str | None) -> TrafficClass:
    """Of a parsed request body, chat or completion. `key_id` names the API key, if there is one."""
    kind, content = _shape(document)
    return TrafficClass.of(kind, digest=None if content is None else digest(content), key_id=key_id)


def digest(content: object) -> str:
    """Of JSON content, whatever the order of its keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _shape(document: Mapping[str, Any]) -> tuple[Kind, object]:
    """What decides, and its content; `None` where there is nothing but text."""
    constraint = _constraint(document)
    if constraint is not None:
        return "schema", constraint
    tools = document.get("tools")
    if tools and document.get("tool_choice") != "none":
        return "tools", sorted(map(digest, tools)) if isinstance(tools, list) else tools
    system = "\n".join(_system(document.get("messages")))
    return ("system", system[:SYSTEM_CHARS]) if system else ("text", None)


def _constraint(document: Mapping[str, Any]) -> object:
    outputs = document.get("structured_outputs")
    if isinstance(outputs, Mapping):
        asked = {name: value for name, value in outputs.items() if value is not None}
        if asked:
            return asked
    wanted = document.get("response_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") == "text":
        return None
    inner = wanted.get("json_schema")
    # The name of a schema is no part of what the answer looks like.
    return inner.get("schema", wanted) if isinstance(inner, Mapping) else wanted


def _system(messages: object) -> Iterator[str]:
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        return
    for message in takewhile(_is_system, messages):
        content = message.get("content")
        if isinstance(content, str):
            yield content
        elif isinstance(content, list):
            yield from (str(part.get("text", "")) for part in content if isinstance(part, Mapping))


def _is_system(message: object) -> bool:
    return isinstance(message, Mapping) and message.get("role") in {"system", "developer"}
