"""`neuron plan`: degree, batch and K for a pair, from the cost model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import click

from neuron.commands.values import Counts, Duration, Finite, Rate
from neuron.errors import PairError

if TYPE_CHECKING:
    from neuron.cost import Parameters
    from neuron.plan.question import Question
    from neuron.plan.sizing import Load

EPILOG = """\b
Exit codes:
  0  done, also where the answer is not to speculate or that nothing meets an SLO
  2  bad usage, or a pair that cannot work
  3  a model that is not known and not on this machine
"""
FILE = click.Path(path_type=Path, dir_okay=False)
BATCHES = (1, 4, 16)
MIN_MODEL_LEN = 128
DEFAULT_PROMPT, DEFAULT_OUTPUT = 512, 256


class Asked(TypedDict):
    """The options that make up the question, as click gives them."""

    instance: str
    acceptance: float | None
    workload: str | None
    slo_tpot: float | None
    rate: float | None
    slo_ttft: float
    prompt_tokens: int | None
    output_tokens: int | None
    tp: tuple[int, ...]
    batch: tuple[int, ...]
    ks: tuple[int, ...]
    context: int
    max_model_len: int
    price: float | None
    loop: Literal["nxdi", "generic"]


@click.command(epilog=EPILOG)
@click.option("--target", help="A known name, a folder or its config.json.")
@click.option("--draft", help="The same for the draft.")
@click.option("--instance", default="trn2.48xlarge", show_default=True)
@click.option(
    "--acceptance",
    type=Finite(0, 1),
    help="Chance that a draft is accepted when all before it were; `bench` measures it.",
)
@click.option("--workload", help="Instead: what is expected of a kind of traffic, as json_extract.")
@click.option("--slo-tpot", type=Duration(), help="Time per output token to stay within, as 15ms.")
@click.option("--rate", type=Rate(), help="Requests to serve, as 20/s: how many instances?")
@click.option(
    "--slo-ttft", type=Duration(), default="1s", show_default=True, help="With --rate, for 95 %."
)
@click.option("--prompt-tokens", type=click.IntRange(1), help="With --rate [default: workload's].")
@click.option("--output-tokens", type=click.IntRange(2), help="With --rate [default: workload's].")
@click.option("--tp", type=Counts(), default=(), help="Degrees to look at [default: all].")
@click.option("--batch", type=Counts(), default=BATCHES, help="Slots [default: 1,4,16].")
@click.option("--k", "ks", type=Counts(), default=(), help="Drafts per step [default: the best].")
@click.option("--context", type=click.IntRange(1), default=1024, show_default=True,
              help="Positions held while a step runs.")  # fmt: skip
@click.option("--max-model-len", type=click.IntRange(MIN_MODEL_LEN), default=4096,
              show_default=True, help="Positions that memory is allotted for.")  # fmt: skip
@click.option("--price", type=Finite(0, min_open=True), help="$/h of an instance.")
@click.option(
    "--loop",
    type=click.Choice(["nxdi", "generic"]),
    default="nxdi",
    show_default=True,
    help="Draft passes per step: K+1 as NxDI runs them, or K.",
)
@click.option("--parameters", type=FILE, help="Another parameter file, as --calibrate writes.")
@click.option("--plot", type=FILE, help="Draw TPOT over acceptance, PNG or SVG.")
@click.option("--write", type=FILE, help="Write the chosen pair as TOML.")
@click.option(
    "--choose",
    type=click.Choice(["latency", "cost", "slo"]),
    help="For --write [default: slo if there is one, or latency].",
)
@click.option("--calibrate", type=FILE, help="Refit the model to a result of `bench` instead.")
@click.option(
    "--pair", help="With --calibrate: the pair of a result that was measured on engines by URL."
)
@click.option("--write-parameters", type=FILE, help="With --calibrate: where to.")
@click.option("--force", is_flag=True, help="Replace what --write or --write-parameters names.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def plan(
    target: str | None,
    draft: str | None,
    plot: Path | None,
    write: Path | None,
    choose: Literal["latency", "cost", "slo"] | None,
    parameters: Path | None,
    calibrate: Path | None,
    pair: str | None,
    write_parameters: Path | None,
    force: bool,
    as_json: bool,
    **asked: Unpack[Asked],
) -> None:
    """Which TP, batch and K for a pair, whether to speculate at all, and what it costs.

    Every time it prints is modelled: nobody has measured these pairs on a Trainium.
    """
    from neuron.cost import load_parameters, shipped
    from neuron.plan.outputs import PICTURES, TABLES, writable

    writable("--write", write, TABLES, replace=force)
    writable("--write-parameters", write_parameters, TABLES, replace=force)
    # A picture can be drawn again.
    writable("--plot", plot, PICTURES, replace=True)
    known = shipped() if parameters is None else load_parameters(parameters)
    if calibrate is not None:
        _calibrate(known, calibrate, pair, write_parameters, as_json=as_json)
        return
    if pair is not None:
        raise click.UsageError("--pair says what --calibrate's result was measured on: give both.")
    if write_parameters is not None:
        raise click.UsageError("--write-parameters writes what --calibrate fits: give both.")
    if target is None or draft is None:
        raise click.UsageError("A plan is of two models: give --target and --draft.")
    question = _question(known, target, draft, asked)
    _answer(question, _load(question, asked), plot, write, choose, as_json=as_json)


def _question(known: Parameters, target: str, draft: str, asked: Asked) -> Question:
    from neuron.plan import question

    if asked["acceptance"] is not None and asked["workload"] is not None:
        raise click.UsageError("--workload stands for an acceptance: give it or --acceptance.")
    if asked["context"] > asked["max_model_len"]:
        raise PairError(
            f"--context {asked['context']} is more than --max-model-len {asked['max_model_len']}: "
            "raise the latter."
        )
    instance = question.instance_of(known, asked["instance"])
    cores = round(instance.cores.value)
    large, small = question.models_of(target, draft)
    return question.Question(
        target=large,
        draft=small,
        instance_name=asked["instance"],
        instance=instance,
        price=instance.price.value if asked["price"] is None else asked["price"],
        acceptance=question.acceptance_of(known, asked["acceptance"], asked["workload"]),
        degrees=question.degrees_of(asked["tp"], cores, asked["instance"]),
        batches=tuple(sorted(set(asked["batch"]))),
        ks=question.ks_of(asked["ks"]),
        context=asked["context"],
        max_model_len=asked["max_model_len"],
        loop=asked["loop"],
        slo_tpot_ms=asked["slo_tpot"],
        parameters=known,
    )


def _load(question: Question, asked: Asked) -> Load | None:
    from neuron.plan.question import workload_of
    from neuron.plan.sizing import Load

    prompt, output = asked["prompt_tokens"], asked["output_tokens"]
    if asked["rate"] is None:
        if prompt is not None or output is not None:
            raise click.UsageError(
                "--prompt-tokens and --output-tokens describe a --rate: give it."
            )
        return None
    if asked["workload"] is not None:
        kind = workload_of(question.parameters, asked["workload"])
        prompt, output = prompt or kind.prompt_tokens, output or kind.output_tokens
    prompt, output = prompt or DEFAULT_PROMPT, output or DEFAULT_OUTPUT
    if prompt + output > question.max_model_len:
        raise PairError(
            f"--max-model-len {question.max_model_len} is too short for {prompt} + {output} "
            "tokens: raise it."
        )
    return Load(asked["rate"], prompt, output, asked["slo_ttft"])


def _answer(
    question: Question,
    load: Load | None,
    plot: Path | None,
    write: Path | None,
    choose: Literal["latency", "cost", "slo"] | None,
    *,
    as_json: bool,
) -> None:
    from neuron.plan import pair_file, render
    from neuron.plan.answer import answer
    from neuron.plan.document import document

    if load is not None:
        click.echo(f"Simulating {load.rate_per_s:g} requests/s.", err=True)
    found = answer(question, load)
    # The answer first: it is there even if a file cannot be written.
    click.echo(json.dumps(document(found), indent=2) if as_json else render.text(found))
    if plot is not None:
        from neuron.plan.plot import draw

        draw(found, plot)
        click.echo(f"Drew {plot}.", err=True)
    if write is not None:
        pair_file.write(question, found.chosen(choose), write)
        click.echo(
            f"Wrote {write}; `neuron launch {write} --dry-run` prints its command.", err=True
        )


def _calibrate(
    known: Parameters, path: Path, pair: str | None, out: Path | None, *, as_json: bool
) -> None:
    from neuron.cost.calibrate import refit
    from neuron.cost.results import observations
    from neuron.pair import load_pair
    from neuron.plan import refit_report as report

    own = observations(path, load_pair(pair) if pair else None)
    click.echo(f"Fitting to {len(own)} points of {path}.", err=True)
    found = refit(known, own, origin=path.name)
    click.echo(json.dumps(report.document(found), indent=2) if as_json else report.text(found))
    if out is None:
        return
    try:
        out.write_text(found.parameters.to_toml(), encoding="utf-8")
    except OSError as error:
        raise PairError(f"--write-parameters {out}: {error.strerror}.") from error
    click.echo(f"Wrote {out}; use it with --parameters.", err=True)
