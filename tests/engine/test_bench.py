"""The bench on the real engines: structure, identity and the engine's own counters, never speed."""

from __future__ import annotations

import re

import httpx
import pytest

from bench.client import Target
from bench.probes import Parting, ask
from bench.record import Settings
from bench.report import render_report
from bench.run import Urls, run_bench
from bench.summary import summarise
from tests.engine.conftest import Engine

pytestmark = pytest.mark.anyio

SETTINGS = Settings(
    workloads=("sql", "tool_call", "hex"),
    prompts=2,
    rounds=1,
    concurrency=(1, 2),
    max_tokens=48,
    seed=5,
    guided=False,
    # Warm-up requests move the engine's counters but leave no record.
    warmup=0,
)
COUNTERS = {
    "steps": "vllm:spec_decode_num_drafts_total",
    "drafted": "vllm:spec_decode_num_draft_tokens_total",
    "accepted": "vllm:spec_decode_num_accepted_tokens_total",
    "tokens": "vllm:generation_tokens_total",
}


async def counters(engine: Engine) -> dict[str, float]:
    async with httpx.AsyncClient(base_url=engine.base_url, trust_env=False) as http:
        text = (await http.get("/metrics")).text
    return {
        key: sum(float(v) for v in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))
        for key, name in COUNTERS.items()
    }


async def test_a_short_run_agrees_with_the_engines(
    spec_engine: Engine, plain_engine: Engine
) -> None:
    before = await counters(spec_engine)
    result = await run_bench(
        Urls(spec_engine.base_url, plain_engine.base_url), SETTINGS, print, lambda _: None
    )
    after = await counters(spec_engine)

    cells = len(SETTINGS.workloads) * len(SETTINGS.concurrency)
    assert len(result.requests) == cells * SETTINGS.prompts * 4
    assert [one.reply.problem for one in result.requests if one.reply.problem] == []
    for one in result.requests:
        assert len(one.reply.token_ids) == one.reply.completion_tokens
        assert one.reply.counted_by == "token_ids"
        assert (one.reply.speculation is not None) == (one.arm == "speculative")

    spoken = [one.reply for one in result.requests if one.reply.speculation]
    told = {
        "steps": sum(reply.speculation.steps for reply in spoken if reply.speculation),
        "drafted": sum(reply.speculation.drafted for reply in spoken if reply.speculation),
        "accepted": sum(reply.speculation.accepted for reply in spoken if reply.speculation),
        "tokens": sum(len(reply.token_ids) for reply in spoken),
    }
    assert told == {key: after[key] - before[key] for key in COUNTERS}

    summary = summarise(result)
    assert summary.gaps == ()
    assert len(summary.rows) == cells
    for row in summary.rows:
        assert row.sampled == (row.workload == "hex")
        assert row.identity.same == row.identity.compared == (0 if row.sampled else 4)
        assert row.acceptance is not None
        assert 1 <= row.acceptance.length <= spec_engine.pair.num_draft_tokens + 1
        assert 1 + sum(row.acceptance.per_position) == pytest.approx(row.acceptance.length)
        # Nobody else is served here, and the engine's counters prove it.
        assert row.counted.refuted is None
        assert row.counted.acceptance == row.acceptance
    assert "structured, all" in render_report(result, summary)


async def test_the_plain_engine_rates_its_own_token_first(plain_engine: Engine) -> None:
    settings = SETTINGS.model_copy(update={"workloads": ("sql",), "concurrency": (1,)})
    urls = Urls(plain_engine.base_url, plain_engine.base_url)
    result = await run_bench(urls, settings, print, lambda _: None, aa=True)
    one = next(one for one in result.requests if one.arm == "plain")
    (prompt,) = (p for p in result.prompts if p.index == one.prompt)
    said = one.reply.token_ids
    place = Parting(one, 3, (*prompt.token_ids, *said[:3]), said[3], said[3])
    target = Target("plain", plain_engine.base_url, plain_engine.model)
    (found,) = await ask(target, [place])
    assert found.base_logprob is not None
    assert found.base_logprob == found.other_logprob
    assert found.least_logprob < found.base_logprob <= 0
    (row,) = summarise(result).rows
    assert row.identity.lossless
    assert row.control.same == row.control.compared == 2
