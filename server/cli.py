"""`server`: the gateway. One option for each field of Settings.

Exit codes: 0 drained, 1 failed or forced by a second signal, 2 bad option, file or pair,
3 weights not there, 4 no engine can be launched for the pair.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path

import anyio
import click
from pydantic.fields import FieldInfo

from neuron.errors import SpecserveError
from server.config.sources import FILE_VARIABLE, PREFIX, flag, is_section
from server.keys_cli import keys
from server.settings import Settings, load_settings
from server.stderr import UnfailingStderr

EPILOG = f"""Every option but --check-config is also a variable, {PREFIX}PORT for --port, and every
one but these two a key of the file, which has sections besides: docs/config.md.

\b
Exit codes:
  0  stopped by a signal, running requests done or told
  1  failed, or forced by a second signal
  2  bad option, variable or file, or a pair that cannot work
  3  weights not on this machine
  4  no engine can be launched for the pair

An engine that is started and lost over and over ends nothing: /health/live turns red.
"""


def _option(name: str, field: FieldInfo) -> click.Option:
    text = field.description or ""
    if field.default is not None and field.annotation is not bool:
        text += f"  [default: {field.default}]"
    if field.annotation is bool:
        return click.Option([f"{flag(name)}/--no-{flag(name)[2:]}"], default=None, help=text)
    return click.Option([flag(name)], default=None, help=text, metavar="VALUE")


@click.pass_context
def _run(
    context: click.Context,
    /,
    config: Path | None = None,
    *,
    check_config: bool,
    **given: str | bool | None,
) -> None:
    if context.invoked_subcommand is not None:
        return
    # Imported late: --help need not wait for the web stack.
    from server.config.check import report
    from server.service import serve

    named = os.environ.get(FILE_VARIABLE)
    file = config or (Path(named) if named else None)
    said = {name: value for name, value in given.items() if value is not None}
    load = partial(load_settings, said, os.environ, file)
    try:
        settings = load()
        if check_config:
            click.echo(report(settings), nl=False)
            return
        readable = file or settings.keys_file or settings.keys_secret
        with redirect_stderr(UnfailingStderr(sys.stderr)):
            code = anyio.run(
                serve, settings, load if readable else None, backend_options={"use_uvloop": True}
            )
    except SpecserveError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(code)


main = click.Group(
    "server",
    invoke_without_command=True,
    commands=[keys],
    callback=_run,
    params=[
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="TOML file with all of these and more; read again on SIGHUP.",
        ),
        click.Option(
            ["--check-config"], is_flag=True, help="Print what would run, and start nothing."
        ),
        *(
            _option(name, field)
            for name, field in Settings.model_fields.items()
            if not is_section(Settings, name)
        ),
    ],
    help="An OpenAI-compatible gateway; starts the engine of a pair as its child.",
    epilog=EPILOG,
)
