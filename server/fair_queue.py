"""Who is next: the higher priority, and within one priority each key in its turn."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar, get_args

from server.keys import Priority

T = TypeVar("T")

# From the first served to the last.
PRIORITIES: tuple[Priority, ...] = get_args(Priority)


class FairQueue(Generic[T]):
    def __init__(self) -> None:
        self._levels: dict[Priority, OrderedDict[str, deque[T]]] = {
            priority: OrderedDict() for priority in PRIORITIES
        }

    def __len__(self) -> int:
        return sum(self.lengths().values())

    def lengths(self) -> dict[Priority, int]:
        return {
            priority: sum(len(line) for line in lines.values())
            for priority, lines in self._levels.items()
        }

    def push(self, priority: Priority, name: str, item: T) -> None:
        self._levels[priority].setdefault(name, deque()).append(item)

    def pop(self) -> T | None:
        for lines in self._levels.values():
            if lines:
                name, line = lines.popitem(last=False)
                item = line.popleft()
                if line:
                    # Behind every other key that waits.
                    lines[name] = line
                return item
        return None

    def discard(self, priority: Priority, name: str, item: T) -> None:
        lines = self._levels[priority]
        line = lines.get(name)
        if line is None or item not in line:
            return
        line.remove(item)
        if not line:
            del lines[name]
