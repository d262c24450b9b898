"""Engines are all ended, whichever way the run goes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from bench.engines import Process, launched
from bench.errors import UsageProblemError
from neuron.errors import LaunchError
from neuron.launch import Command, Endpoint
from neuron.pair import load_pair

pytestmark = pytest.mark.anyio


@dataclass
class FakeProcess:
    fails: bool

    async def wait_ready(self, timeout_s: float) -> None:
        if self.fails:
            raise LaunchError("The engine could not start.")


@dataclass
class FakeStarter:
    failing: str | None = None
    commands: list[Command] = field(default_factory=list)
    running: int = 0

    @asynccontextmanager
    async def __call__(
        self, command: Command, endpoint: Endpoint, model: str
    ) -> AsyncIterator[Process]:
        self.commands.append(command)
        self.running += 1
        speculative = "--speculative-config" in command.argv
        try:
            yield FakeProcess(self.failing == ("speculative" if speculative else "plain"))
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


async def test_a_pair_without_a_draft_has_nothing_to_compare() -> None:
    pair = load_pair("local").model_copy(update={"draft": None})
    with pytest.raises(UsageProblemError, match="Key 'draft' is missing"):
        async with launched(pair, ("speculative",), print, FakeStarter()):
            pytest.fail("nothing may be started")
