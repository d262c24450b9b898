"""What logits need repaired, on a stand-in written by us that has NxDI's order of outputs."""

from __future__ import annotations

import pytest
import torch

from neuron.plugin.nxdi_repairs import repair
from neuron.plugin.nxdi_source import RepairError
from tests.plugin.stand_in import StandInFused, digests, fresh

TOKENS_AND_LOGITS = ["draft token", "draft logits", "target token", "target logits"]


def test_as_shipped_logits_stand_in_front_of_the_caches() -> None:
    outputs = StandInFused(logits=True)._context_encoding_forward()
    assert outputs[4:] == ["draft logits", "draft cache", "target logits", "target cache"]


def test_repaired_the_caches_follow_at_once() -> None:
    fused = fresh()
    repair(fused, logits=True, batch=1, known=digests())
    outputs = fused(logits=True)._context_encoding_forward()
    assert outputs == [*TOKENS_AND_LOGITS, "draft cache", "target cache"]
    # Without logits nothing was wrong, and nothing changes.
    without = ["draft token", "target token", "draft cache", "target cache"]
    assert fused(logits=False)._context_encoding_forward() == without


def test_repaired_a_step_returns_the_candidates_themselves() -> None:
    fused = fresh()
    done = repair(fused, logits=True, batch=2, known=digests())
    assert done.applied == ("mask", "candidates", "prefill order")
    start = torch.tensor([[2], [4]], dtype=torch.int32)
    mask = torch.zeros(2, 9, dtype=torch.int32)
    before = StandInFused(logits=True)._token_gen_forward(mask, start)
    after = fused(logits=True)._token_gen_forward(mask, start)
    assert before[1].shape == (2, 2, 5)
    assert after[1].tolist() == [[20, 30], [40, 50]]
    assert torch.equal(before[0], after[0])


@pytest.mark.parametrize("function", ["_token_gen_forward", "_context_encoding_forward"])
def test_another_source_refuses_logits_in_one_sentence(function: str) -> None:
    fused = fresh()
    with pytest.raises(RepairError) as caught:
        repair(fused, logits=True, batch=2, known={**digests(), function: "0" * 64})
    sentence = str(caught.value)
    assert sentence.startswith(f"Key 'logits' needs StandInFused.{function}")
    assert "set logits = false" in sentence
    assert "\n" not in sentence


def test_a_function_without_a_digest_is_unknown() -> None:
    with pytest.raises(RepairError, match="_token_gen_forward"):
        repair(fresh(), logits=True, batch=2, known={})
    assert repair(fresh(), logits=False, batch=2, known={}).left == ("mask",)


def test_a_second_repair_starts_from_upstreams_own_code() -> None:
    fused = fresh()
    repair(fused, logits=True, batch=4, known=digests())
    assert repair(fused, logits=True, batch=4, known=digests()).left == ()
    assert repair(fused, logits=False, batch=1, known=digests()).applied == ()
    assert fused._token_gen_forward is StandInFused._token_gen_forward
    assert fused._context_encoding_forward is StandInFused._context_encoding_forward
