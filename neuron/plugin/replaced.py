"""Putting a method of ours in the place of one of vLLM's, around which it goes."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Below vLLM's own logger, so that the note is shown with the engine's.
log = logging.getLogger("vllm.specserve_plugin")

Method = Callable[..., Any]


@dataclass(frozen=True)
class Replacement:
    owner: type
    name: str
    is_known: Callable[[Method], bool]
    """Whether vLLM's method is one that `around` was written for."""
    around: Callable[[Method], Method]


def replace_all(what: str, replacements: list[Replacement]) -> bool:
    """All or none, and again without effect; False, with a warning, where one is not known.

    `what` is what is lost then, for the warning.
    """
    for one in replacements:
        if not one.is_known(inspect.unwrap(getattr(one.owner, one.name))):
            log.warning(
                "%s: off, because vLLM's %s.%s is not the one that specserve's plugin knows.",
                *(what, one.owner.__name__, one.name),
            )
            return False
    for one in replacements:
        original = inspect.unwrap(getattr(one.owner, one.name))
        ours = one.around(original)
        # inspect finds vLLM's own method through it, so that a second time starts from there.
        ours.__wrapped__ = original  # type: ignore[attr-defined]
        setattr(one.owner, one.name, ours)
    return True


def takes(*parameters: str) -> Callable[[Method], bool]:
    """Whether a method's parameters begin like this, for one that is called and not copied."""

    def is_known(method: Method) -> bool:
        return tuple(inspect.signature(method).parameters)[: len(parameters)] == parameters

    return is_known
