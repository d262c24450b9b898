"""The request log and the traces that the settings ask for."""

from __future__ import annotations

from pathlib import Path

from server.metrics import Metrics
from server.observed import Observers
from server.request_log import JsonLog, NoLog, RequestLog
from server.settings import PREFIX, Settings, SettingsError
from server.tracing import NoTracing, OtlpTracing


def open_observers(settings: Settings, metrics: Metrics) -> Observers:
    """The caller's to close. Raises SettingsError."""
    return Observers(
        _request_log(settings.request_log, metrics),
        NoTracing() if settings.otlp_endpoint is None else OtlpTracing(str(settings.otlp_endpoint)),
        settings.log_prompts,
    )


def _request_log(where: str, metrics: Metrics) -> RequestLog:
    if where == "off":
        return NoLog()
    try:
        return JsonLog(None if where == "-" else Path(where), metrics.log_lines_dropped.inc)
    except OSError as error:
        raise SettingsError(
            f"--request-log ({PREFIX}REQUEST_LOG): {where} cannot be written: {error.strerror}."
        ) from error
