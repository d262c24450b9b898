"""The account of these tests: a stack's launch template and bucket, and no Capacity Block."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from deploy.aws.cli import main
from deploy.aws.clients import Clients, Clock, Setup, connect
from deploy.aws.names import BUCKET_TAG, LOG_GROUP_TAG, NAME_TAG, VPC_TAG
from tests.deploy.fake_aws import NOW, ZONE, FakeAws, Fault, offering

DIGEST = "sha256:" + "a" * 64
IMAGES = (
    *("--engine-image", f"registry.example/specserve/engine@{DIGEST}"),
    *("--gateway-image", f"registry.example/specserve/gateway@{DIGEST}"),
)
LAUNCH = ("--pair", "qwen3-32b-tp4", *IMAGES, "--stack", "specserve", "--apply")


@dataclass
class FakeClock:
    time: datetime = NOW
    slept: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.time += timedelta(seconds=seconds)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.time, self.sleep)


@dataclass
class Account:
    aws: FakeAws
    clients: Clients
    bucket: str
    time: FakeClock = field(default_factory=FakeClock)

    def run(self, *args: str) -> Result:
        """Calls are counted anew."""
        self.aws.calls.clear()
        setup = Setup(lambda _: self.clients, self.time.clock)
        return CliRunner().invoke(main, args, obj=setup, catch_exceptions=False)

    def run_with(self, at: int, fault: Fault, *args: str) -> int:
        """The exit code, with a fault at the call of that number."""
        self.aws.fault = (at, fault)
        code = self.run(*args).exit_code
        self.aws.fault = None
        return code

    def buy(self, name: str) -> None:
        self.aws.offerings.append(offering(f"cb-{uuid4().hex[:8]}", "53.76"))
        done = self.run("buy", name, "--hours", "24", "--under", "60", "--confirm-purchase")
        assert done.exit_code == 0, done.output

    def instances(self, name: str) -> list[str]:
        """Ids of what is not terminated, by moto's own account of it."""
        found = self.clients.ec2.describe_instances(
            Filters=[
                {"Name": f"tag:{NAME_TAG}", "Values": [name]},
                {"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]},
            ]
        )
        return [one["InstanceId"] for each in found["Reservations"] for one in each["Instances"]]

    def objects(self, name: str) -> list[str]:
        found = self.clients.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"hosts/{name}/")
        return [one["Key"] for one in found.get("Contents", [])]


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[str, FakeAws]]:
    # moto imports a service when it is first asked, which a client's timeout may not outlast.
    for service in ("ec2", "s3"):
        create_backend_app(service)
    aws = FakeAws(DomainDispatcherApplication(create_backend_app))
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    listening = make_server("127.0.0.1", 0, aws, threaded=True)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}", aws
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture(scope="session")
def clients(server: tuple[str, FakeAws], tmp_path_factory: pytest.TempPathFactory) -> Clients:
    """Nothing of the machine's own configuration holds while they are made, nor after."""
    nowhere = tmp_path_factory.mktemp("aws")
    values = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(nowhere / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(nowhere / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": server[0],
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
            patch.delenv(name, raising=False)
        for name, value in values.items():
            patch.setenv(name, value)
        # One attempt: a fault is then the caller's to bear, and nothing waits.
        return connect(None, attempts=1)


@pytest.fixture(scope="session")
def bucket(clients: Clients) -> str:
    """Of the stack, whose launch template says so."""
    name = f"specserve-{uuid4().hex[:12]}"
    clients.s3.create_bucket(Bucket=name)
    vpc = clients.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    clients.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone=ZONE)
    clients.ec2.create_launch_template(
        LaunchTemplateName="specserve",
        LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "trn2.3xlarge"},
        TagSpecifications=[
            {
                "ResourceType": "launch-template",
                "Tags": [
                    {"Key": BUCKET_TAG, "Value": name},
                    {"Key": VPC_TAG, "Value": vpc},
                    {"Key": LOG_GROUP_TAG, "Value": "/specserve/specserve"},
                ],
            }
        ],
    )
    return name


@pytest.fixture
def account(server: tuple[str, FakeAws], clients: Clients, bucket: str) -> Iterator[Account]:
    aws = server[1]
    yield Account(aws, clients, bucket)
    aws.fault, aws.agent, aws.unseen = None, True, 0
    for kept in (aws.offerings, aws.reservations, aws.unready, aws.drained):
        kept.clear()


@pytest.fixture
def names() -> Callable[[], str]:
    return lambda: f"h-{uuid4().hex[:10]}"
