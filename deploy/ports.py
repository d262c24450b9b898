"""What listens where, for units, the chart, Prometheus and the pages; tests hold them equal."""

from __future__ import annotations

GATEWAY = 8000
GATEWAY_METRICS = 9090
NEURON_MONITOR = 9091
"""Of the exporter that a host of ours runs."""
NEURON_MONITOR_DAEMONSET = 8000
"""Of AWS's DaemonSet `neuron-monitor` on Kubernetes, which is not ours to set."""
HOST_ENGINE = 8100
"""On a host of ours the first engine's, on loopback; the next one has the next."""
POD_ENGINE = 8080
"""In a pod, which has one engine."""
