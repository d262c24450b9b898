"""The printed rows as JSON, with the settings and the provenance that they need beside them."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from bench.overhead import Overhead
from bench.reconcile import Line
from bench.record import Result
from bench.strict_json import dumps
from bench.summary import Row, Summary


def summary_json(result: Result, summary: Summary) -> str:
    rows = [_row(row) for row in summary.rows]
    gaps, pools = (_dicts(kept) for kept in (summary.gaps, summary.pools))
    return _document(result, {"rows": rows, "gaps": gaps, "pools": pools})


def overhead_json(result: Result, rows: Iterable[Overhead]) -> str:
    return _document(result, {"rows": _dicts(rows)})


def reconciled_json(result: Result, lines: Iterable[Line]) -> str:
    return _document(result, {"lines": _dicts(lines)})


def _row(row: Row) -> dict[str, Any]:
    """Without the per-request arrays, which are in the result's raw events."""
    fields = asdict(row)
    return {name: value for name, value in fields.items() if name not in {"tpot", "total"}}


def _dicts(facts: Iterable[Any]) -> list[dict[str, Any]]:
    return [asdict(fact) for fact in facts]


def _document(result: Result, found: dict[str, Any]) -> str:
    head = result.model_dump(mode="json", include={"kind", "stopped", "settings", "provenance"})
    return dumps(head | found)
