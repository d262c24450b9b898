"""Options that several commands share, and the checks that must come before anything slow."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import ValidationError

from bench.errors import UsageProblemError
from bench.option_types import Levels, Times
from bench.record import Settings
from bench.settings import OPEN_LOOP, Arrivals, Slo, UserFile
from bench.stats import MIN_PROMPTS
from bench.workloads import DEFAULT_MAX_TOKENS, FileSource, Profile, choose, from_file
from neuron.models import BUNDLED_PREFIX
from neuron.pair import Pair, load_pair

DEFAULT_PROMPTS = 3
QUICK_WORKLOADS = ("W1", "W3", "N1")
QUICK_PROMPTS = 2
QUICK_TOKENS = 96
PLOT_SUFFIXES = {".png", ".svg", ".pdf"}
Command = Callable[..., Any]


def _all(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def apply(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


pair_options = _all(
    click.option("--pair", "pair_ref", default="local", show_default=True, metavar="REF",
                 help="A shipped pair's name or a TOML file."),
    click.option("--target", metavar="MODEL", help="Another target for the pair."),
    click.option("--draft", metavar="MODEL", help="Another draft for the pair."),
    click.option("-k", "--num-draft-tokens", "draft_tokens", type=click.IntRange(1), metavar="K",
                 help="Drafts per step instead of the pair's own number."),
)  # fmt: skip


slo_options = _all(
    click.option("--slo-ttft", type=Times(), help="A good request's longest TTFT."),
    click.option("--slo-tpot", type=Times(), help="A good request's longest TPOT."),
)

load_options = _all(
    click.option("--rate", type=click.FloatRange(0, min_open=True), metavar="REQUESTS/S",
                 help="An open loop: requests leave at drawn times, Poisson, instead of so many "
                      "in flight."),
    click.option("--burst", default=1, show_default=True, type=click.IntRange(1), metavar="N",
                 help="With --rate: this many leave together."),
    click.option("--temperature", type=click.FloatRange(0, 2),
                 help="Of all requests; each workload's own by default."),
)  # fmt: skip

run_options = _all(
    click.option("-w", "--workload", "workloads", multiple=True, metavar="NAME",
                 help="Repeatable, a name or a code like W1; W1 to W7, N1 and N2 by default."),
    click.option("--workload-file", "workload_files", multiple=True, metavar="FILE",
                 type=click.Path(path_type=Path, dir_okay=False),
                 help="Repeatable: your own requests, as JSON lines of OpenAI bodies, ShareGPT or "
                      "JSONSchemaBench."),
    click.option("--profile", type=click.Choice(get_args(Profile)),
                 help="Short prompts that the bundled pair knows, or the full suite; by default "
                      "what the pair is, and the full suite with URLs."),
    click.option("--prompts", type=click.IntRange(MIN_PROMPTS),
                 help=f"Prompts per workload: {DEFAULT_PROMPTS} by default, or twice what is in "
                      "flight where that is more; 50 for a claim."),
    click.option("--rounds", default=1, show_default=True, type=click.IntRange(1),
                 help="A B B A blocks; each gives every prompt two repeats per side."),
    click.option("--concurrency", default="1", show_default=True, type=Levels(),
                 help="Requests in flight."),
    click.option("--max-tokens", type=click.IntRange(2),
                 help="320 by default, 640 for the full suite."),
    click.option("--seed", default=0, show_default=True),
    click.option("--warmup", default=2, show_default=True, type=click.IntRange(0),
                 help="Requests per side and concurrency that are not counted; not fewer than "
                      "the concurrency, and 0 for none."),
    click.option("--out", default="results", show_default=True, metavar="DIR",
                 type=click.Path(path_type=Path, file_okay=False),
                 help="Where the result JSON goes."),
    click.option("--json", "as_json", is_flag=True, help="The result JSON on stdout, no table."),
)  # fmt: skip

quick_option = click.option(
    "--quick", is_flag=True,
    help=f"A look, one and a half to three minutes with the bundled pair: "
         f"{', '.join(QUICK_WORKLOADS)}, {QUICK_PROMPTS} prompts, {QUICK_TOKENS} tokens at most, "
         "as far as nothing else is given.",
)  # fmt: skip

PAIR_OPTIONS = ("pair_ref", "target", "draft", "draft_tokens")

require_faster_option = click.option(
    "--require-faster", is_flag=True,
    help="Exit with 6 unless the structured workloads, or all where there are none, are shown to "
         "be faster.",
)  # fmt: skip

require_no_harm_option = click.option(
    "--require-no-harm", is_flag=True,
    help="Exit with 9 unless each control is faster or within 5 % of the plain engine.",
)  # fmt: skip

plot_option = click.option(
    "--plot", metavar="PATH", type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw a picture (.png, .svg or .pdf).",
)  # fmt: skip


def quickened(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters after `--quick`: what was given stays."""
    if not params["quick"] or params["workloads"] or params["workload_files"]:
        return params
    # A longer answer, or another model's, would only be cut off.
    tokens = QUICK_TOKENS if chosen_profile(params) == "bundled" else None
    return {
        **params,
        "workloads": QUICK_WORKLOADS,
        "max_tokens": params["max_tokens"] or tokens,
    }


