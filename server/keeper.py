"""Runs one command and ends its whole process group once nobody holds our stdin any more.

A file of its own, stdlib only, started as `python -I keeper.py COMMAND ...` by
server.engines. A gateway that dies, even by SIGKILL, closes the pipe; the engine and the
workers it forked then go too.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from types import FrameType

GRACE_S = 5.0
POLL_S = 0.2
STDIN = 0


def main(command: list[str]) -> int:
    # Not SIG_IGN, which the command would inherit.
    signal.signal(signal.SIGTERM, _stay)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
        return 127
    _wait(child)
    if child.poll() is None:
        _end_group(child)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _stay(signum: int, frame: FrameType | None) -> None:
    pass


def _wait(child: subprocess.Popen[bytes]) -> None:
    """Until the child has ended or the other side of stdin has."""
    try:
        exited = os.pidfd_open(child.pid)
    except (AttributeError, OSError):
        while child.poll() is None and not select.select([STDIN], [], [], POLL_S)[0]:
            pass
        return
    select.select([STDIN, exited], [], [])
    child.poll()


def _end_group(child: subprocess.Popen[bytes]) -> None:
    os.killpg(0, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
