"""The nxdi stack's commands against golden files. SPECSERVE_UPDATE_GOLDEN=1 rewrites them."""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from neuron.cli import main
from neuron.errors import LaunchError, PairError
from neuron.hardware import Machine
from neuron.launch import Command, Endpoint, render
from neuron.pair import Pair, load_pair, shipped_pairs
from neuron.plugin.activation import VARIABLE
from neuron.plugin.build import Facts, build_model
from neuron.plugin.nxdi import NxdiFusedModel
from neuron.plugin.nxdi_settings import NxdiSettings
from neuron.plugin.terms import OPTIONS
from neuron.stacks import nxdi
from neuron.stacks.nxdi_checks import check_device
from tests.neuron.conftest import AVX2_ONLY
from tests.plugin.fake_nxdi import unknown_keys

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
SHIPPED = [name for name in shipped_pairs() if load_pair(name).stack == "nxdi"]
PORT = Endpoint(port=8080)

# Decided by hand, not by the pairs: TP, batch, length, prompt, NxDI's k.
REFERENCE = {
    "qwen2.5-7b-tp4": (4, 4, 4096, 3072, 3),
    "qwen2.5-7b-tp8": (8, 8, 8192, 6144, 3),
    "qwen2.5-32b-tp4": (4, 1, 2048, 1536, 5),
    "qwen2.5-32b-tp32": (32, 4, 4096, 3072, 5),
    "qwen2.5-72b-tp32": (32, 4, 4096, 3072, 6),
    "qwen2.5-72b-tp64": (64, 4, 8192, 6144, 6),
    "qwen3-32b-tp4": (4, 1, 2048, 1536, 5),
    "qwen3-32b-tp32": (32, 4, 4096, 3072, 5),
    "qwen3-32b-tp64": (64, 4, 4096, 3072, 5),
}


@pytest.fixture(autouse=True)
def no_cores_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEURON_RT_VISIBLE_CORES", "NEURON_RT_ROOT_COMM_ID"):
        monkeypatch.delenv(name, raising=False)


def changed(name: str = "qwen3-32b-tp32", /, **fields: object) -> Pair:
    return Pair.model_validate({**load_pair(name).model_dump(), **fields})


def rendered(pair: Pair, *, plain: bool = False) -> Command:
    return render(pair, PORT, plain=plain, machine=AVX2_ONLY, find=Path, elsewhere=True)


def argument(command: Command, flag: str) -> str:
    return command.argv[command.argv.index(flag) + 1]


def as_golden(command: Command) -> str:
    lines = [*command.argv, *(f"{key}={value}" for key, value in sorted(command.env.items()))]
    return "\n".join(lines) + "\n"


AWS: dict[str, object] = {"plugin": "vllm-neuron", "tool_call_parser": None}


@pytest.mark.parametrize(
    ("golden", "fields", "plain"),
    [
        ("nxdi-specserve", {}, False),
        ("nxdi-plain", {}, True),
        ("nxdi-aws", AWS, False),
    ],
)
def test_the_command_is_the_golden_one(golden: str, fields: dict[str, object], plain: bool) -> None:
    command = rendered(changed(**fields), plain=plain)
    path = GOLDEN / f"{golden}.txt"
    if os.environ.get("SPECSERVE_UPDATE_GOLDEN"):
        path.write_text(as_golden(command))
    assert as_golden(command) == path.read_text()


def test_the_shipped_pairs_are_those_of_the_reference() -> None:
    assert set(SHIPPED) == set(REFERENCE)
    for name, (tp, batch, length, prompt, k) in REFERENCE.items():
        pair = load_pair(name)
        settings = nxdi.settings_of(pair, Path(pair.target), Path(str(pair.draft)))
        found = (settings.tp_degree, settings.max_num_seqs, settings.max_model_len)
        assert (*found, settings.max_prompt_len, settings.rows) == (tp, batch, length, prompt, k)
        assert (settings.lnc, settings.dtype, settings.logits) == (2, "bfloat16", True)
        text = (ROOT / "neuron/pairs" / f"{name}.toml").read_text(encoding="utf-8")
        assert text.startswith("# Has not run on a device.")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_pair_renders_for_both_plugins_and_plain(name: str) -> None:
    ours, plain = rendered(changed(name)), rendered(changed(name), plain=True)
    aws = rendered(changed(name, **AWS))
    places = {
        json.loads(argument(ours, "--additional-config"))["specserve"]["artefacts"],
        plain.env["NEURON_COMPILED_ARTIFACTS"],
        aws.env["NEURON_COMPILED_ARTIFACTS"],
    }
    assert len(places) == 3, "one folder per thing compiled"
    assert "--speculative-config" not in plain.argv


