"""Result files."""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from bench.errors import UsageProblemError
from bench.record import Result


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
    stamp = datetime.fromisoformat(result.provenance.date).astimezone(UTC)
    name = (result.provenance.pair or {}).get("name", "urls")
    path = folder / f"{result.kind}-{name}-{stamp:%Y%m%dT%H%M%SZ}.json"
    path.write_text(result.model_dump_json())
    return path


def read(path: Path) -> Result:
    try:
        return Result.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageProblemError(f"{path}: {error.strerror}.") from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise UsageProblemError(
            f"{path} is no bench result of schema version 1: {where}: {fault['msg']}."
        ) from error
