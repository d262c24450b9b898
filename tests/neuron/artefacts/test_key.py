"""The key changes with anything that makes an artefact the wrong one, and with nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron.artefacts.key import ArtefactKey, differences, nearest
from tests.neuron.artefacts.examples import KEY, key

words = st.text(min_size=1, max_size=12)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
counts = st.integers(1, 100_000)
OTHER: dict[str, st.SearchStrategy[Any]] = {
    "stack": st.sampled_from(["nxdi", "vllm-neuron", "legacy"]),
    "plugin": words,
    "platform": words,
    "target": digests,
    "target_path": words,
    "draft": st.none() | digests,
    "draft_path": st.none() | words,
    "num_draft_tokens": st.none() | counts,
    "tp_degree": counts,
    "lnc": st.sampled_from([1, 2]),
    "max_num_seqs": counts,
    "max_model_len": counts,
    "max_prompt_len": counts,
    "context_buckets": st.lists(counts, max_size=5).map(tuple),
    "step_buckets": st.lists(counts, max_size=5).map(tuple),
    "sampling": st.sampled_from(["any", "greedy"]),
    "dtype": words,
    "flags": st.dictionaries(words, st.booleans() | counts | words, max_size=4),
    "versions": st.dictionaries(words, words, max_size=4),
}


def test_every_field_is_tried() -> None:
    assert set(OTHER) == set(ArtefactKey.model_fields) == set(KEY)


@pytest.mark.parametrize("field", sorted(OTHER))
@given(data=st.data())
def test_a_changed_field_changes_the_key_and_is_named(field: str, data: st.DataObject) -> None:
    other = data.draw(OTHER[field].filter(lambda value: value != KEY[field]))
    changed = key(**{field: other})
    assert changed.digest != key().digest
    said = differences(changed, key())
    assert said
    assert all(line.startswith((f"{field}:", f"{field}.")) for line in said)


@given(st.permutations(list(KEY)), st.permutations(list(KEY["flags"])), st.data())
def test_the_order_of_keys_changes_nothing(
    order: list[str], flags: list[str], data: st.DataObject
) -> None:
    versions = data.draw(st.permutations(list(KEY["versions"])))
    shuffled = {name: KEY[name] for name in order}
    shuffled["flags"] = {name: KEY["flags"][name] for name in flags}
    shuffled["versions"] = {name: KEY["versions"][name] for name in versions}
    same = ArtefactKey.model_validate(shuffled)
    assert same.digest == key().digest
    assert differences(same, key()) == []


@given(st.builds(key, **OTHER))
def test_a_key_reads_back_from_json(made: ArtefactKey) -> None:
    again = ArtefactKey.model_validate(json.loads(json.dumps(made.model_dump(mode="json"))))
    assert again.digest == made.digest


def test_a_difference_says_what_is_wanted_and_what_is_found() -> None:
    said = differences(key(tp_degree=64, target="c" * 64), key(versions={"neuronx-cc": "2.1"}))
    assert said == [
        "target: wanted cccccccccccc, found aaaaaaaaaaaa",
        "tp_degree: wanted 64, found 32",
        'versions.neuronx-cc: wanted "2.26.6360.0", found "2.1"',
        'versions.nki: wanted "0.5.0", found nothing',
    ]


def test_the_nearest_is_the_one_with_fewest_differences() -> None:
    others = [("far", key(tp_degree=1, lnc=1)), ("near", key(tp_degree=8))]
    assert nearest(key(), others) == (
        " (nearest is near, which differs in tp_degree: wanted 32, found 8)"
    )
    assert nearest(key(), []) == ""
