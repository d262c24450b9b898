"""What each prompt took on both engines: what a replay needs of a result, small enough to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from bench import timing
from bench.errors import UsageProblemError
from bench.events import Fact
from bench.record import Measured, Result
from bench.settings import Settings
from bench.workloads import choose
from neuron.local.corpus import Example
from server.speculation import TrafficClass, classify
from server.usage import POOLS, Pool

TIMINGS_VERSION: Final = 1


class Timed(Fact):
    """One answer, in ms since its request was written."""

    first_ms: float
    total_ms: float
    tokens: int


Times = dict[str, dict[Pool, tuple[Timed, ...]]]


class Asked(Fact):
    """One prompt: its traffic class, and at each concurrency what it took on both engines."""

    workload: str
    structured: bool
    path: tuple[str, ...]
    prompt_tokens: int
    times: Times
    """By concurrency; JSON has no numbers for keys."""

    @property
    def traffic(self) -> TrafficClass:
        return TrafficClass(self.path)


class Timings(Fact):
    version: Literal[1]
    levels: tuple[int, ...]
    """Requests in flight on the one engine that was measured at a time."""
    provenance: dict[str, Any]
    """Of the result that they were taken from, as it was written there."""
    prompts: tuple[Asked, ...]


def request_document(example: Example) -> dict[str, Any]:
    """What a client would send: the schema and the tools that the example was made with."""
    body: dict[str, Any] = {"messages": [dict(message) for message in example.messages]}
    if example.schema is not None:
        schema = {"name": "answer", "schema": dict(example.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if example.tools:
        body["tools"] = [dict(tool) for tool in example.tools]
    return body


def timings_of(result: Result) -> Timings:
    """Every workload is an application with an API key of its own.

    Leaves out prompts of which an answer is missing or unusable. Raises UsageProblemError if the
    corpus is no longer the one that the result was measured with, it was measured in an open loop,
    or nothing is left.
    """
    if result.settings.arrivals is not None:
        raise UsageProblemError(
            "An open loop has no fixed load to replay: measure with --concurrency, without --rate."
        )
    examples = _examples(result.settings)
    answers = _usable(result.requests)
    prompts = []
    for prompt in result.prompts:
        example = examples[prompt.workload, prompt.index]
        if example.answer != prompt.answer:
            raise UsageProblemError(
                f"Prompt {prompt.index} of {prompt.workload} is another one in this checkout: "
                f"take the timings with commit {result.provenance.commit}."
            )
        times = {
            str(level): {
                pool: answers.get((prompt.workload, prompt.index, level, pool), ())
                for pool in POOLS
            }
            for level in result.settings.concurrency
        }
        if _complete(times, 2 * result.settings.rounds):
            path = classify(request_document(example), key_id=prompt.workload).path
            prompts.append(
                Asked(
                    workload=prompt.workload,
                    structured=prompt.structured,
                    path=path,
                    prompt_tokens=len(prompt.token_ids),
                    times=times,
                )
            )
    if not prompts:
        raise UsageProblemError("No prompt of the result has usable answers on both engines.")
    return Timings(
        version=TIMINGS_VERSION,
        levels=result.settings.concurrency,
        provenance=result.provenance.model_dump(mode="json"),
        prompts=tuple(prompts),
    )


def _examples(settings: Settings) -> Mapping[tuple[str, int], Example]:
    return {
        (workload.name, index): example
        for workload in choose(settings.workloads, settings.profile)
        for index, example in enumerate(workload.examples(settings.prompts, settings.seed))
    }


def _complete(times: Times, repeats: int) -> bool:
    return all(len(found) == repeats for pools in times.values() for found in pools.values())


def _usable(requests: Sequence[Measured]) -> dict[tuple[str, int, int, str], tuple[Timed, ...]]:
    found: dict[tuple[str, int, int, str], tuple[Timed, ...]] = {}
    for one in requests:
        if one.reply.problem is None:
            place = one.workload, one.prompt, one.concurrency, one.arm
            found[place] = (*found.get(place, ()), _timed(one))
    return found


def _timed(one: Measured) -> Timed:
    return Timed(
        first_ms=round(timing.ttft_ms(one.reply), 2),
        total_ms=round(timing.total_ms(one.reply), 2),
        tokens=sum(timing.sizes(one.reply)),
    )


def read_timings(path: Path) -> Timings:
    try:
        return Timings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageProblemError(f"{path}: {error.strerror}.") from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise UsageProblemError(
            f"{path} holds no timings of version {TIMINGS_VERSION}: {where}: {fault['msg']}; "
            "`bench auto record` writes them."
        ) from error
