"""`neuron plan` and `neuron check` on one pair: one model of memory, one word for what it says."""

from __future__ import annotations

from typing import Any

import pytest

from neuron.check.run import check
from neuron.pair import Pair, load_pair, shipped_pairs
from tests.neuron.plan.asked import data, plan

WORDS = {"hbm": "too large", "hbm-tight": "tight"}
BATCHES = (1, 4, 9, 11, 14, 16, 28, 40, 46, 64, 101, 128, 256)


def checked(pair: Pair) -> str:
    """What `neuron check` makes of it, in the plan's words."""
    found = [WORDS[one.id] for one in check(pair).findings if one.id in WORDS]
    return found[0] if found else "fits"


def planned(pair: Pair, *batches: int) -> dict[tuple[int, str], str]:
    """By batch, and with the draft or plain: what `neuron plan` makes of it."""
    answer = data(
        *("--target", pair.target, "--draft", str(pair.draft), "--tp", str(pair.tp_degree)),
        *("--instance", str(pair.instance), "--max-model-len", str(pair.max_model_len)),
        *("--context", "64", "--batch", ",".join(map(str, batches))),
    )
    plain: dict[tuple[int, str], str]
    plain = {(one["batch"], "plain"): one["modelled_fit"] for one in answer["left_out"]}
    rows: list[dict[str, Any]] = answer["candidates"]
    return plain | {
        (one["batch"], side): fit
        for one in rows
        for side, fit in (("plain", "fits"), ("draft", one["modelled_speculative_fit"]))
    }


def both(pair: Pair, batch: int) -> dict[tuple[int, str], str]:
    at = pair.model_copy(update={"max_num_seqs": batch})
    plain = at.model_copy(update={"draft": None})
    return {(batch, "draft"): checked(at), (batch, "plain"): checked(plain)}


SHIPPED = [name for name in shipped_pairs() if load_pair(name).draft and name != "local"]


@pytest.mark.parametrize("name", SHIPPED)
def test_they_agree_on_every_shipped_pair(name: str) -> None:
    pair = load_pair(name)
    batch = pair.max_num_seqs
    assert planned(pair, batch) == both(pair, batch) == {
        (batch, "draft"): "fits",
        (batch, "plain"): "fits",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("of", "tp", "length"),
    [
        ("qwen2.5-72b-tp32", 8, 8192),
        ("qwen2.5-32b-tp4", 4, 2048),
        ("qwen3-32b-tp4", 4, 2048),
        ("qwen3-32b-tp32", 8, 32768),
        ("qwen2.5-7b-tp4", 2, 4096),
    ],
)
def test_they_agree_where_it_becomes_tight(of: str, tp: int, length: int) -> None:
    pair = load_pair(of).model_copy(
        update={"tp_degree": tp, "max_model_len": length, "max_prompt_len": length // 2}
    )
    found = planned(pair, *BATCHES)
    assert set(found.values()) == {"fits", "tight", "too large"}
    expected = {key: fit for batch in BATCHES for key, fit in both(pair, batch).items()}
    # Where the target alone is left out, its draft is not asked about.
    assert found == {key: expected[key] for key in found}


def test_what_is_tight_is_said_in_that_word_by_both() -> None:
    pair = load_pair("qwen3-32b-tp4").model_copy(update={"max_num_seqs": 28})
    finding = next(one for one in check(pair).findings if one.id == "hbm-tight")
    assert "is tight for its 24 GiB" in finding.message
    asked = ("--target", "qwen3-32b", "--draft", "qwen3-1.7b", "--instance", "trn2.3xlarge")
    few = ("--tp", "4", "--max-model-len", "2048", "--batch")
    assert "with the draft it takes" in plan(*asked, *few, "28").stdout
    assert " tight\n" in plan(*asked, *few, "28").stdout
    found = plan(*asked, *few, "28,46,64").stdout
    assert "Tight for a core's 24 GiB (modelled), draft or not: TP 4 from batch 46 (" in found
    assert "Too large for a core's 24 GiB (modelled), draft or not: TP 4 from batch 64 (" in found
