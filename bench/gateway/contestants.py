"""What is measured: nothing in between, this gateway, and two others that clients could use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import UsageProblemError
from bench.gateway.fake_engine import KEY, MODEL

PEERS = Path(__file__).resolve().parents[2] / ".venv-peers"
PEERS_HINT = f"{PEERS.name} is not there; run `make install-peers`, or give --only specserve"

Argv = Callable[[str, int, Path], tuple[str, ...]]
"""Of the engine's URL, the port to listen on, and a folder for files."""


@dataclass(frozen=True)
class Contestant:
    name: str
    argv: Argv
    ready: str
    """A path that answers 200 once requests pass."""
    package: str
    env: Mapping[str, str] = field(default_factory=dict)


def _specserve(engine: str, port: int, folder: Path) -> tuple[str, ...]:
    return (
        sys.executable, "-m", "server", "--engine-url", engine, "--port", str(port),
        "--plain", "--max-in-flight", "4096",
    )  # fmt: skip


def _litellm(engine: str, port: int, folder: Path) -> tuple[str, ...]:
    config = folder / "litellm.yaml"
    config.write_text(
        f"model_list:\n  - model_name: {MODEL}\n    litellm_params:\n"
        f"      model: openai/{MODEL}\n      api_base: {engine}/v1\n      api_key: fake\n"
        "litellm_settings:\n  telemetry: false\n"
    )
    return (
        str(_peer("litellm")), "--config", str(config), "--host", "127.0.0.1",
        "--port", str(port), "--num_workers", "1",
    )  # fmt: skip


def _vllm_router(engine: str, port: int, folder: Path) -> tuple[str, ...]:
    return (
        str(_peer("vllm-router")), "--worker-urls", engine, "--host", "127.0.0.1",
        "--port", str(port), "--policy", "round_robin",
    )  # fmt: skip


def _peer(command: str) -> Path:
    path = PEERS / "bin" / command
    if not path.exists():
        raise UsageProblemError(f"{path} cannot be run: {PEERS_HINT}.")
    return path


SPECSERVE = Contestant("specserve", _specserve, "/health/ready", "specserve")
CONTESTANTS = (
    SPECSERVE,
    # Its price list would otherwise be fetched from the network at its start.
    Contestant(
        "litellm", _litellm, "/health/liveliness", "litellm",
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": KEY},
    ),
    Contestant("vllm-router", _vllm_router, "/health", "vllm-router"),
)  # fmt: skip
