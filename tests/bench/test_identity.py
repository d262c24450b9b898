import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.identity import compare, first_difference, halves, tie_nats
from bench.record import Launched, Probe

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
    assert (fault.kind, tie.kind) == ("fault", "varies")
    assert not found.lossless


def test_only_ties_leave_the_output_lossless() -> None:
    assert compare({(0, 0): (1,), (0, 1): (2,)}, {(0, 0): (1,), (0, 1): (1,)}).lossless


def test_ending_early_is_a_difference_where_the_other_goes_on() -> None:
    (found,) = compare({(0, 0): (1, 2)}, {(0, 0): (1,)}).divergences
    assert (found.position, found.base_token, found.other_token) == (1, 2, None)


def probe(base: float | None, other: float | None, repeat: int = 0) -> Probe:
    return Probe(
        workload="w", concurrency=1, prompt=0, arm="speculative", repeat=repeat, position=1,
        base_logprob=base, other_logprob=other, least_logprob=-9.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("base", "other", "nats", "kind", "gap"),
    [
        (-0.7, -0.7005, 1e-3, "tie", 0.0005),
        (-0.7, -0.71, 1e-3, "fault", 0.01),
        (-0.7, -0.71, 0.25, "tie", 0.01),
        (-0.71, -0.7, 0.25, "tie", -0.01),
        (-0.1, -2.4, 0.25, "fault", 2.3),
        (-0.1, None, 0.25, "fault", 8.9),
        (None, -0.1, 0.25, "fault", None),
    ],
)
def test_the_plain_engines_rating_tells_a_tie_from_a_fault(
    base: float | None, other: float | None, nats: float, kind: str, gap: float | None
) -> None:
    plain, spec = {(0, 0): (1, 2, 3)}, {(0, 0): (1, 9, 3)}
    (found,) = compare(plain, spec, {(0, 0): probe(base, other)}, nats).divergences
    assert found.kind == kind
    assert found.gap_nats == (None if gap is None else pytest.approx(gap))


def test_a_rating_of_another_place_is_not_used() -> None:
    plain, spec = {(0, 0): (1, 2, 3)}, {(0, 0): (1, 2, 9)}
    (found,) = compare(plain, spec, {(0, 0): probe(-0.7, -0.7)}).divergences
    assert (found.position, found.kind, found.gap_nats) == (2, "fault", None)


def test_the_control_compares_an_arm_with_itself() -> None:
    plain = {(0, 0): (1, 2), (0, 1): (1, 3), (0, 2): (1, 2), (0, 3): (1, 2)}
    found = compare(*halves(plain))
    assert (found.compared, found.same) == (2, 1)
    assert [one.repeat for one in found.divergences] == [1]


@pytest.mark.parametrize(
    ("argv", "nats"),
    [
        (("x", "--dtype", "float32"), 1e-3),
        (("x", "--dtype", "bfloat16"), 0.25),
        ((), 0.25),
    ],
)
def test_how_near_is_a_tie_depends_on_the_type(argv: tuple[str, ...], nats: float) -> None:
    assert tie_nats((Launched(arm="plain", url="u", model="m", argv=argv),)) == nats
