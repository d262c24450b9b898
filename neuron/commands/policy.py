"""`neuron artefacts policy`."""

from __future__ import annotations

import json

import click

from neuron.artefacts.policy import Role, policy
from neuron.commands.exit_codes import EXIT_CODES


@click.command("policy", epilog=EXIT_CODES)
@click.option("--store", "address", required=True, metavar="s3://BUCKET/PREFIX")
@click.option("--role", type=click.Choice(["reader", "publisher", "pruner"]), default="reader")
@click.option("--kms-key", metavar="ARN", help="The key that the bucket encrypts with.")
@click.option("--partition", default="aws", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON is what it always prints.")
def policy_command(
    address: str, role: Role, kms_key: str | None, partition: str, as_json: bool
) -> None:
    """Print the IAM policy with the least that a role needs: engines are readers."""
    click.echo(json.dumps(policy(address, role, partition=partition, kms_key=kms_key), indent=2))
