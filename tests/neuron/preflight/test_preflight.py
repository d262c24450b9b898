from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neuron.cli import main
from neuron.evidence import NOT_RUN
from neuron.pair import Pair, load_pair
from neuron.preflight.host import UNLIMITED, Host, Limits, this_host
from neuron.preflight.run import preflight
from neuron.preflight.survey import Survey
from tests.neuron.preflight.hosts import (
    BETA_PACKAGES,
    GIB,
    GOOD,
    NONE,
    NXDI_PACKAGES,
    Recorded,
    chips,
)

PAIR = load_pair("qwen3-32b-tp32")


def states(survey: Survey) -> dict[str, str]:
    return {line.id: line.state for line in survey.lines}


def test_a_good_host_is_good_line_by_line(tmp_path: Path) -> None:
    survey = preflight(GOOD.host(tmp_path), PAIR)
    assert survey.ready
    assert set(states(survey).values()) == {"ok"}
    assert list(states(survey)) == [
        "device",
        "instance",
        "neuron-ls",
        "busy",
        "lnc",
        "driver",
        "runtime",
        "packages",
        "cores",
        "topology",
        "shm",
        "disk",
        "open-files",
        "locked-memory",
    ]


def test_a_host_with_nothing_fails_where_it_must(tmp_path: Path) -> None:
    survey = preflight(NONE.host(tmp_path), PAIR)
    failed = {line.id for line in survey.of("failed")}
    assert failed == {"device", "neuron-ls", "driver", "runtime", "packages"}
    assert states(survey)["instance"] == "unknown"


@pytest.mark.parametrize(
    ("recorded", "line", "state", "said"),
    [
        (GOOD.but(neuron_ls=json.dumps(chips(16, busy=[4711]))), "busy", "failed", "4711 (VLLM::E"),
        (GOOD.but(neuron_ls=json.dumps(chips(16, lnc=1))), "lnc", "failed", "needs 2"),
        (GOOD.but(driver="2.26.2"), "driver", "failed", "update aws-neuronx-dkms"),
        (GOOD.but(runtime="2.32.1"), "runtime", "failed", "needs 2.33"),
        (GOOD.but(runtime=None), "runtime", "failed", "aws-neuronx-runtime-lib"),
        (GOOD.but(instance="Trn1"), "instance", "failed", "Run on trn2.48xlarge"),
        (GOOD.but(neuron_ls="no devices"), "neuron-ls", "failed", "aws-neuronx-tools"),
        (GOOD.but(neuron_ls='[{"neuron_device": "x"}]'), "neuron-ls", "failed", "no list"),
        (GOOD.but(neuron_ls=json.dumps(chips(4))), "cores", "failed", "16 visible, 32 needed"),
        (GOOD.but(neuron_ls=json.dumps(chips(4))), "topology", "unknown", "4 of the 8 chips"),
        (GOOD.but(env={"NEURON_RT_VISIBLE_CORES": "0-15"}), "cores", "failed", "'0-15'"),
        (GOOD.but(env={"NEURON_RT_VISIBLE_CORES": "all"}), "cores", "failed", "'all'"),
        (GOOD.but(env={"NEURON_RT_VISIBLE_CORES": "60-99"}), "cores", "failed", "4 visible"),
        (GOOD.but(env={"NEURON_RT_VISIBLE_CORES": "32-63"}), "cores", "ok", "32 visible"),
        (
            GOOD.but(neuron_ls=json.dumps(chips(16, linked=False))),
            "topology",
            "failed",
            "of 8 chips only 1",
        ),
        (GOOD.but(packages=BETA_PACKAGES), "packages", "failed", "0.16.0-neuronx-py312"),
        (
            GOOD.but(packages={**NXDI_PACKAGES, **BETA_PACKAGES}),
            "packages",
            "failed",
            "nxdi and vllm-neuron together",
        ),
        (
            GOOD.but(packages={"transformers-neuronx": "0.13.0"}),
            "packages",
            "failed",
            "no Qwen",
        ),
        (GOOD.but(packages={}), "packages", "failed", "no stack: none"),
        (GOOD.but(shared_bytes=GIB), "shm", "warning", "--shm-size"),
        (GOOD.but(shared_bytes=None), "shm", "unknown", "cannot be sized"),
        (GOOD.but(free_bytes=60 * GIB), "disk", "failed", "60 GiB free, 114 needed"),
        (GOOD.but(free_bytes=None), "disk", "unknown", "cannot be sized"),
        (GOOD.but(limits=Limits(1024, UNLIMITED)), "open-files", "warning", "ulimit -n 4096"),
        (GOOD.but(limits=Limits(UNLIMITED, 65536)), "locked-memory", "warning", "64 KiB"),
    ],
)
def test_what_is_wrong_is_found_and_has_a_fix(
    recorded: Recorded, line: str, state: str, said: str, tmp_path: Path
) -> None:
    survey = preflight(recorded.host(tmp_path), PAIR)
    found = next(one for one in survey.lines if one.id == line)
    assert found.state == state
    assert said in f"{found.found} {found.fix}"
    assert (found.fix is None) == (state in ("ok", "unknown"))
    assert survey.ready == (not survey.of("failed"))


