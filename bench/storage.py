"""Result files."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from bench.errors import UsageProblemError
from bench.record import SCHEMA_VERSION, Result

UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
"""What a pair's name may hold and a file's had better not."""
NAME_CHARS = 80


def safe_name(name: str) -> str:
    return UNSAFE.sub("_", name)[:NAME_CHARS]


def writable(folder: Path) -> Path:
    """Creates `folder`; called before the run so that a long one cannot end with nowhere to go."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".bench-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageProblemError(
            f"--out {folder}: {error.strerror}; name a writable folder."
        ) from error
    return folder


def write(result: Result, folder: Path) -> Path:
    """A file of its own, whatever else is there; its name says where the run ended early."""
    stamp = datetime.fromisoformat(result.provenance.date).astimezone(UTC)
    name = safe_name((result.provenance.pair or {}).get("name", "urls"))
    partial = "" if result.stopped is None else "-partial"
    with _new(folder, f"{result.kind}-{name}-{stamp:%Y%m%dT%H%M%SZ}{partial}") as sink:
        sink.write(result.model_dump_json())
    return Path(sink.name)


def replace_file(path: Path, text: str) -> None:
    """Whole or not at all, also when the machine goes down meanwhile."""
    half = path.with_name(path.name + ".part")
    half.write_text(text)
    half.replace(path)


def _new(folder: Path, stem: str, again: int = 1) -> TextIO:
    try:
        return (folder / f"{stem}{f'-{again}' if again > 1 else ''}.json").open("x")
    except FileExistsError:
        return _new(folder, stem, again + 1)


def read(path: Path) -> Result:
    try:
        return Result.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageProblemError(f"{path}: {error.strerror}.") from error
    except ValidationError as error:
        raise UsageProblemError(f"{path} {_why(error)}.") from error


def _why(error: ValidationError) -> str:
    fault = error.errors()[0]
    if fault["loc"] == ("schema_version",) and fault["type"] == "literal_error":
        return (
            f"is a bench result of schema version {fault['input']}, and this bench reads version "
            f"{SCHEMA_VERSION}: measure again, or report it with the commit that wrote it"
        )
    where = ".".join(str(part) for part in fault["loc"]) or "the file"
    return f"is no bench result of schema version {SCHEMA_VERSION}: {where}: {fault['msg']}"
