"""Every path that vLLM has is offered or refused with a reason, and the docs say which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import openai
import pytest

from server import surface
from tests.server.conftest import DOCS, Running
from tests.server.fake_engine import FakeEngine
from tests.server.test_requests import is_openai_error

METHODS = ("get", "post", "put", "delete", "patch")


def vllm_paths() -> Iterator[str]:
    """From the decorators of its routes; vLLM is read, not imported."""
    spec = find_spec("vllm")
    assert spec is not None
    assert spec.origin is not None
    for file in (Path(spec.origin).parent / "entrypoints").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in METHODS
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "router"
                and isinstance(node.args[0], ast.Constant)
            ):
                yield str(node.args[0].value)


PATHS = frozenset(vllm_paths())


def test_vllm_has_the_paths_that_are_passed_on() -> None:
    passed = {path for path, how in surface.OFFERED.items() if how.startswith("to an engine")}
    assert passed <= PATHS


def test_every_path_of_vllm_is_offered_or_refused_with_a_reason() -> None:
    assert "/v1/embeddings" in PATHS
    assert {path for path in PATHS - set(surface.OFFERED) if not surface.why_not(path)} == set()


def test_docs_list_every_path() -> None:
    assert surface.table() in (DOCS / "openai-api.md").read_text()


@pytest.mark.anyio
async def test_a_refused_path_is_404_and_says_why(gateway: Running, engine: FakeEngine) -> None:
    for path in sorted(path for refusal in surface.REFUSED for path in refusal.paths):
        asked = f"{path}/x" if path in surface.OFFERED else path
        for method in ("GET", "POST"):
            answer = await gateway.http.request(method, asked, json={"model": "fake"})
            assert answer.status_code == 404
            error = is_openai_error(answer)
            assert error["code"] == "unknown_url"
            assert str(surface.why_not(asked)) in error["message"]
    assert engine.wires == []


@pytest.mark.anyio
async def test_embeddings_are_refused_to_the_official_client(gateway: Running) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="x") as client:
        with pytest.raises(openai.NotFoundError, match="they embed"):
            await client.embeddings.create(model="fake", input="x")