def test_the_loaded_driver_counts_before_the_installed_one(tmp_path: Path) -> None:
    modinfo = {"modinfo": "2.30.4\n"}
    both = preflight(GOOD.but(tools=modinfo).host(tmp_path / "a"), PAIR)
    installed = preflight(GOOD.but(driver=None, tools=modinfo).host(tmp_path / "b"), PAIR)
    versions = [
        next(line.found for line in one.lines if line.id == "driver") for one in (both, installed)
    ]
    assert versions == ["2.29.1", "2.30.4"]


def test_the_runtime_is_asked_of_dpkg_where_the_library_has_no_version(tmp_path: Path) -> None:
    recorded = GOOD.but(runtime=None, tools={"dpkg-query": "2.33.10.0-abc"})
    survey = preflight(recorded.host(tmp_path), PAIR)
    assert next(line.found for line in survey.lines if line.id == "runtime") == "2.33.10.0"


def test_two_chips_are_linked_but_not_what_kubernetes_hands_out(tmp_path: Path) -> None:
    survey = preflight(GOOD.host(tmp_path), load_pair("qwen2.5-7b-tp8"))
    assert states(survey)["topology"] == "warning"
    assert survey.ready


def test_an_object_around_the_list_is_taken(tmp_path: Path) -> None:
    wrapped = json.dumps({"neuron_devices": chips(16)})
    assert preflight(GOOD.but(neuron_ls=wrapped).host(tmp_path), PAIR).ready


def test_a_device_that_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = GOOD.host(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).endswith("neuron3"))
    line = preflight(host).lines[0]
    assert (line.state, line.found) == ("failed", "16 devices, of which neuron3 may not be opened")


def test_each_stack_has_its_image(tmp_path: Path) -> None:
    beta = load_pair("qwen3-32b-tp4-vllm-neuron")
    assert preflight(GOOD.but(packages=BETA_PACKAGES).host(tmp_path / "a"), beta).ready
    legacy = load_pair("qwen3-32b-tp32-legacy")
    old = {"vllm": "0.9.1", "neuronx-distributed-inference": "0.6.10598"}
    assert preflight(GOOD.but(packages=old).host(tmp_path / "b"), legacy).ready
    wrong = preflight(GOOD.host(tmp_path / "c"), legacy)
    assert "0.9.1-neuronx-py311" in str(wrong.of("failed")[0].fix)


def test_without_a_pair_only_the_machine_is_looked_at(tmp_path: Path) -> None:
    survey = preflight(GOOD.host(tmp_path))
    assert not {"cores", "topology", "disk"} & states(survey).keys()
    assert survey.ready


