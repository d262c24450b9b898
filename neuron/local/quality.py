"""What the pair's answers are worth on a running engine: `python -m neuron.local.quality URL`.

Greedy, unguided, held-out prompts; each answer is judged by its own task's validator.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import click
import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from neuron.local.corpus import STRUCTURED, TASKS, Example, Outcome, held_out

AT_ONCE = 4
MAX_TOKENS = 400
REQUEST_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Answer:
    """`drafted` and `accepted` are the engine's own counts, 0 without a draft."""

    example: Example
    text: str
    token_ids: tuple[int, ...]
    finish_reason: str
    steps: int
    drafted: int
    accepted: int

    @property
    def outcome(self) -> Outcome:
        return TASKS[self.example.task].check(self.example, self.text)


@dataclass(frozen=True)
class Quality:
    """One task's row. `acceptance_length`: tokens per step over all answers; None: no draft."""

    task: str
    structured: bool
    prompts: int
    valid: int
    exact: int
    ended: int
    """Answers that the model ended itself, before `MAX_TOKENS`."""
    tokens: float
    acceptance_length: float | None


async def ask_all(
    client: httpx.AsyncClient,
    model: str,
    examples: Sequence[Example],
    *,
    temperature: float = 0.0,
    max_tokens: int = MAX_TOKENS,
    on_answer: Callable[[], object] = lambda: None,
) -> list[Answer]:
    """Answers in the order of `examples`. Raises httpx.HTTPError where the engine refuses."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(example: Example) -> Answer:
        async with places:
            answer = await _ask(client, model, example, temperature, max_tokens)
        on_answer()
        return answer

    return await asyncio.gather(*map(one, examples))


async def _ask(
    client: httpx.AsyncClient, model: str, example: Example, temperature: float, max_tokens: int
) -> Answer:
    # tool_choice none keeps the answer as text; the prompt still lists the tools.
    tools = {"tools": list(example.tools), "tool_choice": "none"} if example.tools else {}
    body = {
        "model": model,
        "messages": list(example.messages),
        "temperature": temperature,
        "seed": 0,
        "max_tokens": max_tokens,
        "return_token_ids": True,
        **tools,
    }
    response = await client.post("/v1/chat/completions", json=body, timeout=REQUEST_TIMEOUT_S)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    choice = answer["choices"][0]
    counts = (answer.get("metrics") or {}).get("speculative_decoding") or {}
    return Answer(
        example,
        choice["message"]["content"] or "",
        tuple(choice["token_ids"]),
        choice["finish_reason"],
        counts.get("num_spec_steps", 0),
        counts.get("num_draft_tokens", 0),
        counts.get("num_accepted_draft_tokens", 0),
    )


def acceptance_length(answers: Iterable[Answer]) -> float | None:
    """1 + accepted / steps over all answers together."""
    stepped = [answer for answer in answers if answer.steps]
    if not stepped:
        return None
    return 1 + sum(a.accepted for a in stepped) / sum(a.steps for a in stepped)


def by_task(answers: Sequence[Answer]) -> list[Quality]:
    return [
        _quality(task, [answer for answer in answers if answer.example.task == task])
        for task in dict.fromkeys(answer.example.task for answer in answers)
    ]


def _quality(task: str, answers: Sequence[Answer]) -> Quality:
    outcomes = [answer.outcome for answer in answers]
    return Quality(
        task=task,
        structured=task in STRUCTURED,
        prompts=len(answers),
        valid=sum(outcome.valid for outcome in outcomes),
        exact=sum(outcome.exact for outcome in outcomes),
        ended=sum(answer.finish_reason == "stop" for answer in answers),
        tokens=fmean(len(answer.token_ids) for answer in answers),
        acceptance_length=acceptance_length(answers),
    )


def _table(rows: Sequence[Quality]) -> Table:
    table = Table("task", "prompts", "valid", "exact", "ended", "tokens", "acceptance length")
    for row in rows:
        length = "–" if row.acceptance_length is None else f"{row.acceptance_length:.2f}"
        counts = (row.prompts, row.valid, row.exact, row.ended)
        name = row.task if row.structured else f"{row.task} (control)"
        table.add_row(name, *map(str, counts), f"{row.tokens:.0f}", length)
    return table


async def _run(url: str, model: str, tasks: Sequence[str], prompts: int, seed: int) -> list[Answer]:
    examples = [example for task in tasks for example in held_out(task, prompts, seed)]
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("answers", total=len(examples))
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            return await ask_all(client, model, examples, on_answer=lambda: progress.advance(bar))


@click.command()
@click.argument("url")
@click.option("--model", default="local", show_default=True)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    type=click.Choice(list(TASKS)),
    help="Only this one; may be given again.",
)
@click.option("--prompts", default=50, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, help="Of the held-out prompts.")
@click.option("--json", "as_json", is_flag=True, help="Rows as JSON instead of a table.")
@click.option("--wrong", is_flag=True, help="Also print every answer that is not exact.")
def main(
    url: str,
    model: str,
    tasks: tuple[str, ...],
    prompts: int,
    seed: int,
    as_json: bool,
    wrong: bool,
) -> None:
    """Ask the engine at URL (not the gateway: it hides token ids) PROMPTS of each task."""
    try:
        answers = asyncio.run(_run(url, model, tasks or tuple(TASKS), prompts, seed))
    except httpx.HTTPError as error:
        raise click.ClickException(f"The engine at {url} did not answer: {error!r}") from error
    rows = by_task(answers)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        Console(width=100).print(_table(rows))
    if wrong:
        for answer in answers:
            if not answer.outcome.exact:
                click.echo(f"\n# {answer.example.task}: {answer.outcome.reason}\n{answer.text}")


if __name__ == "__main__":
    main()