def test_k_is_ours_above_our_plugin_and_nxdis_above_aws_own() -> None:
    def number(command: Command) -> int:
        return int(json.loads(argument(command, "--speculative-config"))["num_speculative_tokens"])

    assert number(rendered(changed(num_draft_tokens=4))) == 4
    assert number(rendered(changed(num_draft_tokens=4, **AWS))) == 5


def test_our_options_are_settings_that_read_back() -> None:
    command = rendered(changed())
    options = json.loads(argument(command, "--additional-config"))["specserve"]
    settings = NxdiSettings.model_validate(options)
    assert settings.rows == 5
    assert settings.target == argument(command, "--model")
    assert str(settings.max_num_seqs) == argument(command, "--max-num-seqs")
    assert str(settings.max_model_len) == argument(command, "--max-model-len")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_plugin_builds_its_model_from_the_command(name: str) -> None:
    command = rendered(changed(name))
    speculation = json.loads(argument(command, "--speculative-config"))
    facts = Facts(
        target=argument(command, "--model"),
        draft=speculation["model"],
        num_draft_tokens=speculation["num_speculative_tokens"],
        max_len=int(argument(command, "--max-model-len")),
        slots=int(argument(command, "--max-num-seqs")),
        dtype=getattr(torch, argument(command, "--dtype")),
    )
    options = json.loads(argument(command, "--additional-config"))[OPTIONS]
    model = build_model(command.env[VARIABLE], facts, options)
    assert isinstance(model, NxdiFusedModel)
    with pytest.raises(PairError, match="max_num_seqs"):
        build_model(command.env[VARIABLE], replace(facts, slots=facts.slots + 1), options)


@pytest.mark.parametrize("plain", [False, True], ids=["fused", "plain"])
def test_aws_overrides_use_the_key_that_is_read_and_keys_that_are_known(plain: bool) -> None:
    extra = json.loads(argument(rendered(changed(**AWS), plain=plain), "--additional-config"))
    overrides = extra["override_neuron_config"]
    assert set(extra) == {"override_neuron_config", "max_prompt_length"}
    assert extra["max_prompt_length"] == overrides["max_context_length"]
    assert unknown_keys(overrides, "NeuronConfig") == []


@pytest.mark.parametrize(
    "change",
    [
        {"num_draft_tokens": 5},
        {"max_num_seqs": 2},
        {"tp_degree": 16},
        {"max_model_len": 8192},
        {"sampling": "greedy"},
        {"dtype": "float32"},
        {"target": "/models/other"},
    ],
)
def test_another_artefact_gets_another_folder(change: dict[str, object]) -> None:
    def folder(pair: Pair) -> str:
        options = json.loads(argument(rendered(pair), "--additional-config"))["specserve"]
        return str(options["artefacts"])

    assert folder(changed(**change)) != folder(changed())


def test_plain_does_not_depend_on_the_draft() -> None:
    key = "NEURON_COMPILED_ARTIFACTS"
    other = rendered(changed(num_draft_tokens=7), plain=True)
    assert other.env[key] == rendered(changed(), plain=True).env[key]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"prefix_caching": True}, r"'prefix_caching'.*set it to false"),
        ({"kv_cache_bytes": 1}, r"'kv_cache_bytes'.*remove it"),
        ({"tp_degree": None}, r"'tp_degree'.*missing"),
        ({"max_prompt_len": None}, r"'max_prompt_len'.*missing"),
        ({"artefacts": None}, r"'artefacts'.*missing"),
        ({"plugin": "vllm-neuron"}, r"'tool_call_parser'.*grammars in silence"),
        ({"tp_degree": 65}, r"'tp_degree'.*64 logical cores"),
        ({"instance": "trn2.3xlarge", "lnc": 1, "tp_degree": 9}, "has 8 logical cores"),
        ({"max_prompt_len": 4093}, "max_prompt_len = 4093 leaves no room for a step of 5 rows"),
        ({"num_draft_tokens": 20}, "num_draft_tokens = 20 is outside 1 to 15"),
    ],
)
def test_what_cannot_work_is_one_sentence(fields: dict[str, object], said: str) -> None:
    with pytest.raises(PairError, match=said) as caught:
        rendered(changed(**fields))
    assert "\n" not in str(caught.value)


def write(folder: Path, kind: str, vocab: int) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "vocab_size": vocab}))
    (folder / "model.safetensors").touch()
    return folder


