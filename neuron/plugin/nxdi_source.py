"""Changing one operation of somebody else's function, and only of the very function we read.

The function is parsed, the operation replaced, and the rest compiled again as it stands, with its
own file name and line numbers. Nothing of it is kept in this repository but a digest.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from neuron.errors import LaunchError

READ_IN = (
    "v0.4.7422, v0.5.9230, v0.6.10598, v0.7.14366 (tags) and cd3abf3, c63afe0, ef2731e, 4bcdc54"
)
"""Where the functions that we edit were read: the same text in all of them, SDK 2.24 to 2.29."""


class RepairError(LaunchError):
    """Upstream's code is not the code that our repair was written for."""


@dataclass(frozen=True)
class Edit:
    """One kind of change to one function, expected at exactly `places` places."""

    name: str
    function: str
    change: Callable[[ast.FunctionDef], int]
    """Changes the parsed function in place and returns at how many places."""
    places: int = 1


def source_of(function: Callable[..., Any]) -> str | None:
    """Dedented, without trailing blanks; None where no source is installed."""
    try:
        text = inspect.getsource(function)
    except OSError:
        return None
    return "\n".join(line.rstrip() for line in textwrap.dedent(text).splitlines()) + "\n"


def digest_of(function: Callable[..., Any]) -> str | None:
    """SHA-256 of `source_of`, in hex; None where no source is installed."""
    source = source_of(function)
    return None if source is None else hashlib.sha256(source.encode()).hexdigest()


def edited(function: FunctionType, edits: Sequence[Edit]) -> FunctionType:
    """A copy of `function` with `edits` applied. Raises RepairError; `function` is left alone."""
    source = source_of(function)
    if source is None:
        raise RepairError(f"{function.__qualname__} cannot be repaired: its source is not there.")
    if function.__closure__:
        raise RepairError(f"{function.__qualname__} cannot be repaired: it closes over names.")
    tree = ast.parse(source)
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        raise RepairError(f"{function.__qualname__} cannot be repaired: it is no plain function.")
    for edit in edits:
        places = edit.change(definition)
        if places != edit.places:
            raise RepairError(
                f"The repair {edit.name!r} of {function.__qualname__} changes {edit.places} "
                f"places, but found {places}."
            )
    return _compiled(tree, function)


def _compiled(tree: ast.Module, original: FunctionType) -> FunctionType:
    ast.fix_missing_locations(tree)
    # Tracebacks go on naming upstream's own lines.
    ast.increment_lineno(tree, original.__code__.co_firstlineno - 1)
    made: dict[str, FunctionType] = {}
    code = compile(tree, original.__code__.co_filename, "exec")
    exec(code, original.__globals__, made)  # noqa: S102 - upstream's own text, one operation changed
    function = made[original.__name__]
    function.__module__ = original.__module__
    function.__qualname__ = original.__qualname__
    function.__defaults__ = original.__defaults__
    function.__kwdefaults__ = original.__kwdefaults__
    return function
