"""Dashboards and alert rules, rendered from the names of the metrics that they ask for."""
