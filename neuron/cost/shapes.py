"""From what a pair calls a model to its shape, whether or not its weights are here."""

from __future__ import annotations

import difflib
from pathlib import Path

from neuron.catalogue import Geometry, by_folder_name, catalogue
from neuron.errors import ModelNotFoundError
from neuron.models import KNOWN_MODELS


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
    named = by_folder_name(path.name)
    if named is not None:
        return named
    near = difflib.get_close_matches(ref.lower(), KNOWN_MODELS, n=3, cutoff=0.5)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise ModelNotFoundError(
        f"{ref!r} is no known model{hint} and no folder with a config.json; "
        "`neuron models` lists the names."
    )
