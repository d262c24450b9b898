"""Every workload: its own answers pass, broken ones fail for the right reason, seeds reproduce."""

import json
import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import UsageProblemError
from bench.validity import AnswerClass, classify
from bench.workloads import Workload, catalogue, choose
from bench.workloads.workload import Example

CHECKED = [one for one in catalogue("full") if one.code != "AWS8"]
SLOW = "code_boilerplate"
"""Each answer of it starts a process."""
seeds = st.integers(0, 2**32)


def by_name(name: str) -> Workload:
    return choose([name], "full")[0]


def judged(workload: Workload, example: Example, text: str, finish: str = "stop") -> AnswerClass:
    found = workload.judge(example, text, finish)
    return classify(
        text, finish, valid=found.valid, exact=found.exact, schema=example.schema,
        unfenced=lambda inside: workload.judge(example, inside, finish).valid,
    )  # fmt: skip


@pytest.mark.parametrize("workload", CHECKED, ids=lambda one: one.name)
def test_a_reference_answer_is_exact_for_its_own_prompt(workload: Workload) -> None:
    # The process of its own costs 50 ms and more each.
    count = 4 if workload.name == SLOW else 60
    for example in workload.examples(count, 3):
        assert judged(workload, example, example.answer) == "exact", example.answer
        assert judged(workload, example, example.answer, "length") == "truncated"
        assert judged(workload, example, "") == "empty"


@pytest.mark.parametrize("workload", catalogue("full"), ids=lambda one: one.name)
def test_a_seed_gives_the_same_prompts_and_another_gives_others(workload: Workload) -> None:
    assert workload.examples(8, 5) == workload.examples(8, 5)
    assert workload.examples(8, 5)[:3] == workload.examples(3, 5)
    if workload.code != "AWS8":
        assert workload.examples(8, 5) != workload.examples(8, 6)


@pytest.mark.parametrize("workload", CHECKED, ids=lambda one: one.name)
def test_prompts_differ_and_have_three_phrasings_or_more(workload: Workload) -> None:
    examples = workload.examples(100, 0)
    assert len({str((one.messages, one.tools)) for one in examples}) >= 95
    assert len({one.phrasing for one in examples}) >= 3


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(["json_extract", "csv_to_json"]), seeds)
def test_json_that_is_broken_falls_into_the_class_of_its_fault(name: str, seed: int) -> None:
    workload, rng = by_name(name), random.Random(seed)
    (example,) = workload.examples(1, seed)
    value = json.loads(example.answer)
    one = rng.choice(value) if isinstance(value, list) else value
    key = rng.choice([key for key in one if not isinstance(one[key], list)])
    assert judged(workload, example, example.answer[:-1]) == "not json"
    assert judged(workload, example, f"```json\n{example.answer}\n```") == "fenced"
    assert judged(workload, example, f"Here it is: {example.answer}") == "surrounded"
    one[key] = one[key] + 1 if isinstance(one[key], int | float) else one[key] + "x"
    assert judged(workload, example, json.dumps(value)) == "inexact"
    one[key] = None
    assert judged(workload, example, json.dumps(value)) == "wrong schema"
    del one[key]
    assert judged(workload, example, json.dumps(value)) == "wrong schema"


@settings(deadline=None, max_examples=40)
@given(seeds)
def test_json_is_compared_as_json(seed: int) -> None:
    workload = by_name("json_extract")
    (example,) = workload.examples(1, seed)
    backwards = dict(reversed(json.loads(example.answer).items()))
    assert judged(workload, example, json.dumps(backwards, separators=(",", ":"))) == "exact"


def test_a_query_is_judged_by_its_rows_and_can_only_read() -> None:
    workload = by_name("sql")
    for example in workload.examples(40, 1):
        query = example.answer
        assert judged(workload, example, query.lower().replace(" from ", "\nFROM ")) in (
            "exact", "inexact",
        )  # fmt: skip
        assert judged(workload, example, re.sub("'[^']*'", "'nowhere'", query, count=1)) in (
            ("exact",) if "'" not in query else ("inexact",)
        )
        assert judged(workload, example, query.replace("SELECT", "SELEKT")) == "invalid"
        assert judged(workload, example, f"```sql\n{query}\n```") == "fenced"
        table = example.facts["ddl"].split()[2]
        assert judged(workload, example, f"DROP TABLE {table}") == "invalid"


def test_a_call_needs_the_same_arguments() -> None:
    workload = by_name("tool_call")
    for example in workload.examples(20, 1):
        call = json.loads(example.answer.split("\n")[1])
        key = next(iter(call["arguments"]))
        del call["arguments"][key]
        broken = f"<tool_call>\n{json.dumps(call)}\n</tool_call>"
        assert judged(workload, example, broken) == "invalid"
        assert judged(workload, example, example.answer.replace("<tool_call>", "")) == "invalid"


