"""`bench publish`: a stored result to S3, its figures to CloudWatch."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from bench.commands.shared import EPILOG
from bench.errors import UsageProblemError
from bench.publish.layout import shipment
from bench.publish.metrics import check_namespace, check_sendable
from bench.publish.policy import publish_policy
from bench.setup import Setup
from bench.storage import read
from bench.summary import summarise


@click.command(epilog=EPILOG)
@click.argument("path", metavar="[RESULT.json]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--s3", "address", required=True, metavar="s3://BUCKET/PREFIX", help="Where the result goes."
)
@click.option("--cloudwatch", "namespace", metavar="NAMESPACE", help="Also send its figures there.")
@click.option(
    "--policy",
    is_flag=True,
    help="Send nothing: print the IAM policy that a role needs for this and no more.",
)
@click.option("--kms-key", metavar="ARN", help="With --policy: the key of the bucket.")
@click.option(
    "--partition",
    default="aws",
    show_default=True,
    type=click.Choice(["aws", "aws-cn", "aws-us-gov"]),
    help="With --policy.",
)
@click.option("--json", "as_json", is_flag=True, help="What was sent, as JSON.")
@click.pass_context
def publish(
    ctx: click.Context,
    path: Path | None,
    address: str,
    namespace: str | None,
    policy: bool,
    kms_key: str | None,
    partition: str,
    as_json: bool,
) -> None:
    """Put a result with its page into S3, and its figures into CloudWatch.

    The same file goes to the same place however often it is published. Region, credentials and
    endpoints are boto3's own.
    """
    if namespace is not None:
        check_namespace(namespace)
    if policy:
        told = publish_policy(address, namespace, partition=partition, kms_key=kms_key)
        click.echo(json.dumps(told, indent=2))
        return
    if path is None:
        raise UsageProblemError("Name the RESULT.json to publish, or give --policy.")
    # boto3 takes its time to load, and no other command needs it.
    from bench.publish.send import publish as send

    result = read(path)
    if namespace is not None:
        check_sendable(result)
    summary = summarise(result, ctx.ensure_object(Setup).limits)
    done = send(shipment(result, summary, path.read_bytes()), address, namespace)
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return
    click.echo(done.address)
    click.echo("bench: " + ("published" if done.new else "was there already"), err=True)
    if namespace is not None:
        sent = f"{done.metrics} metrics sent to" if done.metrics else "the figures are already in"
        click.echo(f"bench: {sent} CloudWatch, namespace {namespace}", err=True)
