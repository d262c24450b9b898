"""Whether drafts pay, and why."""

from __future__ import annotations

from deploy.monitoring.names import specserve, vllm
from deploy.monitoring.panels import Dashboard, Panel, Query, Row, percentiles
from deploy.monitoring.promql import mean, quantile, rate, ratio
from deploy.monitoring.recorded import MODELLED_STEP, SPEEDUP, STEP_GAP, TOKENS_PER_STEP, TPOT

SPECULATIVE = 'pool="speculative"'
PLAIN = 'pool="plain"'
BREAK_EVEN = f"{STEP_GAP}{{{SPECULATIVE}}} / ignoring (pool) {STEP_GAP}{{{PLAIN}}}"

WORTH = Row(
    "What it is worth",
    (
        Panel(
            "Speedup now",
            "Tokens per step, times a plain step's time, by a speculative step's. Below 1, plain "
            "is faster for the same requests, as long as both pools are as busy.",
            "none",
            (Query(SPEEDUP, "speedup"),),
            kind="stat",
        ),
        Panel(
            "Speedup",
            "The same over time, with 1 where nothing is won.",
            "none",
            (Query(SPEEDUP, "speedup"), Query("vector(1)", "break-even")),
        ),
        Panel(
            "Tokens per step",
            "Measured, and what a step must emit to be as fast as plain.",
            "none",
            (Query(TOKENS_PER_STEP, "measured"), Query(BREAK_EVEN, "break-even")),
        ),
    ),
)

PER_POSITION = ratio(
    rate(vllm("spec_decode_num_accepted_tokens_per_pos_total"), "position"),
    "on () group_left () " + rate(vllm("spec_decode_num_drafts_total")),
)
LENGTH = specserve("acceptance_length")

ACCEPTANCE = Row(
    "Acceptance",
    (
        Panel(
            "By position in the draft",
            "Of all steps, those whose draft was kept up to there; positions that are seldom "
            "kept cost a pass of the draft each.",
            "percentunit",
            (Query(PER_POSITION, "{{position}}"),),
        ),
        Panel(
            "Tokens per step by class",
            "Class: the form that was asked of the answer; each request weighs the same.",
            "none",
            (Query(mean(LENGTH, "form"), "{{form}}"),),
        ),
        Panel(
            "The worst tenth of requests by class",
            "p10 of tokens per step.",
            "none",
            (Query(quantile(0.1, LENGTH, "form"), "{{form}}"),),
        ),
        Panel(
            "Kept of what was drafted",
            "By the gateways' count, and by the engines' own: they differ where clients leave.",
            "percentunit",
            (
                Query(
                    ratio(
                        rate(specserve("accepted_tokens_total"), "pool", where=SPECULATIVE),
                        rate(specserve("drafted_tokens_total"), "pool", where=SPECULATIVE),
                    ),
                    "gateways",
                ),
                Query(
                    ratio(
                        rate(vllm("spec_decode_num_accepted_tokens_total")),
                        rate(vllm("spec_decode_num_draft_tokens_total")),
                    ),
                    "engines",
                ),
            ),
        ),
    ),
)

STEP = specserve("step_gap_seconds")

TIME = Row(
    "Time",
    (
        Panel(
            "Time per output token beside step gap",
            "A step emits several tokens: the gap alone says nothing of speed.",
            "s",
            (
                Query(TPOT, "per token, {{pool}}"),
                Query(STEP_GAP, "step gap, {{pool}}"),
            ),
        ),
        Panel(
            "Step gap, p50 and p99",
            "What a client sees between two chunks.",
            "s",
            percentiles(STEP, 0.5, 0.99),
        ),
        Panel(
            "The engines' own time",
            "Mean per output token and per step, of all engines.",
            "s",
            (
                Query(
                    mean(vllm("request_time_per_output_token_seconds"), "model_name"),
                    "per token, {{model_name}}",
                ),
                Query(
                    mean(vllm("inter_token_latency_seconds"), "model_name"),
                    "per step, {{model_name}}",
                ),
            ),
        ),
    ),
)

DECISIONS = specserve("pool_decisions_total")

CHOICE = Row(
    "Which pool, and the model",
    (
        Panel(
            "Pool decisions by reason",
            "docs/speculation.md has the reasons.",
            "reqps",
            (Query(rate(DECISIONS, "pool", "reason"), "{{pool}}: {{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Share sent to the speculative pool",
            "By what the request asked for.",
            "percentunit",
            (
                Query(
                    ratio(rate(DECISIONS, "mode", where=SPECULATIVE), rate(DECISIONS, "mode")),
                    "{{mode}}",
                ),
            ),
        ),
        Panel(
            "Step: modelled against measured",
            "Modelled for a full batch by `neuron plan`; nothing here if no pair was given to "
            "the rules.",
            "s",
            (
                Query(STEP_GAP, "measured, {{pool}}"),
                Query(MODELLED_STEP, "modelled, {{pool}}"),
            ),
        ),
        Panel(
            "Speedup: modelled against measured",
            "Modelled: the modelled steps, at the tokens per step that were measured.",
            "none",
            (
                Query(SPEEDUP, "measured"),
                Query(
                    f"{TOKENS_PER_STEP} * ignoring (pool) {MODELLED_STEP}{{{PLAIN}}}"
                    f" / ignoring (pool) {MODELLED_STEP}{{{SPECULATIVE}}}",
                    "modelled",
                ),
            ),
        ),
    ),
)

DASHBOARD = Dashboard("speculation", "Speculation", (WORTH, ACCEPTANCE, TIME, CHOICE))
