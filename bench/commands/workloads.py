"""`bench workloads`: what can be asked, and samples of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click

from bench.commands.shared import EPILOG
from bench.workloads import Profile, Workload, catalogue, choose, from_file

profile_option = click.option(
    "--profile",
    default="full",
    show_default=True,
    type=click.Choice(get_args(Profile)),
    help="The suite for real Qwen models, or the short prompts that the bundled pair knows.",
)


@dataclass(frozen=True)
class Listed:
    """A line of the list. The sizes are in characters, means of `of` samples."""

    code: str
    name: str
    structured: bool
    phrasings: int
    guided: bool
    temperature: float
    prompt: int
    answer: int
    about: str


def listed(workload: Workload, of: int = 64) -> Listed:
    samples = workload.examples(of, 0)
    return Listed(
        workload.code,
        workload.name,
        workload.structured,
        len({one.phrasing for one in samples}),
        all(one.schema is not None for one in samples),
        workload.temperature,
        round(sum(len(m["content"]) for one in samples for m in one.messages) / of),
        round(sum(len(one.answer) for one in samples) / of),
        workload.about,
    )


@click.group(invoke_without_command=True, epilog=EPILOG)
@profile_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def workloads(ctx: click.Context, profile: Profile, as_json: bool) -> None:
    """List the workloads, or show samples of one."""
    if ctx.invoked_subcommand is not None:
        return
    found = [listed(one) for one in catalogue(profile)]
    if as_json:
        click.echo(json.dumps([vars(one) for one in found]))
        return
    width = max(len(one.name) for one in found)
    for one in found:
        click.echo(
            f"{one.code:<4}  {one.name:<{width}}  "
            f"{'structured' if one.structured else 'control   '}  {one.about}"
        )
    click.echo("`bench workloads show NAME` prints samples.")


@workloads.command(epilog=EPILOG)
@click.argument("name", metavar="NAME|FILE")
@profile_option
@click.option("--seed", default=0, show_default=True)
@click.option("-n", "--n", "count", default=1, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="As JSON lines.")
def show(name: str, profile: Profile, seed: int, count: int, as_json: bool) -> None:
    """Print prompts with the answer that is expected and how answers are judged.

    NAME is a name or a code like W1; a path with a dot or a slash is a file of your own.
    """
    own = [from_file(Path(name))] if {".", "/"} & set(name) else []
    for workload in choose([] if own else [name], profile, own):
        for number, example in enumerate(workload.examples(count, seed)):
            shown: dict[str, Any] = {
                "workload": workload.name,
                "number": number,
                "phrasing": example.phrasing,
                "messages": list(example.messages),
                "tools": list(example.tools),
                "schema": example.schema,
                "answer": example.answer,
                "judged": workload.about,
            }
            click.echo(json.dumps(shown) if as_json else "\n".join(_lines(shown)))


def _lines(shown: dict[str, Any]) -> Iterator[str]:
    yield f"=== {shown['workload']}, sample {shown['number']}, phrasing {shown['phrasing']}"
    for message in shown["messages"]:
        yield f"[{message['role']}] {message['content']}"
    for tool in shown["tools"]:
        yield f"[tool] {json.dumps(tool)}"
    if shown["schema"] is not None:
        yield f"[schema] {json.dumps(shown['schema'])}"
    yield f"[answer] {shown['answer'] or 'none is expected'}"
    yield f"[judged] {shown['judged']}"
