"""One bad pair per rule, and the shipped pairs, which are good."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from neuron.check import given
from neuron.check.findings import Report
from neuron.check.keyset import nxdi_keys
from neuron.check.lines import Line
from neuron.check.run import RULES, check
from neuron.check.subject import Given
from neuron.launch import Endpoint, render
from neuron.pair import Pair, load_pair, shipped_pairs
from neuron.plugin import terms
from tests.neuron.check.bad_pairs import AWS, BAD, BETA, LEGACY, SPECULATIVE, Bad, aws

STARTS = {"Key", "Flag", "Driver", "Runtime", "Option", "Pair", "Field", "overrides.json"}


def ids(report: Report) -> list[str]:
    return [finding.id for finding in report.findings]


def test_every_rule_has_a_bad_pair() -> None:
    assert BAD.keys() == RULES.keys()


@pytest.mark.parametrize("rule", BAD)
def test_the_bad_pair_is_found_and_the_way_out_is_named(rule: str, tmp_path: Path) -> None:
    report = BAD[rule].report(tmp_path)
    finding = next(finding for finding in report.findings if finding.id == rule)
    assert finding.severity == RULES[rule].severity
    assert report.works == (not report.of("error"))
    assert finding.severity != "error" or not report.works
    # What launching would refuse too is said once, by the rule that knows why.
    assert "refused" not in ids(report) or len(report.of("error")) == 1
    assert finding.message.split(" ")[0] in STARTS
    assert finding.message.endswith((".", "?"))
    assert "\n" not in finding.message
    assert re.search(r"[;:.,?] ", finding.message), "what is wrong, then the way out"
    assert "shared/" not in str(finding.source)
    assert "neuron-reference" not in str(finding.source)


@pytest.mark.parametrize("name", shipped_pairs())
def test_the_shipped_pairs_have_nothing_against_them(name: str) -> None:
    report = check(load_pair(name))
    assert not report.of("error"), report.of("error")
    assert not report.of("warning"), report.of("warning")
    assert ("not-run" in ids(report)) == (load_pair(name).stack != "cpu")


@pytest.mark.parametrize("name", [name for name in shipped_pairs() if name != "local"])
@pytest.mark.parametrize("plain", [False, True])
def test_our_own_command_has_nothing_against_it(name: str, plain: bool) -> None:
    """What `neuron launch` renders is held against the rules for other people's lines."""
    pair = load_pair(name)
    if plain and pair.stack == "nxdi":
        # The plain engine of an nxdi pair is AWS's, and greedy.
        pair = Pair.model_validate({**pair.model_dump(), **AWS, "draft": None})
    elif plain:
        pair = Pair.model_validate({**pair.model_dump(), "draft": None})
    command = render(pair, Endpoint(port=1), find=Path, elsewhere=True)
    report = check(pair, line=Line.of(command.argv))
    assert not [*report.of("error"), *report.of("warning")]


def test_errors_come_first() -> None:
    severities = [finding.severity for finding in BAD["hbm"].report(Path()).findings]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


