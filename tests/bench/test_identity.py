from hypothesis import given
from hypothesis import strategies as st

from bench.identity import compare, first_difference

tokens = st.lists(st.integers(0, 3), max_size=8).map(tuple)


@given(tokens, tokens)
def test_the_first_difference_is_first(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    position = first_difference(a, b)
    if position is None:
        assert a == b
    else:
        assert a[:position] == b[:position]
        assert a[position : position + 1] != b[position : position + 1]


def test_a_fault_is_told_from_an_arm_that_disagrees_with_itself() -> None:
    plain = {(0, 0): (1, 2, 3), (0, 1): (1, 2, 3), (1, 0): (5, 5), (1, 1): (5, 6)}
    other = {(0, 0): (1, 2, 3), (0, 1): (1, 9, 3), (1, 0): (5, 5), (1, 1): (5, 5)}
    found = compare(plain, other)
    assert (found.compared, found.same) == (4, 2)
    fault, tie = found.divergences
    assert (fault.prompt, fault.repeat, fault.position) == (0, 1, 1)
    assert (fault.base_token, fault.other_token, fault.base_stable) == (2, 9, True)
    assert tie.base_stable is False
    assert not found.lossless


def test_only_ties_leave_the_output_lossless() -> None:
    assert compare({(0, 0): (1,), (0, 1): (2,)}, {(0, 0): (1,), (0, 1): (1,)}).lossless


def test_ending_early_is_a_difference_where_the_other_goes_on() -> None:
    (found,) = compare({(0, 0): (1, 2)}, {(0, 0): (1,)}).divergences
    assert (found.position, found.base_token, found.other_token) == (1, 2, None)
