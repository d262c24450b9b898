"""A live engine's metrics against the golden list of its vLLM version.

SPECSERVE_UPDATE_GOLDEN=1 rewrites the list.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
VERSIONS = ("0.16", "0.32")


def golden(version: str) -> Path:
    return FOLDER / f"vllm-{version}-metrics.txt"


def families(exposition: str) -> list[str]:
    """`name type` of each, without the times of creation."""
    found = re.findall(r"^# TYPE (vllm:\S+ \S+)$", exposition, re.MULTILINE)
    return sorted(family for family in found if not re.search(r"_created ", family))


def assert_golden(version: str, exposition: str) -> None:
    text = "\n".join(families(exposition)) + "\n"
    if os.environ.get("SPECSERVE_UPDATE_GOLDEN"):
        golden(version).write_text(text)
    assert golden(version).read_text() == text
