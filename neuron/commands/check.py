"""`neuron check`: everything that is known to be wrong with a pair, before hardware is booked."""

from __future__ import annotations

import json
from pathlib import Path

import click

from neuron.check.findings import Report
from neuron.commands.tables import print_table
from neuron.errors import PairError
from neuron.evidence import NOT_RUN, TAGS
from neuron.pair import load_pair

EXIT_CODES = """\b
Exit codes:
  0  nothing known against it; warnings and notes may be there
  2  it cannot work, or bad usage
"""


@click.command(epilog=EXIT_CODES)
@click.argument("pair")
@click.argument("line", nargs=-1, type=click.UNPROCESSED)
@click.option("--target", help="Another target: a known name, a folder or a hub id.")
@click.option("--draft", help="Another draft: a known name, a folder or a hub id.")
@click.option(
    "--neuron-config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON for --additional-config or --override-neuron-config, to check at any depth.",
)
@click.option("--driver", help="Version of the host's Neuron driver, such as 2.26.")
@click.option("--runtime", help="Version of the Neuron runtime, such as 2.33.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def check(
    ctx: click.Context,
    pair: str,
    line: tuple[str, ...],
    target: str | None,
    draft: str | None,
    neuron_config: Path | None,
    driver: str | None,
    runtime: str | None,
    as_json: bool,
) -> None:
    """Check PAIR, a shipped name or a TOML file, and after -- a launch LINE of your own.

    Models are looked up in their config.json where it is on this machine, else in a built-in
    catalogue by name. Nothing is downloaded or started.
    """
    from neuron.check.given import of_file
    from neuron.check.lines import Line
    from neuron.check.run import check as report_of

    chosen = load_pair(pair).with_models(target=target, draft=draft)
    report = report_of(
        chosen,
        config=of_file(neuron_config) if neuron_config else None,
        line=Line.of(line),
        driver=driver,
        runtime=runtime,
    )
    if as_json:
        click.echo(json.dumps(_as_data(report), indent=2, ensure_ascii=False))
    else:
        _print(report)
    if not report.works:
        ctx.exit(PairError.exit_code)


def _as_data(report: Report) -> dict[str, object]:
    counts = {severity: len(report.of(severity)) for severity in ("error", "warning", "note")}
    device = None if report.stack == "cpu" else NOT_RUN
    return {**report.model_dump(), "works": report.works, "counts": counts, "device": device}


def _print(report: Report) -> None:
    rows = [(one.severity, one.id, one.message, str(one.source)) for one in report.findings]
    errors, warnings = len(report.of("error")), len(report.of("warning"))
    verdict = "nothing known against it" if report.works else "it cannot work"
    counted = f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"
    device = "" if report.stack == "cpu" else f" ({NOT_RUN})"
    if report.unchecked:
        verdict += (
            f", but what follows from the shape of the {' and the '.join(report.unchecked)} was "
            "not checked"
        )
    said = f"{report.pair}: {counted}; {verdict}{device}."
    tags = {one.source.tag for one in report.findings}
    legend = "; ".join(f"[{tag}] {what}" for tag, what in TAGS.items() if tag in tags)
    caption = said + (f"\n{legend}." if legend else "")
    if not rows:
        click.echo(caption)
        return
    print_table(("severity", "rule", "what, and the way out; source"), rows, caption)


def _count(number: int, of: str) -> str:
    return f"{number} {of}" if number == 1 else f"{number} {of}s"
