"""Whatever ends a run, what it measured stays and what it started does not."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.child import ready_child
from bench.cli import run
from bench.client_limit import UNLIMITED
from bench.engines import free_port
from bench.errors import EngineFailedError
from bench.record import Result
from bench.setup import Setup
from bench.storage import write
from neuron.local.corpus import held_out
from tests.bench.processes import (
    BUNDLED,
    ROOT,
    WAIT_S,
    InProcess,
    all_gone,
    family,
    tiny_pair,
)
from tests.bench.results import result

ANSWERS = {
    one.messages[-1]["content"]: one.answer
    for name in ("sql", "json_extract")
    for one in held_out(name, 2)
}


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders go, so that one left behind is seen."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that runs the tests in the background has SIGINT ignored, and children inherit it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_engines_and_keeps_what_was_measured(
    signum: signal.Signals, tmp_path: Path, temp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["--pair", tiny_pair(tmp_path), *BUNDLED, "-w", "sql", "-w", "hex", "--prompts", "8"]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.fake_bench", *argv, "--out", str(out)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as bench:
        assert bench.stderr is not None
        told: Iterator[str] = iter(bench.stderr.readline, "")
        assert any("10/64" in line for line in told)
        started = family(bench.pid)
        assert len(started) >= 4
        bench.send_signal(signum)
        assert bench.wait(WAIT_S) == 130
        rest = bench.stderr.read()
    assert all_gone(started)
    assert list(temp.iterdir()) == []
    (path,) = out.glob("*.json")
    assert f"raw events until the run ended early in {path}" in rest
    assert "interrupted; what it started is ended" in rest
    kept = Result.model_validate_json(path.read_bytes())
    assert kept.stopped == "interrupted"
    assert 10 <= len(kept.requests) < 64
    assert run(["report", str(path)], Setup(limits=UNLIMITED)) == 5
    assert "PARTIAL: the run ended early" in capsys.readouterr().out


def test_an_engine_that_dies_is_reported_with_its_log_and_the_rows_before(
    tmp_path: Path, temp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One warm-up, then all four of sql's requests, in two blocks with one before each.
    start = InProcess(ANSWERS, refuse_after=7)
    argv = [
        "--pair",
        tiny_pair(tmp_path),
        *BUNDLED,
        "-w",
        "sql",
        "-w",
        "json_extract",
        "--prompts",
        "2",
    ]
    out = tmp_path / "out"
    code = run([*argv, "--warmup", "1", "--out", str(out)], Setup(start, 0.01, UNLIMITED))
    err = capsys.readouterr().err
    assert code == 4
    (log,) = (one for one in start.logs if one.name == "plain.log")
    assert f"its log is {log}" in err
    assert log.read_text() == "the engine's last words"
    (path,) = out.glob("speedup-tiny_pair-*-partial.json")
    assert run(["report", str(path)], Setup(limits=UNLIMITED)) == 5
    told = capsys.readouterr()
    assert "PARTIAL: the run ended early, after" in told.out
    assert "\n sql " in told.out
    assert "json_extract at concurrency 1: not shown, the run ended after" in told.out


def test_a_run_that_went_well_leaves_only_its_result(tmp_path: Path, temp: Path) -> None:
    argv = ["--pair", tiny_pair(tmp_path), *BUNDLED, "-w", "sql", "--prompts", "2", "--warmup", "1"]
    out = tmp_path / "out"
    assert run([*argv, "--out", str(out)], Setup(InProcess(ANSWERS), 0.01, UNLIMITED)) == 0
    assert list(temp.iterdir()) == []
    (path,) = out.iterdir()
    source = Result.model_validate_json(path.read_bytes()).provenance
    # sha256 of b"target" and b"draft", the tiny pair's weights.
    assert {name: files["model.safetensors"][:8] for name, files in source.weights.items()} == {
        "target": "34a04005",
        "draft": "7743ce34",
    }


def test_two_results_of_one_second_are_two_files(tmp_path: Path) -> None:
    paths = [write(result("sql"), tmp_path) for _ in range(3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    assert len(set(paths)) == 3


def test_a_file_name_is_made_of_any_pairs_name(tmp_path: Path) -> None:
    found = result("sql")
    source = found.provenance.model_copy(update={"pair": {"name": "a/../b c", "x": 1}})
    path = write(found.model_copy(update={"provenance": source}), tmp_path)
    assert path.parent == tmp_path
    assert path.name == "speedup-a_.._b_c-20261124T000000Z.json"


HELPER = """
import asyncio, sys
from pathlib import Path
from bench.child import ready_child

async def main(port, log):
    argv = (sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1")
    async with ready_child("helper", argv, f"http://127.0.0.1:{port}/", Path(log), 60):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_helper_ends_with_a_bench_that_is_killed(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HELPER, str(free_port()), str(tmp_path / "log")]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout is not None
        assert bench.stdout.readline() == "ready\n"
        started = family(bench.pid)
        assert started
        bench.kill()
    assert all_gone(started)


@pytest.mark.anyio
async def test_a_helper_that_ends_early_is_named_with_its_log(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", "import sys; print('no port'); sys.exit(3)")
    log, url = tmp_path / "log", f"http://127.0.0.1:{free_port()}/"
    with pytest.raises(EngineFailedError, match=r"exit code 3 .*ends: no port"):
        async with ready_child("helper", argv, url, log, WAIT_S):
            pytest.fail("it is not ready")


@pytest.mark.anyio
async def test_a_helper_that_is_never_ready_is_given_up_and_ended(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", "import time; time.sleep(600)")
    url = f"http://127.0.0.1:{free_port()}/"
    with pytest.raises(EngineFailedError, match=r"not ready within 0\.5 s"):
        async with ready_child("helper", argv, url, tmp_path / "log", 0.5):
            pytest.fail("it is not ready")
    assert not [one for one in family(os.getpid()) if argv[-1] in one.cmdline()]
