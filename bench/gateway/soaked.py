"""What a soak found, and what of it is wrong."""

from __future__ import annotations

from dataclasses import dataclass

# An allocator keeps some of what it once had; a leak of 1 KiB for each request is far above.
MEMORY_MIB = 6.0
# The connection for health checks is there or not; what leaks for each request is soon more.
DESCRIPTORS = 2
# From there on a timeout of the gateway or of a client may be due through no fault of theirs.
STILL_S = 5.0


@dataclass(frozen=True)
class Look:
    """At the gateway at rest."""

    memory_mib: float
    descriptors: int
    tasks: int
    in_flight: int


@dataclass(frozen=True)
class Soaked:
    minutes: float
    before: Look
    after: Look
    requests: int
    outcomes: dict[str, int]
    engine_restarts: int
    wrong: tuple[str, ...]
    stood_still_s: float
    """The longest time in which this process itself did not run."""

    @property
    def faults(self) -> tuple[str, ...]:
        found = (*grown(self.before, self.after), *self.wrong)
        if found and self.stood_still_s > STILL_S:
            still = f"this process stood still for {self.stood_still_s:.0f} s, so run it again"
            return (still, *found)
        return found


def grown(before: Look, after: Look) -> list[str]:
    """What grew, each in words."""
    found = []
    if after.memory_mib > before.memory_mib + MEMORY_MIB:
        found.append(f"memory: {before.memory_mib:.1f} to {after.memory_mib:.1f} MiB")
    if after.descriptors > before.descriptors + DESCRIPTORS:
        found.append(f"descriptors: {before.descriptors} to {after.descriptors}")
    if after.tasks > before.tasks:
        found.append(f"tasks: {before.tasks} to {after.tasks}")
    if after.in_flight:
        found.append(f"in flight at rest: {after.in_flight}")
    return found


def render(found: Soaked) -> str:
    lines = [f"{'':<24}{'before':>10}{'after':>10}"]
    for label, name in (
        ("memory, MiB", "memory_mib"), ("descriptors", "descriptors"), ("tasks", "tasks"),
        ("requests in flight", "in_flight"),
    ):  # fmt: skip
        values = (getattr(look, name) for look in (found.before, found.after))
        lines.append(f"{label:<24}" + "".join(f"{round(value, 1):>10}" for value in values))
    lines.append(
        f"{found.requests} clients in {found.minutes:g} min, the engine killed "
        f"{found.engine_restarts} times:"
    )
    lines += [f"  {count:>7} {name}" for name, count in sorted(found.outcomes.items())]
    return "\n".join(lines) + "\n"
