"""vLLM's own counters against what the model wrote down itself."""

from __future__ import annotations

import pytest

from tests.plugin.models import Plain, prompts
from tests.plugin.vllm16 import recording
from tests.plugin.vllm16.engine import Engine, K, body, complete_all, running

pytestmark = pytest.mark.anyio


def truth(steps: list[recording.Step]) -> dict[str, float]:
    drafted = [step for step in steps if step.rows > 1]
    accepted = [emitted - 1 for step in drafted for emitted in step.emitted]
    counters: dict[str, float] = {
        "drafts": len(accepted),
        "draft_tokens": sum((step.rows - 1) * len(step.slots) for step in drafted),
        "accepted_tokens": sum(accepted),
    }
    for position in range(K):
        counters[f"position {position}"] = sum(count > position for count in accepted)
    return counters


async def test_spec_decode_counters_are_what_the_model_did(engine: Engine) -> None:
    before = engine.spec_decode()
    seen = len(recording.steps(engine.calls))
    chosen = [*prompts(8, "json_extract"), *prompts(4, "prose"), *prompts(4, "hex")]
    await complete_all(engine, [body(prompt, max_tokens=60) for prompt in chosen], at_once=6)
    after = engine.spec_decode()

    steps = recording.steps(engine.calls)[seen:]
    # Several at once, alone, and of unlike acceptance: else this would say little.
    assert {len(step.slots) for step in steps} >= {1, 4}
    assert {count for step in steps for count in step.emitted} >= {1, K + 1}
    assert {name: after[name] - before[name] for name in after} == truth(steps)


async def test_a_greedy_request_costs_no_logits_even_beside_one_that_does(engine: Engine) -> None:
    seen = len(recording.steps(engine.calls))
    greedy, hot = prompts(1, "sql")[0], prompts(1, "hex")[0]
    alone = await complete_all(engine, [body(greedy)])
    together = await complete_all(
        engine, [body(greedy), body(hot, temperature=1.0), body(hot, logprobs=1)]
    )
    assert together[0] == alone[0]
    mixed = [set(step.host) for step in recording.steps(engine.calls)[seen:]]
    assert {True, False} in mixed
    assert {False} in mixed


async def test_adaptive_k_drafts_less_where_it_does_not_pay_and_stays_exact(
    tmp_path_factory: pytest.TempPathFactory, plain: Plain
) -> None:
    chosen = [*prompts(12, "prose"), *prompts(12, "hex")]
    requests = [body(prompt, max_tokens=60, ignore_eos=True) for prompt in chosen]
    with running(tmp_path_factory.mktemp("adaptive"), adaptive=True) as adaptive:
        before = adaptive.spec_decode()
        answers = await complete_all(adaptive, requests)
        after = adaptive.spec_decode()
        steps = recording.steps(adaptive.calls)
    pairs = zip(chosen, answers, strict=True)
    assert all(plain.explains(prompt, answer.tokens) for prompt, answer in pairs)
    assert {name: after[name] - before[name] for name in after} == truth(steps)
    assert len({step.rows for step in steps}) > 1
    spoken = [answer.speculation for answer in answers if answer.speculation]
    # A step without drafts is none of speculation's.
    drafted = [sum(d for d, _ in steps) for steps in recording.by_request(adaptive.calls)]
    assert sorted(fields["num_draft_tokens"] for fields in spoken) == sorted(drafted)
    assert all(drafts > 0 for fields in spoken for drafts in fields["per_step_drafted"])
