"""The few forms of PromQL that dashboards and rules are made of."""

from __future__ import annotations

DASHBOARD_WINDOW = "$__rate_interval"
"""Grafana fills it in: at least four scrapes."""


def rate(
    metric: str, *by: str, where: str = "", window: str = DASHBOARD_WINDOW, more: str = ""
) -> str:
    """Per second, summed; `more` stands after the window, as `offset 1d`."""
    selector = f"{metric}{_braced(where)}[{window}]{' ' + more if more else ''}"
    return f"sum{_by(by)}(rate({selector}))"


def quantile(
    share: float, histogram: str, *by: str, where: str = "", window: str = DASHBOARD_WINDOW
) -> str:
    inner = rate(f"{histogram}_bucket", "le", *by, where=where, window=window)
    return f"histogram_quantile({share:g}, {inner})"


def mean(
    histogram: str, *by: str, where: str = "", window: str = DASHBOARD_WINDOW, more: str = ""
) -> str:
    return ratio(
        rate(f"{histogram}_sum", *by, where=where, window=window, more=more),
        rate(f"{histogram}_count", *by, where=where, window=window, more=more),
    )


def ratio(part: str, whole: str) -> str:
    return f"{part} / {whole}"


def gauge(metric: str, *by: str, where: str = "", how: str = "sum") -> str:
    return f"{how}{_by(by)}({metric}{_braced(where)})"


def _by(names: tuple[str, ...]) -> str:
    return f" by ({', '.join(names)}) " if names else ""


def _braced(where: str) -> str:
    return f"{{{where}}}" if where else ""
