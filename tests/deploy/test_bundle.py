"""What a host is set up with: the same bytes each time, and files that their readers accept."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.aws.bundle import DRAIN_TIMEOUT_S, Choice, HostSettings, archive, files, sha256
from deploy.aws.cli import main
from deploy.aws.errors import SettingsError
from neuron.pair import load_pair
from neuron.render.helm import engines
from server.settings import load_settings

DIGEST = "sha256:" + "a" * 64
IMAGES = (f"registry.example/engine@{DIGEST}", f"registry.example/gateway@{DIGEST}")
HALF = HostSettings(
    name="day",
    choice=Choice(load_pair("qwen2.5-72b-tp32"), *IMAGES, keys_secret="api-keys"),
    region="us-east-2",
    bucket="bucket",
    log_group="/specserve/specserve",
    drain_at=datetime(2026, 11, 25, 10, 45, tzinfo=UTC),
)
SMALL = replace(HALF, choice=Choice(load_pair("qwen3-32b-tp4"), *IMAGES, None), drain_at=None)
VERIFY = shutil.which("systemd-analyze")
TARGETS = Path("/lib/systemd/system")


def text(settings: HostSettings, path: str) -> str:
    return files(settings)[path][0]


@pytest.fixture(params=[HALF, SMALL], ids=["two engines, drains", "one engine"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unpacked archive beside stand-ins for what the units start."""
    with tarfile.open(fileobj=io.BytesIO(archive(request.param))) as tar:
        tar.extractall(tmp_path, filter="data")
    (tmp_path / "usr/bin").mkdir(parents=True)
    for name in ("docker", "systemctl"):
        shutil.copy("/bin/true", tmp_path / "usr/bin" / name)
    return tmp_path


def test_an_archive_is_named_by_what_is_in_it() -> None:
    assert archive(HALF) == archive(HALF)
    assert archive(HALF) != archive(replace(HALF, name="other"))


def test_two_engines_share_a_host_without_sharing_cores() -> None:
    assert HALF.engines == 2
    assert 'NEURON_RT_VISIBLE_CORES="0-31"' in text(HALF, "/etc/specserve/engine-0.env")
    assert 'NEURON_RT_VISIBLE_CORES="32-63"' in text(HALF, "/etc/specserve/engine-1.env")
    assert 'PORT="8101"' in text(HALF, "/etc/specserve/engine-1.env")
    assert text(HALF, "/etc/specserve/host.env").count("--device=/dev/neuron") == 16
    assert text(SMALL, "/etc/specserve/host.env").count("--device=/dev/neuron") == 1


@pytest.mark.parametrize("settings", [HALF, SMALL], ids=["keys", "no keys"])
def test_the_gateway_accepts_its_configuration(settings: HostSettings, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(text(settings, "/etc/specserve/gateway.toml"))
    read = load_settings({}, {}, file)
    assert len(read.replicas) == settings.engines
    assert read.max_in_flight == settings.engines * settings.pair.max_num_seqs
    assert read.drain_timeout >= read.total_timeout
    assert (read.host == "127.0.0.1") == (settings.choice.keys_secret is None)


def test_the_pair_survives(tmp_path: Path) -> None:
    file = tmp_path / "pair.toml"
    file.write_text(text(HALF, "/etc/specserve/pair.toml"))
    assert load_pair(file) == HALF.pair


def test_weights_come_before_the_artefact_that_is_keyed_by_them() -> None:
    pulls = text(HALF, "/etc/specserve/pull.sh").splitlines()
    assert pulls[1:] == [
        "neuron weights pull Qwen2.5-0.5B-Instruct-v152064 "
        "--to /models/Qwen2.5-0.5B-Instruct-v152064 --store s3://bucket/neuron",
        "neuron weights pull Qwen/Qwen2.5-72B-Instruct --to /models/Qwen2.5-72B-Instruct "
        "--store s3://bucket/neuron",
        "neuron artefacts pull /etc/specserve/pair.toml --store s3://bucket/neuron",
    ]


@pytest.mark.parametrize("settings", [HALF, SMALL], ids=["72b", "32b"])
def test_a_host_asks_for_weights_by_the_names_that_a_pod_does(settings: HostSettings) -> None:
    """One store serves both."""
    (speculative, _) = engines(settings.pair)
    pulls = text(settings, "/etc/specserve/pull.sh").splitlines()[1:-1]
    asked = {shlex.split(line)[3] for line in pulls}
    assert asked == {one["name"] for one in speculative.values()["weights"]}


def bundled(out: Path) -> Result:
    options = ["--region", "us-east-2", "--bucket", "bucket", "--log-group", "/specserve/specserve"]
    options += ["--engine-image", IMAGES[0], "--gateway-image", IMAGES[1], "--out", str(out)]
    command = ["bundle", "day", "--pair", "qwen3-32b-tp4", *options]
    return CliRunner().invoke(main, command, catch_exceptions=False)


def test_a_bundle_is_what_a_launch_would_give(tmp_path: Path) -> None:
    done = bundled(tmp_path / "day.tar.gz")
    assert done.exit_code == 0
    written = (tmp_path / "day.tar.gz").read_bytes()
    assert written == archive(SMALL)
    assert done.stdout.split()[0] == sha256(written)


def test_a_bundle_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    done = bundled(tmp_path / "nowhere" / "day.tar.gz")
    assert done.exit_code == 1
    assert done.stderr == (
        f"Error: {tmp_path}/nowhere/day.tar.gz cannot be written: No such file or directory.\n"
    )


def test_what_does_not_fit_is_refused() -> None:
    pair = HALF.pair.model_copy(update={"tp_degree": 128})
    with pytest.raises(SettingsError, match="does not fit the 64 logical cores"):
        archive(replace(HALF, choice=replace(HALF.choice, pair=pair)))


@pytest.mark.skipif(
    VERIFY is None or not (TARGETS / "sysinit.target").exists(), reason="needs systemd's own files"
)
def test_systemd_accepts_every_unit(root: Path) -> None:
    systemd = root / "etc/systemd/system"
    (systemd / "docker.service").write_text("[Service]\nExecStart=/usr/bin/docker\n")
    shutil.copytree(TARGETS, root / "usr/lib/systemd/system", symlinks=True, ignore=not_targets)
    enabled = (root / "etc/specserve/units").read_text().split()
    started = [one.replace("preflight", stage) for one in enabled for stage in STAGES]
    units = sorted({*started, "specserve-drain.service"})
    assert verify(root, units) == ""
    # It says nothing else of a unit that is wrong.
    gateway = systemd / "specserve-gateway.service"
    gateway.write_text(gateway.read_text().replace("Restart=always", "Restart=alwys"))
    assert "alwys" in verify(root, ["specserve-gateway.service"])


STAGES = ("preflight", "artefacts", "engine")


def not_targets(_: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".target")]


