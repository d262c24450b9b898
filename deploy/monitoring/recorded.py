"""Series that rules record, for expressions that more than one panel or alert asks for."""

from __future__ import annotations

from deploy.monitoring.names import specserve
from deploy.monitoring.promql import mean, rate, ratio
from deploy.monitoring.rules import Record

TOKENS_PER_STEP = "specserve:tokens_per_step:ratio"
STEP_GAP = "specserve:step_gap_seconds:mean"
TPOT = "specserve:time_per_output_token_seconds:mean"
SPEEDUP = "specserve:speedup:ratio"
MODELLED_STEP = "specserve:modelled_step:seconds"
REPLICA_PRICE = "specserve:replica_price:usd_per_hour"
BLOCK_END = "specserve:capacity_block_end:timestamp_seconds"

WINDOW = "15m"


def always() -> tuple[Record, ...]:
    """Those that are computed from what is measured, wherever specserve runs."""
    accepted, steps = specserve("accepted_tokens_total"), specserve("speculative_steps_total")
    emitted = ratio(
        rate(accepted, "pool", where='pool="speculative"', window=WINDOW),
        rate(steps, "pool", where='pool="speculative"', window=WINDOW),
    )
    # Of the same requests, at any mix of them: what a plain step costs hardly depends on the text.
    speedup = (
        f'{TOKENS_PER_STEP} * ignoring (pool) {STEP_GAP}{{pool="plain"}}'
        f' / ignoring (pool) {STEP_GAP}{{pool="speculative"}}'
    )
    return (
        Record(TOKENS_PER_STEP, f"1 + {emitted}"),
        Record(STEP_GAP, mean(specserve("step_gap_seconds"), "pool", window=WINDOW)),
        Record(TPOT, mean(specserve("time_per_output_token_seconds"), "pool", window=WINDOW)),
        Record(SPEEDUP, speedup),
    )
