"""Acceptance, put where OpenAI's clients look for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

Pool = Literal["speculative", "plain"]
POOLS: tuple[Pool, ...] = get_args(Pool)


@dataclass(frozen=True)
class Acceptance:
    drafted: int
    accepted: int
    steps: int


@dataclass(frozen=True)
class Tokens:
    prompt: int
    completion: int


def acceptance_of(document: dict[str, Any], pool: Pool) -> Acceptance | None:
    """None: the engine does not say, as it does not for n > 1."""
    metrics = document.get("metrics")
    counts = metrics.get("speculative_decoding") if isinstance(metrics, dict) else None
    if not isinstance(counts, dict):
        # Without a draft nothing was predicted: zero is the fact, not a gap.
        return Acceptance(0, 0, 0) if pool == "plain" else None
    drafted = counts.get("num_draft_tokens")
    accepted = counts.get("num_accepted_draft_tokens")
    steps = counts.get("num_spec_steps")
    if not (isinstance(drafted, int) and isinstance(accepted, int)):
        return None
    return Acceptance(drafted, accepted, steps if isinstance(steps, int) else 0)


def tokens_of(document: dict[str, Any]) -> Tokens | None:
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return None
    # /v1/responses has other names for the same.
    prompt = usage.get("prompt_tokens", usage.get("input_tokens"))
    completion = usage.get("completion_tokens", usage.get("output_tokens"))
    return Tokens(
        prompt if isinstance(prompt, int) else 0,
        completion if isinstance(completion, int) else 0,
    )


def with_acceptance(document: dict[str, Any], acceptance: Acceptance | None) -> dict[str, Any]:
    usage = document.get("usage")
    if acceptance is None or not isinstance(usage, dict):
        return document
    place = "output_tokens_details" if "output_tokens" in usage else "completion_tokens_details"
    details = {
        **(usage.get(place) or {}),
        "accepted_prediction_tokens": acceptance.accepted,
        "rejected_prediction_tokens": acceptance.drafted - acceptance.accepted,
    }
    return {**document, "usage": {**usage, place: details}}
