"""Asks the plain engine how close the call was, wherever an answer leaves the plain one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from bench.client import Target
from bench.identity import first_difference
from bench.record import Arm, Measured, Probe, Prompt

TIMEOUT_S = 60.0
LISTED = 20
"""vLLM lists no more."""
MAX_QUESTIONS = 200


@dataclass(frozen=True)
class Parting:
    """An answer and the plain answer that it is compared with."""

    one: Measured
    position: int
    context: tuple[int, ...]
    """Prompt and all that both answers share."""
    base_token: int
    other_token: int


def partings(
    requests: Iterable[Measured], prompts: Iterable[Prompt], base: Arm
) -> Iterator[Parting]:
    """Another arm's answer against the base's of the same repeat; the base's own odd repeats
    against the even ones before them. Answers of which one goes on are no question of rating."""
    asked = {(one.workload, one.index): one.token_ids for one in prompts if not one.temperature}
    greedy = [
        one for one in requests if one.reply.problem is None and (one.workload, one.prompt) in asked
    ]
    plain = {
        (one.workload, one.concurrency, one.prompt, one.repeat): one.reply.token_ids
        for one in greedy
        if one.arm == base
    }
    for one in greedy:
        repeat = one.repeat - one.repeat % 2 if one.arm == base else one.repeat
        theirs = plain.get((one.workload, one.concurrency, one.prompt, repeat), ())
        mine = one.reply.token_ids
        at = first_difference(theirs, mine)
        if at is not None and at < min(len(theirs), len(mine)):
            prompt = asked[one.workload, one.prompt]
            yield Parting(one, at, (*prompt, *theirs[:at]), theirs[at], mine[at])


async def ask(target: Target, found: Sequence[Parting]) -> tuple[Probe, ...]:
    """Each place once, at most MAX_QUESTIONS of them; what is not answered is left out."""
    answers: dict[tuple[int, ...], Mapping[int, float]] = {}
    async with httpx.AsyncClient(
        base_url=target.base_url, timeout=TIMEOUT_S, trust_env=False
    ) as http:
        for context in dict.fromkeys(one.context for one in found):
            if len(answers) == MAX_QUESTIONS:
                break
            rated = await _ratings(http, target, context)
            if rated:
                answers[context] = rated
    return tuple(_probe(one, answers[one.context]) for one in found if one.context in answers)


def _probe(parting: Parting, rated: Mapping[int, float]) -> Probe:
    one = parting.one
    return Probe(
        workload=one.workload,
        concurrency=one.concurrency,
        prompt=one.prompt,
        arm=one.arm,
        repeat=one.repeat,
        position=parting.position,
        base_logprob=rated.get(parting.base_token),
        other_logprob=rated.get(parting.other_token),
        least_logprob=min(rated.values()),
    )


async def _ratings(
    http: httpx.AsyncClient, target: Target, context: tuple[int, ...]
) -> Mapping[int, float]:
    """Log probability by token id of the likeliest next tokens; empty if the engine tells none."""
    body: dict[str, Any] = {
        "model": target.model,
        "prompt": list(context),
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": LISTED,
        "return_tokens_as_token_ids": True,
    }
    try:
        answer = await http.post("/v1/completions", json=body, headers=dict(target.headers))
        answer.raise_for_status()
        (top,) = answer.json()["choices"][0]["logprobs"]["top_logprobs"]
        return {int(name.removeprefix("token_id:")): float(value) for name, value in top.items()}
    except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError):
        return {}
