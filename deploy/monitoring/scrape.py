"""Where a Prometheus without Kubernetes asks: a start, into which hosts are put."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy import ports
from deploy.monitoring.rules import to_yaml

HEAD = f"""\
# Written by `python -m deploy.monitoring write`: a copy of it gets your hosts. On Kubernetes the
# chart's ServiceMonitor does this, and AWS's DaemonSet exports on {ports.NEURON_MONITOR_DAEMONSET}.
# A gateway with keys and no --metrics-port: authorization: {{credentials_file: ...}}, an admin's.
# Engines of docs/ec2.md listen on loopback: only a Prometheus on the host reaches them.
"""
JOBS: Mapping[str, int] = {
    "specserve-gateway": ports.GATEWAY_METRICS,
    "specserve-engine": ports.HOST_ENGINE,
    "neuron-monitor": ports.NEURON_MONITOR,
}


def config() -> str:
    document: dict[str, Any] = {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for job, port in JOBS.items()
        ],
    }
    return HEAD + to_yaml(document)
