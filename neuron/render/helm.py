"""From a pair to the values of deploy/helm/specserve: two pools of one target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from neuron.artefacts.store import Store
from neuron.check.run import check
from neuron.errors import PairError
from neuron.models import BUNDLED_PREFIX, store_name
from neuron.pair import Pair
from neuron.render.nodes import Share, share_of
from neuron.render.start import Budget, budget

IMAGES = ("cpu", "nxdi", "vllm-neuron")
"""Stacks that the Dockerfile makes an image for."""
MOUNTS = {"target": "/models/", "draft": "/models/", "artefacts": "/nvme/"}
"""Where the chart mounts the node's disk: what a pair names must lie there."""
CPU_ENGINE = {"cpu": "2", "memory": "6Gi"}


@dataclass(frozen=True)
class Engine:
    pair: Pair
    plain: bool
    start: Budget
    share: Share | None
    """None on the CPU."""

    @property
    def pool(self) -> str:
        return "plain" if self.plain else "speculative"

    def values(self) -> dict[str, Any]:
        pair = self.pair
        return {
            "name": self.pool,
            "pool": self.pool,
            "replicas": 1,
            "stack": pair.stack,
            "plugin": pair.plugin,
            "sampling": pair.sampling,
            "pair": pair.to_toml(),
            "weights": _weights(pair, plain=self.plain),
            "artefact": pair.stack == "nxdi",
            "startSeconds": self.start.seconds,
            "resources": CPU_ENGINE
            if self.share is None
            else {"cpu": str(self.share.cpus), "memory": f"{self.share.memory_gib}Gi"},
            "device": None if self.share is None else _device(self.share),
        }


def engines(pair: Pair, plain: Pair | None = None, store: Store | None = None) -> list[Engine]:
    """The speculative one, if the pair has a draft, and the plain one: of `plain`, if given.

    Raises PairError for what cannot work or cannot run on Kubernetes, in one sentence.
    """
    other = plain or pair
    _require_one_target(pair, other)
    wanted = [*([] if pair.draft is None else [(pair, False)]), (other, True)]
    return [
        Engine(
            pair=_deployable(one),
            plain=without,
            start=budget(one, plain=without, store=store),
            share=None if one.stack == "cpu" else share_of(one),
        )
        for one, without in wanted
    ]


def values(found: list[Engine], store: Store | None) -> str:
    """As YAML."""
    lines = [f"# {one.pool}: {one.start.seconds} s to start, {one.start.why}." for one in found]
    if any(one.share is not None for one in found):
        lines.append("# Has not run on a device.")
    document: dict[str, Any] = {"engines": [one.values() for one in found]}
    if store is not None:
        document["store"] = store.address
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return "\n".join(["# Written by `neuron render`.", *lines, text])


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as they are, and nothing by reference."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _device(share: Share) -> dict[str, Any]:
    return {
        "instance": share.instance,
        "chips": share.chips,
        "wholeNode": share.chips == share.of_chips,
        "lnc": share.lnc,
    }


def _weights(pair: Pair, *, plain: bool) -> list[dict[str, str]]:
    """What to pull from the store, under the name that it was pushed by."""
    refs = [pair.target, *([] if plain or pair.draft is None else [pair.draft])]
    folders = [Path(ref) for ref in refs if not ref.startswith(BUNDLED_PREFIX)]
    return [{"name": store_name(folder), "to": str(folder)} for folder in folders]


def _deployable(pair: Pair) -> Pair:
    if pair.stack not in IMAGES:
        raise PairError(
            f"Key 'stack' in pair {pair.name!r}: the chart has no image for {pair.stack!r}, which "
            f"reproduces a benchmark; set it to one of {', '.join(IMAGES)}."
        )
    for key, mount in MOUNTS.items():
        value = getattr(pair, key)
        bundled = pair.stack == "cpu" and str(value).startswith(BUNDLED_PREFIX)
        if value is not None and not bundled and not value.startswith(mount):
            raise PairError(
                f"Key {key!r} in pair {pair.name!r}: {value} is not below {mount}, which is where "
                "the chart mounts the node's disk; move it there."
            )
    report = check(pair)
    for finding in report.of("error"):
        raise PairError(finding.message)
    return pair


def _require_one_target(pair: Pair, plain: Pair) -> None:
    theirs = (plain.target, plain.served_model_name)
    if theirs != (pair.target, pair.served_model_name):
        raise PairError(
            f"Pair {plain.name!r} serves {plain.target} as {plain.served_model_name!r}, but "
            f"{pair.name!r} serves {pair.target} as {pair.served_model_name!r}; both pools must "
            "have one target."
        )