def test_vocabularies_that_differ_are_refused_where_the_models_are(tmp_path: Path) -> None:
    target = write(tmp_path / "target", "qwen2", 152064)
    draft = write(tmp_path / "draft", "qwen2", 151936)
    pair = changed(target=str(target), draft=str(draft))
    with pytest.raises(PairError, match=r"of 151936 is not the target.s 152064.*neuron align"):
        rendered(pair)
    assert rendered(pair, plain=True)


def test_qwen2_runs_at_lnc_2_only(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "qwen2", 9)
    with pytest.raises(PairError, match="'lnc'"):
        rendered(changed(target=str(folder), draft=str(folder), lnc=1))
    other = write(tmp_path / "other", "qwen3", 9)
    assert rendered(changed(target=str(other), draft=str(other), lnc=1))


def test_a_rotary_base_that_nxdi_reads_past_is_refused_before_hardware_is_booked(
    tmp_path: Path,
) -> None:
    target, draft = (write(tmp_path / name, "qwen3", 9) for name in ("target", "draft"))
    config = {"model_type": "qwen3", "vocab_size": 9, "rope_parameters": {"rope_theta": 500.0}}
    (draft / "config.json").write_text(json.dumps(config))
    pair = changed(target=str(target), draft=str(draft))
    with pytest.raises(PairError, match=r'draft/config.json .*add "rope_theta": 500\.0'):
        rendered(pair)


@pytest.mark.parametrize(
    ("outer", "port"),
    [
        ({"NEURON_RT_VISIBLE_CORES": "32-63"}, "localhost:62214"),
        ({"NEURON_RT_VISIBLE_CORES": "0,1"}, "localhost:62182"),
        ({"NEURON_RT_VISIBLE_CORES": "32-63", "NEURON_RT_ROOT_COMM_ID": "x:1"}, None),
        ({}, None),
    ],
)
def test_two_engines_on_a_host_meet_at_ports_of_their_own(
    outer: dict[str, str], port: str | None
) -> None:
    pair = changed()
    env = nxdi.environment(pair, Path(pair.target), Path(str(pair.draft)), outer)
    assert env.get("NEURON_RT_ROOT_COMM_ID") == port


def test_the_plugin_named_is_our_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = project["entry-points"]["vllm.platform_plugins"]
    assert nxdi.PLUGIN_NAMES["specserve"] in ours


def launch(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["launch", *arguments])


@pytest.mark.parametrize("name", SHIPPED)
def test_dry_run_prints_the_command_without_the_host(name: str) -> None:
    result = launch(name, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "SPECSERVE_PLUGIN=nxdi" in result.stdout
    assert f"--model {load_pair(name).target} " in result.stdout


def test_without_a_device_launching_is_one_sentence(tmp_path: Path) -> None:
    result = launch("qwen3-32b-tp32")
    assert result.exit_code == LaunchError.exit_code
    assert re.fullmatch(r"Error: Pair 'qwen3-32b-tp32' needs a Neuron device.*\n", result.stderr)
    (tmp_path / "neuron0").touch()
    check_device(load_pair("qwen3-32b-tp32"), tmp_path)


def test_every_flag_and_variable_has_its_source_in_the_docs_and_none_else(machine: Machine) -> None:
    page = (ROOT / "docs" / "nxdi.md").read_text(encoding="utf-8")
    table = page.partition("## What is launched, and why")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))
    pairs = [(changed(), False), (changed(), True), (changed(**AWS), False)]
    endpoints = (PORT, Endpoint(uds=Path("s")))
    commands = [
        render(pair, endpoint, plain=plain, machine=machine, find=Path, elsewhere=True)
        for pair, plain in pairs
        for endpoint in endpoints
    ]
    flags = {part for command in commands for part in command.argv if part.startswith("-")}
    visible = {"NEURON_RT_VISIBLE_CORES": "0-31"}
    pair = changed()
    more = nxdi.environment(pair, Path(pair.target), Path(str(pair.draft)), visible)
    assert documented == flags.union(more, *(command.env for command in commands))


def test_the_sizes_in_the_docs_are_the_pairs() -> None:
    page = (ROOT / "docs" / "nxdi.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(qwen[^`]+)` \| (.+) \|$", page, re.MULTILINE)
    assert {name for name, _ in rows} == set(SHIPPED)
    for name, cells in rows:
        tp, batch, length, prompt, k = REFERENCE[name]
        expected = [load_pair(name).instance, str(tp), str(batch)]
        expected += [f"{length} / {prompt}", f"{k - 1} ({k})"]
        assert cells.split(" | ")[:5] == expected
