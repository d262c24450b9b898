"""Engines are all ended, whichever way the run goes."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.engines import Process, launched
from bench.errors import EngineFailedError, UsageProblemError
from neuron.errors import LaunchError
from neuron.launch import Command, Endpoint
from neuron.pair import load_pair

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _logs_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@dataclass
class FakeProcess:
    fails: bool
    returncode: int | None = None

    async def wait_ready(self, timeout_s: float) -> None:
        if self.fails:
            raise LaunchError("The engine could not start.")


@dataclass
class FakeStarter:
    failing: str | None = None
    dying: int | None = None
    commands: list[Command] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)
    running: int = 0

    def _write(self, log: Path) -> None:
        self.logs.append(log)
        log.touch()

    @asynccontextmanager
    async def __call__(
        self, command: Command, endpoint: Endpoint, model: str, log: Path
    ) -> AsyncIterator[Process]:
        self.commands.append(command)
        self._write(log)
        self.running += 1
        speculative = "--speculative-config" in command.argv
        try:
            fails = self.failing == ("speculative" if speculative else "plain")
            yield FakeProcess(fails, self.dying)
        finally:
            self.running -= 1


async def test_both_engines_of_the_pair_run_and_both_are_ended() -> None:
    start = FakeStarter()
    async with launched(load_pair("local"), ("plain", "speculative"), print, start) as running:
        assert start.running == 2
        assert [one.target.arm for one in running] == ["plain", "speculative"]
        assert running[0].fact.argv == start.commands[0].argv
        assert running[0].target.base_url != running[1].target.base_url
    assert start.running == 0
    assert not start.logs[0].parent.exists()


@pytest.mark.parametrize("failing", ["plain", "speculative"])
async def test_one_that_does_not_start_ends_the_other(failing: str) -> None:
    start = FakeStarter(failing)
    with pytest.raises(LaunchError, match="could not start"):
        async with launched(load_pair("local"), ("plain", "speculative"), print, start):
            pytest.fail("nothing may be measured")
    assert start.running == 0


async def test_an_error_inside_comes_out_as_itself() -> None:
    start = FakeStarter()
    with pytest.raises(KeyError):
        async with launched(load_pair("local"), ("plain",), print, start):
            raise KeyError("mine")
    assert start.running == 0
    assert not start.logs[0].parent.exists()


async def test_a_failure_leaves_the_log_that_its_sentence_names() -> None:
    start = FakeStarter()

    async def failing() -> None:
        async with launched(load_pair("local"), ("plain",), print, start) as (engine,):
            raise EngineFailedError(f"gone{engine.target.see_log}")

    with pytest.raises(EngineFailedError, match=r"gone; its log is /.*plain\.log"):
        await failing()
    assert start.logs[0].is_file()


async def test_an_engine_that_has_ended_meanwhile_is_named_with_its_log() -> None:
    start = FakeStarter(dying=7)

    async def measured() -> None:
        async with launched(load_pair("local"), ("plain",), print, start):
            pass

    with pytest.raises(EngineFailedError, match=r"plain engine ended with code 7 .*plain\.log"):
        await measured()


async def test_a_pair_without_a_draft_has_nothing_to_compare() -> None:
    pair = load_pair("local").model_copy(update={"draft": None})
    with pytest.raises(UsageProblemError, match="Key 'draft' is missing"):
        async with launched(pair, ("speculative",), print, FakeStarter()):
            pytest.fail("nothing may be started")
