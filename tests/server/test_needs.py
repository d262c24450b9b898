"""What each field of a request needs of an engine, on every stack and plugin that speculates."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from neuron.stacks.capabilities import Capabilities, Feature
from server.config.plans import plan_all
from server.config.reference import SPECULATING, needs_table
from server.pools.ask import FIELD
from server.pools.needs import BESIDE, FIELDS, REQUESTED, lacking, needs_of
from tests.server.conftest import CHAT, DOCS, chat
from tests.server.pools import Pools, pools

COMPLETION = "/v1/completions"
GREEDY = {"temperature": 0}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
STRICT = {"type": "function", "function": {"name": "f", "strict": True}}

ASKING: list[tuple[str, Feature, dict[str, Any]]] = [
    ("temperature", "sampling", {"temperature": 0.7}),
    ("temperature", "sampling", {"temperature": None}),
    ("presence_penalty", "penalties", {"presence_penalty": 0.5}),
    ("frequency_penalty", "penalties", {"frequency_penalty": -0.5}),
    ("repetition_penalty", "penalties", {"repetition_penalty": 1.1}),
    ("seed", "seed", {"seed": 0}),
    ("min_p", "min_p", {"min_p": 0.1}),
    ("logit_bias", "logit_bias", {"logit_bias": {"5": 1}}),
    ("allowed_token_ids", "token_limits", {"allowed_token_ids": [1]}),
    ("bad_words", "token_limits", {"bad_words": ["x"]}),
    ("min_tokens", "token_limits", {"min_tokens": 3}),
    ("logprobs", "logprobs", {"logprobs": True}),
    ("logprobs", "logprobs", {"logprobs": 0}),
    ("top_logprobs", "logprobs", {"top_logprobs": 2}),
    ("logprob_token_ids", "logprobs", {"logprob_token_ids": [1]}),
    ("use_beam_search", "logprobs", {"use_beam_search": True}),
    ("prompt_logprobs", "prompt_logprobs", {"prompt_logprobs": 0}),
    ("echo", "prompt_logprobs", {"logprobs": 1, "echo": True}),
    ("response_format", "grammar", {"response_format": {"type": "json_object"}}),
    ("response_format", "grammar", {"response_format": SCHEMA}),
    ("structured_outputs", "grammar", {"structured_outputs": {"regex": "a"}}),
    ("tool_choice", "grammar", {"tools": [TOOL], "tool_choice": "required"}),
    ("tool_choice", "grammar", {"tools": [TOOL], "tool_choice": TOOL}),
    ("tools", "grammar", {"tools": [STRICT]}),
    ("tools", "grammar", {"tools": [{"type": "function", "name": "f", "strict": True}]}),
    ("text", "grammar", {"text": {"format": {"type": "json_object"}}}),
    ("include", "logprobs", {"include": ["message.output_text.logprobs"]}),
    ("ignore_eos", "grammar_past_eos", {"response_format": SCHEMA, "ignore_eos": True}),
]
NEUTRAL: list[dict[str, Any]] = [
    {"presence_penalty": 0, "frequency_penalty": 0.0, "repetition_penalty": 1.0, "min_p": 0},
    {"seed": None, "logit_bias": {}, "logprobs": False, "top_logprobs": 0, "min_tokens": 0},
    {"logprobs": None, "bad_words": [], "allowed_token_ids": None, "use_beam_search": False},
    {"response_format": {"type": "text"}, "structured_outputs": None, "tool_choice": "auto"},
    {"text": {"format": {"type": "text"}}, "include": ["reasoning.encrypted_content"]},
    {"tools": [TOOL], "tool_choice": "none", "ignore_eos": True, "echo": True},
    {"top_p": 0.5, "top_k": 3, "stop": ["x"], "stop_token_ids": [1], "n": 2, "max_tokens": 5},
]
ENGINES: dict[str, Capabilities] = {
    name: plan.capabilities
    for name, config in SPECULATING.items()
    for plan in plan_all([config])
    if plan.capabilities is not None
}


def test_every_field_that_asks_for_something_is_tried() -> None:
    beside = {field for _, field in BESIDE.values()}
    assert {field for field, _, _ in ASKING} == {"temperature", *FIELDS, *beside}
    assert {feature for _, feature, _ in ASKING} == set(REQUESTED)
    assert set(REQUESTED) <= set(get_args(Feature))


@pytest.mark.parametrize(("field", "feature", "body"), ASKING)
def test_a_field_asks_for_its_feature(field: str, feature: Feature, body: dict[str, Any]) -> None:
    needs = needs_of({**GREEDY, **body})
    assert needs[feature] == field


@pytest.mark.parametrize("body", NEUTRAL)
def test_what_changes_nothing_asks_for_nothing(body: dict[str, Any]) -> None:
    assert needs_of({**GREEDY, **body}) == {}


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("field", "feature", "body"), ASKING)
def test_a_field_is_refused_where_the_engine_lacks_its_feature(
    name: str, field: str, feature: Feature, body: dict[str, Any]
) -> None:
    engine, needs = ENGINES[name], needs_of({**GREEDY, **body})
    found = lacking(needs, engine)
    others = [one for one in needs if one != feature and not engine.can(one)]
    if engine.can(feature) and not others:
        assert found is None
        return
    assert found is not None
    assert found[0] in ({needs[one] for one in others} | {field})
    assert found[1].why


def test_the_stacks_differ_where_they_are_known_to() -> None:
    refuse = {
        name: {one for one in REQUESTED if not engine.can(one)} for name, engine in ENGINES.items()
    }
    assert refuse["`cpu`"] == {"min_p", "logit_bias"}
    assert refuse["`nxdi`, our plugin"] == {"prompt_logprobs", "grammar_past_eos"}
    assert refuse["`nxdi`, AWS's plugin"] == set(REQUESTED)


def test_docs_have_the_table() -> None:
    assert needs_table() in (DOCS / "gateway.md").read_text()


@pytest.fixture(params=["`cpu`", "`nxdi`, our plugin", "`nxdi`, AWS's plugin"])
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.anyio
async def test_each_field_over_http(engine_name: str) -> None:
    """To the plain pool in `auto`, 400 naming it in `on`, and in `auto` without a plain pool."""
    engine = ENGINES[engine_name]
    async with pools(speculative=engine, plain=None) as both, pools(speculative=engine) as alone:
        for _, _, body in ASKING:
            asked = {**chat(), **GREEDY, **body}
            path = COMPLETION if "echo" in body else CHAT
            await _over_http(both, alone, path, asked, engine)


async def _over_http(
    both: Pools, alone: Pools, path: str, asked: dict[str, Any], engine: Capabilities
) -> None:
    if path == COMPLETION:
        asked = {"prompt": "x", **{key: asked[key] for key in asked if key != "messages"}}
    can = lacking(needs_of(asked), engine) is None
    auto = await both.http.post(path, json=asked)
    assert auto.status_code == 200
    assert auto.headers["x-specserve-pool"] == ("speculative" if can else "plain")
    await _refused_unless(both, path, {**asked, FIELD: "on"}, can=can, way_out="'auto'")
    await _refused_unless(alone, path, asked, can=can, way_out="leave")
    off = await both.http.post(path, json={**asked, FIELD: "off"})
    assert off.headers["x-specserve-pool"] == "plain"


async def _refused_unless(
    to: Pools, path: str, asked: dict[str, Any], *, can: bool, way_out: str
) -> None:
    answer = await to.http.post(path, json=asked)
    if can:
        assert answer.status_code == 200
        return
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["code"] == "unsupported_parameter"
    assert error["param"] in asked or error["param"] == "temperature"
    assert error["param"] in error["message"]
    assert way_out in error["message"] or "set it to 0" in error["message"]
