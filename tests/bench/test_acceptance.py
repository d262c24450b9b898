import pytest

from bench.acceptance import acceptance
from bench.record import Speculation


def test_length_counts_the_targets_own_token_and_positions_are_cumulative() -> None:
    one = Speculation(
        steps=2, drafted=6, accepted=4, per_step_accepted=(3, 1), per_step_drafted=(3, 3)
    )
    two = Speculation(
        steps=2, drafted=6, accepted=0, per_step_accepted=(0, 0), per_step_drafted=(3, 3)
    )
    found = acceptance([one, two])
    assert found is not None
    assert found.length == 2
    assert found.per_position == (0.5, 0.25, 0.25)
    assert 1 + sum(found.per_position) == pytest.approx(found.length)


def test_without_a_step_there_is_no_acceptance() -> None:
    assert acceptance([]) is None
    assert acceptance([Speculation(steps=0, drafted=0, accepted=0)]) is None
