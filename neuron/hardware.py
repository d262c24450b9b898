"""What this machine has that a launch depends on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
CPUINFO = Path("/proc/cpuinfo")
SYSTEM_LIB_DIRS = (
    Path("/usr/lib/x86_64-linux-gnu"),
    Path("/usr/lib64"),
    Path("/usr/local/lib"),
    Path("/usr/lib"),
)


@dataclass(frozen=True)
class Machine:
    python: Path
    cores: int
    """Cores this process may run on, not cores in the box."""
    cpu_flags: frozenset[str]
    preload: tuple[Path, ...]
    """Libraries that the CPU engine is quicker with, of those that are there."""

    @property
    def has_bf16(self) -> bool:
        return bool(self.cpu_flags & BF16_FLAGS)


def this_machine() -> Machine:
    return Machine(
        python=Path(sys.executable),
        cores=len(os.sched_getaffinity(0)),
        cpu_flags=read_cpu_flags(CPUINFO),
        preload=tuple(find_preload(Path(sys.prefix), SYSTEM_LIB_DIRS)),
    )


def read_cpu_flags(cpuinfo: Path) -> frozenset[str]:
    try:
        text = cpuinfo.read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def find_preload(prefix: Path, system: Iterable[Path]) -> Iterator[Path]:
    """tcmalloc, then Intel's OpenMP: the environment's own before the system's."""
    # vLLM's own CPU wheel carries tcmalloc in vllm/libs; intel-openmp installs into lib/.
    own = [*sorted(prefix.glob("lib/python3*/site-packages/vllm/libs")), prefix / "lib"]
    folders = [*own, *system]
    for patterns in (("libtcmalloc_minimal*.so*", "libtcmalloc.so*"), ("libiomp5.so",)):
        found = (hit for folder in folders for p in patterns for hit in sorted(folder.glob(p)))
        first = next(found, None)
        if first is not None:
            yield first
