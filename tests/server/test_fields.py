"""The lists of fields against vLLM's request classes and the `openai` client's parameters.

A bump of either that brings a field or drops one fails here, until someone has decided
whether it is offered. vLLM is read, not imported.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params

from server import fields


def vllm(module: str, name: str) -> frozenset[str]:
    spec = find_spec("vllm")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse((Path(spec.origin).parent / "entrypoints" / module).read_text())
    (request,) = (
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name
    )
    names = (
        node.target.id
        for node in request.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    )
    return frozenset(name for name in names if not name.startswith("_"))


VLLM_CHAT = vllm("openai/chat_completion/protocol.py", "ChatCompletionRequest")
VLLM_COMPLETION = vllm("openai/completion/protocol.py", "CompletionRequest")
VLLM_RESPONSES = vllm("openai/responses/protocol.py", "ResponsesRequest")
VLLM_TOKENIZE = vllm("serve/tokenize/protocol.py", "TokenizeCompletionRequest") | vllm(
    "serve/tokenize/protocol.py", "TokenizeChatRequest"
)
VLLM_DETOKENIZE = vllm("serve/tokenize/protocol.py", "DetokenizeRequest")
OPENAI_CHAT = frozenset(
    chat_create_params.CompletionCreateParamsBase.__annotations__
    | chat_create_params.CompletionCreateParamsStreaming.__annotations__
)
OPENAI_COMPLETION = frozenset(
    completion_create_params.CompletionCreateParamsBase.__annotations__
    | completion_create_params.CompletionCreateParamsStreaming.__annotations__
)
OPENAI_RESPONSES = frozenset(
    response_create_params.ResponseCreateParamsBase.__annotations__
    | response_create_params.ResponseCreateParamsStreaming.__annotations__
)

BOTH = pytest.mark.parametrize(
    ("known", "engine", "clients"),
    [
        pytest.param(fields.CHAT, VLLM_CHAT, OPENAI_CHAT, id="chat"),
        pytest.param(fields.COMPLETION, VLLM_COMPLETION, OPENAI_COMPLETION, id="completion"),
    ],
)


@BOTH
def test_every_field_that_exists_is_offered_or_refused_by_name(
    known: frozenset[str], engine: frozenset[str], clients: frozenset[str]
) -> None:
    assert (engine | clients) - known <= fields.NOT_OFFERED
    assert known <= engine | clients


@BOTH
def test_what_the_engine_would_ignore_is_known_to_be_harmless(
    known: frozenset[str], engine: frozenset[str], clients: frozenset[str]
) -> None:
    assert known - engine <= fields.HINTS | set(fields.ONLY)
    assert not engine & (fields.HINTS | set(fields.ONLY))


def test_what_is_not_offered_exists() -> None:
    everything = VLLM_CHAT | VLLM_COMPLETION | OPENAI_CHAT | OPENAI_COMPLETION
    assert everything - fields.CHAT - fields.COMPLETION == fields.NOT_OFFERED


def test_responses() -> None:
    known, everything = fields.RESPONSES, VLLM_RESPONSES | OPENAI_RESPONSES
    assert known <= everything
    assert everything - known - fields.NOT_OFFERED == fields.RESPONSES_NOT_OFFERED
    assert known - VLLM_RESPONSES <= fields.RESPONSES_HINTS


def test_tokenize() -> None:
    assert fields.TOKENIZE <= VLLM_TOKENIZE
    assert VLLM_TOKENIZE - fields.TOKENIZE <= fields.NOT_OFFERED
    assert fields.DETOKENIZE == VLLM_DETOKENIZE
