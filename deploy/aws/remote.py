"""Shell on a host through Systems Manager: no port is open for it, and AWS keeps a log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from deploy.aws.clients import Clients, Clock, said
from deploy.aws.errors import NotDoneError, RefusedError

DOCUMENT = "AWS-RunShellScript"
POLL_S = 3.0
DELIVERY_S = 60
UNFINISHED = ("Pending", "InProgress", "Delayed")


@dataclass(frozen=True)
class Outcome:
    status: str
    """AWS's own: Success, Failed, TimedOut, Cancelled."""
    output: str

    @property
    def good(self) -> bool:
        return self.status == "Success"


def shell(
    clients: Clients, clock: Clock, instance: str, script: str, *, within_s: float
) -> Outcome | None:
    """None while the host's agent has not reported itself. Raises AwsError, NotDoneError."""
    try:
        with said(f"Run Command on {instance}"):
            command = clients.ssm.send_command(
                InstanceIds=[instance],
                DocumentName=DOCUMENT,
                TimeoutSeconds=DELIVERY_S,
                Parameters={"commands": [script], "executionTimeout": [str(round(within_s))]},
            )["Command"]["CommandId"]
    except RefusedError as error:
        if error.code == "InvalidInstanceId":
            return None
        raise
    until = clock.now() + timedelta(seconds=within_s + DELIVERY_S)
    while clock.now() < until:
        outcome = _look(clients, instance, command)
        if outcome is not None:
            return outcome
        clock.sleep(POLL_S)
    raise NotDoneError(f"Run Command {command} on {instance} did not end in {within_s:.0f} s.")


def _look(clients: Clients, instance: str, command: str) -> Outcome | None:
    try:
        with said(f"Run Command on {instance}"):
            answer = clients.ssm.get_command_invocation(CommandId=command, InstanceId=instance)
    except RefusedError as error:
        # It is not there at once.
        if error.code == "InvocationDoesNotExist":
            return None
        raise
    if answer["Status"] in UNFINISHED:
        return None
    return Outcome(answer["Status"], answer["StandardOutputContent"])
