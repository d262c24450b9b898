"""Tags: how everything of one host is found again."""

from __future__ import annotations

import re
from typing import Any

from deploy.aws.errors import SettingsError

NAME_TAG = "specserve:name"
DRAIN_TAG = "specserve:drain-at"
BUCKET_TAG = "specserve:bucket"
VPC_TAG = "specserve:vpc"
LOG_GROUP_TAG = "specserve:log-group"

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


def checked(name: str) -> str:
    """Raises SettingsError."""
    if not NAME.fullmatch(name):
        raise SettingsError(
            f"The name {name!r} is none: write up to 40 small letters, digits and hyphens."
        )
    return name


def specification(kind: str, **tags: str) -> dict[str, Any]:
    named = {"Name": f"specserve {tags['name']}", NAME_TAG: tags["name"]}
    if "drain_at" in tags:
        named[DRAIN_TAG] = tags["drain_at"]
    return {
        "ResourceType": kind,
        "Tags": [{"Key": key, "Value": value} for key, value in named.items()],
    }


def named(name: str) -> dict[str, Any]:
    """A filter."""
    return {"Name": f"tag:{NAME_TAG}", "Values": [name]}


def tags_of(resource: dict[str, Any]) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in resource.get("Tags", [])}
