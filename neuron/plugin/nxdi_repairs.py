"""Which of NxDI's functions are repaired before tracing, and what is left when they have changed.

Only the very text that was read is repaired. On any other, the mask repair is left out and said
to be: output is right without it. What logits need is refused: without it caches are mixed up.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType, MappingProxyType

from neuron.plugin.mask import FILL_BY_ROW, FUNCTION, KNOWN_DIGEST
from neuron.plugin.nxdi_outputs import CANDIDATES, PREFILL, PREFILL_DIGEST, PREFILL_ORDER
from neuron.plugin.nxdi_source import READ_IN, Edit, RepairError, digest_of, edited

log = logging.getLogger(__name__)

KNOWN: Mapping[str, str] = MappingProxyType({FUNCTION: KNOWN_DIGEST, PREFILL: PREFILL_DIGEST})
"""Digest by function of NeuronFusedSpecModel."""

OPTIONAL = (FILL_BY_ROW,)
WITH_LOGITS = (CANDIDATES, PREFILL_ORDER)


@dataclass(frozen=True)
class Repaired:
    """Names of edits: what an artefact traced now has and lacks."""

    applied: tuple[str, ...]
    left: tuple[str, ...] = ()


def repair(
    fused_model: type, *, logits: bool, batch: int, known: Mapping[str, str] = KNOWN
) -> Repaired:
    """Repairs the class in place, for every graph traced from now on. Can be repeated.

    Raises RepairError where logits are wanted and the code they need repaired is not `known`.
    """
    optional = OPTIONAL if batch > 1 else ()
    required = WITH_LOGITS if logits else ()
    lacking = [edit for edit in required if not _is_known(fused_model, edit.function, known)]
    if lacking:
        raise RepairError(
            f"Key 'logits' needs {fused_model.__name__}.{lacking[0].function} as read in NxDI "
            f"{READ_IN}, but the installed one differs: set logits = false for the greedy choice "
            "alone, or read the new code and add its digest to neuron/plugin/nxdi_repairs.py."
        )
    left = [edit for edit in optional if not _is_known(fused_model, edit.function, known)]
    applied = [edit for edit in (*optional, *required) if edit not in left]
    if left:
        log.warning(
            "%s.%s is not the code that the mask repair is for, so it is left alone: output is "
            "right, but the draft may be accepted less often at batch %d.",
            *(fused_model.__name__, left[0].function, batch),
        )
    for name in {edit.function for edit in (*OPTIONAL, *WITH_LOGITS)}:
        _install(fused_model, name, [edit for edit in applied if edit.function == name])
    return Repaired(tuple(edit.name for edit in applied), tuple(edit.name for edit in left))


def _is_known(fused_model: type, name: str, known: Mapping[str, str]) -> bool:
    function = getattr(fused_model, name, None)
    return isinstance(function, FunctionType) and digest_of(function) == known.get(name, "")


def _install(fused_model: type, name: str, edits: Sequence[Edit]) -> None:
    function = getattr(fused_model, name, None)
    if not isinstance(function, FunctionType):
        return
    original = inspect.unwrap(function)
    if not edits:
        setattr(fused_model, name, original)
        return
    repaired = edited(original, edits)
    # inspect finds upstream's source through it, so that a second repair starts from there.
    repaired.__wrapped__ = original  # type: ignore[attr-defined]
    setattr(fused_model, name, repaired)
