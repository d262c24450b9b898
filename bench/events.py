"""A stream's raw events, and the compressed form in which a result file keeps them.

In JSON the events of one reply are one string: base64 of zlib of a JSON object with a list per
field. `at_ns` and `read` hold differences to the event before; `choices` holds 0 or 1.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

LEVEL = 9
COLUMNS = ("at_ns", "read", "tokens", "token_ids", "text", "choices")


class Fact(BaseModel):
    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True
    )


class Event(Fact):
    """One data event of a stream, `[DONE]` left out."""

    at_ns: int
    """Arrival of the socket read that completed the event, since the request was written."""
    read: int
    """Index of that read: two events with the same index were merged on the way."""
    tokens: int = 0
    """How many came with it: by its token ids, or else by how the stream's usage grew."""
    token_ids: tuple[int, ...] = ()
    """Empty where the server tells none."""
    text: str = ""
    choices: bool = True
    """Whether it had a choice; an event of usage alone has none."""


def pack(events: Sequence[Event]) -> str:
    columns: dict[str, list[Any]] = {
        name: [getattr(event, name) for event in events] for name in COLUMNS
    }
    columns["at_ns"], columns["read"] = _steps(columns["at_ns"]), _steps(columns["read"])
    columns["choices"] = [int(one) for one in columns["choices"]]
    text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), LEVEL)).decode()


def unpack(packed: str) -> tuple[Event, ...]:
    """Raises ValueError for what `pack` did not write."""
    try:
        columns = json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
        return tuple(_events(columns))
    except (zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"no packed events: {error!r}") from error


def _events(columns: dict[str, Any]) -> Iterator[Event]:
    whole = columns | {name: accumulate(columns[name]) for name in ("at_ns", "read")}
    for at_ns, read, tokens, ids, text, choices in zip(
        *(whole[name] for name in COLUMNS), strict=True
    ):
        yield Event(
            at_ns=at_ns, read=read, tokens=tokens, token_ids=tuple(ids), text=text,
            choices=bool(choices),
        )  # fmt: skip


def _steps(values: Iterable[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise((0, *values))]


def _read(value: object) -> object:
    return unpack(value) if isinstance(value, str) else value


Events = Annotated[
    tuple[Event, ...],
    BeforeValidator(_read),
    PlainSerializer(pack, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "contentEncoding": "base64",
            "description": "zlib-compressed JSON with a list per field of Event: "
            + ", ".join(COLUMNS),
        }
    ),
]
