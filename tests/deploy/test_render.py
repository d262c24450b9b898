"""`neuron render`: values of the chart from a pair, and what it refuses."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from neuron.artefacts import manifest as manifests
from neuron.artefacts.manifest import Manifest, Times
from neuron.artefacts.publish import publish
from neuron.artefacts.store import open_store
from neuron.cli import main
from neuron.pair import Pair, load_pair, shipped_pairs
from neuron.render.nodes import share_of
from tests.deploy.chart import loaded
from tests.neuron.artefacts.examples import artefact

PAIR = "qwen2.5-72b-tp32"
PLAIN: dict[str, Any] = {"draft": None, "draft_path": None, "num_draft_tokens": None}


def render(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["render", *arguments, "--as", "helm"])


def write(folder: Path, **changes: object) -> str:
    path = folder / "pair.toml"
    path.write_text(load_pair(PAIR).model_copy(update=changes).to_toml())
    return str(path)


def test_each_pool_says_what_its_pair_says() -> None:
    (document,) = loaded(render(PAIR).stdout)
    speculative, plain = document["engines"]
    assert (speculative["pool"], plain["pool"]) == ("speculative", "plain")
    for engine in (speculative, plain):
        found = Pair.model_validate_json(json.dumps(_toml(engine["pair"])))
        assert found == load_pair(PAIR)
    assert len(speculative["weights"]) == 2
    assert len(plain["weights"]) == 1


def test_a_pair_without_a_draft_has_a_plain_pool_alone() -> None:
    (document,) = loaded(render("qwen3-32b-tp4-vllm-neuron").stdout)
    assert [engine["pool"] for engine in document["engines"]] == ["plain"]


def test_every_shipped_pair_is_rendered_or_refused_in_a_sentence() -> None:
    refused = {}
    for name in shipped_pairs():
        done = render(name)
        if done.exit_code:
            assert done.exit_code == 2
            refused[name] = done.stderr
    assert set(refused) == {"qwen2.5-7b-tp8", "qwen3-32b-tp32-legacy"}
    assert "are 2 chips" in refused["qwen2.5-7b-tp8"]
    assert "set it to 4, 16, 32 or 64" in refused["qwen2.5-7b-tp8"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"instance": "inf2.48xlarge"}, "Key 'instance'"),
        ({"tp_degree": 64, "instance": "trn2.3xlarge"}, "has 4 logical cores"),
        ({"target": "qwen2.5-72b"}, "is not below /models/"),
        ({"artefacts": "/data/specserve"}, "is not below /nvme/"),
        ({"num_draft_tokens": 20}, "num_draft_tokens"),
    ],
)
def test_what_cannot_run_there_is_refused_by_its_key(
    changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    done = render(write(tmp_path, **changes))
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_both_pools_have_one_target() -> None:
    done = render(PAIR, "--plain-pair", "qwen3-32b-tp4-vllm-neuron")
    assert done.exit_code == 2
    assert "both pools must have one target" in done.stderr


@pytest.mark.parametrize(
    ("tp", "lnc", "chips", "cpus"),
    [(32, 2, 8, 90), (64, 2, 16, 180), (64, 1, 8, 90), (4, 2, 1, 11)],
)
def test_an_engine_gets_of_its_node_what_its_chips_are(
    tp: int, lnc: int, chips: int, cpus: int
) -> None:
    pair = load_pair(PAIR).model_copy(update={"tp_degree": tp, "lnc": lnc})
    share = share_of(pair)
    assert (share.chips, share.cpus) == (chips, cpus)
    assert share.memory_gib == int(2048 * chips / 16 * 0.9)


class TestStart:
    """The budget of a start, from what the store's manifests say."""

    def published(self, tmp_path: Path, load_s: float | None, *, plain: bool = False) -> Manifest:
        changes = PLAIN if plain else {}
        folder, made = artefact(tmp_path / f"{load_s}", name=PAIR, **changes)
        manifest = manifests.retimed(made, Times(load_s=load_s, machine="trn2.48xlarge"))
        manifests.write(folder, manifest)
        (tmp_path / "store").mkdir(exist_ok=True)
        publish(open_store(str(tmp_path / "store")), folder, manifest)
        return manifest

    def seconds(self, tmp_path: Path) -> list[int]:
        (document,) = loaded(render(PAIR, "--store", str(tmp_path / "store")).stdout)
        assert document["store"] == str(tmp_path / "store")
        return [engine["startSeconds"] for engine in document["engines"]]

    def test_is_twice_what_the_artefact_took(self, tmp_path: Path) -> None:
        manifest = self.published(tmp_path, 412.0)
        self.published(tmp_path, 700.0, plain=True)
        assert self.seconds(tmp_path) == [824, 1400]
        text = render(PAIR, "--store", str(tmp_path / "store")).stdout
        assert f"the 412 s that artefact {manifest.id[:12]} took on trn2.48xlarge" in text

    def test_is_never_short(self, tmp_path: Path) -> None:
        self.published(tmp_path, 20.0)
        assert self.seconds(tmp_path) == [300, 1800]

    def test_is_generous_where_nobody_measured(self, tmp_path: Path) -> None:
        self.published(tmp_path, None)
        assert self.seconds(tmp_path) == [1800, 1800]
        assert "nobody has told how long a start takes" in render(PAIR).stdout

    def test_allows_for_compiling_where_a_stack_does(self) -> None:
        (document,) = loaded(
            render("qwen3-32b-tp4", "--plain-pair", "qwen3-32b-tp4-vllm-neuron").stdout
        )
        assert [engine["startSeconds"] for engine in document["engines"]] == [1800, 17100]


def _toml(text: str) -> dict[str, object]:
    return tomllib.loads(text)
