"""docs/plan.md against what is printed. SPECSERVE_UPDATE_GOLDEN=1 rewrites its example."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from neuron.plan.render import HEADS_TOP
from tests.neuron.plan.asked import plan

PAGE = Path(__file__).parents[3] / "docs" / "plan.md"
EXAMPLE = re.compile(
    r"`neuron plan (?P<asked>[^`]+)` prints:\n\n```\n(?P<printed>.*?)```", re.DOTALL
)


def test_the_example_is_what_is_printed() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = EXAMPLE.search(text)
    assert found is not None
    printed = plan(*shlex.split(found["asked"])).stdout
    if os.environ.get("SPECSERVE_UPDATE_GOLDEN"):
        start, end = found.span("printed")
        PAGE.write_text(text[:start] + printed + text[end:], encoding="utf-8")
        return
    assert found["printed"] == printed


def test_every_word_that_is_explained_is_one_that_is_printed() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition("## Reading it")[2].partition("\n\n")[0]
    words = {
        word
        for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[1:]
        for word in row.split(", ")
    }
    assert words - {"acceptance", "---"} <= set(HEADS_TOP)
    assert {"engines", "K", "GiB/core", "speedup (range)", "tok/s", "$/Mtok", "speculate"} <= words
