"""Rows of the service dashboard about its engines, and about the gateways themselves."""

from __future__ import annotations

from deploy.monitoring.names import specserve
from deploy.monitoring.panels import Panel, Query, Row
from deploy.monitoring.promql import gauge, rate

STATES = gauge(specserve("engine_state"), "replica", "state", how="max")

ENGINES = Row(
    "Engines, as the gateways see them",
    (
        Panel(
            "Engines by state",
            "Each counted once, however many gateways see it.",
            "short",
            (Query(f"sum by (state) ({STATES})", "{{state}}"),),
            stacked=True,
        ),
        Panel(
            "Ejected and failed for good",
            "Ejected replicas come back by themselves; of those in a crash loop only a restart "
            "of their gateway starts another engine.",
            "short",
            (
                Query(
                    gauge(specserve("replica_ejected"), "replica", how="max"), "ejected {{replica}}"
                ),
                Query(
                    gauge(specserve("engine_crash_loop"), "replica", how="max"),
                    "crash loop {{replica}}",
                ),
            ),
        ),
        Panel(
            "Answers of replicas that were not ok",
            "Those that another replica made good are in it.",
            "reqps",
            (
                Query(
                    rate(specserve("replica_answers_total"), "replica", "code", where='code!="ok"'),
                    "{{replica}} {{code}}",
                ),
            ),
        ),
        Panel(
            "Retries, ejections and restarts",
            "`over budget`: failures that were answered, as too many had been retried.",
            "reqps",
            (
                Query(rate(specserve("retries_total"), "code"), "retried {{code}}"),
                Query(rate(specserve("retries_over_budget_total")), "over budget"),
                Query(rate(specserve("ejections_total"), "reason"), "ejected, {{reason}}"),
                Query(rate(specserve("engine_restarts_total"), "replica"), "restart {{replica}}"),
            ),
        ),
    ),
)

REST = Row(
    "Structured output, and the gateway itself",
    (
        Panel(
            "Verdicts on the form of answers",
            "`incomplete`: the token limit came first.",
            "reqps",
            (
                Query(rate(specserve("structured_outputs_total"), "outcome"), "{{outcome}}"),
                Query(rate(specserve("whitespace_cuts_total")), "white space, cut"),
            ),
        ),
        Panel(
            "Start of engines",
            "The last start of those that a gateway starts itself, until a token was checked.",
            "s",
            (Query(gauge(specserve("engine_start_seconds"), "replica", how="max"), "{{replica}}"),),
        ),
        Panel(
            "What a gateway lost or was told",
            "Quota store without an answer, log lines dropped, reloads.",
            "reqps",
            (
                Query(rate(specserve("quota_store_errors_total")), "quota store"),
                Query(rate(specserve("request_log_lines_dropped_total")), "log lines dropped"),
                Query(rate(specserve("config_reloads_total"), "outcome"), "reload {{outcome}}"),
            ),
        ),
        Panel(
            "Tasks, and gateways that drain",
            "Tasks at rest are always as many: a floor that rises is a leak.",
            "short",
            (
                Query(gauge(specserve("event_loop_tasks"), "instance", how="max"), "{{instance}}"),
                Query(gauge(specserve("draining")), "draining"),
            ),
        ),
    ),
)
