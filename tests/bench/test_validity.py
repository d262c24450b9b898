"""Each bad answer lands in its own class, whatever the others say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.validity import CLASSES, MEANING, classify

SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
GOOD = '{"a": 1}'


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        (GOOD, "length", "truncated"),
        ('{"a": 1', "length", "truncated"),
        (GOOD + " " * 250_000, "length", "runaway"),
        (GOOD + " " * 250_000, "stop", "runaway"),
        ('{"a":' + "\n" * 300 + "1}", "stop", "runaway"),
        (f"```json\n{GOOD}\n```", "stop", "fenced"),
        (f"Here it is: {GOOD} Good luck!", "stop", "surrounded"),
        ('{"b": 1}', "stop", "wrong schema"),
        ('{"a": "one"}', "stop", "wrong schema"),
        ("[1]", "stop", "wrong schema"),
        (GOOD, "stop", "invalid"),
        ('{"a": 1', "stop", "not json"),
        ("a is 1", "stop", "not json"),
        ("[" * 100_000, "stop", "not json"),
        ("", "stop", "empty"),
    ],
)
def test_what_the_validator_refuses_says_why(text: str, finish: str, expected: str) -> None:
    assert classify(text, finish, valid=False, exact=False, schema=SCHEMA) == expected


def test_what_holds_is_exact_or_not() -> None:
    assert classify(GOOD, "stop", valid=True, exact=True, schema=SCHEMA) == "exact"
    assert classify(GOOD, "stop", valid=True, exact=False, schema=SCHEMA) == "inexact"
    assert classify("SELECT", "stop", valid=False, exact=False) == "invalid"


def test_the_server_comes_before_the_text() -> None:
    assert classify("", None, valid=False, exact=False, status=400, problem="no") == "refused"
    assert classify(GOOD, "stop", valid=True, exact=True, problem="no usage") == "unusable"
    assert classify("", None, valid=False, exact=False, status=0, problem="no") == "unusable"


def test_every_class_is_explained() -> None:
    assert tuple(MEANING) == CLASSES


@given(st.text(max_size=40), st.sampled_from(["stop", "length", None]), st.booleans())
def test_any_text_has_a_class(text: str, finish: str | None, valid: bool) -> None:
    assert classify(text, finish, valid=valid, exact=False, schema=SCHEMA) in CLASSES
