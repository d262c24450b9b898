"""beside.py LIST WHEEL: adds our package to an image whose own packages must not move.

Of LIST (pins with hashes) only what the image lacks is installed, and nothing brings dependencies.
Ends with 1 if any package that was there has another version afterwards. Standard library only: it
runs on the image's Python.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

PIN = re.compile(r"^([\w.-]+)==", re.MULTILINE)
OURS = "specserve"


def main(requirements: Path, wheel: Path) -> None:
    before = installed()
    absent = [block for name, block in pins(requirements) if name not in before]
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch, "absent.txt")
        wanted.write_text("".join(absent))
        if absent:
            pip("--require-hashes", "--requirement", str(wanted))
    pip(str(wheel))
    after = installed()
    moved = sorted(name for name in before if name != OURS and after.get(name) != before[name])
    if moved:
        said = ", ".join(f"{name} {before[name]} -> {after.get(name)}" for name in moved)
        sys.exit(f"Packages of the image have moved ({said}): take them out of {requirements}.")
    added = sorted(after.keys() - before.keys())
    sys.stdout.write(
        f"Added {', '.join(added) or 'nothing'}; {len(before)} packages are as they were.\n"
    )


def pins(requirements: Path) -> list[tuple[str, str]]:
    """Name, and the pin with its hashes."""
    lines = requirements.read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("#"))
    starts = [found.start() for found in PIN.finditer(text)]
    blocks = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    return [(normal(block.partition("==")[0]), block) for block in blocks]


def installed() -> dict[str, str]:
    return {normal(one.name): one.version for one in distributions()}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pip(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--no-deps", *arguments],
        check=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
