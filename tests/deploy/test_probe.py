"""`neuron probe` and `neuron drain` against a fake of vLLM on a real socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from click.testing import CliRunner, Result

from neuron.cli import main
from neuron.engine_probe import wait_idle
from server.remote_engine import remote_client
from tests.deploy.fake_vllm import FakeVllm, fake_vllm


@pytest.fixture
def engine() -> Iterator[FakeVllm]:
    with fake_vllm(FakeVllm()) as fake:
        yield fake


def probe(engine: FakeVllm, timeout_s: float = 10.0) -> Result:
    return CliRunner().invoke(main, ["probe", engine.url, "--timeout-s", str(timeout_s)])


def test_an_engine_that_answers_is_well(engine: FakeVllm) -> None:
    assert probe(engine).exit_code == 0
    assert "/v1/completions" in engine.asked


def test_a_full_engine_that_generates_for_others_is_well(engine: FakeVllm) -> None:
    engine.hang, engine.on_ask = threading.Event(), {"generated": 101.0}
    assert probe(engine, 0.2).exit_code == 0


def test_an_engine_that_generates_for_nobody_is_not(engine: FakeVllm) -> None:
    engine.hang = threading.Event()
    done = probe(engine, 0.2)
    assert (done.exit_code, done.stdout) == (4, "")
    assert "no token within the probe's time" in done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [({"status": 500}, "HTTP 500"), ({"metrics": False}, "no vllm:generation_tokens_total")],
)
def test_a_fault_is_one_sentence(engine: FakeVllm, change: dict[str, object], said: str) -> None:
    for name, value in change.items():
        setattr(engine, name, value)
    done = probe(engine)
    assert done.exit_code == 4
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_nobody_there_is_one_sentence() -> None:
    done = CliRunner().invoke(main, ["probe", "http://127.0.0.1:1"])
    assert done.exit_code == 4
    assert "cannot be asked: ConnectError" in done.stderr


@dataclass
class Clock:
    """A second for each sleep, in which something happens to the engine."""

    engine: FakeVllm
    then: dict[int, dict[str, float]] = field(default_factory=dict)
    now: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for name, value in self.then.get(int(self.now), {}).items():
            setattr(self.engine, name, value)

    def drain(self, *, settle_s: float, limit_s: float) -> bool:
        with httpx.Client(base_url=self.engine.url) as client:
            return wait_idle(
                client,
                settle_s=settle_s,
                limit_s=limit_s,
                clock=lambda: self.now,
                sleep=self.sleep,
            )


def test_draining_waits_for_what_runs_and_what_waits(engine: FakeVllm) -> None:
    engine.running, engine.waiting = 1.0, 1.0
    clock = Clock(engine, {3: {"waiting": 0.0}, 5: {"running": 0.0}})
    assert clock.drain(settle_s=4, limit_s=100)
    assert clock.now == 8


def test_a_request_that_still_comes_starts_the_quiet_time_anew(engine: FakeVllm) -> None:
    clock = Clock(engine, {2: {"running": 1.0}, 4: {"running": 0.0}})
    assert clock.drain(settle_s=3, limit_s=100)
    assert clock.now == 6


def test_draining_ends_at_its_limit(engine: FakeVllm) -> None:
    engine.running = 1.0
    clock = Clock(engine)
    assert not clock.drain(settle_s=1, limit_s=20)
    assert clock.now == 20


def test_an_engine_that_is_gone_has_drained(engine: FakeVllm) -> None:
    engine.metrics = False
    assert Clock(engine).drain(settle_s=5, limit_s=20)


def test_the_command_says_what_it_gives_up(engine: FakeVllm) -> None:
    engine.running = 1.0
    done = CliRunner().invoke(main, ["drain", engine.url, "--settle-s", "0", "--limit-s", "0"])
    assert done.exit_code == 0
    assert "will be cut off" in done.stderr


@pytest.mark.anyio
async def test_a_gateway_looks_at_a_remote_engine_by_its_address_each_time(
    engine: FakeVllm,
) -> None:
    async with remote_client(engine.url) as client:
        for _ in range(3):
            (await client.get("/health")).raise_for_status()
    assert len(engine.connections) == 3
