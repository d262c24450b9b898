"""Compiling with a stand-in for the engine: real processes, a real port, no device."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neuron.artefacts import manifest as manifests
from neuron.artefacts import versions
from neuron.artefacts.compile import Plan, compiled, plan
from neuron.artefacts.engine_start import EngineStartError, start_once
from neuron.artefacts.errors import DamagedError, MismatchError, UnknownVersionError
from neuron.artefacts.key import differences
from neuron.artefacts.launch_check import check_artefact
from neuron.artefacts.local import LocalStore
from neuron.artefacts.publish import publish
from neuron.cli import main
from neuron.errors import LaunchError, ModelNotFoundError
from neuron.launch import Command, Endpoint, render
from neuron.pair import Pair, load_pair
from neuron.stacks import nxdi_checks

STAND_IN = Path(__file__).with_name("stand_in_engine.py")


def installed(name: str) -> str | None:
    return versions.installed(name) if name == "specserve" else "1.0"


def write_model(folder: Path, *, byte: bytes = b"w") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"vocab_size": 9, "model_type": "qwen3"}')
    (folder / "model.safetensors").write_bytes(byte * 1000)
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    raw = load_pair("qwen3-32b-tp32").model_dump()
    models = {part: str(write_model(tmp_path / part)) for part in ("target", "draft")}
    return Pair.model_validate({**raw, **models, "artefacts": str(tmp_path / "nvme")})


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STAND_IN_TRACE", str(tmp_path / "trace"))
    return tmp_path / "trace"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def planned(pair: Pair) -> Plan:
    made = plan(pair, Path, Endpoint(port=free_port()), look=installed)
    command = Command((sys.executable, str(STAND_IN), *made.command.argv[3:]), made.command.env)
    return replace(made, command=command)


def start(command: Command, endpoint: Endpoint, limit_s: float) -> float:
    return start_once(command, endpoint, limit_s, poll_s=0.05)


def test_the_engine_compiles_once_loads_once_and_leaves_a_manifest(pair: Pair, trace: Path) -> None:
    made = planned(pair)
    manifest = compiled(made, start=start, limit_s=60)
    assert trace.read_text().split() == ["compile", "load"]
    assert manifests.read(made.folder) == manifest
    assert manifest.key == made.key
    assert {file.path for file in manifest.files} == {"neuron_config.json", "model.pt"}
    assert (manifest.times.compile_s or 0) > 0
    assert (manifest.times.load_s or 0) > 0
    check_artefact(pair, Path, look=installed)


def test_what_is_compiled_is_not_compiled_again(pair: Pair, trace: Path) -> None:
    first = compiled(planned(pair), start=start, limit_s=60)
    assert compiled(planned(pair), start=start, limit_s=60) == first
    assert len(trace.read_text().split()) == 2


def test_a_start_that_fails_to_load_costs_no_second_compile(
    pair: Pair, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_EXIT", "load")
    with pytest.raises(EngineStartError, match="ended with code 3"):
        compiled(planned(pair), start=start, limit_s=60)
    monkeypatch.delenv("STAND_IN_EXIT")
    assert compiled(planned(pair), start=start, limit_s=60).times.compile_s
    assert trace.read_text().split() == ["compile", "load", "load"]


def test_a_start_that_changes_what_was_compiled_is_not_timed_or_published(
    pair: Pair, trace: Path
) -> None:
    """Whether NxDI writes there when it loads, nobody knows: then it must be seen."""
    made = planned(pair)

    def start_and_write(command: Command, endpoint: Endpoint, limit_s: float) -> float:
        took = start(command, endpoint, limit_s)
        if trace.read_text().split()[-1] == "load":
            (made.folder / "model.pt").write_bytes(b"other")
        return took

    with pytest.raises(DamagedError, match=r"model\.pt is not what its manifest says"):
        compiled(made, start=start_and_write, limit_s=60)
    assert manifests.read(made.folder).times.load_s is None
    with pytest.raises(DamagedError, match=r"model\.pt is not what its manifest says"):
        compiled(made, start=start, limit_s=60)


def test_an_engine_that_never_answers_is_ended(tmp_path: Path) -> None:
    command = Command((sys.executable, "-c", "import time; time.sleep(600)"), {})
    with pytest.raises(EngineStartError, match="not healthy after 1 s"):
        start(command, Endpoint(port=free_port()), 1)


def test_a_port_that_another_engine_has_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = Endpoint(port=taken.getsockname()[1])
        with pytest.raises(EngineStartError, match="give another --port"):
            start(Command((sys.executable, "-c", ""), {}), endpoint, 1)


def test_an_engine_that_compiled_something_else_leaves_no_manifest(
    pair: Pair, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_K", "3")
    made = planned(pair)
    with pytest.raises(MismatchError, match="speculation_length: wanted 5, written 7"):
        compiled(made, start=start, limit_s=60)
    with pytest.raises(MismatchError, match="without a manifest"):
        compiled(made, start=start, limit_s=60)


def test_models_elsewhere_leave_the_id_open(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "target" / "config.json").unlink()
    (tmp_path / "target" / "model.safetensors").unlink()
    made = planned(pair)
    assert made.key is None
    assert "--target-digest" in made.unknown
    with pytest.raises(ModelNotFoundError, match="--target-digest"):
        compiled(made)


# The launch check, on what the stand-in compiled.


@pytest.fixture
def ready(pair: Pair, trace: Path) -> Plan:
    made = planned(pair)
    compiled(made, start=start, limit_s=60)
    return made


def test_an_upgrade_is_refused_with_the_package_named(ready: Plan) -> None:
    def upgraded(name: str) -> str | None:
        return "2.0" if name == "neuronx-cc" else "1.0"

    said = r'versions\.neuronx-cc: wanted "2\.0", found "1\.0"'
    with pytest.raises(MismatchError, match=said) as caught:
        check_artefact(ready.pair, Path, look=upgraded)
    assert "neuron compile" in str(caught.value)
    with pytest.raises(MismatchError, match=said):
        check_artefact(ready.pair, Path, look=upgraded, compile_at_start=True)


def test_other_weights_are_refused_with_both_digests(ready: Plan) -> None:
    write_model(Path(ready.pair.target), byte=b"v")
    with pytest.raises(MismatchError, match=r"target: wanted [0-9a-f]{12}, found [0-9a-f]{12}\)"):
        check_artefact(ready.pair, Path, look=installed)


def test_another_tp_degree_is_refused_with_the_nearest_named(ready: Plan) -> None:
    other = Pair.model_validate({**ready.pair.model_dump(), "tp_degree": 16})
    with pytest.raises(MismatchError, match=r"tp_degree: wanted 16, found 32.*neuron compile"):
        check_artefact(other, Path, look=installed)
    check_artefact(other, Path, look=installed, compile_at_start=True)


def test_a_copied_folder_of_another_pair_is_refused(ready: Plan) -> None:
    other = Pair.model_validate({**ready.pair.model_dump(), "num_draft_tokens": 7})
    ready.folder.rename(planned(other).folder)
    with pytest.raises(MismatchError, match="num_draft_tokens: wanted 7, found 4"):
        check_artefact(other, Path, look=installed)


def test_a_missing_manifest_is_said_with_what_to_do(ready: Plan) -> None:
    (ready.folder / manifests.FILE).unlink()
    with pytest.raises(MismatchError, match=r"without a manifest.*neuron compile.*pull"):
        check_artefact(ready.pair, Path, look=installed)


def test_half_a_folder_is_refused(ready: Plan) -> None:
    (ready.folder / "model.pt").write_bytes(b"gra")
    with pytest.raises(DamagedError, match=r"model\.pt is.*pull"):
        check_artefact(ready.pair, Path, look=installed)


def test_weights_in_the_artefact_s_place_are_refused(ready: Plan) -> None:
    manifests.write(ready.folder, manifests.describe(ready.folder, "weights", "w"))
    with pytest.raises(MismatchError, match="holds weights, not a compiled artefact: remove it"):
        check_artefact(ready.pair, Path, look=installed)


def test_what_is_there_already_and_damaged_is_not_called_compiled(ready: Plan) -> None:
    path = ready.folder / "model.pt"
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    with pytest.raises(DamagedError, match=r"model\.pt is not what its manifest says"):
        compiled(ready, start=start, limit_s=60)


def test_a_damaged_manifest_is_refused(ready: Plan) -> None:
    path = ready.folder / manifests.FILE
    path.write_text(path.read_text().replace('"tp_degree": 32', '"tp_degree": 16'))
    with pytest.raises(DamagedError, match="seal"):
        check_artefact(ready.pair, Path, look=installed)


def test_what_launches_an_engine_asks(ready: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """No compiler is installed here, which is as far as a launch can come without a device."""
    monkeypatch.setattr(nxdi_checks, "check_device", lambda pair: None)
    endpoint = Endpoint(port=1)
    with pytest.raises(UnknownVersionError, match="launch in the Neuron image"):
        render(ready.pair, endpoint, find=Path)
    shutil.rmtree(ready.folder)
    assert render(ready.pair, endpoint, find=Path, compile_at_start=True).argv
    assert render(ready.pair, endpoint, find=Path, elsewhere=True).argv


# The command.


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["compile", *arguments])


@pytest.fixture
def pair_file(pair: Pair, tmp_path: Path) -> str:
    path = tmp_path / "pair.toml"
    path.write_text(pair.to_toml())
    return str(path)


def test_a_plan_is_printed_anywhere_and_says_what_was_not_run(
    pair_file: str, tmp_path: Path
) -> None:
    result = run(pair_file, "--dry-run", "--json", "--store", str(tmp_path / "store"))
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert len(data["id"]) == 64
    assert data["key"]["num_draft_tokens"] == 4
    assert "not read on this machine" in data["versions_from"]
    assert data["run_on_a_device"] is False
    text = run(pair_file, "--dry-run").stdout
    assert "No command of this plan has been run on a Neuron device." in text
    assert "vllm.entrypoints.openai.api_server" in text


def test_a_plan_for_models_elsewhere_takes_their_digests(tmp_path: Path) -> None:
    open_ = run("qwen3-32b-tp32", "--dry-run", "--json")
    assert json.loads(open_.stdout)["id"] is None
    assert "--target-digest" in json.loads(open_.stdout)["unknown"]
    given = ("--target-digest", "a" * 64, "--draft-digest", "b" * 64)
    assert json.loads(run("qwen3-32b-tp32", "--dry-run", "--json", *given).stdout)["id"]
    bad = run("qwen3-32b-tp32", "--dry-run", "--target-digest", "abc")
    assert (bad.exit_code, "no SHA-256" in bad.stderr) == (2, True)


def test_without_a_device_compiling_is_refused_in_one_sentence(pair_file: str) -> None:
    result = run(pair_file)
    assert result.exit_code == LaunchError.exit_code
    assert "needs a Neuron device" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_cpu_pair_compiles_nothing() -> None:
    result = run("local", "--dry-run")
    assert result.exit_code == LaunchError.exit_code
    assert "runs on the CPU" in result.stderr


def test_a_pair_is_pulled_to_where_it_is_launched_from(
    ready: Plan, pair_file: str, tmp_path: Path
) -> None:
    """On a machine where no compiler is installed: its versions are given."""
    store = LocalStore(tmp_path / "store")
    publish(store, ready.folder, manifests.read(ready.folder))
    shutil.rmtree(ready.folder)
    command = ["artefacts", "pull", pair_file, "--store", store.address]
    missed = CliRunner().invoke(main, command)
    assert missed.exit_code == 3
    assert "nearest is qwen3-32b-tp32" in missed.stderr
    assert 'versions.neuronx-cc: wanted "2.26.6360.0", found "1.0"' in missed.stderr

    given = [word for name in versions.COMPILERS for word in ("--neuron-version", f"{name}=1.0")]
    found = CliRunner().invoke(main, [*command, *given])
    assert found.exit_code == 0, found.stderr
    assert found.stdout.startswith(str(ready.folder))
    check_artefact(ready.pair, Path, look=installed)


def test_aws_plugin_compiles_into_the_folder_it_is_given(pair: Pair) -> None:
    raw = {**pair.model_dump(), "plugin": "vllm-neuron", "tool_call_parser": None}
    aws = plan(Pair.model_validate(raw), Path, Endpoint(port=1), look=installed)
    ours = plan(pair, Path, Endpoint(port=1), look=installed)
    plain = plan(pair, Path, Endpoint(port=1), plain=True, look=installed)
    for made in (aws, plain):
        assert made.command.env["NEURON_COMPILED_ARTIFACTS"] == str(made.folder)
        assert made.key
        assert "vllm-neuron" in made.key.versions
    assert len({made.folder for made in (aws, ours, plain)}) == 3
    assert plain.key
    assert not plain.key.speculates


def test_flags_of_the_compiler_itself_are_of_the_key(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan(pair, Path, Endpoint(port=1), look=installed).key
    assert before
    # Of our plugin also what it changes in NxDI's functions before they are traced.
    assert before.flags["repairs"] == ["mask", "candidates", "prefill order"]
    monkeypatch.setenv("NEURON_CC_FLAGS", "-O1")
    after = plan(pair, Path, Endpoint(port=1), look=installed).key
    assert after
    assert differences(after, before) == ['flags.NEURON_CC_FLAGS: wanted "-O1", found nothing']
