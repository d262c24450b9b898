"""Whether a host serves, and how it stops to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from deploy import ports
from deploy.aws.bundle import DRAIN_TIMEOUT_S
from deploy.aws.clients import SETTLING_S, Clients, Clock
from deploy.aws.errors import NotDoneError
from deploy.aws.hosts import ENDING, THERE, Host, find, look
from deploy.aws.remote import shell

Say = Callable[[str], None]

PROBE = (
    "curl --silent --show-error --fail --max-time 10 --output /dev/null "
    f"http://127.0.0.1:{ports.GATEWAY}/health/ready && exit 0\n"
    "systemctl list-units --all --plain --no-legend --no-pager 'specserve-*' | "
    """awk '{print $1 " " $3 "/" $4}'\n"""
    "exit 1\n"
)
DRAIN = "systemctl start specserve-drain.service\n"
READY_POLL_S = 15.0
GONE_POLL_S = 5.0
PROBE_S = 30.0
DRAIN_S = DRAIN_TIMEOUT_S + 120.0
GONE_S = 900.0


def wait_ready(
    clients: Clients, clock: Clock, name: str, identity: str, *, within_s: float, say: Say
) -> Host:
    """Raises NotDoneError when the host ends, or the time does; the host is then left as it is."""
    until = clock.now() + timedelta(seconds=within_s)
    while clock.now() < until:
        host = look(clients, identity)
        if host is not None and host.state in ENDING:
            raise NotDoneError(
                f"{identity} of {name!r} has ended ({host.reason or 'EC2 does not say why'}): "
                f"`down {name}`, then launch again."
            )
        obstacle = _obstacle(clients, clock, host)
        if host is not None and obstacle is None:
            return host
        say(f"{obstacle}")
        clock.sleep(READY_POLL_S)
    raise NotDoneError(
        f"{name!r} is not ready after {within_s:.0f} s; it goes on, and so does its price: `status "
        f"{name}` looks, the same launch waits on, `down {name}` ends it."
    )


def _obstacle(clients: Clients, clock: Clock, host: Host | None) -> str | None:
    if host is None:
        return "is not shown by EC2 yet"
    return probe(clients, clock, host) if host.state == "running" else f"is {host.state}"


def probe(clients: Clients, clock: Clock, host: Host) -> str | None:
    """None if the gateway is ready, else what is in the way, in a few words."""
    outcome = shell(clients, clock, host.id, PROBE, within_s=PROBE_S)
    if outcome is None:
        return "has not reported to Systems Manager yet"
    if outcome.good:
        return None
    units = "; ".join(line.removeprefix("specserve-") for line in outcome.output.splitlines())
    return units or f"probe: {outcome.status}"


def drain(clients: Clients, clock: Clock, host: Host) -> None:
    """Returns when the last stream has ended. Raises NotDoneError, AwsError."""
    outcome = shell(clients, clock, host.id, DRAIN, within_s=DRAIN_S)
    if outcome is None or not outcome.good:
        status = "its agent does not answer" if outcome is None else outcome.status
        raise NotDoneError(
            f"{host.id} was not drained ({status}): try again, or end its streams with "
            "`down --no-drain`."
        )


def started(clients: Clients, clock: Clock, name: str, say: Say) -> list[Host]:
    """Of a launch whose answer was lost: EC2 may show an instance a little later."""
    until = clock.now() + timedelta(seconds=SETTLING_S)
    while not (found := find(clients, name)) and clock.now() < until:
        say("is there an instance that EC2 does not show yet?")
        clock.sleep(GONE_POLL_S)
    return found


def wait_gone(clients: Clients, clock: Clock, name: str, say: Say) -> None:
    """Raises NotDoneError."""
    until = clock.now() + timedelta(seconds=GONE_S)
    while clock.now() < until:
        left = find(clients, name, (*THERE, "shutting-down"))
        if not left:
            return
        say(f"{', '.join(one.id for one in left)} is {left[0].state}")
        clock.sleep(GONE_POLL_S)
    raise NotDoneError(f"{name!r} has not ended after {GONE_S:.0f} s: `down {name}` again.")
