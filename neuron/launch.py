"""From a pair to the command that starts its engine."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from neuron.errors import LaunchError
from neuron.hardware import Machine, this_machine
from neuron.models import locate
from neuron.pair import Pair

# sun_path holds 108 bytes with its terminator.
MAX_UDS_BYTES = 107
MAX_PORT = 65535


@dataclass(frozen=True)
class Endpoint:
    host: str = "127.0.0.1"
    port: int | None = None
    uds: Path | None = None

    def __post_init__(self) -> None:
        if (self.port is None) == (self.uds is None):
            raise LaunchError("An engine listens on a port or on a Unix socket: give exactly one.")
        if self.port is not None and not 0 < self.port <= MAX_PORT:
            raise LaunchError(f"Port {self.port} is out of range: give one from 1 to {MAX_PORT}.")
        if self.uds is not None and len(bytes(self.uds)) > MAX_UDS_BYTES:
            raise LaunchError(
                f"The socket path {self.uds} is longer than {MAX_UDS_BYTES} bytes: shorten it."
            )

    @property
    def flags(self) -> list[str]:
        if self.uds is not None:
            return ["--uds", str(self.uds)]
        return ["--host", self.host, "--port", str(self.port)]

    @property
    def base_url(self) -> str:
        return "http://engine" if self.uds else f"http://{self.host}:{self.port}"


@dataclass(frozen=True)
class Command:
    argv: tuple[str, ...]
    env: Mapping[str, str]
    """Added to the environment, not instead of it."""

    def shell(self) -> str:
        settings = [f"{key}={shlex.quote(value)}" for key, value in sorted(self.env.items())]
        return " ".join(["env", *settings, shlex.join(self.argv)])


def render(
    pair: Pair,
    endpoint: Endpoint,
    *,
    plain: bool = False,
    machine: Machine | None = None,
    find: Callable[[str], Path] = locate,
    elsewhere: bool = False,
    compile_at_start: bool = False,
) -> Command:
    """The exact command, with every path resolved; builds the bundled pair if it must.

    `elsewhere`: for another machine, so this one's devices and artefacts do not matter.
    `compile_at_start`: an engine without an artefact may compile before it answers.
    Raises LaunchError, ModelNotFoundError, PairError, or what `check_artefact` raises.
    """
    from neuron.stacks import cpu, nxdi_checks
    from neuron.stacks.registry import NEURON_STACKS

    stack = NEURON_STACKS.get(pair.stack)
    if stack is not None and not elsewhere:
        nxdi_checks.check_device(pair)
    if pair.draft is None:
        plain = True
    # The draft first: finding the bundled target may mean building it.
    draft = None if plain or pair.draft is None else find(pair.draft)
    target = find(pair.target)
    machine = machine or this_machine()
    if stack is not None:
        if pair.stack == "nxdi" and not elsewhere:
            from neuron.artefacts.launch_check import check_artefact

            check_artefact(pair, find, plain=plain, compile_at_start=compile_at_start)
        return Command(
            argv=(str(machine.python), *stack.arguments(pair, endpoint, target, draft)),
            env=stack.environment(pair, target, draft),
        )
    return Command(
        argv=(str(machine.python), *cpu.arguments(pair, endpoint, target, draft, machine)),
        env=cpu.environment(machine),
    )


def expected(ref: str) -> Path:
    """Where a model is, or would be on the machine that the command is printed for.

    Links are resolved, as `locate` resolves them: --dry-run, compile and launch name one artefact.
    Raises ModelNotFoundError for what is neither here nor a folder by its whole path.
    """
    return Path(ref).resolve() if ref.startswith("/") else locate(ref)
