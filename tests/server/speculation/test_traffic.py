"""Which requests share a class."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.speculation import classify

USER = {"role": "user", "content": "Who came when?"}
SCHEMA = {"type": "object", "properties": {"who": {"type": "string"}, "when": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "book", "parameters": SCHEMA}}
OTHER_TOOL = {"type": "function", "function": {"name": "pay", "parameters": {}}}


def chat(*before: dict[str, Any], **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"model": "m", "messages": [*before, USER], **fields}


def system(text: object, role: str = "system") -> dict[str, Any]:
    return {"role": role, "content": text}


def wants(schema: object, name: str = "answer") -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


def own(document: dict[str, Any], key_id: str | None = None) -> str:
    return str(classify(document, key_id=key_id))


def test_the_schema_decides_before_the_tools_before_the_system_prompt() -> None:
    everything = chat(system("Be brief."), tools=[TOOL], response_format=wants(SCHEMA))
    assert own(everything).startswith("schema:")
    del everything["response_format"]
    assert own(everything).startswith("tools:")
    everything["tool_choice"] = "none"
    assert own(everything).startswith("system:")
    assert own(chat()) == "text"
    assert own({"model": "m", "prompt": "Once"}) == "text"


def test_a_class_backs_off_to_its_key_and_its_kind() -> None:
    digest = own(chat(response_format=wants(SCHEMA)))
    path = classify(chat(response_format=wants(SCHEMA)), key_id="app").path
    assert path == ("all", "schema", "schema@app", digest)
    assert classify(chat(), key_id="app").path == ("all", "text", "text@app")
    assert classify(chat(), key_id=None).path == ("all", "text")


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (
            chat(response_format=wants(SCHEMA)),
            chat(response_format=wants(dict(reversed(SCHEMA.items())), name="other"), seed=3),
        ),
        (chat(tools=[TOOL, OTHER_TOOL]), chat(tools=[OTHER_TOOL, TOOL], temperature=0)),
        (chat(system("Be brief.")), chat(system([{"type": "text", "text": "Be brief."}]))),
        (chat(system("Be brief.")), chat(system("Be brief.", role="developer"))),
        (chat(system("x" * 600 + "Monday")), chat(system("x" * 600 + "Tuesday"))),
        (chat(response_format={"type": "text"}), chat()),
        (
            chat(structured_outputs={"regex": "a", "json": None}),
            chat(structured_outputs={"regex": "a"}),
        ),
    ],
)  # fmt: skip
def test_what_says_nothing_of_the_answer_makes_no_other_class(
    one: dict[str, Any], same: dict[str, Any]
) -> None:
    assert own(one) == own(same)


def test_what_says_something_does() -> None:
    documents = (
        chat(response_format=wants(SCHEMA)),
        chat(response_format=wants({"type": "array"})),
        chat(response_format={"type": "json_object"}),
        chat(structured_outputs={"regex": "a"}),
        chat(structured_outputs={"regex": "b"}),
        chat(tools=[TOOL]),
        chat(tools=[TOOL, OTHER_TOOL]),
        chat(system("Be brief.")),
        chat(system("Be long.")),
        chat(system("Be brief."), system("And kind.")),
        chat(),
    )
    assert len({own(document) for document in documents}) == len(documents)


def test_the_same_schema_of_two_keys_is_one_class() -> None:
    document = chat(response_format=wants(SCHEMA))
    assert own(document, "one") == own(document, "two")
    assert own(chat(), "one") != own(chat(), "two")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("messages", "tools", "tool_choice", "response_format", "structured_outputs"),
            json_values,
        ),
    )
)
def test_any_document_has_a_class_with_bounded_names(document: dict[str, Any]) -> None:
    cls = classify(document, key_id=None)
    assert cls == classify(document, key_id=None)
    assert all(len(name) <= 32 for name in cls.path)
