"""A stand-in for neuron-monitor's exporter: its names and labels, with values that mean nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from deploy.monitoring.neuron_monitor import NEURON_METRICS
from server.metric_table import Family
from tests.server.test_supervision import free_port

VALUES = {
    "error_type": ("generic", "numerical", "transient", "model", "runtime", "hardware"),
    "event_type": (
        "mem_ecc_corrected",
        "mem_ecc_uncorrected",
        "sram_ecc_corrected",
        "sram_ecc_uncorrected",
    ),
    "memory_location": ("host", "neuron_device"),
    "neuroncore": ("0", "1", "2", "3"),
    "percentile": ("p50", "p99"),
    "status_type": ("completed", "completed_with_err"),
    "usage_type": ("user", "system"),
}


@contextmanager
def fake_neuron_monitor() -> Iterator[str]:
    registry = CollectorRegistry()
    for family in NEURON_METRICS.values():
        _export(registry, family)
    port = free_port()
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _export(registry: CollectorRegistry, family: Family) -> None:
    make = Counter if family.type == "counter" else Gauge
    metric = make(family.name, "fake", family.labels, registry=registry)
    varied = next((label for label in family.labels if label in VALUES), None)
    for value in VALUES[varied] if varied else ("",):
        filled = {label: value if label == varied else f"fake-{label}" for label in family.labels}
        sample = metric.labels(**filled)
        if isinstance(sample, Gauge):
            sample.set(0.5)
