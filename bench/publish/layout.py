"""Which objects a result becomes. Below the prefix:

    KIND/PAIR/DAY/STAMP-DIGEST/summary.json, report.html    drawn again by each publish
    KIND/PAIR/DAY/STAMP-DIGEST/result.json                  last, and only if absent
    KIND/PAIR/DAY/STAMP-DIGEST/cloudwatch-NAMESPACE.json    what was sent there, after it was

DIGEST is of the file's bytes: the same file is the same place, however often it is published.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bench.pages import as_html, result_page
from bench.publish.metrics import Metric, measured_at, metrics, pair_name
from bench.record import Result
from bench.rows import summary_json
from bench.storage import safe_name
from bench.summary import Summary

DIGEST_CHARS = 16


@dataclass(frozen=True)
class Shipment:
    place: str
    """Below the prefix, without a slash at either end."""
    result: bytes
    """The file, byte for byte."""
    drawn: Mapping[str, bytes]
    """What is computed from it, by name."""
    metrics: Sequence[Metric]
    at: datetime
    """When it was measured."""


def shipment(result: Result, summary: Summary, data: bytes) -> Shipment:
    """`data` is the result's file. What the gateway adds has no page and no metrics."""
    speedup = result.kind == "speedup"
    return Shipment(
        place_of(result, data),
        data,
        {} if result.kind == "overhead" else _drawn(result, summary),
        metrics(result, summary) if speedup else (),
        measured_at(result),
    )


def place_of(result: Result, data: bytes) -> str:
    at = measured_at(result)
    digest = hashlib.sha256(data).hexdigest()[:DIGEST_CHARS]
    return f"{result.kind}/{pair_name(result)}/{at:%Y-%m-%d}/{at:%Y%m%dT%H%M%SZ}-{digest}"


def sent_marker(namespace: str) -> str:
    return f"cloudwatch-{safe_name(namespace)}.json"


def _drawn(result: Result, summary: Summary) -> dict[str, bytes]:
    return {
        "summary.json": summary_json(result, summary).encode(),
        "report.html": as_html(result_page(result, summary)).encode(),
    }
