"""How many tokens a request may use, before any are counted."""

from __future__ import annotations

from math import ceil

from server.openai_request import CompletionRequest

# Of JSON in English, schemas and markup included; other scripts have fewer to a token.
BYTES_PER_TOKEN = 4
# Where max_tokens is not said: longer answers are settled afterwards.
UNSAID_TOKENS = 256


def estimated_tokens(request: CompletionRequest) -> int:
    """Prompt and answers together."""
    prompt = ceil(len(request.body) / BYTES_PER_TOKEN)
    answer = request.max_tokens if request.max_tokens is not None else UNSAID_TOKENS
    return prompt + answer * request.choices
