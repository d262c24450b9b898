"""scratch_root.py TARGET [-- COMMAND…]: the Dockerfile's steps in a scratch root, without Docker.

Runs as root in a mount namespace of its own (`unshare --mount`), which takes the root away again.
A stage is a layer over this machine's file system, so this machine stands in for the base image:
its Python 3.11 for python:3.11-slim, without a C compiler, and for a Neuron image BASES' own
environment with vLLM. COMMAND runs at the end in the target's root, as its user.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

from tests.deploy.dockerfile import ROOT, environment, stages

LAYERS = Path("/mnt")
PYTHON = Path(sys.base_prefix) / "bin"
BASES = {
    "engine-nxdi": ROOT / ".venv-nxdi" / "bin",
    "engine-vllm-neuron": Path(sys.prefix) / "bin",
}
"""Stand-ins for AWS's images: environments with vLLM 0.16 (`make install-nxdi-plugin`) and 0.32."""
HIDDEN = ("gcc", "cc", "g++", "c++", "clang")
"""What a slim image does not have."""


@dataclass
class Built:
    root: Path
    layers: list[Path]
    env: dict[str, str]
    user: str = "0:0"
    folder: str = "/"

    def run(self, argv: list[str]) -> int:
        chroot = ["/usr/sbin/chroot", f"--userspec={self.user}", str(self.root)]
        inside = ["/usr/bin/env", f"--chdir={self.folder}", *argv]
        return subprocess.run([*chroot, *inside], env=self.env, check=False).returncode

    def become(self, argv: list[str]) -> NoReturn:
        """This process from here on: signals and the exit code are then the command's own."""
        os.chroot(self.root)
        os.chdir(self.folder)
        user, group = map(int, self.user.split(":"))
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
        os.execvpe(argv[0], argv, self.env)  # noqa: S606


@cache
def build(target: str) -> Built:
    stage = stages()[target]
    if stage.base in stages():
        built = over(target, build(stage.base))
    else:
        built = over(target, base(target))
    for word, rest in stage.instructions:
        step(built, word, rest)
    return built


def base(target: str) -> Built:
    path = (
        f"{BASES.get(target, PYTHON)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    )
    kept = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_"))}
    return Built(Path("/"), [Path("/")], {**kept, "PATH": path, "HOME": "/tmp"})


def over(name: str, below: Built) -> Built:
    folder = LAYERS / name
    upper, work, root = (folder / part for part in ("upper", "work", "root"))
    for each in (upper, work, root):
        each.mkdir(parents=True)
    lower = ":".join(map(str, below.layers))
    mount(
        "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", root
    )
    for kernel in ("proc", "sys", "dev"):
        mount("--rbind", f"/{kernel}", root / kernel)
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "tmp")
    if below.root == Path("/"):
        # The stand-in's Python may lie in a home that others may not enter.
        (root / "root").chmod(0o755)
        for tool in HIDDEN:
            (root / "usr/bin" / tool).unlink(missing_ok=True)
    return Built(root, [upper, *below.layers], dict(below.env), below.user, below.folder)


def step(built: Built, word: str, rest: str) -> None:
    sys.stderr.write(f"--- {word} {rest}\n")
    if word == "ENV":
        built.env |= environment(rest, built.env)
    elif word == "USER":
        built.user = rest
    elif word == "WORKDIR":
        built.folder = rest
        (built.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif word == "COPY":
        copy(built, rest.split())
    elif word == "RUN":
        if "g++" in rest.split():
            show_compiler(built.root)
        if built.run(["/bin/sh", "-c", rest]):
            sys.exit(f"this step failed: {rest}")


def show_compiler(root: Path) -> None:
    """apt takes this machine's for installed already, and would not bring back what is hidden."""
    for tool in HIDDEN:
        found, place = Path("/usr/bin", tool), root / "usr/bin" / tool
        if os.path.lexists(found) and not os.path.lexists(place):
            shutil.copy(found, place, follow_symlinks=False)


def copy(built: Built, words: list[str]) -> None:
    origin = ROOT
    if words[0].startswith("--from="):
        origin = build(words.pop(0).removeprefix("--from=")).root
    *sources, target = words
    for source in sources:
        found = origin / source.lstrip("/")
        place = built.root / Path(built.folder, target).relative_to("/")
        if found.is_dir():
            shutil.copytree(found, place, dirs_exist_ok=True)
        else:
            into = place / found.name if target.endswith("/") else place
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, into)


def mount(*arguments: object) -> None:
    subprocess.run(["/bin/mount", *map(str, arguments)], check=True)


def main() -> None:
    target, _, *command = sys.argv[1:] + ["--"] * (len(sys.argv) == 2)
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "size=8G", "tmpfs", LAYERS)
    built = build(target)
    if command:
        built.become(command)


if __name__ == "__main__":
    main()
