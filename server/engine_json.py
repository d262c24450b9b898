"""What an engine says, if it is a JSON object."""

from __future__ import annotations

from typing import Any

import msgspec


def read_object(data: bytes) -> dict[str, Any] | None:
    """None: it is something else, or no JSON."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
