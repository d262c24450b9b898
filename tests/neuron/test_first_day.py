"""Every command line of docs/first-day-on-trn2.md against the real commands; nothing is run."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path

import click
import pytest

from bench.cli import cli as bench
from neuron.artefacts.errors import StoreError
from neuron.cli import main as neuron
from server.cli import main as server

PAGE = (Path(__file__).parents[2] / "docs" / "first-day-on-trn2.md").read_text(encoding="utf-8")
PROGRAMS: dict[str, click.Command] = {"neuron": neuron, "bench": bench, "server": server}
MENTIONED = {"neuron check", "neuron plan", "neuron launch", "bench --pair"}
"""Programs that the text speaks of, without what they are given."""
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|; )(?:[A-Z_]+=\S+ )?((?:neuron|bench|server) [^;]+)")


def command_lines() -> list[str]:
    """In blocks, continued lines joined; and spans of code with an argument."""
    blocks = "\n".join(BLOCK.findall(PAGE)).replace("\\\n", " ").splitlines()
    spans = re.findall(r"`([^`\n]+)`", BLOCK.sub("", PAGE))
    found = [line for text in (*blocks, *spans) for line in COMMAND.findall(text)]
    return [line for line in found if line not in MENTIONED]


def parsed(command: click.Command, name: str, args: list[str]) -> None:
    if isinstance(command, click.Group) and args and args[0] in command.commands:
        parsed(command.commands[args[0]], args[0], args[1:])
        return
    command.make_context(name, args)


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_is_one_that_its_program_takes(line: str) -> None:
    words = shlex.split(line, comments=True)
    stop = next((at for at, word in enumerate(words) if word in {">", "|"}), len(words))
    program, *args = words[:stop]
    # --help ends so; and a store that is looked for has been read from options that exist.
    with suppress(click.exceptions.Exit, StoreError):
        parsed(PROGRAMS[program], program, args)


def test_the_page_has_command_lines() -> None:
    assert len(command_lines()) > 20
