"""The one instance of a name: from the stack's launch template to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deploy.aws.blocks import Block
from deploy.aws.clients import Clients, said
from deploy.aws.errors import AbsentError, DeployError, NotDoneError, RefusedError
from deploy.aws.names import (
    BUCKET_TAG,
    DRAIN_TAG,
    LOG_GROUP_TAG,
    VPC_TAG,
    named,
    specification,
    tags_of,
)

THERE = ("pending", "running", "stopping", "stopped")
ENDING = ("shutting-down", "terminated")


@dataclass(frozen=True)
class Base:
    """What the CloudFormation stack left for us, read from its launch template."""

    template: str
    version: int
    bucket: str
    vpc: str
    log_group: str


@dataclass(frozen=True)
class Host:
    id: str
    state: str
    zone: str
    address: str | None
    """Private IPv4."""
    drain_at: str | None
    """ISO 8601, UTC; None on demand."""
    reason: str
    """Why EC2 ended it, in its words; empty while it has not."""


def base_of(clients: Clients, stack: str) -> Base:
    """Raises AbsentError, DeployError or AwsError."""
    try:
        with said(f"Launch template {stack}"):
            answer = clients.ec2.describe_launch_templates(LaunchTemplateNames=[stack])
    except RefusedError as error:
        if error.code != "InvalidLaunchTemplateName.NotFoundException":
            raise
        raise AbsentError(
            f"There is no launch template {stack!r} in this region: create the CloudFormation "
            "stack of that name first (docs/ec2.md), or name another with --stack."
        ) from error
    template = answer["LaunchTemplates"][0]
    tags = tags_of(template)
    absent = [tag for tag in (BUCKET_TAG, VPC_TAG, LOG_GROUP_TAG) if tag not in tags]
    if absent:
        raise DeployError(
            f"Launch template {stack!r} lacks the tag {absent[0]}: it is not of "
            "deploy/cloudformation/specserve.yaml."
        )
    return Base(
        template=template["LaunchTemplateId"],
        version=template["LatestVersionNumber"],
        bucket=tags[BUCKET_TAG],
        vpc=tags[VPC_TAG],
        log_group=tags[LOG_GROUP_TAG],
    )


def subnet_of(clients: Clients, base: Base, zone: str | None) -> str:
    """The VPC's only subnet, in `zone` where a Capacity Block says which. Raises AbsentError."""
    filters = [{"Name": "vpc-id", "Values": [base.vpc]}]
    if zone is not None:
        filters.append({"Name": "availability-zone", "Values": [zone]})
    with said("Subnets"):
        found = [
            one["SubnetId"] for one in clients.ec2.describe_subnets(Filters=filters)["Subnets"]
        ]
    where = f"{base.vpc} in {zone}" if zone else base.vpc
    if not found:
        raise AbsentError(
            f"There is no subnet in {where}: make one, with a way to AWS's endpoints."
        )
    if len(found) > 1:
        raise AbsentError(
            f"There are {len(found)} subnets in {where}, {', '.join(sorted(found))}: choose one "
            "with --subnet."
        )
    return str(found[0])


def find(clients: Clients, name: str, states: Sequence[str] = THERE) -> list[Host]:
    pages = clients.ec2.get_paginator("describe_instances")
    filters = [named(name), {"Name": "instance-state-name", "Values": list(states)}]
    with said("Instances"):
        found = [
            _host(one)
            for page in pages.paginate(Filters=filters)
            for reservation in page["Reservations"]
            for one in reservation["Instances"]
        ]
    return sorted(found, key=lambda one: one.id)


def look(clients: Clients, identity: str) -> Host | None:
    """None while EC2 does not show an instance that it has just started."""
    try:
        with said(f"Instance {identity}"):
            answer = clients.ec2.describe_instances(InstanceIds=[identity])
    except RefusedError as error:
        if error.code != "InvalidInstanceID.NotFound":
            raise
        return None
    return _host(answer["Reservations"][0]["Instances"][0])


def host_of(clients: Clients, name: str) -> Host | None:
    """Raises DeployError where there are two, which this program never makes."""
    found = find(clients, name)
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        raise DeployError(
            f"Several instances have the name {name!r} ({ids}): terminate those that are not yours "
            f"to keep, or `down {name}` ends all."
        )
    return found[0] if found else None


def run(
    clients: Clients, base: Base, name: str, *,
    token: str, version: int, subnet: str, user_data: str, instance: str, block: Block | None,
    drain_at: datetime | None,
) -> Host:  # fmt: skip
    """Starts one instance, or finds the one that `token` has started. Raises AwsError."""
    market: dict[str, Any] = {}
    if block is not None:
        market = {
            "InstanceMarketOptions": {"MarketType": "capacity-block"},
            "CapacityReservationSpecification": {
                "CapacityReservationTarget": {"CapacityReservationId": block.id}
            },
        }
    tags = {"name": name}
    if drain_at is not None:
        tags["drain_at"] = drain_at.isoformat()
    with said("RunInstances"):
        answer = clients.ec2.run_instances(
            MinCount=1,
            MaxCount=1,
            ClientToken=token,
            LaunchTemplate={"LaunchTemplateId": base.template, "Version": str(version)},
            InstanceType=instance,
            SubnetId=subnet,
            UserData=user_data,
            TagSpecifications=[
                specification("instance", **tags),
                specification("volume", name=name),
            ],
            **market,
        )
    host = _host(answer["Instances"][0])
    if host.state in ENDING:
        raise NotDoneError(
            f"The instance {host.id} of this launch has ended: `down {name}`, then launch again."
        )
    return host


def terminate(clients: Clients, hosts: Sequence[Host]) -> None:
    with said("TerminateInstances"):
        clients.ec2.terminate_instances(InstanceIds=[one.id for one in hosts])


def _host(instance: dict[str, Any]) -> Host:
    return Host(
        id=instance["InstanceId"],
        state=instance["State"]["Name"],
        zone=instance["Placement"]["AvailabilityZone"],
        address=instance.get("PrivateIpAddress"),
        drain_at=tags_of(instance).get(DRAIN_TAG),
        reason=instance.get("StateReason", {}).get("Message", ""),
    )
