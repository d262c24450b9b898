"""`python -m deploy.ec2`: its commands; what they do is in the modules beside."""

from __future__ import annotations

import click

from deploy.aws.clients import Clock, Setup, connect
from deploy.aws.commands.blocks import buy, offers
from deploy.aws.commands.bundle import bundle
from deploy.aws.commands.ending import down, drain
from deploy.aws.commands.launch import launch
from deploy.aws.commands.shared import EXIT_CODES
from deploy.aws.commands.status import status
from neuron.cli import OneSentenceGroup


@click.group(cls=OneSentenceGroup, epilog=EXIT_CODES)
@click.pass_context
def main(ctx: click.Context) -> None:
    """One trn2 host on EC2: find and buy a Capacity Block, launch, drain, take down.

    Nothing is changed without --apply and nothing bought without --confirm-purchase. Every command
    may be repeated: it goes on from where it was.
    """
    ctx.obj = ctx.obj or Setup(connect, Clock())


for command in (offers, buy, launch, status, drain, down, bundle):
    main.add_command(command)