@pytest.mark.parametrize(
    ("bad", "absent"),
    [
        (Bad(of="qwen3-32b-tp4"), "q-heads"),
        (Bad({"num_draft_tokens": 15}), "k-range"),
        (Bad({"max_prompt_len": 4091}), "k-length"),
        (Bad({"max_prompt_len": 6}), "k-bucket"),
        (Bad({"lnc": 1}), "lnc-qwen2"),
        (Bad({"max_num_seqs": 20}, of="qwen3-32b-tp4"), "hbm-tight"),
        (Bad(AWS, line="--num-gpu-blocks-override 4"), "blocks-override"),
        (Bad(line="--tensor-parallel-size 1"), "tp-flag"),
        (Bad(line="--tensor_parallel_size=1 --enable-lora --trust-remote-code"), "flag-value"),
        (Bad(line="-tp=1 --some-flag-of-another-version 3"), "flag-unknown"),
        (Bad(AWS, speculative={"method": "draft_model", "num_speculative_tokens": 5}),
         "speculative-tokens"),
        (Bad(driver="2.27.0", runtime="2.32.1"), "driver-old"),
        (Bad(driver="2.29", runtime="2.33"), "runtime-old"),
        (Bad(AWS, config={"async_mode": True}, runtime="2.33.9"), "async-runtime"),
        (Bad(AWS, config={"speculation_length": 5}), "speculation-length"),
        (Bad(AWS, config={"context_encoding_buckets": [6, 3072]}), "bucket-k"),
        (Bad(of=BETA, line="--num-gpu-blocks-override 512"), "blocks-size"),
        (Bad(of=LEGACY, speculative={"num_speculative_tokens": 7}), "speculative-method"),
        (Bad(line="vllm serve --model Qwen/Qwen3-32B"), "hub-id-tied"),
        (Bad({"lnc": 1, "tp_degree": 128}), "tp-cores"),
        (Bad({**AWS, "tp_degree": 12, "draft": None}, shape={"num_key_value_heads": 16}),
         "kv-heads"),
        (Bad(AWS, line="--enable-prefix-caching --num-gpu-blocks-override 1024"),
         "blocks-override"),
        (Bad(speculative={**SPECULATIVE, "max_model_len": 4096}), "speculative-length"),
        (Bad({**AWS, "draft": None}, config={"enable_eagle_speculation": True}),
         "eagle-plain-draft"),
        (Bad({"draft": "/models/Qwen3-1.7B"}), "vocabulary"),
        (Bad({"draft": "/models/Qwen2.5-0.5B-Instruct-v152064"}, of="qwen2.5-72b-tp32"),
         "vocabulary"),
    ],
)  # fmt: skip
def test_just_inside_a_limit_nothing_is_said(bad: Bad, absent: str, tmp_path: Path) -> None:
    assert absent not in ids(bad.report(tmp_path))


@pytest.mark.parametrize(
    ("bad", "rule", "words"),
    [
        (Bad(speculative={**SPECULATIVE, "model": "Qwen/Qwen3-1.7B"}), "hub-id-tied", "folder"),
        (Bad({"target": "qwen2.5-72b", "draft": None, "lnc": 1}, of=LEGACY), "lnc-qwen2", "to 2"),
        (Bad({"lnc": 1, "tp_degree": 129}), "tp-cores", "128 logical cores at LNC 1"),
        (Bad({"tp_degree": 40}), "intermediate-size", "of /models/Qwen3-1.7B; choose"),
        (Bad({"tp_degree": 3, "instance": "trn2.3xlarge"}), "intermediate-size", "such as 4."),
        # The draft is elsewhere, so that only a plain start would get as far as reading the target.
        (Bad(shape={"rope_parameters": {"rope_theta": 1e6}}), "refused", "inside rope_parameters"),
        (Bad({"max_prompt_len": 5}), "k-bucket", "raise it above 5"),
        (Bad({"max_prompt_len": 4092}), "k-length", "no room for a step of 5 rows"),
        (Bad({"num_draft_tokens": 16}), "k-range", "at most 15; lower it"),
        (Bad({"lnc": 1, "tp_degree": 4}), "hbm", "for its 12 GiB"),
        (Bad({"dtype": "float32", "tp_degree": 4}), "hbm", "32.4 GiB of weights"),
        (Bad({"tp_degree": 1}), "hbm", "no caches are small enough"),
        (Bad({"max_num_seqs": 64}, of="qwen3-32b-tp4"), "hbm", "or max_num_seqs = 64"),
        (Bad(line="--num-gpu-blocks-override 4"), "blocks-override", "our plugin lays out itself"),
        (Bad(AWS, line="--enable-prefix-caching --num-gpu-blocks-override 1023"),
         "blocks-override", "less than the 1024 blocks of 16"),
        (Bad(AWS, line="--enable-prefix-caching"), "prefix-caching", "leave the flag out"),
        (Bad(AWS, line="--structured-outputs-config {}"), "grammar", "leave the flag out"),
        (Bad(AWS, line="--guided-decoding-backend xgrammar"), "grammar", "leave the flag out"),
        (Bad(AWS, line="--enable-auto-tool-choice"), "grammar", "leave the flag out"),
        (Bad(AWS, line="--lora-modules a=b"), "lora", "leave the flag out"),
        (aws({"draft_overrides": {"fused_qvk": True}}), "key-unknown", "fused_qkv?"),
        (Bad(AWS, config={"override_neuron_config": {"async_mode": True}}, runtime="2.34"),
         "async-runtime", "leave the key out"),
        (Bad(driver="2.26", runtime="2.32"), "driver-old", "above 2.26"),
        (Bad(speculative={**SPECULATIVE, "tensor_parallel_size": 8}), "speculative-tp", "not take"),
        (aws({"token_generation_buckets": [128, 8192]}), "buckets", "compiles for 4096"),
        (Bad(AWS, config={"override_neuron_config": {"max_context_length": 3072},
                          "max_prompt_length": 4096}), "max-prompt-length", "set it to 3072"),
    ],
)  # fmt: skip
def test_the_other_ways_to_break_a_rule_are_found(
    bad: Bad, rule: str, words: str, tmp_path: Path
) -> None:
    said = [finding.message for finding in bad.report(tmp_path).findings if finding.id == rule]
    assert any(words in message for message in said), said


