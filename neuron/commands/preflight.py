"""`neuron preflight`: whether this machine can start a pair's engine."""

from __future__ import annotations

import click

from neuron.commands.tables import print_table
from neuron.errors import LaunchError, PairError
from neuron.evidence import NOT_RUN
from neuron.pair import load_pair
from neuron.preflight.host import Host, this_host
from neuron.preflight.run import preflight as survey_of
from neuron.preflight.survey import Survey

EXIT_CODES = """\b
Exit codes:
  0  an engine could start here, as far as can be told
  2  bad usage, or a pair that cannot be read
  4  an engine cannot start here
"""


@click.command(epilog=EXIT_CODES)
@click.argument("pair", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def preflight(ctx: click.Context, pair: str | None, as_json: bool) -> None:
    """Look at this machine's devices, driver, runtime and packages, for PAIR if given.

    Only reads. Every line that is not right has a fix.
    """
    host = ctx.find_object(Host) or this_host()
    chosen = load_pair(pair) if pair else None
    if chosen is not None and chosen.stack == "cpu":
        raise PairError(
            f"Pair {chosen.name!r} runs on any CPU and needs no preflight; name a pair of a Neuron "
            "stack."
        )
    survey = survey_of(host, chosen)
    if as_json:
        click.echo(survey.model_dump_json(indent=2))
    else:
        _print(survey)
    if not survey.ready:
        ctx.exit(LaunchError.exit_code)


def _print(survey: Survey) -> None:
    rows = [
        (line.state, line.id, line.found + (f"\n{line.fix}" if line.fix else ""), str(line.source))
        for line in survey.lines
    ]
    failed, warned = len(survey.of("failed")), len(survey.of("warning"))
    verdict = "an engine could start here" if survey.ready else "an engine cannot start here"
    caption = (
        f"Failed: {failed}; warnings: {warned}; {verdict}. These checks were written from "
        f"documentation and {NOT_RUN}."
    )
    print_table(("state", "what", "found, and the fix; source"), rows, caption)
