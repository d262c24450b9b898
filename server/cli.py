"""`server`: the gateway. One option for each field of Settings.

Exit codes: 0 drained, 1 failed or forced by a second signal, 2 bad option or pair,
3 weights not there, 4 no engine can be launched for the pair.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stderr

import anyio
import click
from pydantic.fields import FieldInfo

from neuron.errors import SpecserveError
from server.keys_cli import keys
from server.settings import PREFIX, Settings, flag, load_settings
from server.stderr import UnfailingStderr

EPILOG = f"""Every option is also an environment variable: {PREFIX}PORT for --port.

\b
Exit codes:
  0  stopped by a signal, running requests done or told
  1  failed, or forced by a second signal
  2  bad option, bad variable or a pair that cannot work
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
def _run(context: click.Context, /, **given: str | bool | None) -> None:
    if context.invoked_subcommand is not None:
        return
    # Imported late: --help need not wait for the web stack.
    from server.service import serve

    try:
        settings = load_settings(
            {name: value for name, value in given.items() if value is not None}, os.environ
        )
        with redirect_stderr(UnfailingStderr(sys.stderr)):
            code = anyio.run(serve, settings, backend_options={"use_uvloop": True})
    except SpecserveError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(code)


main = click.Group(
    "server",
    invoke_without_command=True,
    commands=[keys],
    callback=_run,
    params=[_option(name, field) for name, field in Settings.model_fields.items()],
    help="An OpenAI-compatible gateway; starts the engine of a pair as its child.",
    epilog=EPILOG,
)
