"""JSON as every parser takes it: what has no number is null, not NaN."""

import json

from pydantic_core import to_jsonable_python


def dumps(document: object) -> str:
    """Dataclasses too."""
    return json.dumps(to_jsonable_python(document, inf_nan_mode="null"), ensure_ascii=False)
