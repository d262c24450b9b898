"""Whether two results may be set against each other, and what is not the same in them."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from bench.record import Result
from bench.settings import Settings

Difference = Literal["work", "versions", "machine", "subject"]
"""work: another question was asked, so there is no comparison. versions, machine: one may be made,
but only if that is what one wants to see. subject: what results are compared for."""
WORK = ("max_tokens", "guided", "temperature")
_Fact = tuple[str, object, object]


def differences(before: Result, after: Result) -> Iterator[tuple[Difference, str]]:
    """Each with its name and both values."""
    yield from _work(before, after)
    mine, other = before.provenance, after.provenance
    versions = (
        *_both("package ", dict(mine.packages), dict(other.packages)),
        *_both("engine version, ", _versions(before), _versions(after)),
        ("python", mine.python, other.python),
    )
    machine = (
        ("cpu", mine.cpu, other.cpu),
        ("cores", mine.cores, other.cores),
        ("threads", mine.threads, other.threads),
    )
    pair = _both("", _pair(before), _pair(after))
    runs = (
        ("commit", _commit(before), _commit(after)),
        *(
            (f"setting {name}", getattr(before.settings, name), getattr(after.settings, name))
            for name in ("seed", "prompts", "rounds", "warmup")
        ),
    )
    facts: tuple[tuple[Difference, Iterable[_Fact]], ...] = (
        ("versions", versions),
        ("machine", machine),
        ("subject", (*pair, *runs)),
    )
    for kind, group in facts:
        yield from ((kind, _said(*fact)) for fact in group if fact[1] != fact[2])


def _work(before: Result, after: Result) -> Iterator[tuple[Difference, str]]:
    for result in (before, after):
        if result.kind != "speedup":
            yield "work", f"kind: one is of kind {result.kind}, which has no speedup"
    settings: tuple[Settings, Settings] = (before.settings, after.settings)
    for name in WORK:
        values = [getattr(one, name) for one in settings]
        if values[0] != values[1]:
            yield "work", _said(f"setting {name}", *values)
    targets = [(one.provenance.pair or {}).get("target") for one in (before, after)]
    weights = [one.provenance.weights.get("target") for one in (before, after)]
    models = [[e.model for e in one.provenance.engines if e.arm == "plain"]
              for one in (before, after)]  # fmt: skip
    if targets[0] != targets[1]:
        yield "work", _said("target model", *targets)
    elif weights[0] and weights[1] and weights[0] != weights[1]:
        yield "work", "weights of the target: other bytes under the same name"
    elif targets[0] is None and models[0] != models[1]:
        yield "work", _said("served model", *models)


def _commit(result: Result) -> str:
    source = result.provenance
    return (source.commit or "none")[:12] + (" with local changes" if source.dirty else "")


def _versions(result: Result) -> dict[str, str | None]:
    return {engine.arm: engine.version for engine in result.provenance.engines}


def _pair(result: Result) -> dict[str, Any]:
    return {k: v for k, v in (result.provenance.pair or {}).items() if k != "target"}


def _both(prefix: str, mine: dict[str, Any], other: dict[str, Any]) -> Iterator[_Fact]:
    for name in dict.fromkeys((*mine, *other)):
        yield f"{prefix}{name}", mine.get(name, "none"), other.get(name, "none")


def _said(name: str, mine: object, other: object) -> str:
    return f"{name}: {mine} against {other}"
