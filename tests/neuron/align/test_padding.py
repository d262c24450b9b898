"""Padded rows never win. Ground truth: a linear program that looks for the hidden state where they
would, and softmax in float64."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from neuron.align import Alignment, align
from neuron.errors import PairError
from tests.neuron.align.folders import EMBEDDING, HEAD, tokens, write_draft, write_target, written

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def worst_lead(head: NDArray[np.float64], row: NDArray[np.float64]) -> float:
    """The largest row·h - max(head h) over all h in a cube; 0, at h = 0, if it never wins."""
    hidden = head.shape[1]
    goal = np.append(-row, 1.0)
    bounds = [(-1, 1)] * hidden + [(None, None)]
    below = np.hstack([head, -np.ones((len(head), 1))])
    found = linprog(goal, A_ub=below, b_ub=np.zeros(len(head)), bounds=bounds)
    assert found.success
    return float(-found.fun)


def random_head(seed: int, shift: float, dtype: torch.dtype, rows: int = 60) -> torch.Tensor:
    """[rows, 6], all of it `shift` away from zero."""
    torch.manual_seed(seed)
    return (torch.randn(rows, 6) + shift).to(dtype)


def padded(head: torch.Tensor, folder: Path, extra: int = 5) -> tuple[Alignment, torch.Tensor]:
    draft = write_draft(folder / "draft", head)
    target = write_target(folder / "target", len(head) + extra)
    done = align(draft, target, folder / "out")
    return done, written(folder / "out")[EMBEDDING]


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.floats(-8, 8), st.sampled_from(DTYPES), st.floats(0.01, 100))
def test_a_padded_row_loses_for_every_hidden_state(
    seed: int, shift: float, dtype: torch.dtype, scale: float
) -> None:
    head = random_head(seed, shift, dtype)
    with tempfile.TemporaryDirectory() as folder:
        done, rows = padded(head, Path(folder))
    assert rows.dtype == dtype
    assert torch.equal(rows[:60], head)
    assert done.padded_rows == "mean"
    exact = rows.double().numpy()
    for row in exact[60:]:
        assert worst_lead(exact[:60], row) <= 1e-9
    hidden = np.random.default_rng(seed).standard_normal((500, 6)) * scale
    # Towards where every real logit is negative.
    hidden[250:] -= np.sign(shift) * scale
    logits = hidden @ exact.T
    assert (logits[:, 60:].max(axis=1) < logits[:, :60].max(axis=1)).all()


def test_zeros_would_win_where_every_logit_is_negative() -> None:
    """The obvious padding, under the same oracle: it can fail, and the mean does better."""
    head = random_head(1, 3.0, torch.float32).double().numpy()
    assert worst_lead(head, np.zeros(6)) > 1
    assert worst_lead(head, head.mean(axis=0)) <= 1e-9


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from(DTYPES), st.floats(0, 50), st.integers(1, 40))
def test_padded_ids_hold_no_more_probability_than_is_said(
    seed: int, dtype: torch.dtype, scale: float, extra: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        done, rows = padded(random_head(seed, 1.0, dtype), Path(folder), extra)
    hidden = torch.randn(300, 6, dtype=torch.float64) * scale
    held = (hidden @ rows.double().T).softmax(dim=1)[:, 60:].sum(dim=1)
    assert done.leaked_at_most is not None
    assert held.max().item() <= done.leaked_at_most + 1e-12
    # At h = 0 all rows hold the same, so no bound can be lower than this; ours is hardly higher.
    least = extra / (60 + extra)
    assert least - 1e-12 <= done.leaked_at_most <= least * 1.1


def test_an_untied_input_matrix_gets_its_own_mean(tmp_path: Path) -> None:
    head, inputs = random_head(1, 2.0, torch.float32), random_head(2, -2.0, torch.float32)
    draft = write_draft(tmp_path / "draft", head, inputs=inputs)
    align(draft, write_target(tmp_path / "target", 64), tmp_path / "out")
    new = written(tmp_path / "out")
    assert torch.equal(new[HEAD][:60], head)
    assert torch.equal(new[EMBEDDING][:60], inputs)
    assert torch.allclose(new[HEAD][60:], head.mean(dim=0).expand(4, 6), atol=1e-6)
    assert torch.allclose(new[EMBEDDING][60:], inputs.mean(dim=0).expand(4, 6), atol=1e-6)


def least_weight(head: NDArray[np.float64], row: NDArray[np.float64]) -> float:
    """Of the weights 1 + (w - mean)·x, times 1 / n, that average to `row`."""
    away = head - head.mean(axis=0)
    tilt = np.linalg.solve(away.T @ away / len(head), row - head.mean(axis=0))
    return float(1 + (away @ tilt).min())


def test_rounding_makes_up_for_its_own_errors(tmp_path: Path) -> None:
    """Four large columns, as Qwen's outliers, and directions that vary 30 times less than others:
    the mean with each number rounded to the nearest could not be shown to lose."""
    rng = np.random.default_rng(0)
    turned = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    mean = rng.standard_normal(64) * 0.005 + np.repeat([0.5, 0.0], [4, 60])
    drawn = rng.standard_normal((2000, 64)) * np.geomspace(0.03, 0.001, 64) @ turned + mean
    head = torch.from_numpy(drawn).to(torch.bfloat16)
    exact = head.double().numpy()
    nearest = torch.from_numpy(exact.mean(axis=0)).to(torch.bfloat16).double().numpy()
    assert least_weight(exact, nearest) < 0
    done, rows = padded(head, tmp_path)
    assert done.padded_rows == "mean"
    assert done.weights is not None
    ours = rows[2000].double().numpy()
    assert done.weights[0] == pytest.approx(least_weight(exact, ours))
    assert done.weights[0] > 0.1


def lost_in_rounding() -> torch.Tensor:
    """A column that one row alone has higher, by one step of bfloat16: the mean's share of it
    cannot be stored, and 0.5 is an edge of the hull, where that row's weight is 0."""
    head = random_head(3, 0.0, torch.bfloat16)
    head[:, 0] = 0.5
    head[7, 0] = 0.5 + 2**-8
    return head