def run(host: Host, *args: str) -> Result:
    return CliRunner().invoke(main, ["preflight", *args], obj=host)


def test_the_table_has_a_fix_for_each_failed_line_and_exit_4(tmp_path: Path) -> None:
    result = run(NONE.host(tmp_path), "qwen3-32b-tp32")
    assert result.exit_code == 4
    assert "no /dev/neuron0" in result.stdout
    assert "--device=/dev/neuron0" in result.stdout.replace("\n", " ")
    assert "Failed: 5;" in result.stdout
    assert NOT_RUN in " ".join(result.stdout.split())


def test_json_and_exit_0_on_a_good_host(tmp_path: Path) -> None:
    result = run(GOOD.host(tmp_path), "qwen3-32b-tp32", "--json")
    assert result.exit_code == 0
    lines = json.loads(result.stdout)["lines"]
    assert set(lines[0]) == {"id", "state", "found", "fix", "source"}


def test_a_pair_of_the_cpu_needs_none(tmp_path: Path) -> None:
    result = run(GOOD.host(tmp_path), "local")
    assert result.exit_code == 2
    assert "needs no preflight" in result.stderr


def test_this_machine_can_be_looked_at() -> None:
    """Whatever it is: nothing raises, and a machine without the tools says so."""
    host = this_host()
    assert host.read("/no/such/file") is None
    assert host.run(["no-such-tool-anywhere"]) is None
    assert host.run(["false"]) is None
    assert host.run(["echo", "said"]) == "said\n"
    assert host.free_bytes(Path("/no/such/folder")) is not None
    survey = preflight(host, PAIR)
    assert survey.ready == all(line.state != "failed" for line in survey.lines)


def test_an_ultraserver_s_instance_counts_as_trn2(tmp_path: Path) -> None:
    small = Pair.model_validate({**PAIR.model_dump(), "instance": "trn2u.48xlarge"})
    assert states(preflight(GOOD.host(tmp_path), small))["instance"] == "ok"


def beside(busy: int, count: int = 16) -> str:
    """neuron-ls with an engine on the first `busy` chips."""
    return json.dumps([*chips(count, busy=[4711])[:busy], *chips(count)[busy:]])


@pytest.mark.parametrize(
    ("cores", "state"),
    [
        ("32-63", "ok"),
        ("0-31", "failed"),
        ("28-59", "failed"),
        ("", "failed"),
        ("30-61", "warning"),
    ],
)
def test_a_second_engine_s_cores_are_looked_at_and_not_the_first_s(
    cores: str, state: str, tmp_path: Path
) -> None:
    """docs/nxdi.md starts two engines on one host; the first holds chips 0 to 7."""
    recorded = GOOD.but(neuron_ls=beside(8), env={"NEURON_RT_VISIBLE_CORES": cores})
    survey = preflight(recorded.host(tmp_path), PAIR)
    assert states(survey)["busy"] == state
    assert survey.ready == (state != "failed")


def test_two_engines_on_one_chip_are_a_warning(tmp_path: Path) -> None:
    """neuron-ls does not say which of a chip's cores a process holds."""
    recorded = GOOD.but(neuron_ls=beside(1, 1), env={"NEURON_RT_VISIBLE_CORES": "2-3"})
    busy = next(one for one in preflight(recorded.host(tmp_path)).lines if one.id == "busy")
    assert busy.state == "warning"
    assert "4711" in busy.found


def test_the_topology_is_that_of_the_visible_chips(tmp_path: Path) -> None:
    listed = chips(16)
    for chip in listed[:8]:
        chip["connected_to"] = []
    recorded = GOOD.but(neuron_ls=json.dumps(listed))
    second = recorded.but(env={"NEURON_RT_VISIBLE_CORES": "32-63"})
    assert states(preflight(recorded.host(tmp_path / "a"), PAIR))["topology"] == "failed"
    assert states(preflight(second.host(tmp_path / "b"), PAIR))["topology"] == "ok"
