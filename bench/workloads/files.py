"""A user's own prompts: OpenAI request bodies, ShareGPT or JSONSchemaBench, one file a workload."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UsageProblemError
from bench.stats import MIN_PROMPTS
from bench.workloads.entries import FaultError, body_of, chat_of, schema_of
from bench.workloads.jsons import judge_json, valid_json
from bench.workloads.workload import Example, Outcome, Workload

KINDS: Mapping[str, Callable[[Mapping[str, Any]], Example]] = {
    "messages": body_of,
    "conversations": chat_of,
    "json_schema": schema_of,
}
"""The key that tells a file's kind, and what reads its records."""


@dataclass(frozen=True)
class FileSource:
    path: Path
    sha256: str
    requests: tuple[Example, ...]

    def examples(self, count: int, seed: int) -> list[Example]:
        """`count` of the file's requests, drawn, in the file's order."""
        there = len(self.requests)
        if count > there:
            raise UsageProblemError(
                f"--prompts {count}: {self.path} has {there} requests; "
                + (
                    f"give --prompts {there} or less."
                    if there >= MIN_PROMPTS
                    else f"an interval needs {MIN_PROMPTS}."
                )
            )
        picked = sorted(random.Random(f"file:{seed}").sample(range(there), count))
        return [self.requests[place] for place in picked]

    def check(self, example: Example, text: str) -> Outcome:
        """By the request's schema, and by its `answer` where it has one."""
        expected = example.facts.get("expected")
        if example.schema is None:
            exact = bool(text) and expected in (None, text)
            return Outcome(bool(text), exact, None if exact else "not the answer expected")
        if expected is not None:
            return judge_json(text, example.schema, expected)
        found = valid_json(text, example.schema)
        return found if isinstance(found, Outcome) else Outcome(True, True)


def digest(path: Path) -> str:
    return hashlib.sha256(_bytes(path)).hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageProblemError(f"--workload-file {path}: {error.strerror}.") from error


def from_file(path: Path) -> Workload:
    """Raises UsageProblemError that names line and field."""
    data = _bytes(path)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageProblemError(f"--workload-file {path} is not UTF-8.") from error
    found: list[Example] = []
    kind: str | None = None
    for where, record in _records(path, text):
        kind = kind or next((key for key in KINDS if key in record), None)
        if kind is None or kind not in record:
            wanted = kind or " or ".join(KINDS)
            raise UsageProblemError(
                f"{path}, {where}: {wanted} is missing: each is an OpenAI request body "
                "(messages), a ShareGPT conversation (conversations) or a JSONSchemaBench row "
                "(json_schema), all of one kind."
            )
        try:
            found.append(KINDS[kind](record))
        except FaultError as fault:
            raise UsageProblemError(f"{path}, {where}: {fault}.") from fault
    if not found:
        raise UsageProblemError(f"{path} holds no request.")
    source = FileSource(path, hashlib.sha256(data).hexdigest(), tuple(found))
    structured = all(one.schema is not None for one in found)
    return Workload(path.stem, structured, source, about=f"{len(found)} requests of {path.name}")


def _records(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Of a JSON array, or of JSON lines."""
    if text.lstrip().startswith("["):
        whole = _json(path, "the array", text)
        numbered = [(f"entry {place}", one) for place, one in enumerate(whole, 1)]
    else:
        numbered = [
            (f"line {place}", _json(path, f"line {place}", line))
            for place, line in enumerate(text.split("\n"), 1)
            if line.strip()
        ]
    for where, one in numbered:
        if not isinstance(one, dict):
            raise UsageProblemError(f"{path}, {where}: must be a JSON object.")
        yield where, one


def _json(path: Path, where: str, text: str) -> Any:  # noqa: ANN401 - it is what JSON can be
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UsageProblemError(f"{path}, {where}: is no JSON: {error}.") from error
