from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neuron.catalogue import catalogue
from neuron.cost import Model, Observation, load_parameters, published, shipped
from neuron.cost.calibrate import FREE, fit, leave_one_out, refit
from neuron.cost.results import observations
from neuron.errors import PairError
from tests.neuron.cost.conftest import model
from tests.neuron.cost.results import trainium_result, write


def slower() -> Model:
    known = shipped()
    changed = known.calibrated.changed(l0=120.0, t0=2500.0)
    return Model(known.hardware, changed)


def seen_by(truth: Model) -> list[Observation]:
    shapes = [
        (name, tp, batch)
        for name in ("qwen2.5-0.5b", "qwen2.5-72b")
        for tp in (8, 64)
        for batch in (1, 16)
    ]
    return [
        Observation(
            name=f"{name} {tp} {batch}",
            target=catalogue()[name],
            tp=tp,
            batch=batch,
            context=1024,
            measured_ms=truth.step_ms(catalogue()[name], tp, batch=batch, context=1024),
            source="made up",
        )
        for name, tp, batch in shapes
    ]


def test_coefficients_that_made_the_times_are_found_again() -> None:
    truth = slower()
    found = fit(shipped().hardware, shipped().calibrated, seen_by(truth))
    for name in FREE:
        expected = getattr(truth.coefficients, name).value
        assert getattr(found, name).value == pytest.approx(expected, rel=1e-3)


def test_the_shipped_fit_is_the_fit_to_the_published_points() -> None:
    found = fit(shipped().hardware, shipped().calibrated, published())
    for name in FREE:
        expected = getattr(shipped().calibrated, name).value
        assert getattr(found, name).value == pytest.approx(expected, rel=0.05)


def test_the_shipped_refits_without_a_point_are_what_the_fit_gives() -> None:
    found = leave_one_out(shipped().hardware, shipped().calibrated)
    assert found.keys() == shipped().leave_one_out.keys()
    for name, values in shipped().leave_one_out.items():
        assert found[name].model_dump() == pytest.approx(values.model_dump(), rel=1e-2), name


def test_a_result_moves_the_model_towards_it(tmp_path: Path) -> None:
    own = observations(write(trainium_result(slower()), tmp_path))
    found = refit(shipped(), own, origin="speedup.json")
    assert found.rms(found.before) > 0.1
    assert found.rms(found.after) < found.rms(found.before) / 3
    assert {one.name for one in found.moves} == set(FREE)
    moved = {one.name: one.share for one in found.moves}
    assert moved["l0"] > 0.1


def test_what_is_refitted_can_be_written_and_read(tmp_path: Path) -> None:
    own = observations(write(trainium_result(slower()), tmp_path))
    found = refit(shipped(), own, origin="speedup.json").parameters
    path = tmp_path / "own.toml"
    path.write_text(found.to_toml(), encoding="utf-8")
    assert load_parameters(path) == found
    assert found.calibrated.l0.status == "fitted"
    assert "speedup.json" in found.calibrated.l0.source
    assert found.calibrated.kappa_t == shipped().calibrated.kappa_t


def test_a_result_is_read_as_one_observation_per_arm(tmp_path: Path) -> None:
    plain, spec = observations(write(trainium_result(model()), tmp_path))
    assert (plain.draft, plain.k) == (None, 0)
    assert (spec.k, spec.loop, spec.tp, spec.batch, spec.context) == (4, "nxdi", 32, 4, 34)
    for one in (plain, spec):
        # Stamps are whole nanoseconds.
        assert one.measured_ms == pytest.approx(one.modelled_ms(model()), rel=1e-6)


@pytest.mark.parametrize("stack", ["nxdi", "legacy"])
def test_both_stacks_over_nxdi_draft_once_more_than_k(tmp_path: Path, stack: str) -> None:
    _, spec = observations(write(trainium_result(model(), stack=stack), tmp_path))
    assert spec.loop == "nxdi"
    assert spec.measured_ms == pytest.approx(spec.modelled_ms(model()), rel=1e-6)


def test_a_padded_draft_has_the_rows_its_name_says(tmp_path: Path) -> None:
    found = trainium_result(
        model(), target="/models/Qwen2.5-72B-Instruct", draft="/m/Qwen2.5-0.5B-Instruct-v152064"
    )
    _, spec = observations(write(found, tmp_path))
    assert spec.draft is not None
    assert (spec.target.num_hidden_layers, spec.draft.num_hidden_layers) == (80, 24)
    assert spec.draft.vocab_size == 152064


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ({"stack": "cpu"}, "'provenance.pair.stack'"),
        ({"tp_degree": None}, "'provenance.pair.stack'"),
        ({"target": "/models/Nobody-7B"}, "its name tells no shape"),
    ],
)
def test_a_pair_that_the_model_is_not_of_is_refused(
    tmp_path: Path, pair: dict[str, Any], words: str
) -> None:
    from neuron.errors import SpecserveError

    with pytest.raises(SpecserveError, match=words):
        observations(write(trainium_result(model(), **pair), tmp_path))


def test_answers_that_are_too_short_or_broken_are_not_used(tmp_path: Path) -> None:
    whole = trainium_result(model())
    broken = tuple(
        one.model_copy(update={"reply": one.reply.model_copy(update={"problem": "cut"})})
        for one in whole.requests
    )
    path = write(whole.model_copy(update={"requests": broken}), tmp_path)
    with pytest.raises(PairError, match="'requests'"):
        observations(path)


@pytest.mark.parametrize("text", ["{", "{}", '{"schema_version": 2}', "[]"])
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(PairError, match=r"x\.json is no speedup result"):
        observations(path)


def test_a_result_without_a_pair_is_refused(tmp_path: Path) -> None:
    whole = trainium_result(model())
    bare = whole.provenance.model_copy(update={"pair": None})
    path = write(whole.model_copy(update={"provenance": bare}), tmp_path)
    with pytest.raises(PairError, match=r"'provenance\.pair'"):
        observations(path)


def test_a_sweep_is_read_as_all_its_results(tmp_path: Path) -> None:
    whole = trainium_result(model())
    for number in range(2):
        write(whole, tmp_path).rename(tmp_path / f"cell-{number:03d}.json")
    index = tmp_path / "sweep.json"
    cells = [{"file": f"cell-{number:03d}.json", "k": number} for number in range(3)]
    index.write_text(json.dumps({"kind": "sweep", "cells": cells}))
    found = observations(index)
    assert [one.k for one in found] == [0, 4, 0, 4]
    assert {one.name for one in found} == {
        "qwen3-32b-tp32, plain, concurrency 1",
        "qwen3-32b-tp32, speculative, K 4, concurrency 1",
    }
    index.write_text(json.dumps({"kind": "sweep", "cells": []}))
    with pytest.raises(PairError, match="no result beside it"):
        observations(index)
