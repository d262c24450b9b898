"""The dashboards, one file each."""

from __future__ import annotations

from deploy.monitoring.dashboards import capacity, cost, device, service, speculation
from deploy.monitoring.panels import Dashboard

DASHBOARDS: tuple[Dashboard, ...] = (
    service.DASHBOARD,
    speculation.DASHBOARD,
    capacity.DASHBOARD,
    device.DASHBOARD,
    cost.DASHBOARD,
)
