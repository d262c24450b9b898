"""Acceptance per request in the answers of vLLM 0.16's API server, which has none.

A step's counts come with the step's tokens (neuron.plugin.scheduler). They ride in the field for
KV transfer, which a fused engine refuses, are taken out where vLLM makes a request's output, and
are written into the answer as vLLM 0.32 does: where there is one prompt and one choice, in a
stream into the chunk with the usage.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Protocol

from neuron.plugin.acceptance import Acceptance
from neuron.plugin.replaced import Method, Replacement, replace_all, takes

WITHOUT_CHOICES = '"choices":[]'
"""Only the chunk with the usage has it: inside a string the quotes would be escaped."""


class Asked(Protocol):
    """Either of vLLM's two request classes."""

    n: int | None


def tell_acceptance() -> bool:
    """Whether it is told from now on, in this process."""
    from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
    from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion
    from vllm.v1.engine.output_processor import RequestState

    made = ("new_token_ids", "pooling_output", "finish_reason", "stop_reason", "kv_transfer_params")
    chat = takes("self", "request", "result_generator")
    stream = takes("self", "request", "engine_prompts", "result_generator")
    whole = takes("self", "final_res_batch", "request")
    return replace_all(
        "acceptance in answers",
        [
            Replacement(RequestState, "make_request_output", takes("self", *made), with_acceptance),
            Replacement(OpenAIServingChat, "chat_completion_full_generator", chat, whole_chat),
            Replacement(OpenAIServingChat, "chat_completion_stream_generator", chat, streamed_chat),
            Replacement(
                OpenAIServingCompletion,
                "request_output_to_completion_response",
                whole,
                whole_completion,
            ),
            Replacement(
                OpenAIServingCompletion, "completion_stream_generator", stream, streamed_completion
            ),
        ],
    )


def with_acceptance(original: Method) -> Method:
    """Every output of a request gets the one Acceptance that grows with it."""

    def make_request_output(
        state: Any,  # noqa: ANN401 - vLLM's RequestState
        new_token_ids: list[int],
        pooling_output: object,
        finish_reason: object,
        stop_reason: object,
        kv_transfer_params: dict[str, int] | None = None,
        *rest: object,
    ) -> Any:  # noqa: ANN401
        acceptance: Acceptance = vars(state).setdefault("acceptance", Acceptance())
        if kv_transfer_params is not None:
            acceptance.add(kv_transfer_params)
        output = original(
            state, new_token_ids, pooling_output, finish_reason, stop_reason, None, *rest
        )
        if output is not None:
            output.acceptance = acceptance
        return output

    return make_request_output


def whole_chat(original: Method) -> Method:
    async def chat_completion_full_generator(
        serving: object,
        request: Asked,
        outputs: AsyncIterator[Any],
        *rest: object,
    ) -> Any:  # noqa: ANN401
        watched = Watched(outputs)
        answer = await original(serving, request, watched, *rest)
        return told(answer, watched.last, single=is_single(request))

    return chat_completion_full_generator


def whole_completion(original: Method) -> Method:
    def request_output_to_completion_response(
        serving: object,
        outputs: list[Any],
        request: Asked,
        *rest: object,
    ) -> Any:  # noqa: ANN401
        answer = original(serving, outputs, request, *rest)
        return told(answer, outputs[0], single=len(outputs) == 1 and is_single(request))

    return request_output_to_completion_response


def streamed_chat(original: Method) -> Method:
    async def chat_completion_stream_generator(
        serving: object,
        request: Asked,
        outputs: AsyncIterator[Any],
        *rest: object,
    ) -> AsyncIterator[str]:
        watched = Watched(outputs)
        async with aclosing(original(serving, request, watched, *rest)) as events:
            async for event in events:
                yield told_in(event, watched.last) if is_single(request) else event

    return chat_completion_stream_generator


def streamed_completion(original: Method) -> Method:
    async def completion_stream_generator(
        serving: object,
        request: Asked,
        prompts: list[Any],
        outputs: AsyncIterator[tuple[int, Any]],
        *rest: object,
        **named: object,
    ) -> AsyncIterator[str]:
        watched = Watched(outputs)
        single = len(prompts) == 1 and is_single(request)
        async with aclosing(original(serving, request, prompts, watched, *rest, **named)) as events:
            async for event in events:
                yield told_in(event, watched.last and watched.last[1]) if single else event

    return completion_stream_generator


class Watched:
    """An iterator that remembers what it gave last; not a generator, which would need closing."""

    def __init__(self, items: AsyncIterator[Any]) -> None:
        self._items = aiter(items)
        self.last: Any = None

    def __aiter__(self) -> Watched:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401
        self.last = await anext(self._items)
        return self.last


def is_single(request: Asked) -> bool:
    return (request.n or 1) == 1


def told(answer: Any, output: Any, *, single: bool) -> Any:  # noqa: ANN401
    """vLLM's answer with `metrics`; as it is if that is an error, or nothing is known."""
    acceptance = getattr(output, "acceptance", None)
    if single and acceptance is not None and hasattr(answer, "choices"):
        # vLLM's models allow fields that they do not name.
        answer.metrics = acceptance.metrics()
    return answer


def told_in(event: str, output: Any) -> str:  # noqa: ANN401
    """The chunk with the usage with `metrics` too; any other as it is."""
    acceptance = getattr(output, "acceptance", None)
    if acceptance is None or WITHOUT_CHOICES not in event:
        return event
    document = json.loads(event.removeprefix("data: "))
    document["metrics"] = acceptance.metrics()
    return f"data: {json.dumps(document, ensure_ascii=False, separators=(',', ':'))}\n\n"
