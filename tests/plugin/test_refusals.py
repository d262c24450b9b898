"""What is refused, and that the sentence names the number and the way out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from neuron.plugin.refusals import Terms, refusal

TERMS = Terms(max_prompt=100, max_len=200, num_draft_tokens=5, vocab=32)
GRAMMAR = SimpleNamespace(all_constraints_none=lambda: False)
EMPTY = SimpleNamespace(all_constraints_none=lambda: True)


def params(**changes: Any) -> Any:  # noqa: ANN401 - stands in for vLLM's SamplingParams
    plain: dict[str, Any] = {
        "temperature": 0.0,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "repetition_penalty": 1.0,
        "seed": None,
        "min_tokens": 0,
        "max_tokens": 10,
        "all_stop_token_ids": set(),
        "logit_bias": None,
        "allowed_token_ids": None,
        "bad_words_token_ids": None,
        "logprobs": None,
        "prompt_logprobs": None,
        "structured_outputs": None,
        "ignore_eos": False,
    }
    return SimpleNamespace(**{**plain, **changes})


@pytest.mark.parametrize(
    ("terms", "prompt", "change", "says"),
    [
        (TERMS, 101, {}, "prompt has 101 tokens, but this engine is compiled for prompts of 100"),
        (TERMS, 100, {"max_tokens": 96}, "ask for at most 95 or send it to"),
        (TERMS, 50, {"prompt_logprobs": 0}, "prompt_logprobs is not served"),
        (
            Terms(100, 200, 5, 32, reasoning=True),
            50,
            {"structured_outputs": GRAMMAR},
            "reasoning parser is not served",
        ),
        (
            TERMS,
            50,
            {"structured_outputs": GRAMMAR, "ignore_eos": True},
            "together with ignore_eos is not served",
        ),
        (Terms(100, 200, 5, 32, logits=False), 50, {"temperature": 0.5}, "is greedy only"),
        (Terms(100, 200, 5, 32, logits=False), 50, {"structured_outputs": GRAMMAR}, "greedy only"),
    ],
)
def test_refused(terms: Terms, prompt: int, change: dict[str, Any], says: str) -> None:
    reason = refusal(terms, [3] * prompt, params(**change))
    assert reason is not None
    assert says in reason
    assert reason.endswith(".")


@pytest.mark.parametrize(
    ("terms", "prompt", "change"),
    [
        (TERMS, 100, {"max_tokens": 95}),
        (TERMS, 1, {"max_tokens": None}),
        (TERMS, 50, {"temperature": 1.0, "logprobs": 5, "structured_outputs": GRAMMAR}),
        (Terms(100, 200, 5, 32, logits=False), 50, {}),
        (Terms(100, 200, 5, 32, logits=False), 50, {"structured_outputs": EMPTY}),
        (Terms(100, 200, 5, 32, reasoning=True), 50, {"temperature": 1.0}),
    ],
)
def test_served(terms: Terms, prompt: int, change: dict[str, Any]) -> None:
    assert refusal(terms, [3] * prompt, params(**change)) is None


@pytest.mark.parametrize("token", [-1, 32])
def test_a_token_that_is_none_is_refused(token: int) -> None:
    assert f"holds token {token}," in (refusal(TERMS, [3, token, 3], params()) or "")


def test_a_served_request_fits_a_step_at_its_last_position() -> None:
    # Its last token is at max_model_len - 1 and is never fed; the one before it is.
    last_fed = TERMS.max_model_len - 2
    assert last_fed + (TERMS.num_draft_tokens + 1) <= TERMS.max_len
