"""The Neuron devices, through neuron-monitor."""

from __future__ import annotations

from deploy.monitoring.names import neuron
from deploy.monitoring.panels import Dashboard, Panel, Query, Row
from deploy.monitoring.promql import gauge, rate, ratio

CORES = Row(
    "Cores",
    (
        Panel(
            "Utilisation by engine",
            "Mean over its cores; an engine's tag is NEURON_PROCESS_TAG.",
            "percentunit",
            (
                Query(
                    gauge(
                        neuron("neuroncore_utilization_ratio"),
                        "instance_id",
                        "runtime_tag",
                        how="avg",
                    ),
                    "{{instance_id}} {{runtime_tag}}",
                ),
            ),
        ),
        Panel(
            "The least busy core",
            "Far below the mean: tensor parallelism waits for something.",
            "percentunit",
            (
                Query(
                    gauge(neuron("neuroncore_utilization_ratio"), "instance_id", how="min"),
                    "{{instance_id}}",
                ),
            ),
        ),
        Panel(
            "Memory of the runtime",
            "On host and device.",
            "bytes",
            (
                Query(
                    gauge(
                        neuron("neuron_runtime_memory_used_bytes"), "runtime_tag", "memory_location"
                    ),
                    "{{runtime_tag}} {{memory_location}}",
                ),
            ),
        ),
    ),
)

LAUNCHES = Row(
    "Launches",
    (
        Panel(
            "Launches by their end",
            "A launch of a fused graph is one step.",
            "reqps",
            (Query(rate(neuron("execution_status_total"), "status_type"), "{{status_type}}"),),
        ),
        Panel(
            "Errors of launches",
            "0 is what to expect of all but `transient`.",
            "reqps",
            (Query(rate(neuron("execution_errors_total"), "error_type"), "{{error_type}}"),),
        ),
        Panel(
            "Time of a launch",
            "Median and p99, the slowest engine.",
            "s",
            (
                Query(
                    gauge(
                        neuron("execution_latency_seconds"),
                        "percentile",
                        where='percentile=~"p50|p99"',
                        how="max",
                    ),
                    "{{percentile}}",
                ),
            ),
        ),
    ),
)

HOST = Row(
    "Hardware and host",
    (
        Panel(
            "ECC events",
            "Uncorrected ones have an alert.",
            "short",
            (
                Query(
                    rate(neuron("hardware_ecc_events_total"), "instance_id", "event_type"),
                    "{{instance_id}} {{event_type}}",
                ),
            ),
        ),
        Panel(
            "CPUs of the host",
            "The runtime's threads poll: busy is normal.",
            "percentunit",
            (
                Query(
                    gauge(
                        neuron("system_vcpu_usage_ratio"), "instance_id", "usage_type", how="max"
                    ),
                    "{{instance_id}} {{usage_type}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Memory of the host",
            "Loading a model takes twice its weights.",
            "percentunit",
            (
                Query(
                    ratio(
                        gauge(neuron("system_memory_used_bytes"), "instance_id", how="max"),
                        gauge(neuron("system_memory_total_bytes"), "instance_id", how="max"),
                    ),
                    "{{instance_id}}",
                ),
            ),
        ),
    ),
)

DASHBOARD = Dashboard("device", "Device", (CORES, LAUNCHES, HOST))
