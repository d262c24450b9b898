"""A sweep's folder with known numbers: K drafts cost 40 + 5 K ms a step and all are accepted."""

from collections.abc import Sequence
from pathlib import Path

from bench.record import Result
from bench.sweep import INDEX, Cell, Sweep
from tests.bench.results import PLAIN_STEP_MS, reply, result

PER_DRAFT_MS = 5.0


def sweep_folder(folder: Path, ks: Sequence[int], *workloads: str, missing: int = 0) -> Path:
    """The index's path; the last `missing` combinations have no result yet."""
    cells = []
    for number, k in enumerate(ks):
        found = _with_drafts(result(*workloads), k)
        cell = Cell(draft="d", k=k, settings=found.settings, file=f"cell-{number:03d}.json")
        cells.append(cell)
        if number < len(ks) - missing:
            (folder / cell.file).write_text(found.model_dump_json())
    path = folder / INDEX
    path.write_text(Sweep(source="local", cells=tuple(cells)).model_dump_json())
    return path


def _with_drafts(found: Result, k: int) -> Result:
    structured = {one.workload for one in found.prompts if one.structured}
    requests = []
    for one in found.requests:
        if one.arm == "speculative":
            size = k + 1 if one.workload in structured else 1
            step_ms = PLAIN_STEP_MS + PER_DRAFT_MS * k
            answer = reply(step_ms, size, one.reply.token_ids, True)
            one = one.model_copy(update={"reply": answer})
        requests.append(one)
    return found.model_copy(update={"requests": tuple(requests)})
