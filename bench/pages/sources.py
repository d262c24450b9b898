"""Where a result comes from, name by name, and what the page's names mean."""

import shlex
from collections.abc import Iterator

from bench.pages.document import Facts
from bench.record import Result
from bench.series import FIGURES, SERIES
from bench.validity import MEANING


def provenance(result: Result) -> Facts:
    return Facts(tuple(_sources(result)))


def _sources(result: Result) -> Iterator[tuple[str, str]]:
    source = result.provenance
    yield "measured", source.date
    yield "code", f"{source.commit or 'no commit'}{' with local changes' if source.dirty else ''}"
    yield "command", shlex.join(source.command)
    size = f"{source.cores} cores, {source.memory_bytes / 2**30:.1f} GiB"
    others = f"other processes took {source.others_cpu:.2f} cores before the run"
    yield "machine", f"{source.cpu}, {size}, {source.platform}; {others}"
    yield "python", source.python
    yield "packages", ", ".join(f"{name} {found}" for name, found in source.packages.items())
    if source.pair:
        yield "pair", ", ".join(f"{name} = {value}" for name, value in source.pair.items())
        yield "pair sha256", source.pair_sha256 or "none"
    for engine in source.engines:
        told = [engine.model, engine.url, f"version {engine.version or 'not told'}"]
        if engine.ready_s is not None:
            told.append(f"ready after {engine.ready_s:.0f} s")
        yield f"{engine.arm} engine", ", ".join(told)
        if engine.argv:
            yield f"{engine.arm} command", shlex.join(engine.argv)
        if engine.env:
            named = " ".join(f"{name}={value}" for name, value in engine.env.items())
            yield f"{engine.arm} environment", named
    for model, files in source.weights.items():
        for name, digest in files.items():
            yield f"{model} weights", f"{name} sha256 {digest}"
    for name, value in result.settings.model_dump(mode="json").items():
        yield f"setting {name}", str(value)


def definitions() -> Facts:
    return Facts(
        (
            *((one.name, _says(one.unit, one.says)) for one in (*SERIES, *FIGURES)),
            *((f"answer: {what}", meaning) for what, meaning in MEANING.items()),
        )
    )


def _says(unit: str, says: str) -> str:
    return f"[{unit}] {says}" if unit else says
