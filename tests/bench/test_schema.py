"""docs/result-schema.md and the JSON Schema against results. SPECSERVE_UPDATE_GOLDEN=1 rewrites."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from bench import cli
from tests.bench.results import result

PAGE = Path(__file__).parents[2] / "docs" / "result-schema.md"
FOUND = result("sql", "hex")


def test_the_page_is_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["schema", "--markdown"]) == 0
    page = capsys.readouterr().out
    if os.environ.get("SPECSERVE_UPDATE_GOLDEN"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page
    headings = {f"#{name.lower()}" for name in re.findall(r"^## (.+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\]\((#[^)]+)\)", page)) <= headings


def test_a_result_is_what_the_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["schema"]) == 0
    validator = Draft202012Validator(json.loads(capsys.readouterr().out))
    document = json.loads(FOUND.model_dump_json())
    validator.validate(document)
    for broken in (
        {**document, "more": 1},
        {**document, "schema_version": 3},
        {**document, "settings": {**document["settings"], "prompts": "3"}},
    ):
        with pytest.raises(ValidationError):
            validator.validate(broken)


def test_the_page_s_lines_read_the_events() -> None:
    lines = PAGE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    first = FOUND.requests[0].reply
    known: dict[str, Any] = {"reply": json.loads(first.model_dump_json())}
    exec("import base64, itertools, json, zlib\n" + lines, known)  # noqa: S102
    assert known["arrivals_ns"] == [event.at_ns for event in first.events]
