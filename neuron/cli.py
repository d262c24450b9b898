"""`neuron`: which pair runs where, and how vLLM is started for it.

Data goes to stdout, progress to stderr. Exit codes: 0 done, 1 failed, 2 bad usage or bad pair,
3 weights or artefact not there, 4 engine cannot start, 5 artefact damaged, 6 store refuses.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from neuron.commands.align import align
from neuron.commands.artefacts import artefacts
from neuron.commands.check import check
from neuron.commands.compile import compile_command
from neuron.commands.exit_codes import EXIT_CODES
from neuron.commands.plan import plan
from neuron.commands.preflight import preflight
from neuron.commands.probe import drain, probe
from neuron.commands.render import render_command
from neuron.commands.weights import weights
from neuron.errors import ModelNotFoundError, SpecserveError
from neuron.launch import MAX_PORT, Command, Endpoint, expected, render
from neuron.models import KNOWN_MODELS, locate
from neuron.pair import load_pair
from neuron.stacks.registry import unchecked

DEFAULT_PORT = 8100


class OneSentenceGroup(click.Group):
    """Errors meant for the user leave as one sentence and their exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SpecserveError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=OneSentenceGroup, epilog=EXIT_CODES)
def main() -> None:
    """The engine: which pair runs where, and how vLLM is started for it."""


@main.command(epilog=EXIT_CODES)
@click.argument("pair", default="local")
@click.option("--plain", is_flag=True, help="The same target without speculation.")
@click.option("--dry-run", is_flag=True, help="Print the command instead of running it.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: argv and env as JSON.")
@click.option("--target", help="Another target: a known name, a folder or a hub id.")
@click.option("--draft", help="Another draft: a known name, a folder or a hub id.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port",
    type=click.IntRange(1, MAX_PORT),
    help=f"Port to listen on (default {DEFAULT_PORT}).",
)
@click.option("--uds", type=click.Path(path_type=Path), help="Listen on a Unix socket instead.")
@click.option(
    "--compile-at-start",
    is_flag=True,
    help="Of a Neuron stack: start without an artefact too, and compile first.",
)
def launch(
    pair: str,
    plain: bool,
    dry_run: bool,
    as_json: bool,
    target: str | None,
    draft: str | None,
    host: str,
    port: int | None,
    uds: Path | None,
    compile_at_start: bool,
) -> None:
    """Print or run vLLM's OpenAI server for PAIR, a shipped name or a TOML file."""
    if as_json and not dry_run:
        raise click.UsageError("--json prints the command, so it needs --dry-run.")
    if port is not None and uds is not None:
        raise click.UsageError("An engine listens on --port or on --uds, not on both.")
    if port is None and uds is None:
        port = DEFAULT_PORT
    endpoint = Endpoint(host=host, port=port, uds=uds)
    chosen = load_pair(pair).with_models(target=target, draft=draft)
    # The Neuron host's folders need not be on the machine that prints its command.
    elsewhere = dry_run and chosen.stack != "cpu"
    find = expected if elsewhere else locate
    command = render(
        *(chosen, endpoint),
        plain=plain,
        find=find,
        elsewhere=elsewhere,
        compile_at_start=compile_at_start,
    )
    said = unchecked(chosen)
    if said is not None:
        click.echo(f"Note: {said}", err=True)
    if dry_run:
        click.echo(json.dumps(asdict(command), indent=2) if as_json else command.shell())
        return
    _run(command)


def _run(command: Command) -> None:
    click.echo(command.shell(), err=True)
    # Replaced, not wrapped: signals and the exit code are then the engine's own.
    os.execve(command.argv[0], command.argv, {**os.environ, **command.env})  # noqa: S606


@main.command(epilog=EXIT_CODES)
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def models(names: tuple[str, ...], as_json: bool) -> None:
    """Where NAMES are on this machine; without NAMES, every known name."""
    if names:
        found: dict[str, str | None] = {name: str(locate(name)) for name in names}
    else:
        found = {name: _where(name) for name in KNOWN_MODELS}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, path in found.items():
        hub_id = KNOWN_MODELS.get(name.lower(), "")
        click.echo(f"{name:14} {hub_id:32} {path or 'not on this machine'}".rstrip())


def _where(name: str) -> str | None:
    try:
        return str(locate(name))
    except ModelNotFoundError:
        return None


main.add_command(align)
main.add_command(artefacts)
main.add_command(check)
main.add_command(compile_command)
main.add_command(drain)
main.add_command(plan)
main.add_command(preflight)
main.add_command(probe)
main.add_command(render_command)
main.add_command(weights)


if __name__ == "__main__":
    main()
