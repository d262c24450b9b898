from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuron.hardware import Machine

AVX2_ONLY = Machine(
    python=Path("/venv/bin/python"),
    cores=2,
    cpu_flags=frozenset({"avx2"}),
    preload=(Path("/lib/libtcmalloc_minimal.so.4"), Path("/venv/lib/libiomp5.so")),
)


def write_model(folder: Path, *, vocab: int = 2048) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"vocab_size": vocab}))
    (folder / "model.safetensors").touch()
    return folder


@pytest.fixture
def machine() -> Machine:
    return AVX2_ONLY
