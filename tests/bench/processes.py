"""Engines, gateways and benches that tests start, and what became of them."""

import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from bench.engines import Process
from neuron.launch import Command, Endpoint
from server.engines import EngineProcess
from tests.bench.fake_engine import FakeEngine, Script, Steps, serving

WAIT_S = 60.0
BUNDLED = ("--profile", "bundled")
"""The prompts whose answers the fakes know."""
PLAIN = Steps(1, step_s=0.002)
SPECULATIVE = Steps(8, step_s=0.004, speculative=True)
ROOT = Path(__file__).parents[2]


class Ready:
    returncode = None

    async def wait_ready(self, timeout_s: float) -> None:
        return


@dataclass
class InProcess:
    """Starts fakes in this process in place of the engines that were asked for."""

    answers: Mapping[str, str] = field(default_factory=dict)
    plain: Script = PLAIN
    speculative: Script = SPECULATIVE
    engines: dict[str, FakeEngine] = field(default_factory=dict)
    logs: list[Path] = field(default_factory=list)
    refuse_after: int | None = None
    """Requests after which the plain engine answers no more."""
    respell: Callable[[str], str] = str
    """What /detokenize makes of a text."""

    def __call__(
        self, command: Command, endpoint: Endpoint, model: str, log: Path
    ) -> AbstractAsyncContextManager[Process]:
        arm = "speculative" if "--speculative-config" in command.argv else "plain"
        script = self.speculative if arm == "speculative" else self.plain
        engine = FakeEngine(script, self.answers, model=model, respell=self.respell)
        if arm == "plain" and self.refuse_after is not None:
            engine.refuse_with, engine.refuse_after = 500, self.refuse_after
        self.engines[arm] = engine
        self.logs.append(log)
        log.write_text("the engine's last words")
        return _served(engine, endpoint.port or 0)


@asynccontextmanager
async def _served(engine: FakeEngine, port: int) -> AsyncIterator[Process]:
    async with serving(engine, port):
        yield Ready()


async def _unchecked(client: object, model: str) -> None:
    return


def as_child(
    command: Command, endpoint: Endpoint, model: str, log: Path
) -> AbstractAsyncContextManager[Process]:
    """A fake as a child, kept and ended like the engine in whose place it is."""
    kind = "speculative" if "--speculative-config" in command.argv else "plain"
    argv = (sys.executable, "-m", "tests.bench.fake_child", str(endpoint.port), kind)
    return EngineProcess(Command(argv, {}), endpoint, model, log=log, check=_unchecked)


def family(pid: int) -> list[psutil.Process]:
    """Its descendants as they are now."""
    found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    return found


def all_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=WAIT_S)
    return all(one.status() == psutil.STATUS_ZOMBIE for one in alive)


def tiny_pair(folder: Path) -> str:
    """A pair's TOML file whose weights are of no use to any engine but the fakes."""
    for model in ("target", "draft"):
        (folder / model).mkdir()
        (folder / model / "config.json").write_text(json.dumps({"vocab_size": 8}))
        (folder / model / "model.safetensors").write_bytes(model.encode())
    fields = {
        "name": "tiny/pair",
        "stack": "cpu",
        "target": str(folder / "target"),
        "draft": str(folder / "draft"),
        "num_draft_tokens": 7,
        "max_model_len": 1024,
        "max_num_seqs": 4,
        "kv_cache_bytes": 1,
        "served_model_name": "tiny",
    }
    path = folder / "tiny.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items()))
    return str(path)
