"""From what a pair calls a model to its shape, whether or not its weights are here."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from neuron.catalogue import Geometry, catalogue
from neuron.errors import ModelNotFoundError
from neuron.models import KNOWN_MODELS

PADDED = re.compile(r"-v(\d+)$")
"""A copy of a draft whose embedding is padded to so many rows: docs/nxdi.md."""


def shape_of(ref: str) -> Geometry:
    """`ref`: a known name, a folder or config.json, or a path that ends in a known model's name.

    Raises ModelNotFoundError, and PairError for a config that is not a dense decoder's.
    """
    known = catalogue().get(ref.lower())
    if known is not None:
        return known
    path = Path(ref).expanduser()
    if path.exists():
        return Geometry.of_config(path)
    stem = PADDED.sub("", path.name)
    for name, hub_id in KNOWN_MODELS.items():
        if stem.lower() in (name, hub_id.partition("/")[2].lower()):
            padded = PADDED.search(path.name)
            update = {"vocab_size": int(padded[1])} if padded else {}
            return catalogue()[name].model_copy(update=update)
    near = difflib.get_close_matches(ref.lower(), KNOWN_MODELS, n=3, cutoff=0.5)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise ModelNotFoundError(
        f"{ref!r} is no known model{hint} and no folder with a config.json; "
        "`neuron models` lists the names."
    )
