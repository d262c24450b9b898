"""Whether the files that were asked for can be written, before anything is computed."""

from __future__ import annotations

from pathlib import Path

from neuron.errors import PairError

TABLES = (".toml",)
PICTURES = (".png", ".svg")


def writable(flag: str, path: Path | None, suffixes: tuple[str, ...], *, replace: bool) -> None:
    """Raises PairError for another suffix, no folder, or a file that would be lost."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise PairError(f"{flag} {path}: name a file that ends in {' or '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise PairError(f"{flag} {path}: there is no folder {path.parent}; make it first.")
    if path.exists() and not replace:
        raise PairError(f"{flag} {path}: it exists; name another file, or replace it with --force.")
