"""A folder that appears whole or not at all, and the files that go into it unchanged."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuron.errors import PairError, SpecserveError

WEIGHT_SUFFIXES = frozenset(
    {".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack"}
)


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """Lends a folder beside `out` that takes its place at the end.

    After an error there is neither. Raises PairError unless `out` is new or an empty folder, and
    SpecserveError for an OSError.
    """
    out = out.expanduser().resolve()
    scratch = out.parent / f".{out.name}.{secrets.token_hex(4)}"
    try:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise PairError(f"{out} is there already and not an empty folder: name another --out.")
        scratch.mkdir(parents=True)
        yield scratch
        # Onto an empty folder, rename replaces it; onto any other it fails.
        scratch.rename(out)
    except OSError as error:
        raise SpecserveError(
            f"{out} could not be written ({error.strerror}, {error.filename or out.parent}); "
            "nothing of it is left."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def copy_others(source: Path, out: Path, written: frozenset[str]) -> None:
    """Tokenizer, licence, templates: each file of `source` but weights and what is in `written`.

    Folders and hidden files stay behind. Raises OSError.
    """
    for path in sorted(source.iterdir()):
        weights = path.suffix in WEIGHT_SUFFIXES or path.name.endswith(".index.json")
        if path.is_file() and not (weights or path.name.startswith(".") or path.name in written):
            shutil.copyfile(path, out / path.name)
