"""Capacity Blocks: what is offered, what is ours, and the one call that spends the money."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from deploy.aws.clients import SETTLING_S, Clients, Clock, said
from deploy.aws.errors import AwsError, RefusedError, SettingsError, UnknownError
from deploy.aws.names import named, specification

LIVE = ("active", "scheduled", "payment-pending", "pending", "assessing", "delayed")
TERMINATION = timedelta(minutes=30)
"""EC2 begins to terminate instances this long before a block's end (EC2 User Guide)."""
POLL_S = 5.0
PLATFORM = "Linux/UNIX"


@dataclass(frozen=True)
class Offering:
    id: str
    instance: str
    zone: str
    start: datetime
    end: datetime
    fee: Decimal
    """USD for all of it, paid at once and never given back."""

    @property
    def hours(self) -> float:
        return (self.end - self.start) / timedelta(hours=1)

    @property
    def per_hour(self) -> Decimal:
        return self.fee / Decimal(str(round(self.hours, 4)))


@dataclass(frozen=True)
class Block:
    id: str
    state: str
    instance: str
    zone: str
    start: datetime
    end: datetime

    @property
    def terminates_at(self) -> datetime:
        return self.end - TERMINATION


def offerings(clients: Clients, instance: str, hours: int, under: Decimal) -> list[Offering]:
    """For at most `under` USD in all, cheapest first, then soonest. Raises AwsError."""
    found = [one for one in _offered(clients, instance, hours) if one.fee <= under]
    return sorted(found, key=lambda one: (one.fee, one.start, one.id))


def _offered(clients: Clients, instance: str, hours: int) -> Iterator[Offering]:
    pages = clients.ec2.get_paginator("describe_capacity_block_offerings")
    with said("Capacity Block offerings"):
        for page in pages.paginate(
            InstanceType=instance, InstanceCount=1, CapacityDurationHours=hours
        ):
            for one in page["CapacityBlockOfferings"]:
                fee = _usd(one)
                if fee is not None:
                    yield Offering(
                        id=one["CapacityBlockOfferingId"],
                        instance=one["InstanceType"],
                        zone=one["AvailabilityZone"],
                        start=one["StartDate"],
                        end=one["EndDate"],
                        fee=fee,
                    )


def _usd(offered: dict[str, Any]) -> Decimal | None:
    """None for what cannot be compared with a limit in USD."""
    if offered.get("CurrencyCode") != "USD":
        return None
    try:
        fee = Decimal(offered["UpfrontFee"])
    except (InvalidOperation, KeyError):
        return None
    return fee if fee.is_finite() and fee > 0 else None


def block_of(clients: Clients, name: str) -> Block | None:
    """The live block that was bought for `name`; the first to end, were there two."""
    pages = clients.ec2.get_paginator("describe_capacity_reservations")
    filters = [named(name), {"Name": "state", "Values": list(LIVE)}]
    with said("Capacity Blocks"):
        found = [
            _block(one)
            for page in pages.paginate(Filters=filters)
            for one in page["CapacityReservations"]
        ]
    return min(found, key=lambda one: (one.end, one.id), default=None)


def _block(reservation: dict[str, Any]) -> Block:
    return Block(
        id=reservation["CapacityReservationId"],
        state=reservation["State"],
        instance=reservation["InstanceType"],
        zone=reservation["AvailabilityZone"],
        start=reservation["StartDate"],
        end=reservation["EndDate"],
    )


def may_purchase(clients: Clients, offering: Offering, name: str) -> None:
    """Asks AWS whether it would sell, and buys nothing. Raises AwsError if it would not."""
    try:
        with said("Purchase, as a trial"):
            clients.purchases.purchase_capacity_block(DryRun=True, **_order(offering, name))
    except RefusedError as error:
        if error.code != "DryRunOperation":
            raise


def purchase(clients: Clients, clock: Clock, offering: Offering, name: str) -> Block:
    """Spends `offering.fee`, once. Raises RefusedError if it did not, UnknownError if who knows."""
    if block_of(clients, name) is not None:
        raise SettingsError(f"A Capacity Block for {name!r} is there already; nothing was bought.")
    try:
        with said("Purchase"):
            answer = clients.purchases.purchase_capacity_block(**_order(offering, name))
        # Whoever buys next must see it.
        return _settled(clients, clock, name) or _block(answer["CapacityReservation"])
    except RefusedError:
        raise
    except AwsError as error:
        # The order may have arrived although its answer did not.
        bought = _settled(clients, clock, name)
        if bought is not None:
            return bought
        raise UnknownError(
            f"Nobody can say yet whether {offering.id} was bought for {offering.fee} USD: the "
            f"answer was lost ({error}). Look with `status {name}`, and at the account's bill, "
            "before buying again."
        ) from error


def _order(offering: Offering, name: str) -> dict[str, Any]:
    return {
        "CapacityBlockOfferingId": offering.id,
        "InstancePlatform": PLATFORM,
        "TagSpecifications": [specification("capacity-reservation", name=name)],
    }


def _settled(clients: Clients, clock: Clock, name: str) -> Block | None:
    until = clock.now() + timedelta(seconds=SETTLING_S)
    while clock.now() < until:
        try:
            bought = block_of(clients, name)
        except AwsError:
            bought = None
        if bought is not None:
            return bought
        clock.sleep(POLL_S)
    return None
