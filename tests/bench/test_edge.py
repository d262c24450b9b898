"""What the user reads of a failure, and what we need of our own."""

import pytest

from bench.edge import finish
from bench.errors import EngineFailedError


def failing(error: Exception) -> int:
    def work() -> None:
        raise error

    return finish("bench", work)


def test_a_bug_of_ours_comes_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    group = ExceptionGroup("unhandled errors in a TaskGroup", [ZeroDivisionError("by zero")])
    for error in (ZeroDivisionError("by zero"), group):
        assert failing(error) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("bench: internal error")
        assert "ZeroDivisionError: by zero" in err
        assert "Traceback (most recent call last)" in err
        assert "in work" in err


def test_an_error_for_the_user_is_taken_out_of_its_groups(
    capsys: pytest.CaptureFixture[str],
) -> None:
    inner = ExceptionGroup("inner", [ValueError("x"), EngineFailedError("It died.")])
    assert failing(ExceptionGroup("outer", [inner])) == 4
    assert capsys.readouterr().err == "bench: It died.\n"
