"""The host's two scripts, with stand-ins for what they call that write down how."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deploy.aws.bundle import SYSTEMD

RECORD = 'echo "$(basename "$0") $*" >> "$CALLS"\n'
REGISTRY = '[ "$1" = login ] && cat > /dev/null; [ "$1" != image ]'
"""A docker that has no image, and reads the password that it is given."""
IMAGE = "123456789012.dkr.ecr.us-east-2.amazonaws.com/specserve/engine@sha256:" + "a" * 64


class Stage:
    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls = folder / "calls"
        self.calls.touch()

    def fake(self, name: str, answer: str = "exit 0") -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/bash\n{RECORD}{answer}\n")
        path.chmod(0o755)

    def run(self, script: str, *args: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": f"{self.bin}:{os.environ['PATH']}", "CALLS": str(self.calls)}
        argv = ["/bin/bash", str(SYSTEMD / script), *args]
        return subprocess.run(
            argv, env=environ, capture_output=True, text=True, check=False, timeout=30
        )

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_an_image_that_is_here_is_not_pulled(stage: Stage) -> None:
    stage.fake("docker")
    assert stage.run("pull-image", IMAGE).returncode == 0
    assert stage.called() == [f"docker image inspect {IMAGE}"]


def test_the_accounts_own_registry_is_signed_in_to(stage: Stage) -> None:
    stage.fake("docker", REGISTRY)
    stage.fake("aws", "echo secret")
    assert stage.run("pull-image", IMAGE).returncode == 0
    registry = IMAGE.partition("/")[0]
    assert "aws ecr get-login-password --region us-east-2" in stage.called()
    assert f"docker login --username AWS --password-stdin {registry}" in stage.called()
    assert stage.called()[-1] == f"docker pull --quiet {IMAGE}"


def test_a_failed_sign_in_pulls_nothing(stage: Stage) -> None:
    stage.fake("docker", REGISTRY)
    stage.fake("aws", "exit 1")
    assert stage.run("pull-image", IMAGE).returncode != 0
    assert not any("pull" in call for call in stage.called())


def disks(stage: Stage, found: str, kind: str = "", label: str = "") -> None:
    stage.fake("mountpoint", "exit 1")
    stage.fake("find", f"printf '{found}'")
    stage.fake("blkid", f'case "$*" in *TYPE*) echo "{kind}";; *) echo "{label}";; esac')
    for name in ("mdadm", "mkfs.ext4", "mount", "mkdir"):
        stage.fake(name)


def test_one_blank_disk_is_formatted_and_mounted(stage: Stage) -> None:
    disks(stage, "/dev/nvme1n1\\n/dev/nvme1n1\\n")
    assert stage.run("prepare-disk").returncode == 0
    assert "mkfs.ext4 -q -L specserve /dev/nvme1n1" in stage.called()
    assert "mount --options noatime,nodev,nosuid /dev/nvme1n1 /nvme" in stage.called()
    assert not any(call.startswith("mdadm") for call in stage.called())


def test_several_disks_become_one(stage: Stage) -> None:
    disks(stage, "/dev/nvme1n1\\n/dev/nvme2n1\\n")
    assert stage.run("prepare-disk").returncode == 0
    made = next(call for call in stage.called() if call.startswith("mdadm --create"))
    assert made.endswith("--level 0 --raid-devices 2 /dev/nvme1n1 /dev/nvme2n1")
    assert "mkfs.ext4 -q -L specserve /dev/md/specserve" in stage.called()


def test_our_own_disk_is_mounted_again_and_not_formatted(stage: Stage) -> None:
    disks(stage, "/dev/nvme1n1\\n", kind="ext4", label="specserve")
    assert stage.run("prepare-disk").returncode == 0
    assert not any(call.startswith("mkfs") for call in stage.called())
    assert any(call.startswith("mount ") for call in stage.called())


@pytest.mark.parametrize(
    ("found", "kind"),
    [("/dev/nvme1n1\\n", "xfs"), ("/dev/nvme1n1\\n/dev/nvme2n1\\n", "xfs"), ("", "")],
)
def test_what_is_not_ours_or_not_there_is_left_alone(stage: Stage, found: str, kind: str) -> None:
    disks(stage, found, kind=kind, label="other")
    assert stage.run("prepare-disk").returncode == 1
    assert not any(call.startswith(("mkfs", "mount ", "mdadm --create")) for call in stage.called())
