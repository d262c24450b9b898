"""One line of JSON for each request, on stderr or in a file.

A thread writes them. A disk that is full or slow costs lines, which are counted, and no request.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from server.record import Record

MAX_WAITING = 10_000
MAX_PROMPT_CHARS = 16 * 1024
MAX_PATH_CHARS = 200
MAX_FILE_BYTES = 256 * 1024 * 1024
"""Then the file becomes NAME.1, in place of the one before."""
CLOSE_S = 2.0


class RequestLog(Protocol):
    def write(self, record: Record) -> None:
        """Never waits and never raises."""
        ...

    def close(self) -> None: ...


class NoLog:
    def write(self, record: Record) -> None:
        pass

    def close(self) -> None:
        pass


class JsonLog:
    def __init__(
        self,
        path: Path | None,
        on_drop: Callable[[], None],
        *,
        max_waiting: int = MAX_WAITING,
        max_file_bytes: int = MAX_FILE_BYTES,
        close_s: float = CLOSE_S,
    ) -> None:
        """None: stderr. Raises OSError for a file that cannot be written."""
        self._sink = _Stderr() if path is None else _File(path, max_file_bytes)
        self._on_drop = on_drop
        self._close_s = close_s
        self._lines: queue.Queue[bytes | None] = queue.Queue(max_waiting)
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def write(self, record: Record) -> None:
        try:
            self._lines.put_nowait(line_of(record, datetime.now(UTC)))
        except queue.Full:
            self._on_drop()

    def close(self) -> None:
        """Writes what waits, unless that takes too long."""
        try:
            self._lines.put(None, timeout=self._close_s)
        except queue.Full:
            return
        self._thread.join(self._close_s)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._sink.write(line)
            except OSError:
                self._on_drop()
        self._sink.close()


class _Sink(Protocol):
    def write(self, line: bytes) -> None: ...

    def close(self) -> None: ...


class _Stderr:
    def write(self, line: bytes) -> None:
        _write_all(sys.stderr.fileno(), line)

    def close(self) -> None:
        pass


class _File:
    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._torn = False
        self._open()

    def write(self, line: bytes) -> None:
        # What a full disk tore off must not become one line with the next.
        start = b"\n" if self._torn else b""
        self._torn = True
        self._size += _write_all(self._file, start + line)
        self._torn = False
        if self._size >= self._max_bytes:
            full = self._file
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._open()
            os.close(full)

    def close(self) -> None:
        os.close(self._file)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o640)
        self._size = os.fstat(self._file).st_size


def _write_all(target: int, data: bytes) -> int:
    written = 0
    while written < len(data):
        written += os.write(target, data[written:])
    return written


def line_of(record: Record, now: datetime) -> bytes:
    tokens, acceptance = record.tokens, record.acceptance
    fields: dict[str, Any] = {
        "time": now.isoformat(timespec="milliseconds"),
        "request_id": record.request_id,
        "method": record.method,
        "path": record.path[:MAX_PATH_CHARS],
        "status": record.status,
        "code": record.code,
        "key_id": record.key_id,
        "model": record.model,
        "stream": record.stream,
        "pool": record.pool,
        "replica": record.replica,
        "attempts": record.attempts or None,
        "queue_s": _rounded(record.queue_s),
        "ttft_s": _rounded(record.ttft_s),
        "total_s": _rounded(record.total_s),
        "prompt_tokens": tokens.prompt if tokens else None,
        "completion_tokens": tokens.completion if tokens else None,
        "drafted_tokens": acceptance.drafted if acceptance else None,
        "accepted_tokens": acceptance.accepted if acceptance else None,
        "structured": record.structured,
        "prompt": _prompt(record.prompt),
    }
    known = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(known).encode() + b"\n"


def _prompt(prompt: object) -> str | None:
    if prompt is None:
        return None
    text = prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False)
    return text[:MAX_PROMPT_CHARS]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
