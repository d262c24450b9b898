"""`bench steps`: what steps of a shape cost here, with random weights."""

from dataclasses import asdict

import click

from bench.commands.shared import EPILOG
from bench.step_costs import BYTES, StepCosts, measure_steps
from bench.strict_json import dumps

ACCEPTANCES = (0.5, 0.7, 0.8, 0.9, 0.95)


@click.command(epilog=EPILOG)
@click.option("--target", required=True, metavar="SHAPE", help="A known model or a config.json.")
@click.option("--draft", metavar="SHAPE", help="The draft's shape.")
@click.option(
    "-k",
    "--num-draft-tokens",
    "k",
    default=7,
    show_default=True,
    type=click.IntRange(1, 32),
    help="Verifications of up to K+1 rows.",
)
@click.option(
    "--context",
    default=512,
    show_default=True,
    type=click.IntRange(1),
    help="Positions in the cache.",
)
@click.option("--dtype", default="float32", show_default=True, type=click.Choice(sorted(BYTES)))
@click.option(
    "--passes",
    default=20,
    show_default=True,
    type=click.IntRange(4),
    help="Measured passes per number of rows.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def steps(
    target: str, draft: str | None, k: int, context: int, dtype: str, passes: int, as_json: bool
) -> None:
    """Measure what a step costs for any Qwen shape that fits in memory, with random weights.

    T_target(1..K+1 rows) and T_draft, for machines without weights.
    """  # fmt: skip
    found = measure_steps(target, draft, k=k, context=context, dtype=dtype, passes=passes)
    if as_json:
        click.echo(dumps({"kind": "steps", **asdict(found)}))
        return
    click.echo("\n".join(_lines(found)))


def _lines(found: StepCosts) -> list[str]:
    lines = [
        f"{found.target}, context {found.context}, {found.dtype}, {found.threads} threads: ms per "
        f"pass, median [quartiles] of {found.passes}",
        *(
            f"  {one.rows:>2} rows  {one.median_ms:9.2f} [{one.low_ms:.2f}, {one.high_ms:.2f}]"
            for one in found.target_rows
        ),
    ]
    if found.draft_pass is not None:
        one = found.draft_pass
        lines += [
            f"{found.draft}, a draft pass: {one.median_ms:.2f} [{one.low_ms:.2f}, "
            f"{one.high_ms:.2f}], c = {one.median_ms / found.base_ms:.3f}",
            "speedup by K, if every draft were accepted with the same chance (computed, not "
            "measured):",
            "   K  " + "  ".join(f"{chance:>5.0%}" for chance in ACCEPTANCES),
            *(_computed(found, k) for k in range(1, len(found.target_rows))),
        ]
    return [*lines, found.label]


def _computed(found: StepCosts, k: int) -> str:
    emitted = [sum(chance**i for i in range(k + 1)) for chance in ACCEPTANCES]
    return f"  {k:>2}  " + "  ".join(
        f"{found.base_ms * one / found.step_ms(k):>5.2f}" for one in emitted
    )
