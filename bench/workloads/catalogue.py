"""Which workloads there are, and how they are named on a command line."""

from collections.abc import Iterable, Sequence
from typing import Literal

from bench.errors import UsageProblemError
from bench.workloads.aws import CODE as AWS8
from bench.workloads.aws import aws
from bench.workloads.bundled import bundled
from bench.workloads.full import full
from bench.workloads.thinking import CODE as THINKING
from bench.workloads.workload import Workload

Profile = Literal["bundled", "full"]
"""The short prompts that the bundled pair knows, or the suite for real Qwen models."""
DEFAULT_MAX_TOKENS: dict[Profile, int] = {"bundled": 320, "full": 640}


def catalogue(profile: Profile = "bundled") -> tuple[Workload, ...]:
    return (*(bundled() if profile == "bundled" else full()), *aws())


def choose(
    names: Sequence[str], profile: Profile = "bundled", own: Sequence[Workload] = ()
) -> tuple[Workload, ...]:
    """By name, by code like W1, or AWS8 for its eight; and all of `own`.

    Without either, W1 to N2: not AWS8, which has `bench aws`, not W1-thinking, whose answers need
    more tokens than the others', and not the bundled tasks that no code of the suite names.
    """
    known = catalogue(profile)
    taken = {part for one in known for part in (one.name, one.code)}
    for one in own:
        if one.name in taken:
            raise UsageProblemError(
                f"--workload-file: {one.name} is another workload's name: rename the file."
            )
        taken.add(one.name)
    if not names:
        return tuple(own) or tuple(one for one in known if one.code not in ("", AWS8, THINKING))
    found = [one for name in names for one in _named(name, (*known, *own))]
    return tuple({one.name: one for one in (*found, *own)}.values())


def _named(name: str, known: Iterable[Workload]) -> list[Workload]:
    found = [one for one in known if name == one.name or name.upper() == one.code.upper()]
    if not found:
        said = dict.fromkeys(part for one in known for part in (one.name, one.code) if part)
        raise UsageProblemError(
            f"--workload {name!r} does not exist: choose from {', '.join(said)}."
        )
    return found
