"""The repair of the draft's mask, on a stand-in written by us that has NxDI's fault."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from neuron.plugin.nxdi_repairs import repair
from neuron.plugin.nxdi_source import RepairError
from tests.plugin.stand_in import StandInFused, digests, fresh

POSITIONS = (2, 4, 6)
WIDTH = 9


def masks(fused: type[StandInFused], positions: tuple[int, ...] = POSITIONS) -> list[torch.Tensor]:
    """What the draft was shown, pass by pass, from a mask that is right for each row."""
    columns = torch.arange(WIDTH)
    start = torch.tensor([[p] for p in positions])
    model = fused()
    model._token_gen_forward((columns < start).to(torch.int32), start.to(torch.int32))
    return model.masks


def own_columns(positions: tuple[int, ...], drafted: int) -> torch.Tensor:
    return (torch.arange(WIDTH) < torch.tensor([[p + drafted] for p in positions])).to(torch.int32)


def test_as_shipped_every_row_gets_every_rows_columns() -> None:
    second = masks(fresh())[1]
    assert not torch.equal(second, own_columns(POSITIONS, 1))
    assert second[0].tolist() == [1, 1, 1, 0, 1, 0, 1, 0, 0]


def test_repaired_each_row_gets_its_own() -> None:
    fused = fresh()
    done = repair(fused, logits=False, batch=3, known=digests())
    assert done.applied == ("mask",)
    for drafted, mask in enumerate(masks(fused)):
        assert torch.equal(mask, own_columns(POSITIONS, drafted))


def test_one_row_is_the_same_either_way_and_is_left_alone() -> None:
    fused = fresh()
    assert repair(fused, logits=False, batch=1, known=digests()).applied == ()
    assert fused._token_gen_forward is StandInFused._token_gen_forward
    assert torch.equal(masks(fused, (3,))[1], own_columns((3,), 1))
    repair(fused, logits=False, batch=2, known=digests())
    assert torch.equal(masks(fused, (3,))[1], own_columns((3,), 1))


def test_everything_else_of_the_function_stays() -> None:
    fused = fresh()
    repair(fused, logits=False, batch=2, known=digests())
    repaired = fused._token_gen_forward
    assert repaired is not StandInFused._token_gen_forward
    assert repaired.__defaults__ == (7,)
    assert repaired.__qualname__ == StandInFused._token_gen_forward.__qualname__
    start = torch.tensor([[2], [4]], dtype=torch.int32)
    candidates = fused()._token_gen_forward(torch.zeros(2, WIDTH, dtype=torch.int32), start)[0]
    assert candidates.tolist() == [[7, 20, 30], [7, 40, 50]]


def test_a_traceback_goes_on_naming_the_original_line() -> None:
    fused = fresh()
    repair(fused, logits=False, batch=2, known=digests())
    with pytest.raises(AttributeError) as caught:
        fused()._token_gen_forward(None, None)
    frame = caught.traceback[-1]
    assert str(frame.path).endswith("stand_in.py")
    assert "filled = mask.clone()" in str(frame.statement)


def test_another_source_is_left_alone_and_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    fused = fresh()
    with caplog.at_level(logging.WARNING):
        done = repair(fused, logits=False, batch=4, known={"_token_gen_forward": "0" * 64})
    assert done.applied == ()
    assert done.left == ("mask",)
    assert fused._token_gen_forward is StandInFused._token_gen_forward
    assert "left alone: output is right" in caplog.text


def test_a_source_that_is_gone_is_left_alone() -> None:
    made: dict[str, Any] = {}
    exec("def _token_gen_forward(self): return []", made)  # noqa: S102 - a function without a file
    fused = type("Sourceless", (), {"_token_gen_forward": made["_token_gen_forward"]})
    assert repair(fused, logits=False, batch=4, known=digests()).left == ("mask",)


def test_a_known_source_without_the_fault_is_an_error() -> None:
    """A digest added by somebody who did not look: the edit must not pass in silence."""
    body = dict(vars(fresh()))
    body["_token_gen_forward"] = StandInFused._context_encoding_forward
    fused = type("Wrong", (), body)
    known = {"_token_gen_forward": digests()["_context_encoding_forward"]}
    with pytest.raises(RepairError, match="changes 1 places, but found 0"):
        repair(fused, logits=False, batch=4, known=known)
