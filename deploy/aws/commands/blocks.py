"""`offers` and `buy`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import click

from deploy.aws.blocks import block_of, may_purchase, offerings, purchase
from deploy.aws.commands.shared import (
    EXIT_CODES,
    block_line,
    block_row,
    json_option,
    name_argument,
    offering_line,
    offering_row,
    region_option,
    setup_of,
    show,
    unchanged,
)
from deploy.aws.errors import AbsentError


class UsdParam(click.ParamType[Decimal]):
    name = "usd"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is no amount: write 60 or 59.90.", param, ctx)
        if not amount.is_finite() or amount <= 0:
            self.fail(f"{value!r} is no amount to spend.", param, ctx)
        return amount


instance_option = click.option("--instance", default="trn2.3xlarge", show_default=True)
hours_option = click.option("--hours", type=click.IntRange(1, 182 * 24), required=True)
under_option = click.option(
    "--under", type=UsdParam(), required=True, help="USD for all of the block, at most."
)


@click.command(epilog=EXIT_CODES)
@instance_option
@hours_option
@under_option
@region_option
@json_option
@click.pass_context
def offers(
    ctx: click.Context, instance: str, hours: int, under: Decimal, region: str | None, as_json: bool
) -> None:
    """Capacity Blocks of one instance under a price, cheapest first. Only reads."""
    clients = setup_of(ctx).clients(region)
    found = offerings(clients, instance, hours, under)
    if not found:
        raise _none(instance, hours, under)
    rows = {"offerings": [offering_row(one) for one in found]}
    show(as_json, rows, [offering_line(one) for one in found])


@click.command(epilog=EXIT_CODES)
@name_argument
@instance_option
@hours_option
@under_option
@click.option(
    "--confirm-purchase",
    is_flag=True,
    help="Spend the money. A block is paid at once and cannot be given back.",
)
@region_option
@json_option
@click.pass_context
def buy(
    ctx: click.Context, name: str, instance: str, hours: int, under: Decimal,
    confirm_purchase: bool, region: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Buy the cheapest Capacity Block under a price for NAME, unless it has one."""
    setup = setup_of(ctx)
    clients = setup.clients(region)
    block = block_of(clients, name)
    if block is not None:
        data = {"bought": False, "block": block_row(block), "offering": None}
        show(as_json, data, [f"{name} has one already: {block_line(block)}"])
        return
    found = offerings(clients, instance, hours, under)
    if not found:
        raise _none(instance, hours, under)
    chosen = found[0]
    if not confirm_purchase:
        may_purchase(clients, chosen, name)
        data = {"bought": False, "block": None, "offering": offering_row(chosen)}
        show(as_json, data, [f"Would buy {offering_line(chosen)}"])
        unchanged("--confirm-purchase")
        return
    block = purchase(clients, setup.clock, chosen, name)
    data = {"bought": True, "block": block_row(block), "offering": offering_row(chosen)}
    show(as_json, data, [f"Bought for {chosen.fee} USD: {block_line(block)}"])


def _none(instance: str, hours: int, under: Decimal) -> AbsentError:
    return AbsentError(
        f"No Capacity Block of {instance} for {hours} h is offered for at most {under} USD here: "
        "raise --under, or try other hours or another region."
    )
