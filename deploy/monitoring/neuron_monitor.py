"""What AWS's `neuron-monitor-prometheus.py` exports, as read in the script; nobody ran it here."""

from __future__ import annotations

from collections.abc import Mapping

from server.metric_table import Family

INSTANCE = (
    "instance_name",
    "instance_id",
    "instance_type",
    "availability_zone",
    "region",
    "subnet_id",
)
RUNTIME = (*INSTANCE, "runtime_tag")


def _families() -> Mapping[str, Family]:
    def told(name: str, kind: str, labels: tuple[str, ...], text: str) -> Family:
        return Family(name, kind, labels, text)

    listed = (
        told("neuroncore_utilization_ratio", "gauge", (*RUNTIME, "neuroncore"), "Of each core."),
        told(
            "neuron_runtime_memory_used_bytes",
            "gauge",
            (*RUNTIME, "memory_location"),
            "By `host` and `neuron_device`.",
        ),
        told(
            "execution_errors_total",
            "counter",
            (*RUNTIME, "error_type"),
            "generic, numerical, transient, model, runtime or hardware.",
        ),
        told(
            "execution_status_total", "counter", (*RUNTIME, "status_type"), "Launches by their end."
        ),
        told(
            "execution_latency_seconds",
            "gauge",
            (*RUNTIME, "percentile"),
            "Of launches, p0 to p100.",
        ),
        told(
            "hardware_ecc_events_total",
            "counter",
            (*INSTANCE, "event_type", "neuron_device_index"),
            "mem or sram, corrected or uncorrected.",
        ),
        told("system_vcpu_usage_ratio", "gauge", (*INSTANCE, "usage_type"), "The host's CPUs."),
        told("system_memory_used_bytes", "gauge", INSTANCE, "The host's memory."),
        told("system_memory_total_bytes", "gauge", INSTANCE, "The host's memory."),
    )
    return {one.name: one for one in listed}


NEURON_METRICS = _families()
