"""`server keys new`: a key for a client and the lines for the keys file."""

from __future__ import annotations

import json
from typing import Any, get_args

import click
from pydantic import ValidationError

from server.keys import KeyEntry, Priority, hash_of, new_token
from server.keys_config import KeysConfig, why


@click.group()
def keys() -> None:
    """API keys of the gateway."""


@keys.command()
@click.option("--name", required=True, help="Who uses it; in metrics and logs.")
@click.option("--requests-per-minute", type=int)
@click.option("--tokens-per-minute", type=int, help="Prompt and answer together.")
@click.option("--concurrency", type=int, help="Requests at once.")
@click.option("--model", "models", multiple=True, help="A model it may use; default all.")
@click.option("--priority", type=click.Choice(get_args(Priority)), default="normal")
@click.option("--admin", is_flag=True, help="May read /metrics and all else of the kind.")
def new(**given: Any) -> None:  # noqa: ANN401 - checked as every entry is
    """Print a new key once, on stderr, and its entry for the keys file on stdout.

    server keys new --name team-a --requests-per-minute 600 >> keys.toml
    """
    token = new_token()
    said = {name: value for name, value in given.items() if value is not None and value != ()}
    try:
        config = KeysConfig.model_validate({"keys": [{**said, "hash": hash_of(token)}]})
    except ValidationError as error:
        raise click.UsageError(why(error)) from error
    click.echo(entry_text(config.keys[0]), nl=False)
    click.echo(f"The key of {said['name']}, which is shown this once:\n{token}", err=True)


def entry_text(entry: KeyEntry) -> str:
    """TOML."""
    lines = ["[[keys]]"]
    for name, value in entry.model_dump(exclude_defaults=True, mode="json").items():
        # Strings without control characters, whole numbers, true and lists: JSON's are TOML's.
        lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n\n"
