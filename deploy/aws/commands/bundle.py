"""`bundle`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from deploy.aws.bundle import Choice, HostSettings, archive, files, sha256
from deploy.aws.commands.host_options import host_options
from deploy.aws.commands.shared import EXIT_CODES, json_option, name_argument, show
from deploy.aws.errors import DeployError


@click.command(epilog=EXIT_CODES)
@name_argument
@host_options
@click.option("--region", required=True, help="Of the bucket and the logs.")
@click.option("--bucket", required=True, help="Of the CloudFormation stack.")
@click.option("--log-group", required=True)
@click.option(
    "--drain-at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]),
    help="When the host drains itself, UTC; for a Capacity Block.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
@json_option
def bundle(
    name: str, choice: Choice, region: str, bucket: str, log_group: str,
    drain_at: datetime | None, out: Path, as_json: bool,
) -> None:  # fmt: skip
    """Write what `launch` would put on a host, for a stack that starts its own. Offline."""
    settings = HostSettings(name, choice, region, bucket, log_group, drain_at)
    content = archive(settings)
    try:
        out.write_bytes(content)
    except OSError as error:
        raise DeployError(f"{out} cannot be written: {error.strerror}.") from error
    digest, paths = sha256(content), sorted(files(settings))
    show(as_json, {"out": str(out), "sha256": digest, "files": paths}, [f"{digest}  {out}"])
