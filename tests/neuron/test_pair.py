from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron.errors import PairError
from neuron.pair import Pair, load_pair, shipped_pairs

LOCAL = Pair.model_validate(
    {**load_pair("local").model_dump(), "num_draft_tokens": 7, "max_num_seqs": 4}
).to_toml()

# TOML takes no lone surrogates; everything else must survive.
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
positive = st.integers(1, 2**53)
shared = {
    "name": text,
    "target": text,
    "draft": st.none() | text,
    "num_draft_tokens": st.integers(1, 32),
    "max_model_len": st.integers(64, 2**20),
    "max_num_seqs": positive,
    "kv_cache_bytes": st.none() | positive,
    "dtype": st.sampled_from(["auto", "float32", "bfloat16"]),
    "prefix_caching": st.booleans(),
    "tool_call_parser": st.none() | text,
    "served_model_name": text,
}
neuron_only = {
    "sampling": st.sampled_from(["any", "greedy"]),
    "instance": st.none() | text,
    "tp_degree": st.none() | positive,
    "lnc": st.sampled_from([None, 1, 2]),
    "max_prompt_len": st.none() | positive,
    "artefacts": st.none() | text,
    "plugin": st.sampled_from(["specserve", "vllm-neuron"]),
}
stacks = st.sampled_from(["nxdi", "vllm-neuron", "legacy"])
pairs = st.builds(Pair, stack=st.just("cpu"), **shared) | st.builds(
    Pair, stack=stacks, **shared, **neuron_only
)


def load_text(content: str) -> Pair:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pair.toml"
        path.write_text(content, encoding="utf-8")
        return load_pair(path)


@given(pairs)
def test_what_is_written_is_what_is_read(pair: Pair) -> None:
    assert load_text(pair.to_toml()) == pair


@given(st.from_regex(r"[A-Za-z_-]{1,20}", fullmatch=True))
def test_an_unknown_key_is_named_with_its_file(key: str) -> None:
    if key in Pair.model_fields:
        return
    with pytest.raises(PairError, match=r"pair\.toml") as caught:
        load_text(f"{LOCAL}\n{key} = 1\n")
    assert f"Unknown key {key!r}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_misspelt_key_is_told_its_neighbour() -> None:
    with pytest.raises(PairError, match="did you mean num_draft_tokens"):
        load_text(LOCAL.replace("num_draft_tokens", "num_drafts_token"))


def test_every_shipped_pair_loads() -> None:
    assert shipped_pairs()
    for name in shipped_pairs():
        assert load_pair(name).name == name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("max_num_seqs = 4", "max_num_seqs = 0"), "'max_num_seqs'"),
        (("max_num_seqs = 4", 'max_num_seqs = "4"'), "'max_num_seqs'"),
        (("num_draft_tokens = 7", "num_draft_tokens = 33"), "'num_draft_tokens'"),
        (("max_model_len = 1024", "max_model_len = 8"), "num_draft_tokens = 7 leaves no room"),
        (('stack = "cpu"', 'stack = "gpu"'), "'stack'"),
        (("max_num_seqs = 4\n", ""), "'max_num_seqs' is missing"),
        (("max_num_seqs = 4", "max_num_seqs ="), "not valid TOML"),
        (("max_num_seqs = 4", "max_num_seqs = 4\ntp_degree = 8"), "tp_degree means nothing"),
        (('plugin = "specserve"', 'plugin = "vllm-neuron"'), "plugin means nothing"),
        (('sampling = "any"', 'sampling = "greedy"'), "remove sampling"),
    ],
)
def test_a_bad_value_is_one_sentence(change: tuple[str, str], message: str) -> None:
    with pytest.raises(PairError) as caught:
        load_text(LOCAL.replace(*change))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_what_is_shipped() -> None:
    with pytest.raises(PairError, match="did you mean local"):
        load_pair("locla")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PairError, match="No such file"):
        load_pair(tmp_path / "nothing.toml")


def test_another_model_is_checked_again() -> None:
    pair = load_pair("local")
    assert pair.with_models(draft="qwen2.5-0.5b").draft == "qwen2.5-0.5b"
    assert pair.with_models() == pair
    with pytest.raises(PairError, match="'draft'"):
        pair.with_models(draft="")


def test_a_pair_is_frozen() -> None:
    pair: Any = load_pair("local")
    with pytest.raises(ValueError, match="frozen"):
        pair.name = "other"
