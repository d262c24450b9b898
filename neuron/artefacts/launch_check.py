"""Before an engine starts: is the artefact that it would load the one that the pair wants?

NxDI loads what was compiled for anything as it is, and where there is nothing, an engine compiles
for minutes to hours: both are said here, before a device is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from neuron.artefacts import manifest as manifests
from neuron.artefacts.errors import (
    ArtefactError,
    DamagedError,
    MismatchError,
    NotPublishedError,
    UnknownVersionError,
)
from neuron.artefacts.key import ArtefactKey, differences, nearest
from neuron.artefacts.verify import named, wrong_sizes
from neuron.artefacts.versions import COMPILERS, Installed, installed, versions_of
from neuron.artefacts.wanted import Digests, content_of, key_of, place_of
from neuron.pair import Pair
from neuron.plugin.nxdi_artefact import COMPILED


def check_artefact(
    pair: Pair,
    find: Callable[[str], Path],
    *,
    plain: bool = False,
    compile_at_start: bool = False,
    digests: Digests = content_of,
    look: Installed = installed,
) -> None:
    """`compile_at_start`: nothing compiled, or nothing with a manifest, is then no fault.

    Sizes are compared and not contents: `pull` and `neuron artefacts verify` read every byte.
    Raises MismatchError, DamagedError or UnknownVersionError.
    """
    place = place_of(pair, find, plain=plain)
    folder = place.folder
    try:
        found = manifests.read(folder)
    except NotPublishedError as error:
        if compile_at_start:
            return
        raise MismatchError(
            _nothing(pair, folder, _wanted(pair, plain, find, digests, look))
        ) from error
    if found.key is None:
        raise MismatchError(f"{folder} holds weights, not a compiled artefact: remove it.")
    differing = differences(_wanted(pair, plain, find, digests, look), found.key)
    if differing:
        raise MismatchError(
            f"The artefact in {folder} was compiled for something else, and NxDI would load it "
            f"all the same ({'; '.join(differing)}): remove the folder and run "
            f"`neuron compile {pair.name}`, or pull the right one."
        )
    wrong = wrong_sizes(folder, found.files)
    if wrong:
        raise DamagedError(
            f"The artefact in {folder} is not whole: {named(wrong)} lacking or cut short; "
            f"`neuron artefacts pull {pair.name}` mends it."
        )


def _wanted(
    pair: Pair, plain: bool, find: Callable[[str], Path], digests: Digests, look: Installed
) -> ArtefactKey:
    versions = versions_of(pair, plain=plain, look=look)
    if not versions.measured:
        raise UnknownVersionError(
            f"None of {', '.join(COMPILERS)} is installed here, so no artefact can be held "
            "against them: launch in the Neuron image."
        )
    return key_of(pair, place_of(pair, find, plain=plain), versions, digests=digests)


def _nothing(pair: Pair, folder: Path, wanted: ArtefactKey) -> str:
    if (folder / COMPILED).is_file():
        return (
            f"{folder} holds a compiled model without a manifest, so nobody knows for what, and "
            f"NxDI would load it: remove it and run `neuron compile {pair.name}`, or pull one; "
            "--compile-at-start loads it nevertheless."
        )
    near = nearest(wanted, _beside(pair, folder))
    return (
        f"There is no artefact of pair {pair.name!r} in {folder}{near}: "
        f"`neuron artefacts pull {pair.name} --store …` brings one, `neuron compile {pair.name}` "
        "makes one, and with --compile-at-start the engine compiles first, for minutes to hours."
    )


def _beside(pair: Pair, folder: Path) -> Iterator[tuple[str, ArtefactKey]]:
    """Other artefacts of the same pair."""
    for other in sorted(folder.parent.glob(f"{pair.name}-*")):
        try:
            key = manifests.read(other).key
        except (NotPublishedError, DamagedError, ArtefactError):
            continue
        if key is not None:
            yield other.name, key
