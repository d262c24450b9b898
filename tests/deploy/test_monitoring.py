"""Dashboards and rules ask for what exists, and everything that exists is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from deploy.monitoring import neuron_monitor
from deploy.monitoring.__main__ import main
from deploy.monitoring.alerts import alerts
from deploy.monitoring.dashboards import DASHBOARDS
from deploy.monitoring.files import FOLDER, rendered
from deploy.monitoring.names import gateway_families, neuron, specserve, vllm
from deploy.monitoring.objectives import Objectives
from deploy.monitoring.panels import COLUMNS, Dashboard
from deploy.monitoring.rules import Alert
from server.engine_metrics import ENGINE_METRICS
from server.metrics import REQUEST_SECONDS, TOKEN_SECONDS
from tests.deploy.expressions import Named, all_expressions, families, grouped, records, selectors

DOCS = Path(__file__).parents[2] / "docs"
EXPRESSIONS = all_expressions()
ALERTS = alerts(Objectives())
FAMILIES = families()
each_expression = pytest.mark.parametrize("one", EXPRESSIONS, ids=lambda one: one.where)
each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda one: one.name)
each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.slug)


@each_expression
def test_an_expression_asks_only_for_series_and_labels_that_exist(one: Named) -> None:
    found = selectors(one.expr)
    assert {selector.name for selector in found} <= set(FAMILIES)
    for selector in found:
        assert set(selector.matched) <= FAMILIES[selector.name]
    for labels, below in grouped(one.expr):
        for selector in below:
            assert labels <= FAMILIES[selector.name]


@each_expression
def test_a_bucket_that_is_asked_for_exists(one: Named) -> None:
    bounds = {str(bound) for bound in (*REQUEST_SECONDS, *TOKEN_SECONDS)}
    asked = {found.matched["le"] for found in selectors(one.expr) if "le" in found.matched}
    assert asked <= bounds


def shown() -> set[str]:
    """Every series that a dashboard asks for, through recorded ones too."""
    recorded = {one.name: one.expr for one in records()}
    found: set[str] = set()
    waiting = [one.expr for one in EXPRESSIONS]
    while waiting:
        for selector in selectors(waiting.pop()):
            if selector.name in recorded and selector.name not in found:
                waiting.append(recorded[selector.name])
            found.add(selector.name)
    return found


@pytest.mark.parametrize(
    "known",
    [gateway_families(), ENGINE_METRICS, neuron_monitor.NEURON_METRICS],
    ids=["gateway", "engine", "neuron-monitor"],
)
def test_every_metric_is_shown_somewhere(known: dict[str, object]) -> None:
    asked = {name for one in shown() for name in (one, one.rpartition("_")[0])}
    assert set(known) <= asked


@pytest.mark.parametrize("find", [specserve, vllm, neuron])
def test_a_name_that_no_metric_has_cannot_be_written(find: object) -> None:
    assert callable(find)
    with pytest.raises(KeyError):
        find("tokens_saved_total")


@pytest.mark.parametrize("path", rendered(), ids=lambda path: path.name)
def test_kept_files_are_what_the_code_renders(path: Path) -> None:
    assert path.read_text() == rendered()[path], "run python -m deploy.monitoring write"


def test_no_other_dashboard_is_kept() -> None:
    assert set((FOLDER / "grafana").iterdir()) == {
        path for path in rendered() if path.suffix == ".json"
    }


@each_dashboard
def test_panels_fill_the_page_and_never_overlap(dashboard: Dashboard) -> None:
    panels = json.loads(json.dumps(dashboard.render()))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
    assert {x for x, _ in taken} == set(range(COLUMNS))


@each_alert
def test_an_alert_has_its_section_in_the_runbook(alert: Alert) -> None:
    heading = alert.anchor.replace("-", " ")
    headings = [
        line.removeprefix("## ").lower()
        for line in (DOCS / "runbook.md").read_text().splitlines()
        if line.startswith("## ")
    ]
    assert headings.count(heading) == 1


def test_no_section_is_of_an_alert_that_is_gone() -> None:
    sections = (DOCS / "runbook.md").read_text().partition("\n# ")[0]
    headings = [line for line in sections.splitlines() if line.startswith("## ")]
    assert len(headings) == len(ALERTS)


@each_alert
def test_an_alert_has_a_promtool_test_of_firing_and_of_silence(alert: Alert) -> None:
    told = [
        case
        for path in (FOLDER / "prometheus" / "tests").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["tests"]
        for case in group.get("alert_rule_test", ())
        if case["alertname"] == alert.name
    ]
    assert any(case.get("exp_alerts") for case in told)
    assert any(not case.get("exp_alerts") for case in told)


def rules(*options: str) -> dict[str, dict[str, object]]:
    answer = CliRunner().invoke(main, ["rules", *options], catch_exceptions=False)
    assert answer.exit_code == 0
    found = yaml.safe_load(answer.stdout)["groups"]
    return {
        rule.get("alert") or f"{rule['record']} {rule.get('labels', {}).get('pool', '')}": rule
        for group in found
        for rule in group["rules"]
    }


def test_rules_of_a_deployment_hold_what_it_promises() -> None:
    told = rules("--ttft", "1", "--share", "0.95", "--start", "3600", "--docs-url", "https://d")
    burns = told["SpecserveTtftBudgetBurns"]
    assert 'le="1.0"' in str(burns["expr"])
    assert "> 0.72 and" in str(burns["expr"])
    assert burns["annotations"]["runbook_url"] == "https://d/runbook.md#ttft-budget-burns"  # type: ignore[index]
    # 3600 s, and 620 s in which the pod before it may drain.
    assert told["SpecserveArtefactMissing"]["for"] == "71m"


def test_the_charts_values_hold_the_same_groups() -> None:
    plain, values = (
        yaml.safe_load(CliRunner().invoke(main, ["rules", "qwen3-32b-tp4", *how]).stdout)
        for how in ([], ["--as", "helm"])
    )
    assert values == {"monitoring": {"prometheusRule": True, **plain}}


def test_rules_of_a_pair_hold_its_price_its_model_and_the_end_of_its_block() -> None:
    told = rules("qwen3-32b-tp32", "--price", "36", "--block-end", "2026-12-01T11:30:00Z")
    # Two engines of 32 cores share an instance of 64.
    assert told["specserve:replica_price:usd_per_hour "]["expr"] == "vector(18.000000)"
    end = told["specserve:capacity_block_end:timestamp_seconds "]["expr"]
    assert end == "vector(1796124600)"
    steps = [
        float(str(told[f"specserve:modelled_step:seconds {pool}"]["expr"])[7:-1])
        for pool in ("plain", "speculative")
    ]
    assert 0 < steps[0] < steps[1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["local"], "'local' is not of a draft on Trainium"),
        (["qwen3-32b-tp4-vllm-neuron"], "is not of a draft on Trainium"),
        (["--ttft", "3"], "--ttft 3 cannot be counted"),
        (["--tpot", "0.04"], "--tpot 0.04 cannot be counted"),
        (["--share", "99"], "--share 99 must be from 0.5"),
        (["qwen3-32b-tp4", "--block-end", "2026-12-01T11:30:00"], "has no time zone"),
    ],
)
def test_what_cannot_be_said_is_refused_in_a_sentence(options: list[str], told: str) -> None:
    answer = CliRunner().invoke(main, ["rules", *options], catch_exceptions=False)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("Error: ")
    assert told in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_block_that_is_over_is_told() -> None:
    over = ["qwen3-32b-tp4", "--block-end", "2020-01-01T00:00:00Z"]
    answer = CliRunner().invoke(main, ["rules", *over], catch_exceptions=False)
    assert answer.exit_code == 0
    assert "alerts that never fire" in answer.stderr


def test_a_price_without_a_pair_is_bad_usage() -> None:
    answer = CliRunner().invoke(main, ["rules", "--price", "2"])
    assert answer.exit_code == 2
    assert "name it" in answer.stderr
