"""`bench schema`: what a result file holds."""

import json

import click

from bench.schema import result_schema, schema_page


@click.command()
@click.option("--markdown", is_flag=True, help="As the page docs/result-schema.md.")
def schema(markdown: bool) -> None:
    """Print the JSON Schema of a result file."""
    click.echo(
        schema_page() if markdown else json.dumps(result_schema(), indent=2), nl=not markdown
    )
