"""docs/check.md against the rules. SPECSERVE_UPDATE_GOLDEN=1 rewrites its list."""

from __future__ import annotations

import os
import re
from pathlib import Path

from neuron.check.run import FAMILIES, REFUSED
from neuron.evidence import TAGS

PAGE = Path(__file__).parents[3] / "docs" / "check.md"
HEAD = "## The rules\n"


def listed() -> str:
    lines = [HEAD, "\n| rule | severity | what is looked for | source |\n|---|---|---|---|\n"]
    for family, (_, rules) in FAMILIES.items():
        lines.append(f"| **{family}** | | | |\n")
        lines += [f"| `{r.id}` | {r.severity} | {r.what} | {r.source} |\n" for r in rules]
    lines.append(f"| `{REFUSED.id}` | {REFUSED.severity} | {REFUSED.what} | {REFUSED.source} |\n")
    return "".join(lines)


def test_the_list_of_rules_is_the_code_s() -> None:
    text = PAGE.read_text(encoding="utf-8")
    start, end = text.index(HEAD), text.index("\n## ", text.index(HEAD) + 1)
    if os.environ.get("SPECSERVE_UPDATE_GOLDEN"):
        text = text[:start] + listed() + text[end:]
        PAGE.write_text(text, encoding="utf-8")
        end = text.index("\n## ", start + 1)
    assert text[start:end] == listed()


def test_every_tag_is_explained() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert dict(re.findall(r"^- \[(\w)\]: (.+)$", text, re.MULTILINE)) == dict(TAGS)