def verify(root: Path, units: list[str]) -> str:
    paths = [f"etc/systemd/system/{unit}" for unit in units]
    assert VERIFY
    done = subprocess.run(
        [VERIFY, "verify", f"--root={root}", *paths],
        capture_output=True, text=True, check=False, cwd=root, timeout=60,
    )  # fmt: skip
    return done.stdout + done.stderr


def settings_of(unit: str) -> list[tuple[str, str]]:
    """The directives of a unit, continuation lines joined."""
    joined = re.sub(r"\\\n\s*", "", unit)
    pairs = (line.partition("=") for line in joined.splitlines() if not line.startswith("#"))
    return [(key, value) for key, sign, value in pairs if sign]


def runs() -> Iterator[tuple[str, str]]:
    for path, (unit, _) in files(HALF).items():
        for key, value in settings_of(unit) if path.endswith(".service") else ():
            if key == "ExecStart" and " docker " in value.replace("/usr/bin/", " "):
                yield path.rpartition("/")[2], value


def test_every_container_has_no_privileges_and_a_read_only_root() -> None:
    found = dict(runs())
    assert len(found) == 5
    for unit, command in found.items():
        for flag in ("--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "--rm"):
            assert flag in command, (unit, flag)
        assert "--privileged" not in command
        assert "docker.sock" not in command


def test_only_the_gateway_listens_for_others_and_it_is_no_root() -> None:
    found = dict(runs())
    assert "--user 10001:10001" in found["specserve-gateway.service"]
    assert "--host 127.0.0.1" in found["specserve-engine@.service"]


@pytest.mark.parametrize(
    "unit", ["preflight@", "artefacts@", "engine@", "gateway", "neuron-monitor"]
)
def test_units_that_serve_come_back_and_those_that_prepare_try_again(unit: str) -> None:
    settings = dict(settings_of(text(HALF, f"/etc/systemd/system/specserve-{unit}.service")))
    prepares = unit in ("preflight@", "artefacts@")
    assert settings["Restart"] == ("on-failure" if prepares else "always")
    assert settings.get("Type") == ("oneshot" if prepares else None)
    assert "docker.service" in settings["Requires"]


def test_an_engine_is_started_by_its_artefact_and_that_by_preflight() -> None:
    for before, after in (("preflight", "artefacts"), ("artefacts", "engine")):
        unit = settings_of(text(HALF, f"/etc/systemd/system/specserve-{before}@.service"))
        assert ("OnSuccess", f"specserve-{after}@%i.service") in unit
        # What stays active after its success never gets to OnSuccess.
        assert "RemainAfterExit" not in dict(unit)


def test_the_gateway_has_longer_to_stop_than_its_streams() -> None:
    gateway = dict(settings_of(text(HALF, "/etc/systemd/system/specserve-gateway.service")))
    assert int(gateway["TimeoutStopSec"].removesuffix("s")) > DRAIN_TIMEOUT_S
    drain = dict(settings_of(text(HALF, "/etc/systemd/system/specserve-drain.service")))
    assert int(drain["TimeoutStartSec"].removesuffix("s")) > int(gateway["TimeoutStopSec"][:-1])


def test_a_block_has_a_timer_and_a_host_on_demand_none() -> None:
    timer = text(HALF, "/etc/systemd/system/specserve-drain.timer")
    assert "OnCalendar=2026-11-25 10:45:00 UTC" in timer
    assert "specserve-drain.timer" in text(HALF, "/etc/specserve/units")
    assert "/etc/systemd/system/specserve-drain.timer" not in files(SMALL)
