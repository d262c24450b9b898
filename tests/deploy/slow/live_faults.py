"""A fault at each call in turn: the same command goes on, and `down` leaves nothing. Minutes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.deploy.conftest import LAUNCH, Account
from tests.deploy.fake_aws import Fault

FAULTS: tuple[Fault, ...] = ("refused", "lost", "gone")
Names = Callable[[], str]


def calls_of(account: Account, *command: str) -> int:
    done = account.run(*command)
    assert done.exit_code == 0, done.output
    return len(account.aws.calls)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_launch_that_stops_at_any_call_goes_on_or_goes_away(
    account: Account, names: Names, fault: Fault
) -> None:
    """Each call in turn; then the same command again, or only `down`."""
    name = names()
    options = (*LAUNCH, "--on-demand")
    count = calls_of(account, "launch", name, *options)
    assert count >= 9
    for at in range(count):
        for repeated in (True, False):
            name = names()
            code = account.run_with(at, fault, "launch", name, *options)
            assert code in (0, 4, 6), (at, code)
            assert len(account.instances(name)) <= 1
            if repeated:
                assert account.run("launch", name, *options).exit_code == 0
                assert len(account.instances(name)) == 1
            assert account.run("down", name, "--apply").exit_code == 0
            assert account.instances(name) == account.objects(name) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_down_that_stops_at_any_call_can_be_repeated(
    account: Account, names: Names, fault: Fault
) -> None:
    options = (*LAUNCH, "--on-demand")
    name = names()
    account.run("launch", name, *options)
    count = calls_of(account, "down", name, "--apply")
    for at in range(count):
        name = names()
        account.run("launch", name, *options)
        account.run_with(at, fault, "down", name, "--apply")
        assert account.run("down", name, "--apply").exit_code == 0
        assert account.instances(name) == account.objects(name) == []
