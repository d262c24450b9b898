"""Builds the bundled pair on first use: the committed weights, the target enlarged."""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from neuron.errors import ModelNotFoundError, SpecserveError
from neuron.local.enlarge import Enlargement, enlarge

WEIGHTS = Path(__file__).parent / "weights"
# An fp32 step takes 42 to 46 ms on two AVX2 cores; about 45 is what AWS published as a baseline.
SIZE = Enlargement(identity_layers=40, mlp_width=640)


@dataclass(frozen=True)
class BuiltPair:
    """Model directories that vLLM can load."""

    target: Path
    draft: Path


def cache_dir() -> Path:
    """`SPECSERVE_HOME`, or `specserve` under the user's cache directory."""
    home = os.environ.get("SPECSERVE_HOME")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "specserve"


def _key(source: Path, size: Enlargement) -> str:
    digest = hashlib.sha256(repr(size).encode())
    for path in sorted(source.iterdir()):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    digest.update(Path(enlarge.__code__.co_filename).read_bytes())
    return digest.hexdigest()[:16]


def ensure_built(weights: Path = WEIGHTS, size: Enlargement = SIZE) -> BuiltPair:
    """Idempotent and safe to call from several processes at once: the directory appears whole.

    Raises ModelNotFoundError where the committed weights are not there, SpecserveError where the
    cache cannot be written.
    """
    source = weights / "target"
    for part in (source, weights / "draft"):
        if not (part / "model.safetensors").is_file():
            raise ModelNotFoundError(
                f"Looked for the bundled weights in {part}, but they are not there: "
                "this checkout or installation is not whole; clone the repository again."
            )
    target = cache_dir() / f"local-target-{_key(source, size)}"
    if not target.exists():
        try:
            _build(source, target, size)
        except OSError as error:
            raise SpecserveError(
                f"The bundled target cannot be built in {target.parent} ({error.strerror}): "
                "name a folder with 60 MB of room in the variable SPECSERVE_HOME."
            ) from error
    return BuiltPair(target, weights / "draft")


def _build(source: Path, target: Path, size: Enlargement) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="building-", dir=target.parent))
    try:
        enlarge(source, scratch / "target", size)
        try:
            (scratch / "target").rename(target)
        except OSError:
            # Another process may have been quicker, which is as good.
            if not target.exists():
                raise
    finally:
        shutil.rmtree(scratch)
