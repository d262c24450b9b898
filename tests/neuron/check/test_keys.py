"""Any unknown key at any depth is found, and no known one is."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from neuron.check.findings import Report
from neuron.check.given import ADAPTIVE, MAX_PROMPT, OPTIONS
from neuron.check.keyset import KeySet, beta_keys, nxdi_keys, unknown_keys
from neuron.check.lines import Line
from neuron.check.run import check
from neuron.check.subject import Given
from neuron.pair import Pair, load_pair
from tests.neuron.check.bad_pairs import AWS, BETA

leaves = st.none() | st.booleans() | st.integers() | st.lists(st.integers(), max_size=2)
names = st.from_regex(r"[a-z][a-z_-]{0,12}", fullmatch=True)


def configs(keys: KeySet, of: str, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Objects whose every key is known, with the classes that nest inside."""
    known = sorted(keys.classes[of])
    inner = {
        key: configs(keys, keys.nested[key], depth - 1) if depth and key in keys.nested else leaves
        for key in known
    }
    return st.lists(st.sampled_from(known), unique=True, max_size=6).flatmap(
        lambda chosen: st.fixed_dictionaries({key: inner[key] for key in chosen})
    )


def places(value: dict[str, Any], keys: KeySet, of: str) -> list[tuple[dict[str, Any], str]]:
    """Every object in it that a class is built from, with that class."""
    found = [(value, of)]
    for key, inner in value.items():
        if isinstance(inner, dict):
            found += places(inner, keys, keys.nested[key])
    return found


nxdi_configs = configs(nxdi_keys(), "NeuronConfig", 3)
beta_configs = configs(beta_keys(), "NeuronConfig", 2)


@settings(deadline=None)
@given(nxdi_configs, beta_configs)
def test_no_known_key_is_called_unknown(nxdi: dict[str, Any], beta: dict[str, Any]) -> None:
    assert not list(unknown_keys(nxdi, nxdi_keys()))
    assert not list(unknown_keys(beta, beta_keys()))


@given(st.data(), names)
@settings(deadline=None)
def test_any_unknown_key_at_any_depth_is_found(data: st.DataObject, name: str) -> None:
    for keys, strategy in ((nxdi_keys(), nxdi_configs), (beta_keys(), beta_configs)):
        config = json.loads(json.dumps(data.draw(strategy)))
        where, of = data.draw(st.sampled_from(places(config, keys, "NeuronConfig")))
        if name in keys.classes[of] or name in where:
            continue
        where[name] = 1
        found = list(unknown_keys(config, keys))
        assert [(unknown.key, unknown.known_by) for unknown in found] == [(name, of)]
        assert found[0].path.split(".")[-1] == name


@settings(deadline=None)
@given(st.sampled_from(sorted(nxdi_keys().classes["NeuronConfig"])))
def test_dashes_are_told_their_underscores(key: str) -> None:
    dashed = key.replace("_", "-")
    found = list(unknown_keys({dashed: 1}, nxdi_keys()))
    if dashed == key:
        assert not found
    else:
        assert found[0].is_dashed
        assert found[0].near == key


def pair(**fields: object) -> Pair:
    return Pair.model_validate({**load_pair("qwen3-32b-tp32").model_dump(), **fields})


def keys_of(report: Report) -> dict[str, str]:
    wanted = ("key-unknown", "key-dashed", "key-dead")
    return {finding.field: finding.message for finding in report.findings if finding.id in wanted}


def test_a_misspelt_key_is_told_its_neighbour() -> None:
    config = Given({"speculation_lenght": 5}, "mine.json")
    said = keys_of(check(pair(**AWS), config=config))["speculation_lenght"]
    assert "did you mean speculation_length?" in said
    assert "'speculation_lenght' in mine.json" in said


def test_every_way_to_give_the_object_is_looked_into() -> None:
    inner = {"bogus": 1}
    wrapped = {"override_neuron_config": inner, "max_prompt_length": 3072}
    for value, field in ((inner, "bogus"), (wrapped, "override_neuron_config.bogus")):
        assert set(keys_of(check(pair(**AWS), config=Given(value, "f")))) == {field}
    line = Line.of(["--additional-config", json.dumps(wrapped)])
    assert set(keys_of(check(pair(**AWS), line=line))) == {"override_neuron_config.bogus"}
    legacy = load_pair("qwen3-32b-tp32-legacy")
    line = Line.of([f"--override-neuron-config={json.dumps(inner)}"])
    assert set(keys_of(check(legacy, line=line))) == {"bogus"}
    beta = {"neuron_config": {"on_device_sampling_config": {"do_sample": False}}}
    found = keys_of(check(load_pair(BETA), config=Given(beta, "f")))
    assert set(found) == {"neuron_config.on_device_sampling_config.do_sample"}


def test_keys_beside_the_object_are_looked_at_too() -> None:
    value = {"override_neuron_config": {}, "max-prompt-length": 1, "max_prompts": 2}
    found = keys_of(check(pair(**AWS), config=Given(value, "f")))
    assert found.keys() == {"max-prompt-length", "max_prompts"}
    assert f"write {MAX_PROMPT}" in found["max-prompt-length"]


def test_our_own_options_are_held_to_our_settings() -> None:
    value = {OPTIONS: {"tp_degree": 32, "tp_degre": 32}, ADAPTIVE: True}
    found = keys_of(check(pair(), config=Given(value, "f")))
    assert set(found) == {"specserve.tp_degre"}


def test_draft_overrides_are_keys_of_neuron_config() -> None:
    value = {"override_neuron_config": {"draft_overrides": {"fused_qkv": True, "fused-qkv": 1}}}
    found = keys_of(check(pair(**AWS), config=Given(value, "f")))
    assert set(found) == {"draft_overrides.fused-qkv"}


def test_a_saved_artefact_s_derived_fields_are_not_called_unknown() -> None:
    value = {"neuron_config": {"is_chunked_prefill": False}, "fused_spec_config": {}}
    assert not keys_of(check(pair(**AWS), config=Given(value, "f")))


def test_the_cpu_stack_reads_none_of_it() -> None:
    report = check(load_pair("local"), config=Given({"bogus": 1}, "f"))
    assert [finding.id for finding in report.of("warning")] == ["overrides-unread"]
    assert not keys_of(report)
