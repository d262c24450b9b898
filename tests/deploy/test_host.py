"""One host: launched once, waited for, drained and taken down; nothing of it is left by a fault."""

from __future__ import annotations

import base64
import io
import json
import re
import tarfile
from collections.abc import Callable
from datetime import datetime

import pytest
from click.testing import CliRunner

from deploy.monitoring.__main__ import main as monitoring
from tests.deploy.conftest import LAUNCH, Account
from tests.deploy.fake_aws import Fault

Names = Callable[[], str]


def test_nothing_happens_without_apply(account: Account, names: Names) -> None:
    name = names()
    account.buy(name)
    done = account.run("launch", name, *LAUNCH[:-1])
    assert done.exit_code == 0
    assert done.stdout.startswith("Would start one trn2.3xlarge in cr-")
    assert "drains itself at 2026-11-25 10:45 UTC" in done.stdout
    assert "Nothing was changed" in done.stderr
    assert all(call.startswith("Describe") for call in account.aws.calls)
    assert account.instances(name) == account.objects(name) == []


def test_a_launch_waits_until_the_gateway_serves(account: Account, names: Names) -> None:
    name = names()
    account.buy(name)
    account.aws.unready = ["specserve-preflight@0.service activating/start", "x"]
    done = account.run("launch", name, *LAUNCH, "--json")
    assert done.exit_code == 0, done.output
    launched = json.loads(done.stdout)
    assert launched["ready"]
    assert account.instances(name) == [launched["host"]["id"]]
    assert "preflight@0.service activating/start" in done.stderr
    assert account.time.slept == 30


def test_the_instance_gets_exactly_the_bundle_that_is_there(account: Account, names: Names) -> None:
    name = names()
    account.buy(name)
    launched = json.loads(account.run("launch", name, *LAUNCH, "--json").stdout)
    identity = launched["host"]["id"]
    answer = account.clients.ec2.describe_instance_attribute(
        InstanceId=identity, Attribute="userData"
    )
    script = base64.b64decode(answer["UserData"]["Value"]).decode()
    found = re.search(r"s3://(\S+?)/(hosts/\S+\.tar\.gz)", script)
    assert found
    body = account.clients.s3.get_object(Bucket=found[1], Key=found[2])["Body"].read()
    assert launched["bundle"] in script
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert "etc/specserve/gateway.toml" in tar.getnames()
    assert "${" not in script


def test_a_second_launch_is_the_first_one(account: Account, names: Names) -> None:
    name = names()
    account.buy(name)
    first = json.loads(account.run("launch", name, *LAUNCH, "--json").stdout)["host"]["id"]
    again = json.loads(account.run("launch", name, *LAUNCH, "--json").stdout)["host"]["id"]
    assert again == first
    assert "RunInstances" not in account.aws.calls
    assert account.instances(name) == [first]


def test_other_settings_under_the_same_name_are_refused(account: Account, names: Names) -> None:
    name = names()
    account.buy(name)
    account.run("launch", name, *LAUNCH)
    done = account.run("launch", name, *LAUNCH, "--keys-secret", "api-keys")
    assert done.exit_code == 2
    assert "launched with another bundle" in done.stderr
    assert len(account.instances(name)) == 1


def test_a_new_version_takes_the_block_of_one_that_is_down_and_the_old_one_comes_back(
    account: Account, names: Names
) -> None:
    name, other = names(), (*LAUNCH, "--keys-secret", "api-keys")
    account.buy(name)
    for version in (LAUNCH, other, LAUNCH):
        assert account.run("launch", name, *version).exit_code == 0
        assert len(account.instances(name)) == 1
        assert account.run("down", name, "--apply").exit_code == 0
    assert account.instances(name) == account.objects(name) == []


def test_a_host_that_is_not_ready_in_time_is_left_and_waited_for_again(
    account: Account, names: Names
) -> None:
    name = names()
    account.buy(name)
    account.aws.agent = False
    done = account.run("launch", name, *LAUNCH, "--wait", "60")
    assert done.exit_code == 4
    assert "has not reported to Systems Manager yet" in done.stderr
    account.aws.agent = True
    assert account.run("launch", name, *LAUNCH).exit_code == 0
    assert len(account.instances(name)) == 1


def test_drain_and_status(account: Account, names: Names) -> None:
    name = names()
    account.buy(name)
    account.run("launch", name, *LAUNCH)
    identity = account.instances(name)[0]
    assert account.run("drain", name).stdout.startswith(f"Would drain {identity}")
    assert account.aws.drained == []
    assert account.run("drain", name, "--apply").exit_code == 0
    assert account.aws.drained == [identity]
    account.aws.unready = ["specserve-gateway.service inactive/dead"]
    status = json.loads(account.run("status", name, "--json").stdout)
    assert status["ready"] is False
    assert status["obstacle"] == "gateway.service inactive/dead"
    assert status["block"]["terminates_at"] == "2026-11-25T11:00:00+00:00"


def test_the_end_that_status_says_is_one_that_alerts_are_made_with(
    account: Account, names: Names
) -> None:
    name = names()
    account.buy(name)
    end = json.loads(account.run("status", name, "--json").stdout)["block"]["end"]
    answer = CliRunner().invoke(monitoring, ["rules", "qwen3-32b-tp4", "--block-end", end])
    assert f"vector({datetime.fromisoformat(end).timestamp():.0f})" in answer.stdout


