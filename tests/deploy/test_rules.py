"""Rules of a deployment beside its chart: the same start, and the same groups when applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from deploy.monitoring.__main__ import main
from neuron.artefacts import manifest as manifests
from neuron.artefacts.manifest import Times
from neuron.artefacts.publish import publish
from neuron.artefacts.store import open_store
from neuron.render.start import DRAIN_S, UNMEASURED_S
from tests.deploy.chart import CHART, given, loaded, of_kind
from tests.neuron.artefacts.examples import artefact

PAIR = "qwen2.5-72b-tp32"
DEPLOYED = (PAIR, "--price", "36", "--block-end", "2026-12-01T11:30:00Z", "--docs-url", "https://d")


def said(*options: str) -> dict[str, Any]:
    answer = CliRunner().invoke(main, ["rules", *options], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    document: dict[str, Any] = yaml.safe_load(answer.stdout)
    return document


def patience_s(*options: str) -> float:
    groups = said(*options)["groups"]
    rules = {rule.get("alert"): rule for group in groups for rule in group["rules"]}
    return 60 * float(rules["SpecserveArtefactMissing"]["for"].removesuffix("m"))


def longest_absence_s(values: dict[str, Any]) -> float:
    """Of an engine that is replaced: its pod drains to the end, then its successor just starts."""
    absences: list[float] = []
    for one in of_kind(values, "StatefulSet").values():
        (container,) = one["spec"]["template"]["spec"]["containers"]
        probe = container["startupProbe"]
        drain = container["lifecycle"]["preStop"]["exec"]["command"][-1]
        absences.append(float(drain) + probe["failureThreshold"] * probe["periodSeconds"])
    return max(absences)


def store_with(folder: Path, load_s: float, plain_load_s: float) -> str:
    (folder / "store").mkdir()
    plain: dict[str, Any] = {"draft": None, "draft_path": None, "num_draft_tokens": None}
    none: dict[str, Any] = {}
    for name, seconds, changes in (("spec", load_s, none), ("plain", plain_load_s, plain)):
        made, manifest = artefact(folder / name, name=PAIR, **changes)
        manifest = manifests.retimed(manifest, Times(load_s=seconds, machine="trn2.48xlarge"))
        manifests.write(made, manifest)
        publish(open_store(str(folder / "store")), made, manifest)
    return str(folder / "store")


@pytest.mark.parametrize(("load_s", "plain_load_s"), [(20, 40), (412, 700), (900, 300)])
def test_nobody_is_woken_for_a_start_that_kubernetes_still_allows(
    load_s: float, plain_load_s: float, tmp_path: Path
) -> None:
    """Nor much later: what is over is told within a minute of its budget."""
    store = store_with(tmp_path, load_s, plain_load_s)
    deployed = given(PAIR, "--store", store)
    deployed["store"] = "s3://models/neuron"
    told = patience_s(PAIR, "--store", store)
    assert 0 <= told - longest_absence_s(deployed) < 60


def test_a_start_that_nobody_measured_is_the_same_for_both() -> None:
    assert 0 <= patience_s() - longest_absence_s(given(PAIR)) < 60
    assert patience_s() == patience_s(PAIR)
    assert 0 <= patience_s() - DRAIN_S - UNMEASURED_S["nxdi"] < 60


def test_a_start_that_somebody_gives_goes_before_what_was_measured(tmp_path: Path) -> None:
    store = store_with(tmp_path, 412, 700)
    assert patience_s(PAIR, "--store", store, "--start", "1180") == 1800


def test_the_drain_is_the_charts_own() -> None:
    (values,) = loaded((CHART / "values.yaml").read_text())
    assert values["engine"]["drainSeconds"] == DRAIN_S


def test_what_the_chart_applies_are_the_rules_of_the_file() -> None:
    values = given(PAIR, **said(*DEPLOYED, "--as", "helm"))
    (rule,) = of_kind(values, "PrometheusRule").values()
    assert rule["spec"] == said(*DEPLOYED)
    # Templates of Prometheus are not Helm's.
    assert "{{ $labels.replica }}" in str(rule["spec"])


def test_a_store_without_a_pair_is_bad_usage(tmp_path: Path) -> None:
    answer = CliRunner().invoke(main, ["rules", "--store", str(tmp_path)])
    assert answer.exit_code == 2
    assert "--store are of a PAIR" in answer.stderr
