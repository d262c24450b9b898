"""Schemas that apply themselves to the very same value, and so never end.

Source: JSON Schema Core 2020-12, 9.4.1, "Guarding Against Infinite Recursion". vLLM 0.32 answers
them with 500: its grammar then allows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

LISTS = ("allOf", "anyOf", "oneOf")
SINGLE = ("not", "if", "then", "else")


def circle(schema: object) -> str | None:
    """What leads back to itself, as it is written. RecursionError if nested too deeply."""
    done: set[int] = set()

    def follow(node: object, above: frozenset[int]) -> str | None:
        if not isinstance(node, dict) or id(node) in done:
            return None
        below = above | {id(node)}
        for name, inner in _in_place(node, schema):
            found = name if id(inner) in below else follow(inner, below)
            if found:
                return found
        done.add(id(node))
        return None

    return next(filter(None, (follow(node, frozenset()) for node in nodes(schema))), None)


def nodes(value: object) -> Iterator[object]:
    """The value and all within it."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from nodes(one)


def _in_place(node: dict[str, Any], root: object) -> Iterator[tuple[str, object]]:
    """The schemas that apply to the same value as `node`, and what names them."""
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        yield f"$ref {reference[:80]!r}", _target(root, reference)
    for name in LISTS:
        if isinstance(node.get(name), list):
            yield from ((name, one) for one in node[name])
    yield from ((name, node[name]) for name in SINGLE if name in node)


def _target(root: object, reference: str) -> object:
    """By JSON pointer; `None` for an anchor, or where there is nothing."""
    found = root
    for part in unquote(reference[1:]).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    # An anchor has no slash after the #.
    return None if found is root and len(reference) > 1 else found
