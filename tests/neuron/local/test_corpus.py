import json
import random
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron.local.corpus import CONTROLS, STRUCTURED, TASKS, Example, held_out, stream

SEEDS = st.integers(min_value=0, max_value=10_000)
EVERY_TASK = pytest.mark.parametrize("name", list(TASKS))


def request(example: Example) -> str:
    return json.dumps([example.messages, example.tools])


@given(SEEDS)
def test_every_tasks_validator_accepts_its_own_answer(seed: int) -> None:
    for task in TASKS.values():
        example = task.sample(random.Random(seed))
        outcome = task.check(example, example.answer)
        assert (outcome.valid, outcome.exact, outcome.reason) == (True, True, None), task.name


@EVERY_TASK
def test_an_answer_cut_off_half_way_is_not_exact(name: str) -> None:
    if name == "prose":
        pytest.skip("every sequence of words is as good as any other in the made-up language")
    for example in held_out(name, 20):
        assert not TASKS[name].check(example, example.answer[: len(example.answer) // 2]).exact


@pytest.mark.parametrize("name", [n for n in STRUCTURED if n != "count_repeat"])
def test_prose_is_not_a_valid_structured_answer(name: str) -> None:
    for example in held_out(name, 5):
        outcome = TASKS[name].check(example, "I am afraid that I cannot: do that.")
        assert not outcome.valid
        assert outcome.reason


@pytest.mark.parametrize("name", STRUCTURED)
def test_the_answer_to_another_request_is_not_exact(name: str) -> None:
    first, second = held_out(name, 2)
    assert first.answer != second.answer
    assert not TASKS[name].check(first, second.answer).exact


def test_a_wrong_value_makes_json_valid_but_not_exact() -> None:
    example = held_out("json_record", 1)[0]
    record = json.loads(example.answer)
    key = next(iter(record))
    changed = {**record, key: f"{record[key]}x" if isinstance(record[key], str) else 3}
    outcome = TASKS["json_record"].check(example, json.dumps(changed))
    assert (outcome.valid, outcome.exact) == (True, False)


@EVERY_TASK
def test_there_are_at_least_three_phrasings(name: str) -> None:
    assert len({example.phrasing for example in held_out(name, 100)}) >= 3


@EVERY_TASK
def test_held_out_examples_are_the_same_for_the_same_seed(name: str) -> None:
    assert held_out(name, 5, seed=1) == held_out(name, 5, seed=1)
    assert held_out(name, 5, seed=1) != held_out(name, 5, seed=2)


def test_no_held_out_request_is_in_the_training_stream() -> None:
    # Repetition has the fewest different requests, so a leak would show there first.
    seen = {request(example) for example in islice(stream({"count_repeat": 1.0}, 0), 20_000)}
    assert seen.isdisjoint(request(example) for example in held_out("count_repeat", 500))


def test_controls_and_structured_tasks_are_told_apart() -> None:
    assert set(CONTROLS) == {"prose", "hex"}
    assert set(CONTROLS) | set(STRUCTURED) == set(TASKS)


@given(st.text(max_size=60))
def test_no_text_is_too_odd_to_be_judged(text: str) -> None:
    for name in ("k8s_yaml", "sql"):
        example = held_out(name, 1)[0]
        for answer in (text, f"SELECT {text}", f"kind: {text}"):
            assert not TASKS[name].check(example, answer).exact


@pytest.mark.parametrize(
    "answer",
    [
        "2024-13-45",
        "kind: 2024-13-45",
        "!!timestamp x",
        "!!bool x",
        "!!int ''",
        "kind: 0b_",
        "[" * 1500,
        "? {a: 1}\n: 2",
        "&a [*a]",
    ],
)
def test_yaml_that_cannot_be_built_is_invalid(answer: str) -> None:
    outcome = TASKS["k8s_yaml"].check(held_out("k8s_yaml", 1)[0], answer)
    assert not outcome.valid
    assert outcome.reason


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT * FROM n",
            "interrupt",
        ),
        ("SELECT hex(zeroblob(900000000))", "too big"),
        ("ATTACH DATABASE 'FOLDER/x.db' AS x", "not authorized"),
        ("VACUUM INTO 'FOLDER/x.db'", "denied"),
        ("DELETE FROM sqlite_master", "not"),
        ("CREATE TABLE t (x)", "not authorized"),
        ("PRAGMA journal_mode = WAL", "not authorized"),
        ("SELECT '\ud800'", "surrogates"),
    ],
)
def test_a_query_may_only_read_and_must_end(query: str, reason: str, tmp_path: Path) -> None:
    query = query.replace("FOLDER", str(tmp_path))
    outcome = TASKS["sql"].check(held_out("sql", 1)[0], query)
    assert not outcome.valid
    assert reason in str(outcome.reason)
    assert list(tmp_path.iterdir()) == []


def test_a_recursive_query_that_ends_runs() -> None:
    query = (
        "WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM n WHERE x<5) SELECT * FROM n"
    )
    assert TASKS["sql"].check(held_out("sql", 1)[0], query).valid
