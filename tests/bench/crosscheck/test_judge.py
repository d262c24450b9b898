"""The rule that says agree: by simulation, and at its edges."""

import math

import numpy as np
import pytest

from bench.crosscheck.judge import ratio

TRIALS = 400


def verdicts(true: float, noise: float, rounds: int) -> dict[str, float]:
    rng = np.random.default_rng(5)
    found = [
        ratio(list(true * np.exp(rng.normal(0, noise, rounds))), [1.0] * rounds).verdict
        for _ in range(TRIALS)
    ]
    return {word: found.count(word) / TRIALS for word in ("agrees", "differs", "too noisy")}


def test_equal_instruments_differ_in_one_row_of_twenty() -> None:
    assert verdicts(1.0, 0.02, 5)["differs"] == pytest.approx(0.05, abs=0.03)


def test_a_difference_of_ten_percent_is_found() -> None:
    assert verdicts(1.1, 0.02, 5)["differs"] > 0.99


def test_noise_is_not_called_agreement() -> None:
    found = verdicts(1.0, 0.3, 5)
    assert found["agrees"] < 0.05
    assert found["too noisy"] > 0.85


def test_the_interval_by_hand() -> None:
    """Logarithms −a, 0, a: s = a, and t at 2 degrees of freedom is 4.3027."""
    found = ratio([math.exp(-0.01), 1.0, math.exp(0.01)], [1.0, 1.0, 1.0])
    assert found.value == pytest.approx(1)
    assert math.log(found.high) == pytest.approx(4.302653 * 0.01 / math.sqrt(3))
    assert math.log(found.low) == pytest.approx(-math.log(found.high))
    assert found.verdict == "agrees"


def test_two_rounds_are_too_few() -> None:
    with pytest.raises(ValueError, match="at least 3 rounds"):
        ratio([1.0, 1.0], [1.0, 1.0])
