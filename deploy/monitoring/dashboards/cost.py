"""What a million tokens cost."""

from __future__ import annotations

from deploy.monitoring.names import specserve
from deploy.monitoring.panels import Dashboard, Panel, Query, Row
from deploy.monitoring.promql import gauge, rate
from deploy.monitoring.recorded import REPLICA_PRICE, SPEEDUP

STATES = gauge(specserve("engine_state"), "replica", how="max")
PER_HOUR = f"count({STATES}) * on () {REPLICA_PRICE}"
PER_SECOND = rate(specserve("completion_tokens_total"), window="1h")
PER_MILLION = f"{PER_HOUR} / on () ({PER_SECOND} * 3600 / 1e6)"
READ = rate(specserve("prompt_tokens_total"), window="1h")

NOW = Row(
    "Now",
    (
        Panel(
            "Per hour",
            "Engines that gateways know of, times the price of the chips that each holds: an "
            "engine that does nothing costs as much. The price is what the rules were given.",
            "currencyUSD",
            (Query(PER_HOUR),),
            kind="stat",
        ),
        Panel(
            "Per million tokens generated",
            "Over the last hour; prompts are not counted, though reading them costs time.",
            "currencyUSD",
            (Query(PER_MILLION),),
            kind="stat",
        ),
        Panel(
            "Per million tokens read or generated",
            "Over the last hour.",
            "currencyUSD",
            (Query(f"{PER_HOUR} / on () (({PER_SECOND} + {READ}) * 3600 / 1e6)"),),
            kind="stat",
        ),
    ),
)

COURSE = Row(
    "Over time",
    (
        Panel(
            "Per million tokens generated",
            "Falls with load: the hour costs the same.",
            "currencyUSD",
            (Query(PER_MILLION),),
        ),
        Panel(
            "Tokens generated per hour",
            "At the rate of the last hour.",
            "short",
            (Query(f"{PER_SECOND} * 3600"),),
        ),
        Panel(
            "The same tokens without speculation",
            "Times the measured speedup: what a million would cost at the plain step's pace. Only "
            "where engines are busy, since time that is not used is paid for all the same.",
            "currencyUSD",
            (
                Query(PER_MILLION, "as it is"),
                Query(f"({PER_MILLION}) * on () {SPEEDUP}", "without speculation"),
            ),
        ),
    ),
)

DASHBOARD = Dashboard("cost", "Cost", (NOW, COURSE))
