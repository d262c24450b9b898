"""What a store holds: published, half-published, and what nobody names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from neuron.artefacts.errors import (
    ArtefactError,
    DamagedError,
    NotPublishedError,
    UnknownFormatError,
)
from neuron.artefacts.manifest import Kind, Manifest, parse
from neuron.artefacts.store import Store, Stored, id_in, manifest_key


@dataclass(frozen=True)
class Held:
    """Everything below one id."""

    kind: Kind
    id: str
    manifest: Manifest | None
    """None: half-published, or the manifest itself is damaged."""
    unread: bool = False
    """A manifest is there, and what it says is not known: nobody can say that nothing needs it."""
    fault: str = ""
    """Why it cannot be used, in words; empty: it can."""
    objects: Sequence[Stored] = field(default=(), repr=False)

    @property
    def published(self) -> bool:
        return self.manifest is not None and not self.fault

    @property
    def size(self) -> int:
        """Bytes in the store, left-overs of other publishers included."""
        return sum(stored.size for stored in self.objects)

    @property
    def touched(self) -> datetime:
        return max(stored.modified for stored in self.objects)


def load(store: Store, kind: Kind, id_: str) -> Manifest:
    """Raises NotPublishedError, DamagedError or StoreError."""
    key = manifest_key(kind, id_)
    found = parse(store.read(key), f"{store.address}/{key}")
    if (found.kind, found.id) != (kind, id_):
        raise DamagedError(
            f"{store.address}/{key} is the manifest of {found.kind} {found.id[:12]}, not of what "
            "its place says: publish again with --repair."
        )
    return found


def holdings(store: Store, kind: Kind) -> list[Held]:
    """Sorted by name, then age; reads every manifest."""
    below: dict[str, list[Stored]] = defaultdict(list)
    for stored in store.walk(f"{kind}/"):
        # A pair's own folder has ROOT/artefacts/NAME in it and may be given as a store.
        id_ = id_in(stored.key)
        if id_ is not None:
            below[id_].append(stored)
    held = [_held(store, kind, id_, objects) for id_, objects in below.items()]
    return sorted(held, key=lambda one: (one.manifest.name if one.manifest else "~", one.touched))


def resolve(store: Store, kind: Kind, ref: str) -> Manifest:
    """By id, the start of an id (8 digits or more) or a name. Raises NotPublishedError.

    A name that several have is refused, since which one is meant would be a guess.
    """
    if len(ref) == 64:
        return load(store, kind, ref)
    found = [
        held.manifest
        for held in holdings(store, kind)
        if held.manifest
        and (held.manifest.name == ref or (len(ref) >= 8 and held.id.startswith(ref)))
    ]
    if not found:
        raise NotPublishedError(
            f"{store.address} holds no {kind} named {ref!r}: `neuron {kind} list` shows what it "
            "holds."
        )
    if len(found) > 1:
        ids = ", ".join(manifest.id[:12] for manifest in found)
        raise ArtefactError(f"{ref!r} names {len(found)} {kind} in {store.address}: give {ids}.")
    return found[0]


def _held(store: Store, kind: Kind, id_: str, objects: Sequence[Stored]) -> Held:
    if not any(stored.key == manifest_key(kind, id_) for stored in objects):
        return Held(
            kind, id_, None, fault="half-published: it has no manifest yet", objects=objects
        )
    try:
        manifest = load(store, kind, id_)
    except UnknownFormatError as error:
        return _unread(kind, id_, f"unknown format: {error}", objects)
    except (DamagedError, NotPublishedError) as error:
        return _unread(kind, id_, f"damaged: {error}", objects)
    sizes = {stored.key.rpartition("/")[2]: stored.size for stored in objects}
    lost = [file for file in manifest.files if sizes.get(file.sha256) != file.size]
    if lost:
        fault = f"damaged: {len(lost)} of its files are gone or cut short, such as {lost[0].path}"
        return Held(kind, id_, manifest, fault=fault, objects=objects)
    return Held(kind, id_, manifest, objects=objects)


def _unread(kind: Kind, id_: str, fault: str, objects: Sequence[Stored]) -> Held:
    return Held(kind, id_, None, unread=True, fault=fault, objects=objects)
