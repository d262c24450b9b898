"""Small artefacts, complete in every part but the compiler's work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from neuron.artefacts import manifest as manifests
from neuron.artefacts.key import ArtefactKey
from neuron.artefacts.manifest import Manifest

ROOT = Path(__file__).parents[3]
KEY: dict[str, Any] = {
    "stack": "nxdi",
    "plugin": "specserve",
    "platform": "trn2",
    "target": "a" * 64,
    "target_path": "/models/target",
    "draft": "b" * 64,
    "draft_path": "/models/draft",
    "num_draft_tokens": 4,
    "tp_degree": 32,
    "lnc": 2,
    "max_num_seqs": 4,
    "max_model_len": 4096,
    "max_prompt_len": 3072,
    "context_buckets": (128, 3072),
    "step_buckets": (128, 4096),
    "sampling": "any",
    "dtype": "bfloat16",
    "flags": {"padding_side": "right", "repairs": ["mask"]},
    "versions": {"neuronx-cc": "2.26.6360.0", "nki": "0.5.0"},
}


def key(**changes: object) -> ArtefactKey:
    return ArtefactKey.model_validate({**KEY, **changes})


def write_folder(
    folder: Path, *, seed: int = 0, shards: int = 3, shard_bytes: int = 300_000
) -> Path:
    (folder / "weights").mkdir(parents=True)
    (folder / "neuron_config.json").write_text(json.dumps({"seed": seed}))
    (folder / "model.pt").write_bytes(bytes([seed]) * 50_000)
    for rank in range(shards):
        shard = folder / "weights" / f"tp{rank}_sharded_checkpoint.safetensors"
        shard.write_bytes(bytes([seed + rank + 1]) * shard_bytes)
    return folder


def artefact(
    folder: Path, *, seed: int = 0, name: str = "a-pair", **changes: object
) -> tuple[Path, Manifest]:
    """A folder with its manifest; `changes` are of the key."""
    write_folder(folder, seed=seed)
    manifest = manifests.describe(folder, "artefacts", name, key=key(**changes))
    manifests.write(folder, manifest)
    return folder, manifest


def cli(*arguments: str) -> subprocess.Popen[str]:
    """`neuron` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "neuron.cli", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
