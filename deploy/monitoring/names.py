"""Every metric that may be asked for: an expression is written with names from here only."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from deploy.monitoring.neuron_monitor import NEURON_METRICS
from server.engine_metrics import ENGINE_METRICS
from server.metric_table import Family
from server.metrics import Metrics

REFUSED = 'status=~"5.."'
BROKEN_OFF = 'status="200",code!~"ok|client_gone|slow_reader|output_cut_off"'
"""Streams that had begun and ended with an error."""


@cache
def gateway_families() -> Mapping[str, Family]:
    return {one.name: one for one in Metrics().table.families()}


def specserve(name: str) -> str:
    """A metric of the gateway. Raises KeyError for one that it does not have."""
    return gateway_families()[f"specserve_{name}"].name


def vllm(name: str) -> str:
    """A metric of the engine that every version we run has. Raises KeyError for another."""
    full = f"vllm:{name}"
    if full not in ENGINE_METRICS:
        raise KeyError(full)
    return full


def neuron(name: str) -> str:
    """A metric of neuron-monitor's exporter. Raises KeyError for another."""
    return NEURON_METRICS[name].name
