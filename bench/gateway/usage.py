"""What a contestant costs its machine."""

from __future__ import annotations

from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

MIB = 1 << 20


@dataclass(frozen=True)
class Usage:
    """Of a process and all that it started."""

    pid: int

    def cpu_s(self) -> float:
        times = [process.cpu_times() for process in self._all()]
        return float(sum(each.user + each.system for each in times))

    def resident_mib(self) -> float:
        return float(sum(process.memory_info().rss for process in self._all()) / MIB)

    def _all(self) -> list[psutil.Process]:
        # Without the keeper itself, which is ours.
        found: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
        return found
