"""`bench explain`: every printed name with its definition."""

import difflib
from collections.abc import Iterator

import click

from bench.errors import UsageProblemError
from bench.series import ALL, FIGURES, OTHER_TOOLS, SERIES, Definition, Series
from bench.validity import MEANING


@click.command()
@click.argument("name", required=False)
def explain(name: str | None) -> None:
    """Say what a printed name means, or list all names.

    NAME may be written with - for a space: step-gap.
    """
    click.echo("\n".join(_listed() if name is None else _told(name)))


def _listed() -> Iterator[str]:
    groups = (
        ("Series, of each request, gap, token or chunk", SERIES),
        ("Figures and words", FIGURES),
        ("What other tools would print from the same events; for comparison only", OTHER_TOOLS),
    )
    width = max(map(len, ALL))
    for title, definitions in groups:
        yield f"{title}:"
        yield from (f"  {one.name:<{width}}  {one.unit}".rstrip() for one in definitions)
    yield "`bench explain NAME` defines one, `bench explain answers` the classes of answers."


def _told(name: str) -> Iterator[str]:
    wanted = _plain(name)
    if wanted == "answers":
        width = max(map(len, MEANING))
        yield from (f"{what:<{width}}  {meaning}" for what, meaning in MEANING.items())
        return
    known = {_plain(one): one for one in ALL}
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)
        hint = f" Near it: {', '.join(known[one] for one in near)}." if near else ""
        raise UsageProblemError(
            f"{name!r} is no name that the bench prints.{hint} `bench explain` lists all."
        )
    yield from _lines(ALL[known[wanted]])


def _plain(name: str) -> str:
    return name.lower().replace("-", " ").replace("_", " ").strip()


def _lines(one: Definition) -> Iterator[str]:
    yield one.name + (f" [{one.unit}]" if one.unit else "")
    yield f"  {one.says}"
    if isinstance(one, Series) and one.trap:
        yield f"  With speculation: {one.trap}."
    if one in OTHER_TOOLS:
        yield "  Another tool's number, for comparison only."
