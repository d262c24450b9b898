import random

from hypothesis import given
from hypothesis import strategies as st

from bench.experiment import turns


@given(st.integers(1, 6), st.integers())
def test_blocks_mirror_and_repeats_run_in_order(rounds: int, seed: int) -> None:
    plan = turns("plain", "speculative", rounds, random.Random(seed))
    assert len(plan) == 4 * rounds
    for start in range(0, len(plan), 4):
        a, b, c, d = (turn.arm for turn in plan[start : start + 4])
        assert a == d != b == c
    for arm in ("plain", "speculative"):
        repeats = [turn.repeat for turn in plan if turn.arm == arm]
        assert repeats == list(range(2 * rounds))


def test_either_arm_may_begin() -> None:
    first = {turns("plain", "speculative", 1, random.Random(seed))[0].arm for seed in range(20)}
    assert first == {"plain", "speculative"}
