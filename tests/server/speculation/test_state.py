"""The document of `GET /v1/speculation`, and its description."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from server.speculation import TrafficClass
from tests.server.speculation.simulated import PLAIN_S, Simulation, schema

PAGE = (Path(__file__).parents[3] / "docs" / "speculation.md").read_text(encoding="utf-8")


def fields(value: object, prefix: str = "") -> set[str]:
    if isinstance(value, list):
        return set().union(*(fields(one, f"{prefix[:-1]}[].") for one in value))
    if not isinstance(value, dict):
        return {prefix[:-1].removesuffix("[]")}
    return set().union(*(fields(inner, f"{prefix}{name}.") for name, inner in value.items()))


def document() -> dict[str, Any]:
    world = Simulation(lambda cls: 0.5 if "fast" in str(cls) else 2.0)
    world.run(schema("fast", "app"), 100)
    world.run(schema("slow", "app"), 100)
    world.request(TrafficClass.of("text"))
    return json.loads(json.dumps(world.policy.snapshot(), allow_nan=False))  # type: ignore[no-any-return]


def by_name(of: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["class"]: entry for entry in of["classes"]}


def test_it_says_what_was_learnt_chosen_and_tried() -> None:
    state = document()
    assert state["requests"] == 201
    assert state["explored"] == sum(
        entry["explored"] for entry in state["classes"] if entry["within"]
    )
    fast, slow = by_name(state)["schema:fast"], by_name(state)["schema:slow"]
    assert (fast["pool"], fast["reason"]) == ("speculative", "measured")
    assert (slow["pool"], slow["reason"]) == ("plain", "measured")
    assert fast["within"] == ["all", "schema", "schema@app"]
    assert fast["requests"] == fast["speculative"]["samples"] + fast["plain"]["samples"] == 100
    assert fast["explored_share"] == fast["explored"] / 100
    time = fast["speculative"]["seconds_per_token"]
    assert time["low"] < PLAIN_S / 2 * 1.2
    assert time["high"] > PLAIN_S / 2 * 0.8
    assert fast["time_ratio"]["high"] < 1 < slow["time_ratio"]["low"]


def test_a_class_that_was_never_asked_for_by_itself_has_no_pool() -> None:
    wider = by_name(document())["schema@app"]
    assert (wider["pool"], wider["reason"], wider["requests"]) == (None, None, 0)


def test_what_was_never_tried_has_no_time() -> None:
    world = Simulation(lambda _: 0.5)
    world.policy.choose(schema("x"), load={}, available=frozenset({"plain"}))
    (entry,) = (one for one in world.policy.snapshot()["classes"] if one["class"] == "schema:x")
    assert entry["plain"] == {"samples": 0, "weight": 0.0, "seconds_per_token": None}


def test_every_field_is_explained_and_none_else() -> None:
    rows = re.findall(r"^\| (`.+?) \|", PAGE.partition("## The state")[2], re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    pools = re.compile(r"(^|\.)(speculative|plain)(?=\.|$)")
    assert documented == {pools.sub(r"\1POOL", name) for name in fields(document())}
