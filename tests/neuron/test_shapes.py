"""One way from a pair's word for a model to its shape, for `neuron check` and `neuron plan`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuron.catalogue import catalogue
from neuron.check.subject import side_of
from neuron.errors import ModelNotFoundError, PairError, SpecserveError
from neuron.models import KNOWN_MODELS
from neuron.shapes import shape_of


def write(folder: Path, **changed: object) -> Path:
    folder.mkdir(exist_ok=True)
    known = catalogue()["qwen3-8b"].model_dump(exclude={"source"})
    (folder / "config.json").write_text(json.dumps({**known, **changed}))
    return folder


@pytest.mark.parametrize("name", KNOWN_MODELS)
def test_a_name_a_hub_id_and_a_folder_elsewhere_are_one_shape(name: str) -> None:
    hub_id = KNOWN_MODELS[name]
    refs = (name, name.upper(), hub_id, f"/models/{hub_id.partition('/')[2]}")
    for ref in refs:
        assert shape_of(ref) == side_of("target", ref).geometry == catalogue()[name]
    assert [side_of("target", ref).guessed for ref in refs] == [False, False, False, True]


def test_a_known_name_goes_before_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where weights are looked for: `neuron launch` would not load the folder."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "qwen3-8b", num_hidden_layers=2)
    assert shape_of("qwen3-8b") == side_of("draft", "qwen3-8b").geometry == catalogue()["qwen3-8b"]
    mine = shape_of("./qwen3-8b")
    assert mine == side_of("draft", "./qwen3-8b").geometry
    assert mine.num_hidden_layers == 2


@pytest.mark.parametrize(
    ("ref", "kind", "words"),
    [
        ("qwen3-9b", ModelNotFoundError, r"did you mean .*qwen3-8b"),
        ("/models/Nobody-7B", ModelNotFoundError, "its name tells no shape"),
        ("bundled:target", ModelNotFoundError, "small pair for the CPU"),
        ("{here}/empty", ModelNotFoundError, "has no config.json"),
        ("{here}/experts", PairError, "num_experts"),
        ("{here}/experts/config.json", PairError, "num_experts"),
    ],
)
def test_what_has_no_shape_is_a_sentence(
    tmp_path: Path, ref: str, kind: type[SpecserveError], words: str
) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "experts", num_experts=128)
    with pytest.raises(kind, match=words):
        shape_of(ref.format(here=tmp_path))
