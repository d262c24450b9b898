"""What somebody must hear of. docs/runbook.md has a section for each."""

from __future__ import annotations

import math

from deploy.monitoring import burn
from deploy.monitoring.names import neuron, specserve
from deploy.monitoring.objectives import Objectives
from deploy.monitoring.promql import gauge, rate, ratio
from deploy.monitoring.recorded import BLOCK_END, SPEEDUP
from deploy.monitoring.rules import Alert

COLLAPSED = 0.6
"""Of the usual acceptance. Requests differ, so that less than that is no news."""
REFUSED = 0.01
LAST_CALL_S = 5400
"""EC2 begins to end a block's instances 30 minutes before it ends (its user guide):
that leaves an hour to drain."""
FLAPS = 4
"""Changes from ready or to it within half an hour: two losses, each with its return."""


def alerts(objectives: Objectives) -> tuple[Alert, ...]:
    return (
        *_service(),
        *burn.latency(objectives),
        burn.errors(),
        *_speculation(),
        *_engines(objectives),
        *_capacity(),
    )


def _service() -> tuple[Alert, ...]:
    ready = gauge(specserve("engine_state"), "replica", where='state="ready"', how="max")
    refused = ratio(
        rate(specserve("rejections_total"), where='code=~"overloaded|queue_timeout"', window="5m"),
        rate(specserve("requests_total"), window="5m"),
    )
    return (
        Alert(
            "SpecserveNotScraped",
            f"absent({specserve('draining')})",
            "5m",
            "page",
            "No gateway's metrics arrive.",
            "Either no gateway runs, or Prometheus cannot reach them: no other alert can fire.",
        ),
        Alert(
            "SpecserveNoEngineReady",
            f"sum({ready}) == 0",
            "1m",
            "page",
            "No engine is ready.",
            "Every request is answered 503.",
        ),
        Alert(
            "SpecserveQueueSaturated",
            f"{gauge(specserve('requests_queued'))} > 0 or {refused} > {REFUSED}",
            "10m",
            "page",
            "Requests wait without end, or are refused for want of room.",
            "For ten minutes the queue was never empty, or more than 1 % of requests were "
            "refused: more arrives than the engines can do.",
        ),
        Alert(
            "SpecserveQuotaStoreDown",
            f"sum(increase({specserve('quota_store_errors_total')}[5m])) > 0",
            "5m",
            "ticket",
            "The shared quota store does not answer.",
            "Gateways count alone, or answer 503 where they were told to.",
        ),
    )


def _speculation() -> tuple[Alert, ...]:
    def kept(window: str) -> str:
        where = 'pool="speculative"'
        return ratio(
            rate(specserve("accepted_tokens_total"), where=where, window=window),
            rate(specserve("drafted_tokens_total"), where=where, window=window),
        )

    steps = rate(specserve("speculative_steps_total"), window="30m")
    return (
        Alert(
            "SpecserveAcceptanceCollapse",
            f"{kept('30m')} < {COLLAPSED} * {kept('1d')} and {steps} > 0.1",
            "15m",
            "ticket",
            "Far fewer drafts are kept than usual.",
            "{{ $value | humanizePercentage }} of drafted tokens are kept, less than 60 % of what "
            "it was over a day.",
        ),
        Alert(
            "SpecserveSpeculationSlower",
            f"{SPEEDUP} < 1",
            "30m",
            "ticket",
            "The speculative pool is slower than the plain one would be.",
            'Its tokens come {{ printf "%.2f" $value }} times as fast as plain ones: its steps '
            "cost more than they emit.",
        ),
    )


def _engines(objectives: Objectives) -> tuple[Alert, ...]:
    state = specserve("engine_state")
    changed = f'max by (replica) (changes({state}{{state="ready"}}[30m]))'
    restarted = f"max by (replica) (increase({specserve('engine_restarts_total')}[30m]))"
    absent = gauge(state, "replica", where='state=~"starting|restarting"', how="max")
    minutes = math.ceil(objectives.overdue_s / 60)
    errors = (
        f"sum by (instance_id, runtime_tag, error_type) "
        f'(increase({neuron("execution_errors_total")}{{error_type!="transient"}}[10m])) > 0'
    )
    ecc = (
        f"sum by (instance_id, neuron_device_index, event_type) "
        f'(increase({neuron("hardware_ecc_events_total")}{{event_type=~".*_uncorrected"}}[10m]))'
        " > 0"
    )
    return (
        Alert(
            "SpecserveEngineFlapping",
            f"{changed} >= {FLAPS} or {restarted} > {FLAPS // 2}",
            "0m",
            "page",
            "Engine {{ $labels.replica }} is lost again and again.",
            "It was ready and lost at least twice within half an hour; each loss costs the "
            "requests that had begun there.",
        ),
        Alert(
            "SpecserveEngineCrashLoop",
            f"{gauge(specserve('engine_crash_loop'), 'replica', how='max')} == 1",
            "0m",
            "page",
            "Engine {{ $labels.replica }} is no longer restarted.",
            "It was lost too often in a row; only a restart of its gateway starts another.",
        ),
        Alert(
            "SpecserveArtefactMissing",
            f"{absent} == 1",
            f"{minutes}m",
            "page",
            "Engine {{ $labels.replica }} does not become ready.",
            f"An engine with its artefact is back within {minutes} minutes, the last streams of "
            "the one before included: its artefact is missing, made for something else, or being "
            "compiled.",
        ),
        Alert(
            "SpecserveDeviceErrors",
            f"{errors} or {ecc}",
            "0m",
            "page",
            "A Neuron device reports errors on {{ $labels.instance_id }}.",
            "{{ $labels.error_type }}{{ $labels.event_type }}, {{ $value | humanize }} in ten "
            "minutes.",
        ),
    )


def _capacity() -> tuple[Alert, ...]:
    left = f"{BLOCK_END} - time()"
    return (
        Alert(
            "SpecserveCapacityBlockEndsSoon",
            f"{left} < 86400 > {LAST_CALL_S}",
            "0m",
            "ticket",
            "A Capacity Block ends within a day.",
            "{{ $value | humanizeDuration }} are left: the next one must be bought before.",
        ),
        Alert(
            "SpecserveCapacityBlockEnding",
            f"{left} < {LAST_CALL_S} > 0",
            "0m",
            "page",
            "A Capacity Block ends in less than 90 minutes.",
            "{{ $value | humanizeDuration }} are left, and half an hour less for its instances, "
            "which EC2 begins to end before the block does.",
        ),
    )
