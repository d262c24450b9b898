"""The top-level fields a request may have.

vLLM ignores what it does not know, so a misspelt `temprature` would change the answer
without a word. What is not listed here is refused by name.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from server.errors import ApiError, invalid


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHARED = _names(
    """
    model n stream stream_options temperature top_p stop seed user logprobs max_tokens
    presence_penalty frequency_penalty logit_bias response_format
    top_k min_p repetition_penalty length_penalty stop_token_ids include_stop_str_in_output
    ignore_eos min_tokens skip_special_tokens spaces_between_special_tokens
    truncate_prompt_tokens truncation_side prompt_logprobs logprob_token_ids allowed_token_ids
    bad_words echo add_special_tokens structured_outputs priority cache_salt use_beam_search
    return_tokens_as_token_ids return_token_ids return_token_offsets repetition_detection
    thinking_token_budget stream_interval
    """
)

# Known to OpenAI's clients, unknown to the engine; the answer is right without them.
HINTS = _names(
    """
    metadata safety_identifier prediction
    prompt_cache_key prompt_cache_options prompt_cache_retention
    """
)

# Unknown to the engine too; these values leave the answer as it is.
ONLY: Mapping[str, tuple[Any, ...]] = {
    "store": (False,),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
    "best_of": (1,),
    "background": (False,),
}

CHAT = (
    _SHARED
    | HINTS
    | _names(
        """
        messages max_completion_tokens top_logprobs tools tool_choice parallel_tool_calls
        reasoning_effort include_reasoning add_generation_prompt continue_final_message documents
        chat_template_kwargs return_prompt_text store modalities service_tier verbosity
        """
    )
)

COMPLETION = _SHARED | _names("prompt suffix best_of")

# Of /v1/responses, which has some fields of chat under other names.
RESPONSES = HINTS - {"prediction"} | _names(
    """
    model input instructions max_output_tokens stream stream_options temperature top_p user
    tools tool_choice parallel_tool_calls max_tool_calls text reasoning include include_reasoning
    top_logprobs truncation store background service_tier structured_outputs
    top_k min_p presence_penalty frequency_penalty repetition_penalty logit_bias seed stop
    stop_token_ids include_stop_str_in_output ignore_eos skip_special_tokens
    chat_template_kwargs priority cache_salt
    """
)
RESPONSES_HINTS = HINTS | {"stream_options"}

TOKENIZE = _names(
    """
    model prompt messages tools add_special_tokens add_generation_prompt continue_final_message
    return_token_strs chat_template_kwargs
    """
)
DETOKENIZE = _names("model tokens")

TOOL_TYPES = ("function", "custom")
"""The others run on OpenAI's side; the engine would leave them out without a word."""

NOT_OFFERED = _names(
    """
    audio function_call functions moderation web_search_options chat_template request_id
    session_id kv_transfer_params ec_transfer_params mm_payload mm_processor_kwargs
    media_io_kwargs prompt_embeds vllm_xargs return_mm_kwargs routed_experts_prompt_start
    watermarking
    """
)
RESPONSES_NOT_OFFERED = _names(
    """
    access_programs background_options context_management conversation enable_response_messages
    image previous_input_messages previous_response_id prompt
    """
)


def check_fields(body: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raises ApiError for the first field that would be ignored or is not the client's to set."""
    for name, value in body.items():
        if name not in known:
            raise _refused(name, known)
        check_value(name, name, value)


def check_value(param: str, name: str, value: object) -> None:
    """Raises ApiError for a value that the answer would be silently without."""
    allowed = ONLY.get(name)
    if allowed is None or value is None or value in allowed:
        return
    only = " or ".join(repr(one) for one in allowed)
    raise invalid(
        f"This {name} is not offered here; leave it out or send {only}.",
        param=param,
        code="unsupported_value",
    )


def check_tools(types: Sequence[str]) -> None:
    """Of /v1/responses. Raises ApiError."""
    for place, kind in enumerate(types):
        if kind not in TOOL_TYPES:
            raise invalid(
                f"tools.{place}.type is {kind[:80]!r}; offered are {' and '.join(TOOL_TYPES)}.",
                param=f"tools.{place}.type",
                code="unsupported_value",
            )


def _refused(name: str, known: frozenset[str]) -> ApiError:
    if name in NOT_OFFERED or (known is RESPONSES and name in RESPONSES_NOT_OFFERED):
        return invalid(
            f"The field {name!r} is not offered here; leave it out.",
            param=name,
            code="unsupported_parameter",
        )
    short = name[:80]
    near = difflib.get_close_matches(short, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "leave it out."
    return invalid(f"Unknown field {short!r}; {hint}", param=short, code="unknown_parameter")
