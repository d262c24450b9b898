from __future__ import annotations

from pathlib import Path

import pytest

from neuron.cost import load_parameters, shipped
from neuron.cost.parameters import PARAMETERS, Parameter
from neuron.errors import ModelNotFoundError, PairError
from neuron.shapes import shape_of


def test_the_shipped_file_survives_being_written(tmp_path: Path) -> None:
    path = tmp_path / "same.toml"
    path.write_text(shipped().to_toml(), encoding="utf-8")
    assert load_parameters(path) == shipped()


def test_every_parameter_says_where_it_comes_from() -> None:
    known = shipped()
    groups = (known.hardware, known.calibrated, known.optimised, known.roofline)
    every = [getattr(group, name) for group in groups for name in type(group).model_fields]
    every += [one for kind in known.instances.values() for one in (kind.cores, kind.price)]
    assert len(every) == 4 + 3 * 11 + 3 * 2
    assert all(isinstance(one, Parameter) and one.source and one.unit for one in every)
    assert all(kind.source for kind in known.workloads.values())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('value = 0.845, unit = "1", status = "fitted"', 'value = 0.845, unit = "1"', "status"),
        ("value = 84.0", "value = -84.0", r"calibrated\.l0\.value"),
        ("[hardware]", "[hardwear]", "hardware"),
        ("[hardware]", "[hardware", "not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_by_its_key(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(PARAMETERS.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(PairError, match=words):
        load_parameters(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PairError, match="cannot be read"):
        load_parameters(tmp_path / "none.toml")


def test_a_name_that_nobody_knows_comes_with_the_nearest() -> None:
    with pytest.raises(ModelNotFoundError, match=r"did you mean .*qwen2\.5-72b"):
        shape_of("qwen2.5-71b")
