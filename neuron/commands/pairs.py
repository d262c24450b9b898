"""From what a user says of a pair to the artefact that it wants, on any machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from neuron.artefacts.key import ArtefactKey, Digest
from neuron.artefacts.versions import versions_of
from neuron.artefacts.wanted import Digests, Place, content_of, key_of, place_of
from neuron.commands.common import say
from neuron.errors import ModelNotFoundError
from neuron.launch import expected
from neuron.pair import Pair

SHA256 = 64


def digests_of(
    pair: Pair,
    target: Digest | None,
    draft: Digest | None,
    find: Callable[[str], Path] = expected,
) -> Digests:
    """Given digests first, then what is on this machine. Raises click.BadParameter."""
    given: dict[Path, str] = {}
    for ref, digest, option in (
        (pair.target, target, "--target-digest"),
        (pair.draft, draft, "--draft-digest"),
    ):
        if digest is None or ref is None:
            continue
        if len(digest) != SHA256 or set(digest) - set("0123456789abcdef"):
            raise click.BadParameter(f"{digest!r} is no SHA-256 in hex.", param_hint=option)
        given[find(ref)] = digest

    def look(folder: Path) -> str:
        known = given.get(folder)
        if known is None:
            return content_of(folder)
        if folder.is_dir() and content_of(folder) != known:
            raise ModelNotFoundError(
                f"{folder} on this machine does not hold what the digest {known[:12]} says: leave "
                "the option out, or pull the weights that you mean."
            )
        return known

    return look


def wanted(
    pair: Pair,
    *,
    plain: bool,
    neuron_versions: Sequence[str],
    target_digest: str | None,
    draft_digest: str | None,
) -> tuple[Place, ArtefactKey]:
    """Says on stderr where versions come from that were not read on this machine."""
    place = place_of(pair, expected, plain=plain)
    versions = versions_of(pair, plain=place.draft is None, given=neuron_versions)
    if not versions.measured:
        say(f"Versions: {versions.source}.")
    digests = digests_of(pair, target_digest, draft_digest)
    return place, key_of(pair, place, versions, digests=digests)
