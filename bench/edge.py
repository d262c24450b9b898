"""The edge of the process: a failure is one sentence and an exit code, ours with its traceback."""

import asyncio
import signal
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from neuron.errors import SpecserveError

T = TypeVar("T")


def run_until_done(work: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, and SIGTERM unwinds as SIGINT does, so that engines are ended."""

    async def guarded() -> T:
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    return asyncio.run(guarded())


def finish(program: str, work: Callable[[], object]) -> int:
    """The exit code of `work`."""
    try:
        code = _alone(work)
    except SpecserveError as error:
        click.echo(f"{program}: {error}", err=True)
        return error.exit_code
    except click.UsageError as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt, asyncio.CancelledError):
        click.echo(f"{program}: interrupted; what it started is ended.", err=True)
        return 130
    except Exception as error:  # noqa: BLE001  # process edge
        click.echo(f"{program}: internal error, {type(error).__name__}: {error}", err=True)
        traceback.print_exception(error)
        return 1
    return code if isinstance(code, int) else 0


def _alone(work: Callable[[], object]) -> object:
    """`work`, with an error meant for the user taken out of the task group that it came from."""
    try:
        return work()
    except ExceptionGroup as group:
        error: BaseException | None = group.subgroup(SpecserveError)
        if error is None:
            raise
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group