def test_k_and_nxdis_k_are_told_apart() -> None:
    ours = Bad(speculative={"method": "draft_model", "num_speculative_tokens": 5})
    aws = BAD["speculative-tokens"]
    for bad, wanted, why in ((ours, 4, "drafts only"), (aws, 5, "target's own token")):
        finding = next(f for f in bad.report(Path()).findings if f.id == "speculative-tokens")
        assert f"it is {wanted}" in finding.message
        assert why in finding.message


def test_a_vocabulary_is_offered_neuron_align_with_its_arguments() -> None:
    finding = BAD["vocabulary"].report(Path()).findings[0]
    assert "151936 is not the target's 152064" in finding.message
    assert "`neuron align qwen2.5-0.5b --target /models/Qwen2.5-72B-Instruct" in finding.message


def test_a_config_json_beats_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "Qwen3-32B"
    folder.mkdir()
    report = Bad(shape={"vocab_size": 1000}).report(folder)
    assert "vocabulary" in ids(report)


def test_the_installed_source_is_asked_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "neuronx_distributed_inference" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").touch()
    known = nxdi_keys().classes
    classes = [
        f"class {name}:\n    def __init__(self, **kwargs):\n        pass\n" for name in known
    ]
    text = "".join(classes).replace(
        "class NeuronConfig:\n    def __init__(self, **kwargs):\n        pass\n",
        "class NeuronConfig:\n    def __init__(self, named, **kwargs):\n"
        '        self.new = kwargs.pop("brand_new", kwargs.get("old_name"))\n',
    )
    (models / "config.py").write_text(f"raise SystemExit\n{text}")
    monkeypatch.syspath_prepend(tmp_path)
    keys = {"brand_new": 1, "old_name": 1, "named": 1, "fused_qkv": True}
    pair = Pair.model_validate({**load_pair("qwen3-32b-tp32").model_dump(), **AWS})
    report = check(pair, config=Given(keys, "overrides.json"))
    unknown = [finding.field for finding in report.findings if finding.id == "key-unknown"]
    assert unknown == ["fused_qkv"]
    assert str(models / "config.py") in report.findings[0].message


def test_the_names_that_our_plugin_reads_are_those_that_are_known() -> None:
    assert (given.OPTIONS, given.ADAPTIVE) == (terms.OPTIONS, terms.ADAPTIVE)


DOTTED = "--speculative-config.num_speculative_tokens=99 --tensor-paralel-size 3 --max-model-len"


def test_misspelt_empty_and_dotted_flags_are_not_passed_over() -> None:
    found = {finding.id: finding.message for finding in Bad(line=DOTTED).report(Path()).findings}
    assert "did you mean --tensor-parallel-size?" in found["flag-unknown"]
    assert "--max-model-len has no value" in found["flag-value"]
    assert "num_speculative_tokens 99" in found["speculative-tokens"]
    assert "speculative-method" in found


def test_dotted_flags_are_read_as_vllm_reads_them() -> None:
    line = Line.of(
        [
            *("--additional_config.specserve.max_num_seqs", "4"),
            "--additional-config.specserve.dtype=bfloat16",
            *("--additional-config.buckets+", "a,b", "--no-such.key", "--speculative-config.model"),
        ]
    )
    assert json.loads(line.text("--additional-config") or "") == {
        "specserve": {"max_num_seqs": 4, "dtype": "bfloat16"},
        "buckets": ["a", "b"],
    }
    assert line.values["--speculative-config.model"] is None


def test_a_deep_draft_is_sent_to_the_plan_and_not_judged() -> None:
    """`neuron plan` models a gain for 7B with 0.5B at TP 4, so the rule has no verdict."""
    found = Bad(of="qwen2.5-7b-tp4").report(Path()).findings
    message = next(finding.message for finding in found if finding.id == "draft-depth")
    assert "`neuron plan`" in message
    assert "not expected" not in message
