"""The protocol's own rules, which every implementation and every caller leans on."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron.plugin.fused import (
    PADDING,
    ContractError,
    Feed,
    Limits,
    check_feeds,
    check_prompt,
    emitted,
    rows_for,
)

LIMITS = Limits(rows=4, slots=2, max_prompt=16, max_len=32, vocab=8)


@given(st.integers(1, 31))
def test_k_and_rows_are_converted_both_ways(num_draft_tokens: int) -> None:
    rows = rows_for(num_draft_tokens)
    limits = dataclasses.replace(LIMITS, rows=rows, max_prompt=8, max_len=64)
    assert limits.num_draft_tokens == num_draft_tokens


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6), st.integers(0, 5))
def test_the_padding_ends_the_tokens(tokens: list[int], padding: int) -> None:
    assert emitted([*tokens, *[PADDING] * padding]) == tuple(tokens)


@pytest.mark.parametrize("raw", [[-1, -1], [3, -1, 4], []])
def test_a_malformed_row_is_not_emitted(raw: list[int]) -> None:
    with pytest.raises(ContractError, match="1 to k tokens"):
        emitted(raw)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rows": 1}, "rows = 1"),
        ({"slots": 0}, "at least 1"),
        ({"max_len": 4, "max_prompt": 4}, "max_len = 4"),
        ({"max_prompt": 33}, "max_prompt = 33"),
        ({"graphs": (4, 2)}, "not ascending"),
        ({"graphs": (0, 4)}, "not ascending"),
        ({"graphs": (1, 2)}, "must end in"),
    ],
)
def test_impossible_limits_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ContractError, match=says):
        dataclasses.replace(LIMITS, **change)


@pytest.mark.parametrize(
    ("feeds", "rows", "says"),
    [
        ([], 4, "1 to 2 distinct slots"),
        ([Feed(0, 1, 5), Feed(0, 1, 6)], 4, "distinct"),
        ([Feed(2, 1, 5)], 4, "Slot 2"),
        ([Feed(0, 1, 5)], 3, "no graph of 3"),
        ([Feed(0, 1, 29)], 4, "no room for 4 rows"),
        ([Feed(0, 1, 0)], 4, "position 0"),
    ],
)
def test_a_step_outside_the_contract_is_refused(feeds: list[Feed], rows: int, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        check_feeds(LIMITS, feeds, rows)


def test_the_last_step_that_fits_is_taken() -> None:
    check_feeds(LIMITS, [Feed(0, 1, 28), Feed(1, 1, 1, logits=True)], 4)


def test_logits_need_a_model_compiled_with_them() -> None:
    with pytest.raises(ContractError, match="without logits"):
        check_feeds(dataclasses.replace(LIMITS, logits=False), [Feed(0, 1, 5, logits=True)], 4)


@pytest.mark.parametrize(("slot", "length"), [(0, 0), (0, 17), (2, 4), (-1, 4)])
def test_a_prompt_outside_the_contract_is_refused(slot: int, length: int) -> None:
    with pytest.raises(ContractError):
        check_prompt(LIMITS, slot, [1] * length)