@pytest.mark.parametrize(
    ("change", "found", "reason"),
    [
        (lambda code: code.replace("cls(", "dict("), "inexact", "another object"),
        (lambda code: code.replace("@dataclass\n", ""), "inexact", "no dataclass"),
        (lambda code: code.replace("return {", "return {'more': 1,"), "inexact", "another dict"),
        (lambda code: code.replace(":\n", "\n"), "invalid", "not Python"),
        (lambda code: f"```python\n{code}\n```", "fenced", "not Python"),
        (lambda code: code + "\nprint('hello')", "invalid", "more than define"),
        (lambda code: "import os\n" + code, "invalid", "more than define"),
        (lambda code: code.replace("return {", "import os\n        return {"), "inexact", "import"),
        (lambda code: code.replace("return {", "open('x')\n        return {"), "inexact", "open"),
        (lambda code: code.replace("return {", "while True: pass\n        return {"), "inexact",
         "its process ended|still running"),
        (lambda code: code.replace("return {", "[0] * 10**10\n        return {"), "inexact",
         "MemoryError"),
    ],
)  # fmt: skip
def test_code_is_run_where_it_can_do_nothing_and_judged_by_a_round_trip(
    change: Callable[[str], str], found: AnswerClass, reason: str
) -> None:
    workload = by_name("code_boilerplate")
    (example,) = workload.examples(1, 0)
    text = change(example.answer)
    assert text != example.answer
    outcome = workload.judge(example, text, "stop")
    assert re.search(reason, outcome.reason or "")
    told = classify(
        text, "stop", valid=outcome.valid, exact=outcome.exact,
        unfenced=lambda inside: workload.judge(example, inside, "stop").valid,
    )  # fmt: skip
    assert told == found


def test_an_edit_is_judged_by_its_tree() -> None:
    workload = by_name("code_edit")
    for example in workload.examples(20, 2):
        assert judged(workload, example, example.answer.replace("    ", "  ")) == "exact"
        prompt = example.messages[0]["content"]
        start = prompt.index("from dataclasses")
        untouched = prompt[start : prompt.rindex("        )") + len("        )")]
        assert judged(workload, example, untouched) == "inexact"


def test_counting_and_repeating_want_the_very_text() -> None:
    workload = by_name("repeat_count")
    for example in workload.examples(20, 2):
        gap = ", " if example.facts["kind"] == "count" else "\n"
        assert judged(workload, example, example.answer.rpartition(gap)[0]) == "inexact"
        assert judged(workload, example, example.answer + gap + "etc.") == "invalid"


def test_thoughts_come_before_the_answer_and_are_not_judged() -> None:
    plain, thinking = by_name("json_extract"), by_name("json_extract_thinking")
    example, same = thinking.examples(1, 5)[0], plain.examples(1, 5)[0]
    assert example.messages == same.messages
    assert thinking.template_of(example) == {"enable_thinking": True}
    assert plain.template_of(same) == {"enable_thinking": False}
    assert example.schema is None
    answer = same.answer
    # Some templates open the thoughts themselves, so that the answer begins inside them.
    for text in (f"<think>\nhm, {{}}\n</think>\n\n{answer}", f"hm\n</think>{answer}"):
        assert thinking.judge(example, text, "stop").exact
    for text, why in (
        (answer, "do not end"),
        (f"<think>{answer}", "do not end"),
        (f"<think>\n\n</think>{answer}", "no thoughts"),
    ):
        found = thinking.judge(example, text, "stop")
        assert not found.valid
        assert why in str(found.reason)
    assert not thinking.judge(example, "<think>hm</think>{}", "stop").valid


def test_thinking_is_only_asked_for_by_name() -> None:
    assert "json_extract_thinking" not in [one.name for one in choose([], "full")]
    (one,) = choose(["w1-thinking"], "full")
    assert one.name == "json_extract_thinking"


def test_prose_that_repeats_itself_or_thinks_is_none() -> None:
    workload = by_name("open_prose")
    (example,) = workload.examples(1, 0)
    reasons = {
        "the same words again and again " * 40: "repeats",
        f"<think>{example.answer}</think>": "thinks",
        "too short": "2 words",
    }
    for text, reason in reasons.items():
        assert judged(workload, example, text) == "invalid"
        assert reason in (workload.judge(example, text, "stop").reason or "")


def test_hex_wants_twenty_different_lines() -> None:
    workload = by_name("random_hex")
    (example,) = workload.examples(1, 0)
    lines = example.answer.split("\n")
    assert judged(workload, example, "\n".join([*lines[:-1], lines[0]])) == "inexact"
    assert judged(workload, example, "\n".join(lines[1:])) == "inexact"
    assert (
        judged(workload, example, example.answer.replace(lines[3], "1. " + lines[3])) == "invalid"
    )


def test_codes_and_names_choose_and_others_are_refused() -> None:
    assert [one.name for one in choose(["w1", "sql", "W3"], "full")] == ["json_extract", "sql"]
    assert [one.name for one in choose(["W4", "N2"])] == ["dataclass", "hex"]
    assert len(choose(["AWS8"])) == 8
    suite = [*(f"W{number}" for number in range(1, 8)), "N1", "N2"]
    assert [one.code for one in choose([])] == [one.code for one in choose([], "full")] == suite
    codes = {one.code for one in catalogue("bundled")} - {""}
    assert codes == {one.code for one in catalogue("full")} - {"W1-thinking"}
    with pytest.raises(UsageProblemError, match="'W9' does not exist: choose from json"):
        choose(["W9"], "full")
