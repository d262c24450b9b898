"""docs/deploy.md and values.yaml against the chart, the Dockerfile and the programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.deploy.chart import CHART, loaded
from tests.deploy.dockerfile import ROOT, stages

PAGE = (ROOT / "docs" / "deploy.md").read_text()
(VALUES,) = loaded((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def paths(values: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Each key of `values`, and whether `schema` names it."""
    for key, value in values.items():
        inner = schema.get("properties", {}).get(key)
        yield key, inner is not None
        if isinstance(value, Mapping) and inner and "properties" in inner:
            yield from ((f"{key}.{path}", known) for path, known in paths(value, inner))


def test_every_value_has_a_default_and_a_type() -> None:
    found = dict(paths(VALUES, SCHEMA))
    assert all(found.values()), found
    assert {*SCHEMA["properties"]} - {"global"} == VALUES.keys()


def test_every_value_that_the_page_names_is_one() -> None:
    known = {path for path, _ in paths(VALUES, SCHEMA)}
    first = "|".join(key for key in VALUES if isinstance(VALUES[key], Mapping))
    named = set(re.findall(rf"`((?:{first})\.[a-zA-Z.]+)[`=\"]", PAGE)) | set(
        re.findall(rf"--set ((?:{first})\.[a-zA-Z.]+)=", PAGE)
    )
    assert named
    for one in named:
        assert any(one == path or one.startswith(f"{path}.") for path in known), one


def test_the_page_names_every_target() -> None:
    targets = set(re.findall(r"--target (\S+)", PAGE)) | {"cpu"}
    assert targets == stages().keys() - {"python", "package"}
    for stage in stages().values():
        image, _, digest = stage.base.partition("@")
        assert not digest or image.partition(":")[2] in PAGE or "0.24" in image
