"""Which form a request asks for, and whether an answer has it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import ApiError
from server.structured import Contract, Said
from server.structured.json_text import JsonProgress
from server.structured.limits import THOROUGH, within
from server.structured.rules import Call

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"enum": [1, 2]}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
GOOD = '{"name": "a", "age": 1}'


def form(schema: object) -> dict[str, Any]:
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    }


def tool(name: str, **more: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": PERSON, **more}}


def contract(document: dict[str, Any]) -> Contract:
    found = Contract.of(document)
    assert found is not None
    return found


def fault(document: dict[str, Any], text: str = "", *calls: Call) -> str | None:
    with within(THOROUGH):
        found = contract(document).fault(Said(text, calls))
    return None if found is None else found.kind


TEXTS = [
    (form(PERSON), GOOD, None),
    (form(PERSON), GOOD + "\n\n ", None),
    (form(PERSON), "", "not_json"),
    (form(PERSON), GOOD[:-1], "not_json"),
    (form(PERSON), f"```json\n{GOOD}\n```", "not_json"),
    (form(PERSON), '{"name": "a", "age": 3}', "schema"),
    (form(PERSON), '{"name": "a", "age": 1, "more": 1}', "schema"),
    (form({"type": "number"}), "NaN", "not_json"),
    (form({"type": "number"}), "1", None),
    (form({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}), "null", None),
    (form({"type": "string", "pattern": "^a+$"}), '"aa"', None),
    (form({"type": "string", "pattern": "^a+$"}), '"ab"', "schema"),
    (form({"patternProperties": {"^a": {"type": "null"}}}), '{"ab": 1}', "schema"),
    (
        form({"patternProperties": {"^a": True}, "additionalProperties": False}),
        '{"ab": 1, "b": 1}',
        "schema",
    ),
    (form({"additionalProperties": {"type": "null"}}), '{"a": 1}', "schema"),
    (form({"uniqueItems": True}), "[1, 2, [1]]", None),
    (form({"uniqueItems": True}), "[[1], 2, [1]]", "schema"),
    ({"response_format": {"type": "json_object"}}, "{}", None),
    ({"response_format": {"type": "json_object"}}, "[]", "schema"),
    ({"text": {"format": {"type": "json_schema", "name": "x", "schema": PERSON}}}, GOOD, None),
    ({"text": {"format": {"type": "json_object"}}}, "3", "schema"),
    ({"structured_outputs": {"json": PERSON}}, GOOD, None),
    ({"structured_outputs": {"json": json.dumps(PERSON)}}, "{}", "schema"),
    ({"structured_outputs": {"json_object": True}}, "{", "not_json"),
    ({"structured_outputs": {"choice": ["yes", "no"]}}, "yes", None),
    ({"structured_outputs": {"choice": ["yes", "no"]}}, "yes.", "choice"),
    ({"structured_outputs": {"regex": "[0-9]{3}"}}, "123", None),
    ({"structured_outputs": {"regex": "[0-9]{3}"}}, "1234", "regex"),
]


@pytest.mark.parametrize(("document", "text", "expected"), TEXTS)
def test_text(document: dict[str, Any], text: str, expected: str | None) -> None:
    assert fault(document, text) == expected


NAMED = {"type": "function", "function": {"name": "a"}}
CALLS = [
    ({"tools": [tool("a")], "tool_choice": "required"}, [Call("a", GOOD)], None),
    ({"tools": [tool("a")], "tool_choice": "required"}, [], "no_call"),
    ({"tools": [tool("a")], "tool_choice": "required"}, [Call("b", GOOD)], "wrong_tool"),
    ({"tools": [tool("a")], "tool_choice": "required"}, [Call("a", "{}")], "schema"),
    ({"tools": [tool("a")], "tool_choice": "required"}, [Call("a", "{")], "not_json"),
    ({"tools": [tool("a"), tool("b")], "tool_choice": NAMED}, [Call("a", GOOD)], None),
    ({"tools": [tool("a"), tool("b")], "tool_choice": NAMED}, [Call("b", GOOD)], "wrong_tool"),
    ({"tools": [tool("a"), tool("b")], "tool_choice": NAMED}, [], "no_call"),
    ({"tools": [tool("a", strict=True), tool("b")]}, [], None),
    ({"tools": [tool("a", strict=True), tool("b")]}, [Call("b", "x")], None),
    ({"tools": [tool("a", strict=True), tool("b")]}, [Call("a", "{}")], "schema"),
    (
        {"tools": [{"type": "function", "name": "a"}], "tool_choice": "required"},
        [Call("a", "{}")],
        None,
    ),
    (
        {
            "tools": [{"type": "function", "name": "a", "parameters": PERSON}],
            "tool_choice": {"type": "function", "name": "a"},
        },
        [Call("a", "{}")],
        "schema",
    ),
    ({"tools": [tool("a", strict=True)], **form(PERSON)}, [Call("a", GOOD)], None),
]


@pytest.mark.parametrize(("document", "calls", "expected"), CALLS)
def test_calls(document: dict[str, Any], calls: list[Call], expected: str | None) -> None:
    assert fault(document, "", *calls) == expected


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"response_format": {"type": "text"}},
        {"response_format": "json"},
        {"structured_outputs": {"grammar": "root ::= 'a'"}},
        {"structured_outputs": 3},
        {"tools": [tool("a")]},
        {"tools": [tool("a", strict=True)], "tool_choice": "none"},
        {"tools": "x", "tool_choice": "required"},
        {**form(PERSON), "echo": True},
    ],
)
def test_what_cannot_be_held_to_a_form_has_no_contract(document: dict[str, Any]) -> None:
    assert Contract.of(document) is None


@pytest.mark.parametrize(
    ("document", "param", "code"),
    [
        (form({"type": "nonsense"}), "response_format", "invalid_json_schema"),
        (form("x"), "response_format", "invalid_json_schema"),
        (form(3), "response_format", "invalid_json_schema"),
        (form({"$ref": "http://127.0.0.1:9/x"}), "response_format", "invalid_json_schema"),
        (form({"pattern": "("}), "response_format", "invalid_json_schema"),
        (form({"enum": ["x" * 200_000]}), "response_format", "invalid_json_schema"),
        (
            form({"patternProperties": {"a": True}, "unevaluatedProperties": False}),
            "response_format",
            "invalid_json_schema",
        ),
        ({"structured_outputs": {"json": "{"}}, "structured_outputs.json", "invalid_json_schema"),
        ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex", "invalid_value"),
        (
            {"tools": [tool("a", parameters={"type": "x"})], "tool_choice": "required"},
            "tools",
            "invalid_json_schema",
        ),
        (
            {"text": {"format": {"type": "json_schema", "schema": {"type": "x"}}}},
            "text.format",
            "invalid_json_schema",
        ),
    ],
)
def test_what_cannot_be_checked_is_refused_before_the_engine_is_asked(
    document: dict[str, Any], param: str, code: str
) -> None:
    with pytest.raises(ApiError) as raised:
        Contract.of(document)
    assert (raised.value.status, raised.value.param, raised.value.code) == (400, param, code)


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def test_a_schema_without_bottom_is_refused() -> None:
    with pytest.raises(ApiError) as raised:
        Contract.of(form(deep(5000)))
    assert raised.value.code == "invalid_json_schema"


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"$ref": "#"}, "$ref '#'"),
        ({"$defs": {"a/~": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a~1~0"}}}, "$ref '#/"),
        ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "$ref '#'"),
        ({"items": {"not": {"$ref": "#/items"}}}, "$ref '#/items'"),
        ({"allOf": [{"oneOf": [{"$ref": "#/allOf/0"}]}]}, "$ref '#/allOf/0'"),
    ],
)
def test_a_schema_that_is_never_done_with_a_value_is_refused(schema: object, named: str) -> None:
    with pytest.raises(ApiError) as raised:
        Contract.of(form(schema))
    assert raised.value.code == "invalid_json_schema"
    assert named in raised.value.message
    assert "leads back to itself" in raised.value.message


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"next": {"$ref": "#"}, "$ref": {"type": "string"}}},
        {"$defs": {"n": {"anyOf": [{"type": "null"}, {"items": {"$ref": "#/$defs/n"}}]}},
         "$ref": "#/$defs/n"},
        {"$defs": {"a": {}, "b": {"$ref": "#/$defs/a"}}, "allOf": [{"$ref": "#/$defs/b"}] * 2},
        {"const": {"$ref": "#"}},
        {"$ref": "#there", "$defs": {"x": {"$anchor": "there", "items": {"$ref": "#there"}}}},
    ],
)  # fmt: skip
def test_a_schema_may_be_of_a_tree(schema: object) -> None:
    assert Contract.of(form(schema)) is not None


FORKED = {
    "$ref": "#/$defs/a",
    "$defs": {
        "a": {
            "anyOf": [
                {"properties": {"x": {"$ref": "#/$defs/a"}}, "required": ["y"]},
                {"properties": {"x": {"$ref": "#/$defs/a"}}, "required": ["z"]},
            ]
        }
    },
}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("document", "text"),
    [
        (form({"pattern": "^(a+)+$"}), json.dumps("a" * 5000 + "b")),
        ({"structured_outputs": {"regex": "(a|a)+"}}, "a" * 5000 + "b"),
        (form(FORKED), '{"x": ' * 40 + "1" + "}" * 40),
        (form({"$anchor": "a", "$ref": "#a"}), "1"),
    ],
)
async def test_a_check_that_a_client_made_costly_has_an_end(
    document: dict[str, Any], text: str
) -> None:
    found = await contract(document).check(Said(text))
    assert found is not None
    assert found.kind in ("too_costly", "schema", "regex")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
HOLDERS = st.lists(VALUES) | st.dictionaries(st.text(), VALUES) | st.text()


@settings(max_examples=25)
@given(HOLDERS, st.sampled_from([None, 1]), st.data())
def test_a_value_is_complete_at_its_last_character_and_not_before(
    value: object, indent: int | None, data: st.DataObject
) -> None:
    text = json.dumps(value, indent=indent)
    progress = JsonProgress()
    cut = data.draw(st.integers(0, len(text) - 1))
    progress.feed(text[:cut])
    assert not progress.complete
    progress.feed(text[cut:])
    assert progress.complete
    assert progress.white == 0
    progress.feed(" \n")
    assert (progress.complete, progress.white) == (True, 2)
    progress.feed("x")
    assert not progress.complete
