"""Rate, errors and duration, as clients see them."""

from __future__ import annotations

from deploy.monitoring.dashboards.fleet import ENGINES, REST
from deploy.monitoring.names import BROKEN_OFF, REFUSED, specserve
from deploy.monitoring.panels import Dashboard, Panel, Query, Row, percentiles
from deploy.monitoring.promql import gauge, quantile, rate, ratio

REQUESTS = specserve("requests_total")


RATE = Row(
    "Rate",
    (
        Panel(
            "Requests by pool",
            "Ended requests. `none` had no pool yet when they ended.",
            "reqps",
            (Query(rate(REQUESTS, "pool"), "{{pool}}"),),
            stacked=True,
        ),
        Panel(
            "Requests by route",
            "The path that was asked.",
            "reqps",
            (Query(rate(REQUESTS, "route"), "{{route}}"),),
        ),
        Panel(
            "Requests at the gateways now",
            "In flight, with the engine, and waiting for their turn.",
            "short",
            (
                Query(gauge(specserve("requests_in_flight")), "in flight"),
                Query(gauge(specserve("requests_running")), "with an engine"),
                Query(gauge(specserve("requests_queued")), "waiting"),
            ),
        ),
    ),
)

ERRORS = Row(
    "Errors",
    (
        Panel(
            "Share of requests that failed through us",
            "Status 5xx, or a stream that began well and ended with an error; clients that left "
            "are not in it.",
            "percentunit",
            (
                Query(
                    ratio(f"({rate(REQUESTS, where=REFUSED)} or vector(0))", rate(REQUESTS)), "5xx"
                ),
                Query(
                    ratio(f"({rate(REQUESTS, where=BROKEN_OFF)} or vector(0))", rate(REQUESTS)),
                    "broken off",
                ),
            ),
        ),
        Panel(
            "Answers by code",
            "All that are not `ok`; docs/gateway.md says what each means.",
            "reqps",
            (Query(rate(REQUESTS, "code", where='code!="ok"'), "{{code}}"),),
        ),
        Panel(
            "Refused before an engine had them",
            "By the code of the answer; the name of the key is in the label `key`.",
            "reqps",
            (Query(rate(specserve("rejections_total"), "code"), "{{code}}"),),
        ),
        Panel(
            "Clients that left",
            "How far their request was; `slow_reader` were dropped by us.",
            "reqps",
            (
                Query(
                    rate(specserve("disconnects_total"), "phase", "reason"),
                    "{{phase}} {{reason}}",
                ),
            ),
        ),
    ),
)

TTFT = specserve("time_to_first_token_seconds")
TPOT = specserve("time_per_output_token_seconds")
WHOLE = specserve("request_seconds")
QUEUE = specserve("queue_seconds")

DURATION = Row(
    "Duration",
    (
        Panel(
            "Time to first token",
            "From the engine being asked, streams only.",
            "s",
            percentiles(TTFT, 0.5, 0.95),
        ),
        Panel(
            "Time per output token",
            "Of whole streams, the first read left out.",
            "s",
            percentiles(TPOT, 0.5, 0.95),
        ),
        Panel(
            "Whole request, p95",
            "From its first byte to its last.",
            "s",
            (Query(quantile(0.95, WHOLE, "route"), "{{route}}"),),
        ),
        Panel(
            "Waiting for a turn, p95",
            "By priority; who never had a turn is among those refused.",
            "s",
            (Query(quantile(0.95, QUEUE, "priority"), "{{priority}}"),),
        ),
    ),
)

DASHBOARD = Dashboard("service", "Service", (RATE, ERRORS, DURATION, ENGINES, REST))