def chosen_pair(params: Mapping[str, Any]) -> Pair:
    pair = load_pair(params["pair_ref"]).with_models(target=params["target"], draft=params["draft"])
    if params["draft_tokens"] is None:
        return pair
    try:
        changed = {**pair.model_dump(), "num_draft_tokens": params["draft_tokens"]}
        return Pair.model_validate(changed)
    except ValidationError as error:
        raise UsageProblemError(
            f"--num-draft-tokens {params['draft_tokens']}: {error.errors()[0]['msg']}."
        ) from error


def chosen_settings(params: Mapping[str, Any]) -> Settings:
    open_loop = params.get("rate") is not None
    profile = chosen_profile(params)
    prompts = chosen_prompts(params)
    own = [from_file(path.absolute()) for path in params["workload_files"]]
    for one in own:
        # Now, not when the engines run: are there enough of them?
        one.examples(prompts, params["seed"])
    return Settings(
        workloads=tuple(one.name for one in choose(params["workloads"], profile, own)),
        prompts=prompts,
        rounds=params["rounds"],
        concurrency=(OPEN_LOOP,) if open_loop else params["concurrency"],
        max_tokens=params["max_tokens"] or DEFAULT_MAX_TOKENS[profile],
        seed=params["seed"],
        guided=params.get("guided", False),
        warmup=params["warmup"],
        arrivals=chosen_arrivals(params),
        temperature=params.get("temperature"),
        slo=chosen_slo(params),
        profile=profile,
        files=tuple(
            UserFile(path=str(one.source.path), sha256=one.source.sha256)
            for one in own
            if isinstance(one.source, FileSource)
        ),
    )


def chosen_prompts(params: Mapping[str, Any]) -> int:
    """A block sends each prompt once: fewer than are to be in flight never are."""
    loads: dict[str, int] = {
        "--burst": params.get("burst", 1),
        "--concurrency": 1 if params.get("rate") else max(params["concurrency"]),
    }
    option, most = max(loads.items(), key=lambda one: one[1])
    given: int | None = params["prompts"]
    if given is None:
        quick = params.get("quick", False)
        return max(QUICK_PROMPTS, most) if quick else max(DEFAULT_PROMPTS, 2 * most)
    if given < most:
        raise UsageProblemError(
            f"--prompts {given} never fills {option} {most}: give {most} or more."
        )
    return given


def chosen_profile(params: Mapping[str, Any]) -> Profile:
    """The bundled pair knows its own corpus only; of engines at URLs nothing is known."""
    given: Profile | None = params.get("profile")
    if given is not None:
        return given
    if params.get("plain_url") or params.get("speculative_url"):
        return "full"
    pair = load_pair(params["pair_ref"]).with_models(target=params["target"], draft=None)
    return "bundled" if pair.target.startswith(BUNDLED_PREFIX) else "full"


def chosen_slo(params: Mapping[str, Any]) -> Slo:
    return Slo(ttft_ms=params.get("slo_ttft"), tpot_ms=params.get("slo_tpot"))


def chosen_arrivals(params: Mapping[str, Any]) -> Arrivals | None:
    rate, burst = params.get("rate"), params.get("burst", 1)
    if rate is not None:
        return Arrivals(rate=rate, burst=burst)
    if burst > 1:
        raise UsageProblemError("--burst says how requests leave at a --rate: give both.")
    return None


def check_fits(pair: Pair, settings: Settings) -> None:
    """Queueing inside the engine would be measured as if it were its speed."""
    if max(settings.concurrency) > pair.max_num_seqs:
        raise UsageProblemError(
            f"--concurrency {max(settings.concurrency)} is more than the pair's max_num_seqs = "
            f"{pair.max_num_seqs}: lower the one or raise the other."
        )
    if settings.max_tokens >= pair.max_model_len:
        raise UsageProblemError(
            f"--max-tokens {settings.max_tokens} leaves no room for a prompt in the pair's "
            f"max_model_len = {pair.max_model_len}: lower the one or raise the other."
        )


def check_plot(path: Path | None) -> None:
    if path is None:
        return
    if path.suffix not in PLOT_SUFFIXES:
        raise UsageProblemError(f"--plot {path}: end the name in .png, .svg or .pdf.")
    check_place("--plot", path)


def check_place(option: str, path: Path | None) -> None:
    """Before the work, not after it."""
    if path is not None and not path.absolute().parent.is_dir():
        raise UsageProblemError(
            f"{option} {path}: the folder {path.absolute().parent} is not there."
        )
