"""Manifests as rows: the same facts for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuron.artefacts.catalogue import Held
from neuron.artefacts.manifest import Manifest
from neuron.commands.common import gigabytes


def manifest_row(manifest: Manifest) -> dict[str, Any]:
    return {
        "id": manifest.id,
        "kind": manifest.kind,
        "name": manifest.name,
        "size": manifest.size,
        "files": len(manifest.files),
        "made": manifest.created,
        "model": manifest.model,
        "origin": manifest.origin or None,
        "key": manifest.key.model_dump(mode="json") if manifest.key else None,
        "times": manifest.times.model_dump(),
    }


def held_row(held: Held) -> dict[str, Any]:
    facts = manifest_row(held.manifest) if held.manifest else {"id": held.id, "kind": held.kind}
    return {
        **facts,
        "published": held.published,
        "fault": held.fault or None,
        "stored": held.size,
        "touched": held.touched.isoformat(timespec="seconds"),
    }


def held_text(holdings: Sequence[Held], address: str) -> str:
    return "\n".join(_line(held) for held in holdings) or f"{address} holds none."


def _line(held: Held) -> str:
    manifest = held.manifest
    start = f"{held.id[:12]}  {gigabytes(held.size):>10}  {held.touched:%Y-%m-%d %H:%M}"
    if manifest is None or held.fault:
        name = f"  {manifest.name}" if manifest else ""
        return f"{start}{name}  not usable: {held.fault}"
    if manifest.key is None:
        words = (start, manifest.name, manifest.origin, f"model {manifest.model}")
        return "  ".join(word for word in words if word)
    key = manifest.key
    drafts = f"K={key.num_draft_tokens}" if key.speculates else "plain"
    shape = f"tp={key.tp_degree} batch={key.max_num_seqs} len={key.max_model_len} {drafts}"
    compiler = key.versions.get("neuronx-cc", "?")
    return f"{start}  {manifest.name}  {shape}  neuronx-cc {compiler}  {_times(manifest)}".rstrip()


def _times(manifest: Manifest) -> str:
    times = manifest.times
    said = [f"compile {times.compile_s:.0f} s" if times.compile_s else ""]
    said.append(f"load {times.load_s:.0f} s" if times.load_s else "")
    return " ".join(word for word in said if word)
