"""Where a pair finds its models on the host, and the copy of a draft that the target asks for."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from neuron.catalogue import PADDED, catalogue
from neuron.models import KNOWN_MODELS
from neuron.plan.question import Named, Question

MODELS = "/models"
HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")
"""Or its last part alone, by which a shape is known too."""


def name_of(named: Named) -> str:
    """The known name, or else the folder's."""
    place = Path(place_of(named))
    for name, hub_id in KNOWN_MODELS.items():
        if place == Path(MODELS, hub_id.partition("/")[2]):
            return name
    return place.name.lower()


def place_of(named: Named) -> str:
    """A known model's or a hub id's folder under /models; what is on this machine stays there."""
    ref = named.ref
    hub_id = KNOWN_MODELS.get(ref.lower())
    if hub_id is None and not Path(ref).expanduser().exists() and HUB_ID.fullmatch(ref):
        hub_id = ref
    if hub_id is not None:
        return f"{MODELS}/{hub_id.rpartition('/')[2]}"
    return str(_folder(ref))


def draft_place(question: Question) -> str:
    """With another vocabulary than the target's: the copy that `align_command` makes."""
    place, rows = place_of(question.draft), question.target.geometry.vocab_size
    if question.draft.geometry.vocab_size == rows:
        return place
    return f"{PADDED.sub('', place)}-v{rows}"


def align_command(question: Question) -> str:
    """What makes the draft's vocabulary as large as the target's."""
    draft, target = (_alignable(one.ref) for one in (question.draft, question.target))
    return shlex.join(
        ["neuron", "align", draft, "--target", target, "--out", draft_place(question)]
    )


def _alignable(ref: str) -> str:
    """As it was given, but for a config.json: `neuron align` takes folders."""
    known = ref.lower() in catalogue()
    return str(_folder(ref)) if not known and Path(ref).expanduser().is_file() else ref


def _folder(ref: str) -> Path:
    path = Path(ref).expanduser().resolve()
    return path.parent if path.is_file() else path
