"""`neuron plan` as a test types it."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from neuron.cli import main

LARGE = ("--target", "qwen2.5-72b", "--draft", "qwen2.5-0.5b")
SMALL = ("--target", "qwen2.5-7b", "--draft", "qwen2.5-0.5b")


def plan(*args: str) -> Result:
    return CliRunner().invoke(main, ["plan", *args])


def data(*args: str) -> dict[str, Any]:
    found = plan(*args, "--json")
    assert found.exit_code == 0, found.stderr
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def choice(answer: dict[str, Any], goal: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in answer["choices"] if one["goal"] == goal)
    return found