def test_down_drains_first_and_leaves_nothing_but_the_block(account: Account, names: Names) -> None:
    name = names()
    account.buy(name)
    account.run("launch", name, *LAUNCH)
    identity = account.instances(name)[0]
    assert account.run("down", name).exit_code == 0
    assert account.instances(name) == [identity]
    done = account.run("down", name, "--apply")
    assert done.exit_code == 0, done.output
    assert account.aws.calls.index("SendCommand") < account.aws.calls.index("TerminateInstances")
    assert account.instances(name) == account.objects(name) == []
    assert "Stays, as it cannot be given back: cr-" in done.stdout
    assert account.run("down", name, "--apply").exit_code == 0


def test_down_ends_no_stream_it_could_not_drain(account: Account, names: Names) -> None:
    name = names()
    account.buy(name)
    account.run("launch", name, *LAUNCH)
    account.aws.agent = False
    done = account.run("down", name, "--apply")
    assert done.exit_code == 4
    assert len(account.instances(name)) == 1
    assert account.run("down", name, "--apply", "--no-drain").exit_code == 0
    assert account.instances(name) == []


def test_a_host_that_ended_is_said_and_launched_anew(account: Account, names: Names) -> None:
    name = names()
    account.buy(name)
    account.run("launch", name, *LAUNCH)
    account.clients.ec2.terminate_instances(InstanceIds=account.instances(name))
    done = account.run("launch", name, *LAUNCH)
    assert done.exit_code == 4
    assert f"`down {name}`" in done.stderr
    assert account.run("down", name, "--apply").exit_code == 0
    assert account.run("launch", name, *LAUNCH).exit_code == 0
    assert len(account.instances(name)) == 1


def test_a_full_block_leaves_nothing(account: Account, names: Names) -> None:
    name = names()
    account.buy(name)
    taken = account.aws.reservations[-1]["CapacityReservationId"]
    account.run("launch", name, *LAUNCH)
    other = names()
    account.aws.reservations.append(
        {
            **account.aws.reservations[-1],
            "Tags": [{"Key": "specserve:name", "Value": other}],
        }
    )
    done = account.run("launch", other, *LAUNCH)
    assert done.exit_code == 6
    assert "ReservationCapacityExceeded" in done.stderr
    assert account.aws.reservations[-1]["CapacityReservationId"] == taken
    assert account.instances(other) == account.objects(other) == []


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ((), 3, "no Capacity Block for"),
        (("--on-demand", "--stack", "other"), 3, "no launch template 'other'"),
        (("--on-demand", "--pair", "local"), 2, "of the stack 'cpu'"),
        (("--on-demand", "--engine-image", "vllm:latest"), 2, "has no digest"),
    ],
)
def test_what_cannot_be_launched(
    account: Account, names: Names, options: tuple[str, ...], code: int, says: str
) -> None:
    done = account.run("launch", names(), *LAUNCH, *options)
    assert done.exit_code == code
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_block_of_another_instance_is_refused(account: Account, names: Names) -> None:
    name = names()
    account.buy(name)
    done = account.run("launch", name, *LAUNCH, "--pair", "qwen2.5-72b-tp32")
    assert done.exit_code == 2
    assert "is for trn2.48xlarge" in done.stderr


def test_on_demand_has_no_block_and_no_end(account: Account, names: Names) -> None:
    name = names()
    done = account.run("launch", name, *LAUNCH, "--on-demand", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["drain_at"] is None
    account.run("down", name, "--apply")
    assert account.instances(name) == []


def test_a_refused_start_leaves_nothing_by_itself(account: Account, names: Names) -> None:
    name = names()
    account.run("launch", name, *LAUNCH, "--on-demand")
    at = account.aws.calls.index("RunInstances")
    other = names()
    assert account.run_with(at, "refused", "launch", other, *LAUNCH, "--on-demand") == 6
    assert account.objects(other) == []


@pytest.mark.parametrize("fault", ["lost", "gone"])
def test_a_start_of_which_nothing_is_heard_makes_one_instance(
    account: Account, names: Names, fault: Fault
) -> None:
    """The same at every other call, and for `down`: tests/deploy/slow."""
    name = names()
    account.run("launch", name, *LAUNCH, "--on-demand")
    at = account.aws.calls.index("RunInstances")
    other = names()
    assert account.run_with(at, fault, "launch", other, *LAUNCH, "--on-demand") == 6
    assert account.run("launch", other, *LAUNCH, "--on-demand").exit_code == 0
    assert len(account.instances(other)) == 1


def test_an_instance_that_ec2_shows_late_is_waited_for_and_taken_down(
    account: Account, names: Names
) -> None:
    name = names()
    account.run("launch", name, *LAUNCH, "--on-demand")
    at = account.aws.calls.index("RunInstances")
    late = names()
    account.aws.unseen = 3
    assert account.run("launch", late, *LAUNCH, "--on-demand").exit_code == 0
    lost = names()
    account.run_with(at, "lost", "launch", lost, *LAUNCH, "--on-demand", "--wait", "0")
    account.aws.unseen = 3
    assert account.run("down", lost, "--apply").exit_code == 0
    assert account.instances(lost) == account.objects(lost) == []
