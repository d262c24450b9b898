"""A user's own requests: what is taken, and what is refused with its line and field."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UsageProblemError
from bench.workloads import choose, from_file
from bench.workloads.workload import Example, Workload

MESSAGES = [{"role": "user", "content": "A number, please"}]
ASK: dict[str, Any] = {"messages": MESSAGES}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def written(folder: Path, *records: object) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def loaded(path: Path) -> tuple[Workload, Example]:
    workload = from_file(path)
    (example,) = workload.examples(1, 0)
    return workload, example


def test_openai_bodies_keep_what_they_ask_for(tmp_path: Path) -> None:
    record = {
        **ASK, "model": "any", "stream": True, "temperature": 0.5, "max_tokens": 9,
        "chat_template_kwargs": {"enable_thinking": False}, "schema": SCHEMA, "answer": {"n": 1},
    }  # fmt: skip
    workload, example = loaded(written(tmp_path, record))
    assert (workload.name, workload.structured) == ("mine", True)
    assert list(example.messages) == MESSAGES
    assert workload.temperature_of(example) == 0.5
    assert workload.max_tokens_of(example, 320) == 9
    assert workload.max_tokens_of(example, 5) == 5
    assert workload.template_of(example) == {"enable_thinking": False}
    for text, valid, exact in (
        ('{"n": 1}', True, True), ('{"n": 2}', True, False), ('{"n": "1"}', False, False),
        ("1 or 2", False, False),
    ):  # fmt: skip
        outcome = workload.judge(example, text, "stop")
        assert (outcome.valid, outcome.exact) == (valid, exact)


def test_a_response_format_is_a_schema(tmp_path: Path) -> None:
    body = {**ASK, "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}
    workload, example = loaded(written(tmp_path, body))
    assert example.schema == SCHEMA
    assert workload.judge(example, '{"n": 7}', "stop").exact
    assert not workload.judge(example, "{}", "stop").valid


def test_without_schema_any_text_is_valid_and_the_answer_exact(tmp_path: Path) -> None:
    workload, example = loaded(written(tmp_path, {**ASK, "answer": "7"}))
    assert not workload.structured
    assert workload.judge(example, "7", "stop").exact
    assert workload.judge(example, "8", "stop").valid
    assert not workload.judge(example, "8", "stop").exact


def test_sharegpt_and_jsonschemabench_are_known_by_their_keys(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}]
    path = tmp_path / "sharegpt.json"
    path.write_text(json.dumps([{"id": "1", "conversations": turns}]))
    assert loaded(path)[1].messages[0]["content"] == "Hello"
    row = {"json_schema": json.dumps(SCHEMA), "unique_id": "o1"}
    workload, example = loaded(written(tmp_path, row))
    assert json.dumps(SCHEMA) in example.messages[0]["content"]
    assert workload.structured
    assert workload.judge(example, '{"n": 0}', "stop").exact


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({**ASK, "top_p": 1}, "line 2: top_p is not sent"),
        ({"messages": []}, "line 2: messages must be a list that holds some"),
        ({"messages": ["hi"]}, r"line 2: messages\[0\] must be an object"),
        ({"messages": [{"role": "me", "content": "hi"}]}, r"messages\[0\].role must be one of"),
        ({"messages": [{"role": "user"}]}, r"line 2: messages\[0\].content must be text"),
        ({**ASK, "temperature": 9}, "temperature must be a number from 0 to 2"),
        ({**ASK, "max_tokens": 0}, "max_tokens must be a whole number above 1"),
        ({**ASK, "answer": 7}, "answer must be text where there is no schema"),
        ({**ASK, "schema": {"type": "thing"}}, "schema is no JSON Schema"),
        ({**ASK, "schema": {"$ref": "https://x/y.json"}}, "schema refers to 'https://x/y.json'"),
        ({**ASK, "schema": {"$ref": "#/nowhere"}}, "schema refers to '#/nowhere', which is not"),
        ({**ASK, "response_format": {"type": "json_object"}}, "response_format.type must be"),
        ({"prompt": "hi"}, "line 2: messages is missing"),
        ({"conversations": []}, "line 2: messages is missing"),
        (["hi"], "line 2: must be a JSON object"),
    ],
)
def test_a_refusal_names_line_and_field(tmp_path: Path, record: object, said: str) -> None:
    path = written(tmp_path, ASK, record)
    with pytest.raises(UsageProblemError, match=said):
        from_file(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no request"),
        ("\n\n", "holds no request"),
        ("{", "line 1: is no JSON"),
        ('{"conversations": [{"from": "gpt", "value": "x"}]}', "has no turn from a human"),
        ('{"json_schema": "{"}', "line 1: json_schema is no JSON"),
        ('[{"json_schema": {}}, 7]', "entry 2: must be a JSON object"),
    ],
)
def test_what_is_no_file_of_requests_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(UsageProblemError, match=said):
        from_file(path)


def test_prompts_are_drawn_from_the_file_and_no_more_than_it_has(tmp_path: Path) -> None:
    bodies = [{"messages": [{"role": "user", "content": str(i)}]} for i in range(9)]
    workload = from_file(written(tmp_path, *bodies))
    assert workload.examples(4, 1) == workload.examples(4, 1)
    assert workload.examples(4, 1) != workload.examples(4, 2)
    with pytest.raises(UsageProblemError, match=r"--prompts 10: .* has 9 requests"):
        workload.examples(10, 0)


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sql.jsonl"
    path.write_text(json.dumps(ASK))
    with pytest.raises(UsageProblemError, match="sql is another workload's name"):
        choose([], "full", [from_file(path)])
