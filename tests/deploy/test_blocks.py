"""Capacity Blocks: what is found, and that money is spent once or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.deploy.conftest import Account
from tests.deploy.fake_aws import NOW, offering

BUY = ("--hours", "24", "--under", "60")


def test_offers_are_under_the_price_and_cheapest_first(account: Account) -> None:
    account.aws.offerings += [
        offering("cb-dear", "60.01"),
        offering("cb-late", "53.76", StartDate=NOW + timedelta(hours=9)),
        offering("cb-first", "53.76"),
        offering("cb-edge", "60"),
        offering("cb-euro", "1.00", CurrencyCode="EUR"),
        offering("cb-other", "1.00", InstanceType="trn2.48xlarge"),
        offering("cb-short", "1.00", CapacityBlockDurationHours=12),
    ]
    done = account.run("offers", *BUY, "--json")
    found = json.loads(done.stdout)["offerings"]
    assert [one["id"] for one in found] == ["cb-first", "cb-late", "cb-edge"]
    assert found[0]["fee"] == "53.76"
    assert found[0]["per_hour"] == "2.24"


def test_nothing_under_the_price_is_exit_3(account: Account) -> None:
    account.aws.offerings.append(offering("cb-dear", "60.01"))
    done = account.run("offers", *BUY)
    assert done.exit_code == 3
    assert done.stderr.startswith("Error: No Capacity Block of trn2.3xlarge for 24 h")
    assert done.stdout == ""


def test_nothing_is_bought_without_the_flag(account: Account) -> None:
    account.aws.offerings.append(offering("cb-1", "53.76"))
    done = account.run("buy", "day", *BUY)
    assert done.exit_code == 0
    assert done.stdout.startswith("Would buy cb-1")
    assert "without --confirm-purchase" in done.stderr
    assert account.aws.reservations == []


def test_it_buys_the_cheapest_once(account: Account) -> None:
    account.aws.offerings += [offering("cb-2", "55"), offering("cb-1", "53.76")]
    first = account.run("buy", "day", *BUY, "--confirm-purchase", "--json")
    bought = json.loads(first.stdout)
    assert bought["bought"]
    assert bought["offering"]["id"] == "cb-1"
    again = account.run("buy", "day", *BUY, "--confirm-purchase", "--json")
    assert json.loads(again.stdout)["bought"] is False
    assert json.loads(again.stdout)["block"]["id"] == bought["block"]["id"]
    assert "PurchaseCapacityBlock" not in account.aws.calls
    assert len(account.aws.reservations) == 1


def test_a_lost_answer_is_looked_up_and_not_bought_again(account: Account) -> None:
    account.aws.offerings += [offering("cb-1", "53.76"), offering("cb-2", "54")]
    account.run("buy", "day", *BUY)
    at = account.aws.calls.index("PurchaseCapacityBlock") + 1
    # With the flag the block is looked for once more before the money is spent.
    account.aws.fault = (at, "lost")
    done = account.run("buy", "day", *BUY, "--confirm-purchase", "--json")
    assert account.aws.calls.count("PurchaseCapacityBlock") == 1
    assert done.exit_code == 0
    assert json.loads(done.stdout)["bought"]
    assert len(account.aws.reservations) == 1


def test_a_purchase_nobody_knows_of_is_exit_5(account: Account) -> None:
    account.aws.offerings.append(offering("cb-1", "53.76"))
    account.run("buy", "day", *BUY)
    account.aws.fault = (account.aws.calls.index("PurchaseCapacityBlock") + 1, "gone")
    done = account.run("buy", "day", *BUY, "--confirm-purchase")
    assert done.exit_code == 5
    assert "Nobody can say yet" in done.stderr
    assert account.aws.calls.count("PurchaseCapacityBlock") == 1


def test_boto_never_sends_a_purchase_twice(account: Account) -> None:
    assert account.clients.purchases.meta.config.retries["total_max_attempts"] == 1


@pytest.mark.parametrize("name", ["", "Day", "a" * 41, "a/b", "-a"])
def test_names_that_are_none(account: Account, name: str) -> None:
    done = account.run("status", "--", name)
    assert done.exit_code == 2
    assert "is none" in done.stderr


def test_status_of_nothing_is_exit_3(account: Account, names: Callable[[], str]) -> None:
    assert account.run("status", names()).exit_code == 3
