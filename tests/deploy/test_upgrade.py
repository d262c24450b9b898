"""From one version to the next and back: what changes in a cluster, and what the store has."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import helm_python
import pytest
from click.testing import CliRunner, Result

from neuron.artefacts import manifest as manifests
from neuron.artefacts.key import ArtefactKey
from neuron.artefacts.publish import publish
from neuron.artefacts.store import open_store
from neuron.cli import main
from neuron.pair import Pair, load_pair
from tests.deploy.chart import given, merged, of_kind
from tests.deploy.chart import manifests as rendered
from tests.neuron.artefacts.examples import write_folder

PAIR = "qwen3-32b-tp4"
OTHER = f"sha256:{'1' * 64}"
OLD, NEW = "neuronx-cc=2.26.6360.0", "neuronx-cc=2.27.1.0"
"""Two SDKs, as far as a key has them."""
DIGESTS = ("--target-digest", "a" * 64, "--draft-digest", "b" * 64)


def paths(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from paths(inner, f"{path}/{place}")
    else:
        yield path, value


def changed(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    """KIND/NAME and the fields of each that differ; lists by place."""

    def flat(values: dict[str, Any]) -> dict[str, object]:
        return {
            f"{one['kind']}/{one['metadata']['name']}{path}": value
            for one in rendered(values)
            for path, value in paths(one)
        }

    before, after = flat(old), flat(new)
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def test_another_image_of_the_engines_changes_engines_alone() -> None:
    old = given(PAIR)
    new = merged(old, {"images": {"nxdi": f"registry.example/nxdi@{OTHER}"}})
    found = changed(old, new)
    assert {path.split("/")[0] for path in found} == {"StatefulSet"}
    ends = {path.rpartition("/")[2] for path in found}
    # The image of each container, and the folder of what that image loads.
    assert ends == {"image", "subPath"}
    assert changed(new, old) == found


def test_artefacts_of_two_images_lie_apart_on_a_node_and_weights_do_not() -> None:
    """Of one pair they have the same folder, and a pull refuses one that holds another artefact."""

    def mounts(values: dict[str, Any]) -> dict[str, str]:
        pod = of_kind(values, "StatefulSet")["qwen-speculative"]["spec"]["template"]["spec"]
        found = [*pod["containers"], *pod["initContainers"]]
        (one,) = {json.dumps(each["volumeMounts"]) for each in found}
        return {mount["mountPath"]: mount.get("subPath", "") for mount in json.loads(one)}

    old = given(PAIR)
    new = merged(old, {"images": {"nxdi": f"registry.example/nxdi@{OTHER}"}})
    assert mounts(old)["/nvme"] != mounts(new)["/nvme"]
    assert mounts(old)["/models"] == mounts(new)["/models"]
    compiling = {"compile": {"enabled": True}}
    (job, *_) = of_kind(merged(old, compiling), "Job").values()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert mounts(old)["/nvme"] in {one.get("subPath") for one in container["volumeMounts"]}


def test_another_pair_rolls_its_engines_and_is_nowhere_but_in_their_pods() -> None:
    """A pod of the old version that starts again has the old pair."""
    old, new = given(PAIR), given(PAIR)
    pair = load_pair(PAIR).model_copy(update={"num_draft_tokens": 3})
    new["engines"][0]["pair"] = pair.to_toml()
    assert changed(old, new) == {
        "StatefulSet/qwen-speculative/spec/template/metadata/annotations/specserve/pair"
    }
    template = of_kind(new, "StatefulSet")["qwen-speculative"]["spec"]["template"]
    told = template["metadata"]["annotations"]["specserve/pair"]
    assert Pair.model_validate_json(json.dumps(tomllib.loads(told))) == pair
    (volume,) = (one for one in template["spec"]["volumes"] if one["name"] == "pair")
    (item,) = volume["downwardAPI"]["items"]
    assert item == {
        "path": "pair.toml",
        "fieldRef": {"fieldPath": "metadata.annotations['specserve/pair']"},
    }


def test_no_file_is_shared_by_an_old_and_a_new_pod() -> None:
    """A ConfigMap would be: an old pod that starts again would read what it may not know."""
    assert of_kind(given(PAIR, compile={"enabled": True}), "ConfigMap") == {}


def test_another_image_of_the_gateway_changes_the_gateway_alone() -> None:
    old = given(PAIR)
    new = merged(old, {"images": {"gateway": f"registry.example/gateway@{OTHER}"}})
    assert changed(old, new) == {
        "Deployment/qwen-gateway/spec/template/spec/containers/0/image",
    }


def test_speculation_can_be_turned_off_without_an_engine_that_rolls() -> None:
    old = given(PAIR)
    new = merged(old, {"gateway": {"config": {"speculation": {"default": "off"}}}})
    assert changed(old, new) == {
        "Deployment/qwen-gateway/spec/template/metadata/annotations/specserve/config",
    }


def test_a_rollback_runs_no_hook() -> None:
    """Helm runs those of pre-rollback then, and compiling is none of them."""
    hooks = {
        hook
        for one in rendered(given(PAIR, compile={"enabled": True}))
        for hook in one["metadata"].get("annotations", {}).get("helm.sh/hook", "").split(",")
    }
    assert hooks == {"", "pre-install", "pre-upgrade"}


def test_one_gateway_more_comes_before_an_old_one_goes() -> None:
    strategy = of_kind(given(PAIR), "Deployment")["qwen-gateway"]["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize(("partition", "told"), [(None, 0), (0, 0), (2, 2)])
def test_a_new_version_can_be_held_back_from_most_of_a_pool(
    partition: int | None, told: int
) -> None:
    values = given(PAIR)
    values["engines"][0] |= {"replicas": 3}
    if partition is not None:
        values["engines"][0]["partition"] = partition
    sets = of_kind(values, "StatefulSet")
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": told}}
    assert sets["qwen-speculative"]["spec"]["updateStrategy"] == strategy
    assert sets["qwen-plain"]["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 0}


def test_a_partition_is_a_number() -> None:
    values = given(PAIR)
    values["engines"][0]["partition"] = "2"
    with pytest.raises(helm_python.HelmError, match="partition"):
        rendered(values)


class TestStore:
    """Artefacts of two SDKs beside each other, for a pair that goes forth and back."""

    def published(self, folder: Path, compiler: str, seed: int) -> str:
        """As `neuron compile` would have left it; its id."""
        planned = json.loads(neuron("compile", PAIR, "--dry-run", *by(compiler), "--json").stdout)
        made = write_folder(folder / compiler, seed=seed)
        manifest = manifests.describe(
            made, "artefacts", PAIR, key=ArtefactKey.model_validate(planned["key"])
        )
        assert manifest.id == planned["id"]
        publish(open_store(str(folder / "store")), made, manifest)
        return manifest.id

    def pulled(self, folder: Path, compiler: str, into: str) -> str:
        done = neuron(
            *("artefacts", "pull", PAIR, "--store", str(folder / "store"), "--json"),
            *("--to", str(folder / into), *by(compiler)),
        )
        assert done.exit_code == 0, done.output
        found: str = json.loads(done.stdout)["id"]
        return found

    def test_back_is_a_pull_and_no_compile(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        old, new = (self.published(tmp_path, compiler, n) for n, compiler in enumerate((OLD, NEW)))
        assert old != new
        assert self.pulled(tmp_path, NEW, "new") == new
        assert self.pulled(tmp_path, OLD, "old") == old

    def test_one_folder_takes_one_of_them_only(self, tmp_path: Path) -> None:
        """Which is why a node has a folder for each image."""
        (tmp_path / "store").mkdir()
        for place, compiler in enumerate((OLD, NEW)):
            self.published(tmp_path, compiler, place)
        self.pulled(tmp_path, OLD, "same")
        again = neuron(
            *("artefacts", "pull", PAIR, "--store", str(tmp_path / "store")),
            *("--to", str(tmp_path / "same"), *by(NEW)),
        )
        assert again.exit_code == 1
        assert "give another folder" in again.stderr

    def test_prune_keeps_the_last_version_for_a_month_or_by_its_id(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        old = self.published(tmp_path, OLD, 0)
        self.age(tmp_path / "store", days=40)
        self.published(tmp_path, NEW, 1)
        assert self.removed(tmp_path, "--older-than", "60d") == set()
        assert self.removed(tmp_path, "--keep", old) == set()
        assert self.removed(tmp_path) == {old}

    def age(self, store: Path, *, days: int) -> None:
        at = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        for path in store.rglob("*"):
            os.utime(path, (at, at))

    def removed(self, folder: Path, *options: str) -> set[str]:
        done = neuron("artefacts", "prune", "--store", str(folder / "store"), "--json", *options)
        assert done.exit_code == 0, done.output
        return {one["id"] for one in json.loads(done.stdout)["verdicts"] if one["remove"]}


def by(compiler: str) -> tuple[str, ...]:
    """What this machine does not have: packages and weights."""
    return ("--neuron-version", "2.31.1", "--neuron-version", compiler, *DIGESTS)


def neuron(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)
