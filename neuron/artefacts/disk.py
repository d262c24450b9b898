"""What a file system refused, as one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuron.artefacts.errors import StoreError


@contextmanager
def disk(where: Path) -> Iterator[None]:
    """Raises StoreError for an OSError inside; `where`, if the error itself does not say."""
    try:
        yield
    except OSError as error:
        raise StoreError(_sentence(error, str(error.filename or where))) from error


def _sentence(error: OSError, where: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk of {where} is full: free some space or give another folder; what was whole "
            "is kept and not moved again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where} may not be written or read: {error.strerror}."
    said = error.strerror or " ".join(str(error).split()).rstrip(".")
    return f"{where} cannot be used: {said}."