def test_a_mean_that_rounding_moves_to_the_edge_is_replaced_by_a_row_of_no_token(
    tmp_path: Path,
) -> None:
    head = lost_in_rounding()
    done, rows = padded(head, tmp_path)
    assert done.padded_rows == "copy of row 59"
    assert done.weights is None
    assert done.leaked_at_most is None
    assert torch.equal(rows[60:], head[59].expand(5, 6))
    assert worst_lead(head.double().numpy(), rows[60].double().numpy()) <= 1e-9


def test_a_row_of_a_token_is_never_copied(tmp_path: Path) -> None:
    draft = write_draft(tmp_path / "draft", lost_in_rounding(), vocab=tokens(58))
    # Id 59 is a token for the target alone, so the draft's row 58 is the only free one.
    theirs = {**tokens(58), "new": 59}
    done = align(draft, write_target(tmp_path / "target", 64, theirs), tmp_path / "out")
    assert done.padded_rows == "copy of row 58"
    assert done.unknown_to_draft == 1
    taken = write_target(tmp_path / "taken", 64, tokens(60))
    with pytest.raises(PairError, match="convert the draft to float32 first"):
        align(draft, taken, tmp_path / "other")


def test_float32_needs_no_copy_there(tmp_path: Path) -> None:
    assert padded(lost_in_rounding().float(), tmp_path)[0].padded_rows == "mean"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_and_nothing_is_left(
    value: float, tmp_path: Path
) -> None:
    head = random_head(1, 0.0, torch.bfloat16)
    head[17, 3] = value
    with pytest.raises(PairError, match="not finite among rows 0 to 59"):
        padded(head, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["draft", "target"]
