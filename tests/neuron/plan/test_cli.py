"""`neuron plan` as it is typed. SPECSERVE_UPDATE_GOLDEN=1 rewrites its golden file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from neuron.check.run import check
from neuron.cost.parameters import PARAMETERS
from neuron.models import KNOWN_MODELS
from neuron.pair import load_pair
from tests.neuron.cost.conftest import model
from tests.neuron.cost.results import trainium_result, write
from tests.neuron.plan.asked import LARGE, SMALL, choice, data, plan

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).parent / "golden_plan.txt"
PNG = b"\x89PNG\r\n\x1a\n"


def test_the_plan_as_it_is_printed() -> None:
    found = plan(*LARGE, "--acceptance", "0.85", "--slo-tpot", "15ms")
    assert found.exit_code == 0
    assert found.stderr == ""
    if os.environ.get("SPECSERVE_UPDATE_GOLDEN"):
        GOLDEN.write_text(found.stdout, encoding="utf-8")
    assert found.stdout == GOLDEN.read_text(encoding="utf-8")


def test_every_line_with_a_trainium_s_time_says_modelled() -> None:
    asked = (*LARGE, "--acceptance", "0.85", "--slo-tpot", "15ms", "--rate", "5/s", "--tp", "16,32")
    lines = plan(*asked).stdout.splitlines()
    table = [line for line in lines if line[:4].strip().isdigit()]
    assert len(table) > 5
    heads = lines[lines.index(table[0]) - 1].split()
    assert heads == ["modelled"] * 6
    timed = [line for line in lines if " ms" in line and line not in table and "TP  " not in line]
    assert len(timed) > 4
    assert all("modelled" in line for line in timed), timed


def test_a_draft_that_is_nearly_as_deep_as_the_target_is_not_to_be_used() -> None:
    answer = data(*SMALL, "--acceptance", "0.85", "--tp", "32")
    assert answer["speculate"] is False
    assert all(not one["speculate"] for one in answer["candidates"])
    assert choice(answer, "latency")["k"] == 0
    text = plan(*SMALL, "--acceptance", "0.85", "--tp", "32").stdout
    assert "Do not speculate with this draft here" in text
    assert "do not speculate" in choice(answer, "latency")["reason"]


def test_without_acceptance_nothing_speculates() -> None:
    answer = data(*LARGE, "--acceptance", "0")
    assert all(one["modelled_speedup"]["high"] < 1 for one in answer["candidates"])


def test_the_choice_is_the_best_row() -> None:
    answer = data(*LARGE, "--acceptance", "0.9", "--slo-tpot", "12ms")

    def of(one: dict[str, Any], key: str) -> float:
        way = one["modelled_speculative" if one["speculate"] else "modelled_plain"]
        return float(way[key])

    rows = answer["candidates"]
    picked = {
        goal: next(
            row
            for row in rows
            if (row["tp"], row["batch"])
            == (choice(answer, goal)["tp"], choice(answer, goal)["batch"])
        )
        for goal in ("latency", "cost", "slo")
    }
    cents, ms = "dollars_per_million_tokens", "tpot_ms"
    assert of(picked["latency"], ms) == min(of(row, ms) for row in rows)
    assert of(picked["cost"], cents) == min(of(row, cents) for row in rows)
    assert of(picked["slo"], ms) <= 12
    assert of(picked["slo"], cents) == min(of(row, cents) for row in rows if of(row, ms) <= 12)


def test_rates_and_costs_follow_from_the_time() -> None:
    for row in data(*LARGE, "--acceptance", "0.9", "--price", "36")["candidates"]:
        way = row["modelled_plain"]
        tokens = row["engines"] * row["batch"] / way["tpot_ms"] * 1000
        assert way["tokens_per_s_per_instance"] == pytest.approx(tokens)
        assert way["dollars_per_million_tokens"] == pytest.approx(36 / tokens / 3600 * 1e6)
        assert row["engines"] * row["tp"] == 64


def test_a_workload_widens_the_range() -> None:
    exact = data(*LARGE, "--acceptance", "0.89", "--tp", "32", "--batch", "4")
    between = data(*LARGE, "--workload", "json_extract", "--tp", "32", "--batch", "4")
    assert between["acceptance"]["low"] == 0.85
    one, other = (answer["candidates"][0]["modelled_speedup"] for answer in (exact, between))
    assert one["value"] == pytest.approx(other["value"])
    assert other["low"] < one["low"] < one["value"] < one["high"] < other["high"]


def test_what_does_not_fit_is_said() -> None:
    answer = data(*LARGE)
    assert {one["tp"] for one in answer["left_out"]} == {1, 2, 4}
    assert (
        "Too large for a core's 24 GiB (modelled), draft or not: TP 1 from" in plan(*LARGE).stdout
    )


def test_a_target_that_fits_without_the_draft_only_runs_plain(tmp_path: Path) -> None:
    pair = ("--target", "qwen3-32b", "--draft", "qwen3-14b", "--instance", "trn2.3xlarge")
    asked = (*pair, "--tp", "4", "--batch", "4", "--acceptance", "0.99")
    (row,) = data(*asked)["candidates"]
    assert (row["speculate"], row["modelled_speculative_fit"]) == (False, "too large")
    assert row["modelled_plain_memory_gib_per_core"]["total"] < 24
    assert row["modelled_memory_gib_per_core"]["total"] > 24
    path, picture = tmp_path / "pair.toml", tmp_path / "plan.svg"
    found = plan(*asked, "--write", str(path), "--plot", str(picture))
    assert found.exit_code == 0, found.stderr
    table = next(line for line in found.stdout.splitlines() if line.startswith(" 4  "))
    assert table.endswith("  too large")
    assert "do not speculate: with the draft it takes" in found.stdout
    assert "no row above has room for it" in found.stdout
    assert load_pair(path).draft is None
    assert not check(load_pair(path)).of("error")


def test_an_slo_that_nothing_meets_is_an_answer_but_no_pair(tmp_path: Path) -> None:
    asked = (*LARGE, "--slo-tpot", "1ms")
    found = plan(*asked)
    assert found.exit_code == 0
    assert "SLO: nothing here meets 1 ms" in found.stdout
    written = plan(*asked, "--write", str(tmp_path / "pair.toml"))
    assert written.exit_code == 2
    assert "--choose latency" in written.stderr
    assert not (tmp_path / "pair.toml").exists()


@pytest.mark.parametrize("name", ["plan.png", "plan.svg"])
def test_the_plot_is_a_picture(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    found = plan(*LARGE, "--slo-tpot", "15ms", "--plot", str(path))
    assert found.exit_code == 0, found.stderr
    if path.suffix == ".png":
        assert path.read_bytes().startswith(PNG)
    else:
        assert "<svg" in path.read_text(encoding="utf-8")


def test_a_rate_gives_instances_that_keep_the_limits() -> None:
    asked = (
        *LARGE,
        "--workload",
        "json_extract",
        "--slo-tpot",
        "20ms",
        "--tp",
        "16",
        "--batch",
        "4",
    )
    few = data(*asked, "--rate", "5/s")["sized"]
    many = data(*asked, "--rate", "50/s")["sized"]
    for one in (few[0], many[0]):
        assert one["instances"] is not None
        assert one["modelled"]["ttft_p95_ms"] <= 1000
        assert one["modelled"]["tpot_p95_ms"] <= 20
        assert one["modelled_utilisation"] < 1
    assert many[0]["instances"] > few[0]["instances"]


def test_limits_below_one_prefill_are_kept_by_no_number() -> None:
    asked = (*LARGE, "--rate", "1/s", "--slo-ttft", "1ms", "--tp", "64", "--batch", "4")
    answer = data(*asked)
    assert [one["instances"] for one in answer["sized"]] == [None] * len(answer["sized"])
    text = plan(*asked).stdout
    assert "no number of instances keeps the limits" in text


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ((), 2, "give --target and --draft"),
        (("--target", "qwen2.5-72b"), 2, "give --target and --draft"),
        (("--target", "qwen2.5-71b", "--draft", "qwen2.5-0.5b"), 3, "or qwen2.5-72b"),
        (("--target", "qwen2.5-72b", "--draft", "qwen3-0.6b"), 2, "--draft qwen3-0.6b is a qwen3"),
        ((*LARGE, "--instance", "p5.48xlarge"), 2, "known are trn2.3xlarge"),
        ((*LARGE, "--instance", "trn2.3xlarge"), 2, "fits no asked degree"),
        ((*LARGE, "--acceptance", "1.2"), 2, "--acceptance"),
        ((*LARGE, "--acceptance", "nan"), 2, "--acceptance"),
        ((*LARGE, "--workload", "poems"), 2, "known are json_extract"),
        ((*LARGE, "--workload", "sql", "--acceptance", "0.8"), 2, "give it or --acceptance"),
        ((*LARGE, "--slo-tpot", "15"), 2, "with a unit, as 15ms"),
        ((*LARGE, "--slo-tpot", "0ms"), 2, "above 0"),
        ((*LARGE, "--rate", "20"), 2, "with a unit, as 20/s"),
        ((*LARGE, "--tp", "3"), 2, "--tp 3: choose from 1, 2, 4"),
        ((*LARGE, "--tp", "4,x"), 2, "whole numbers above 0"),
        ((*LARGE, "--k", "16"), 2, "--k 16"),
        ((*LARGE, "--context", "9000"), 2, "--context 9000"),
        ((*LARGE, "--price", "inf"), 2, "--price"),
        ((*LARGE, "--prompt-tokens", "5"), 2, "describe a --rate"),
        ((*LARGE, "--rate", "1/s", "--output-tokens", "9000"), 2, "--max-model-len"),
        ((*LARGE, "--choose", "slo", "--write", "x.toml"), 2, "give --slo-tpot"),
        ((*LARGE, "--plot", "x.pdf"), 2, ".png or .svg"),
        ((*LARGE, "--plot", "/nowhere/x.png"), 2, "/nowhere/x.png"),
        ((*LARGE, "--write", "/nowhere/x.toml"), 2, "no folder /nowhere"),
        ((*LARGE, "--write", "x.json"), 2, "ends in .toml"),
        (("--calibrate", "r.json", "--write-parameters", "/nowhere/x.toml"), 2, "folder /nowhere"),
        (("--calibrate", "r.json", "--write-parameters", "x.txt"), 2, "ends in .toml"),
        ((*LARGE, "--parameters", "/nowhere/p.toml"), 2, "/nowhere/p.toml"),
        (("--calibrate", "/nowhere/r.json"), 2, "/nowhere/r.json"),
        (("--write-parameters", "p.toml"), 2, "--calibrate"),
        ((*LARGE, "--pair", "qwen3-32b-tp32"), 2, "give both"),
    ],
)
def test_bad_input_is_one_sentence(args: tuple[str, ...], code: int, words: str) -> None:
    found = plan(*args)
    assert found.exit_code == code
    assert words in found.stderr
    assert found.exception is None or isinstance(found.exception, SystemExit)
    last = found.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert last.endswith(".")


def test_calibrating_says_how_far_it_moved_and_writes_what_plan_reads(tmp_path: Path) -> None:
    result = write(trainium_result(model("optimised")), tmp_path)
    out = tmp_path / "own.toml"
    found = plan("--calibrate", str(result), "--write-parameters", str(out))
    assert found.exit_code == 0, found.stderr
    assert "moved" in found.stdout
    assert "Refitted to 2 of our own and 11 published points." in found.stdout
    assert "cannot tell the coefficients apart" in found.stdout
    before, after = (
        data(*LARGE, "--parameters", str(path))["candidates"][0]["modelled_plain"]["tpot_ms"]
        for path in (PARAMETERS, out)
    )
    assert after < before


@pytest.mark.parametrize("flag", ["--write", "--write-parameters"])
def test_a_file_that_is_there_is_replaced_with_force_only(tmp_path: Path, flag: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("mine")
    result = write(trainium_result(model()), tmp_path)
    asked = (*SMALL, "--tp", "32") if flag == "--write" else ("--calibrate", str(result))
    refused = plan(*asked, flag, str(path))
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert path.read_text(encoding="utf-8") == "mine"
    assert plan(*asked, flag, str(path), "--force").exit_code == 0
    assert path.read_text(encoding="utf-8") != "mine"


@pytest.mark.parametrize(
    ("flag", "name"), [("--write", "nowhere/x.toml"), ("--plot", "x.pdf"), ("--plot", "no/x.svg")]
)
def test_files_are_checked_before_anything_is_computed(
    tmp_path: Path, flag: str, name: str
) -> None:
    found = plan(*SMALL, "--tp", "32", flag, str(tmp_path / name))
    assert found.exit_code == 2
    assert found.stdout == ""


def test_calibrating_as_json(tmp_path: Path) -> None:
    result = write(trainium_result(model()), tmp_path)
    found = data("--calibrate", str(result))
    assert [one["name"] for one in found["moves"]] == ["eta", "t0", "l0", "kappa_b"]
    assert sum(one["own"] for one in found["points"]) == 2
    # The result is the model's own: nothing to learn from it.
    assert all(abs(one["share"]) < 0.05 for one in found["moves"])


def test_a_result_measured_by_url_is_calibrated_to_with_its_pair_named(tmp_path: Path) -> None:
    found = trainium_result(model("optimised"))
    named = plan("--calibrate", str(write(found, tmp_path)))
    told = plan("--calibrate", str(tmp_path / "speedup.json"), "--pair", "qwen3-32b-tp32")
    assert (told.exit_code, "leave out --pair" in told.stderr) == (2, True)
    without = found.provenance.model_copy(update={"pair": None})
    path = write(found.model_copy(update={"provenance": without}), tmp_path)
    refused = plan("--calibrate", str(path))
    assert refused.exit_code == 2
    assert "with --pair." in refused.stderr
    told = plan("--calibrate", str(path), "--pair", "qwen3-32b-tp32")
    assert (told.exit_code, told.stdout) == (0, named.stdout)


def test_a_result_of_the_cpu_pair_is_refused(tmp_path: Path) -> None:
    result = write(trainium_result(model(), stack="cpu"), tmp_path)
    found = plan("--calibrate", str(result))
    assert found.exit_code == 2
    assert "'provenance.pair.stack'" in found.stderr


def test_plan_knows_every_model_that_neuron_names() -> None:
    for name in KNOWN_MODELS:
        draft = "qwen2.5-0.5b" if name.startswith("qwen2.5") else "qwen3-0.6b"
        assert data("--target", name, "--draft", draft)["candidates"]
