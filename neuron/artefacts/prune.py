"""What may be removed from a store: old, and named by nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from neuron.artefacts.catalogue import Held
from neuron.artefacts.store import Store, Stored, file_key, id_in, manifest_key

SHORTEST = timedelta(hours=24)
"""Nothing younger is ever removed: a publish may be under way, see `publish.REUSE_WITHIN`."""


@dataclass(frozen=True)
class Verdict:
    held: Held
    remove: bool
    why: str


def judge(
    holdings: Sequence[Held],
    *,
    now: datetime,
    older_than: timedelta,
    keep: Collection[str] = (),
    retired: Collection[str] = (),
    used: Collection[str] = (),
) -> list[Verdict]:
    """One verdict for each, in the same order.

    What has a manifest that cannot be read goes only when `retired` has its whole id.
    `keep`: names, ids or starts of ids. `retired`: names whose newest one needs no keeping, or ids.
    `used`: model digests that artefacts in the store are compiled for.
    """
    age = max(older_than, SHORTEST)
    # A damaged newest one may be mended; until then the newest whole one is in use.
    newest = _newest(holdings) | _newest([held for held in holdings if held.published])
    return [_judge(held, now - age, newest, keep, retired, used) for held in holdings]


def matching_nothing(
    holdings: Sequence[Held], keep: Iterable[str], retired: Iterable[str]
) -> list[str]:
    """A word misspelt would be a thing removed, or not removed."""
    names = {held.manifest.name for held in holdings if held.manifest}
    ids = {held.id for held in holdings}
    lost = [word for word in keep if word not in names and not _starts_one(word, ids)]
    return lost + [word for word in retired if word not in names and word not in ids]


def _starts_one(word: str, ids: Iterable[str]) -> bool:
    return len(word) >= 8 and any(id_.startswith(word) for id_ in ids)


def left_over(held: Held, *, now: datetime) -> list[Stored]:
    """Files that a published manifest does not name: of a publisher that came second."""
    if held.manifest is None:
        return []
    limit = now - SHORTEST
    named = {file_key(held.kind, held.id, file.sha256) for file in held.manifest.files}
    named.add(manifest_key(held.kind, held.id))
    return [one for one in held.objects if one.key not in named and one.modified < limit]


def remove(store: Store, held: Held) -> bool:
    """False: somebody has published there since the verdict, and what they need is left alone."""
    if not _is_as_judged(store, held):
        return False
    # The manifest first: from then on nobody begins to pull it, and no half of it looks whole.
    first = manifest_key(held.kind, held.id)
    store.delete([one.key for one in held.objects if one.key == first])
    rest = replace(held, objects=[one for one in held.objects if one.key != first])
    return remove_left_over(store, rest, rest.objects)


def remove_left_over(store: Store, held: Held, files: Sequence[Stored]) -> bool:
    """False as in `remove`: a new manifest may name them."""
    if not _is_as_judged(store, held):
        return False
    store.delete([one.key for one in files])
    return True


def _is_as_judged(store: Store, held: Held) -> bool:
    """No object of the id is new or written again, its manifest included."""
    judged = set(held.objects)
    found = store.walk(f"{held.kind}/{held.id}/")
    return all(one in judged for one in found if id_in(one.key))


def _judge(
    held: Held,
    limit: datetime,
    newest: Collection[str],
    keep: Collection[str],
    retired: Collection[str],
    used: Collection[str],
) -> Verdict:
    manifest = held.manifest
    name = manifest.name if manifest else ""
    if any(word == name or _starts_one(word, [held.id]) for word in keep):
        return Verdict(held, remove=False, why="named by --keep")
    if manifest and manifest.kind == "weights" and manifest.model in used:
        return Verdict(held, remove=False, why="an artefact is compiled for it")
    if held.unread and held.id not in retired:
        return Verdict(held, remove=False, why=held.fault)
    if held.id in newest and name not in retired:
        return Verdict(held, remove=False, why=f"the newest of {name}")
    if held.touched >= limit:
        return Verdict(held, remove=False, why="young")
    return Verdict(held, remove=True, why=held.fault or f"an older one of {name}, or retired")


def _newest(holdings: Iterable[Held]) -> set[str]:
    latest: dict[tuple[str, bool], Held] = {}
    for held in holdings:
        if held.manifest is None:
            continue
        key = held.manifest.key
        group = (held.manifest.name, key is not None and key.speculates)
        if group not in latest or held.touched > latest[group].touched:
            latest[group] = held
    return {held.id for held in latest.values()}
