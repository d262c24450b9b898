"""An engine's own counters around a block, for proof that they counted our requests and no others.

vLLM's names (v1/metrics/loggers.py and v1/spec_decode/metrics.py, 0.32).
"""

import asyncio
from collections.abc import Sequence

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.client import Target
from bench.record import Counters, Measured

TIMEOUT_S = 5.0
SETTLE_TRIES, SETTLE_S = 10, 0.05
"""An engine may write its counters a moment after the last byte of an answer."""

REQUESTS = "vllm:request_success_total"
PROMPT = "vllm:prompt_tokens_total"
TOKENS = "vllm:generation_tokens_total"
STEPS = "vllm:spec_decode_num_drafts_total"
DRAFTED = "vllm:spec_decode_num_draft_tokens_total"
ACCEPTED = "vllm:spec_decode_num_accepted_tokens_total"
PER_POSITION = "vllm:spec_decode_num_accepted_tokens_per_pos_total"


def parse(text: str) -> Counters | None:
    """Summed over labels; `None` if the text is no vLLM engine's."""
    found: dict[str, int] = {}
    places: dict[int, int] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + int(sample.value)
            if sample.name == PER_POSITION:
                place = int(sample.labels["position"])
                places[place] = places.get(place, 0) + int(sample.value)
    if not {REQUESTS, PROMPT, TOKENS} <= found.keys():
        return None
    return Counters(
        requests=found[REQUESTS],
        prompt_tokens=found[PROMPT],
        tokens=found[TOKENS],
        steps=found.get(STEPS, 0),
        drafted=found.get(DRAFTED, 0),
        accepted=found.get(ACCEPTED, 0),
        accepted_per_position=tuple(places[place] for place in sorted(places)),
    )


def grown(before: Counters, after: Counters) -> Counters:
    earlier = before.accepted_per_position or (0,) * len(after.accepted_per_position)
    return Counters(
        requests=after.requests - before.requests,
        prompt_tokens=after.prompt_tokens - before.prompt_tokens,
        tokens=after.tokens - before.tokens,
        steps=after.steps - before.steps,
        drafted=after.drafted - before.drafted,
        accepted=after.accepted - before.accepted,
        accepted_per_position=tuple(
            late - early for late, early in zip(after.accepted_per_position, earlier, strict=True)
        ),
    )


async def scrape(target: Target) -> Counters | None:
    """`None` where there is nothing that can be read as a vLLM engine's counters."""
    try:
        async with httpx.AsyncClient(
            base_url=target.base_url, timeout=TIMEOUT_S, trust_env=False
        ) as http:
            answer = await http.get("/metrics", headers=dict(target.headers))
            answer.raise_for_status()
            return parse(answer.text)
    except (httpx.HTTPError, ValueError, KeyError):
        return None


async def growth(target: Target, before: Counters | None, tokens: int) -> Counters | None:
    """Since `before`, read again for a moment while fewer than `tokens` have been counted."""
    if before is None:
        return None
    for _ in range(SETTLE_TRIES):
        after = await scrape(target)
        if after is None:
            return None
        found = grown(before, after)
        if found.tokens >= tokens:
            break
        await asyncio.sleep(SETTLE_S)
    return found


def foreign(requests: Sequence[Measured], counted: Counters) -> str | None:
    """Why `counted` is not of exactly these requests; `None` if every sum agrees.

    Steps and drafts are compared where the engine told them with each answer.
    """
    replies = [one.reply for one in requests]
    told = [reply.speculation for reply in replies if reply.speculation is not None]
    own = {
        "requests": (len(replies), counted.requests),
        "prompt tokens": (sum(one.prompt_tokens or 0 for one in replies), counted.prompt_tokens),
        "tokens": (sum(one.completion_tokens or 0 for one in replies), counted.tokens),
    }
    if len(told) == len(replies):
        own |= {
            "steps": (sum(one.steps for one in told), counted.steps),
            "drafts": (sum(one.drafted for one in told), counted.drafted),
            "accepted drafts": (sum(one.accepted for one in told), counted.accepted),
        }
    return next(
        (
            f"the engine counted {theirs} {name} where ours had {ours}"
            for name, (ours, theirs) in own.items()
            if ours != theirs
        ),
        None,
    )
