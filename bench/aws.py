"""AWS's experiment again, with its own metric and ours side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.arm_facts import usable
from bench.other_tools import llmperf_itl
from bench.record import Arm, Result
from bench.settings import Settings
from bench.stats import Estimate
from bench.summary import Summary
from bench.verdict import Verdict
from bench.words import ratio
from bench.workloads import Profile, choose
from bench.workloads.aws import CODE, CONCURRENCY, MAX_TOKENS, REQUESTS

NOTES = (
    "LLMPerf ITL = (TTFT + gaps between contents) / data events: the upper median over requests, "
    "as AWS's pod takes it. The more tokens a step emits, the fewer events divide the same time: "
    "speculation makes this number worse as it makes the answer faster.",
    "TPOT = time per output token after the first read, which is what a reader waits for.",
    "Unlike there: one engine at a time and not both at once; blocks A B B A, so 16 requests a "
    "side; completions of the chat template's tokens instead of the chat endpoint, whose first "
    "event, a bare role, adds one to LLMPerf's divisor; Sonnet 18 for LLMPerf's sonnet.txt.",
    "All requests of a case but Shakespeare's are one prompt, as there: its interval tells of "
    "runs, not of prompts.",
)


@dataclass(frozen=True)
class CaseRow:
    case: str
    llmperf_plain: float
    """ms."""
    llmperf_speculative: float
    tpot_plain: float
    """ms."""
    tpot_speculative: float
    acceptance_length: float | None
    speedup: Estimate
    verdict: Verdict

    @property
    def llmperf_ratio(self) -> float:
        return self.llmperf_plain / self.llmperf_speculative


def aws_settings(profile: Profile, seed: int) -> Settings:
    """64 tokens in, 600 out, 8 requests at concurrency 4; no choice but the seed."""
    return Settings(
        workloads=tuple(one.name for one in choose([CODE], profile)),
        prompts=REQUESTS,
        rounds=1,
        concurrency=(CONCURRENCY,),
        max_tokens=MAX_TOKENS,
        seed=seed,
        guided=False,
        warmup=CONCURRENCY,
        temperature=0.0,
        profile=profile,
    )


def upper_median(samples: Sequence[float]) -> float:
    """The jq program's `sort | .[length * 0.5 | floor]`."""
    return sorted(samples)[len(samples) // 2]


def case_rows(result: Result, summary: Summary) -> list[CaseRow]:
    """Cases that the summary could not show are among its gaps."""
    return [
        CaseRow(
            row.workload,
            _llmperf(result, row.workload, result.base),
            _llmperf(result, row.workload, result.other),
            row.base.tpot.value,
            row.other.tpot.value,
            None if row.acceptance is None else row.acceptance.length,
            row.speedup,
            row.verdict,
        )
        for row in summary.rows
    ]


def _llmperf(result: Result, case: str, arm: Arm) -> float:
    mine = [one for one in result.cell(case, CONCURRENCY) if one.arm == arm]
    return upper_median([value for one in usable(mine) for value in llmperf_itl(one.reply)])


def render_aws(rows: Sequence[CaseRow]) -> Iterator[str]:
    width = max((len(one.case) for one in rows), default=4)
    yield (
        f"{'case':<{width}}  {'LLMPerf ITL, ms: plain':>22} {'spec.':>8} {'ratio':>7}   "
        f"{'TPOT, ms: plain':>15} {'spec.':>8}  {'speedup':<22} {'acc. length':>11}  verdict"
    )
    for one in rows:
        length = "-" if one.acceptance_length is None else f"{one.acceptance_length:.2f}"
        yield (
            f"{one.case:<{width}}  {one.llmperf_plain:>22.2f} {one.llmperf_speculative:>8.2f} "
            f"{one.llmperf_ratio:>6.2f}x   {one.tpot_plain:>15.2f} {one.tpot_speculative:>8.2f}  "
            f"{ratio(one.speedup):<22} {length:>11}  {one.verdict}"
        )
    yield ""
    yield from NOTES
