"""A launch: what is wanted, then record, bundle and instance, each of which can be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from deploy.aws import records
from deploy.aws.blocks import Block, block_of
from deploy.aws.bundle import DRAIN_TIMEOUT_S, Choice, HostSettings, archive, first_boot, sha256
from deploy.aws.clients import Clients, Clock
from deploy.aws.errors import AbsentError, NotDoneError, RefusedError, SettingsError
from deploy.aws.hosts import Base, Host, base_of, find, host_of, run, subnet_of
from neuron.pair import Pair

SLACK = timedelta(minutes=5)
"""Between the end of the drain and the moment at which EC2 begins to terminate."""
LAUNCHABLE = "active"
USED_BEFORE = "IdempotentParameterMismatch"


@dataclass(frozen=True)
class Launch:
    """All that is decided, and nothing done."""

    base: Base
    settings: HostSettings
    block: Block | None
    subnet: str
    running: Host | None

    @property
    def bundle(self) -> bytes:
        return archive(self.settings)


def drain_at(block: Block) -> datetime:
    return block.terminates_at - SLACK - timedelta(seconds=DRAIN_TIMEOUT_S)


def prepare(
    clients: Clients, clock: Clock, name: str, *,
    choice: Choice, stack: str, subnet: str | None, on_demand: bool,
) -> Launch:  # fmt: skip
    """Reads only. Raises AbsentError, NotDoneError, SettingsError, AwsError."""
    base = base_of(clients, stack)
    block = block_of(clients, name)
    if on_demand and block is not None:
        raise SettingsError(f"{name!r} has a Capacity Block, {block.id}: leave out --on-demand.")
    if not on_demand:
        block = _usable(block, name, choice.pair, clock)
    settings = HostSettings(
        name=name, choice=choice, region=clients.ec2.meta.region_name, bucket=base.bucket,
        log_group=base.log_group, drain_at=None if block is None else drain_at(block),
    )  # fmt: skip
    zone = None if block is None else block.zone
    return Launch(
        base=base,
        settings=settings,
        block=block,
        subnet=subnet or subnet_of(clients, base, zone),
        running=host_of(clients, name),
    )


def _usable(block: Block | None, name: str, pair: Pair, clock: Clock) -> Block:
    if block is None:
        raise AbsentError(
            f"There is no Capacity Block for {name!r}: `buy {name}` finds and buys one, or "
            "--on-demand goes without."
        )
    if block.instance != pair.instance:
        raise SettingsError(
            f"The block {block.id} is of {block.instance}, and pair {pair.name!r} is for "
            f"{pair.instance}: choose another pair."
        )
    if block.state != LAUNCHABLE:
        raise NotDoneError(
            f"The block {block.id} is {block.state} and begins at {block.start.isoformat()}: "
            "launch then."
        )
    if clock.now() >= drain_at(block):
        raise NotDoneError(
            f"The block {block.id} ends at {block.end.isoformat()}, and a host of it would be "
            "drained already: buy another."
        )
    return block


def start(clients: Clients, launch: Launch) -> Host:
    """Whatever it stops at, the same call again goes on, and `remove` leaves nothing."""
    name, bucket = launch.settings.name, launch.base.bucket
    content = launch.bundle
    wanted = records.Record(
        token=records.new_token(),
        bundle=sha256(content),
        subnet=launch.subnet,
        block=None if launch.block is None else launch.block.id,
        template_version=launch.base.version,
    )
    record = records.claim(clients, bucket, name, wanted)
    if launch.running is not None:
        return launch.running
    key = record.key(name)
    records.put_bundle(clients, bucket, key, content)
    try:
        return run(
            clients, launch.base, name,
            token=record.token, version=record.template_version, subnet=record.subnet,
            user_data=first_boot(launch.settings.region, bucket, key, record.bundle),
            instance=str(launch.settings.choice.pair.instance), block=launch.block,
            drain_at=launch.settings.drain_at,
        )  # fmt: skip
    except RefusedError as error:
        # A token that is known already has started something.
        if error.code != USED_BEFORE and not find(clients, name):
            records.forget(clients, bucket, name)
        raise
