"""Which JSON Schemas of other people's can be held against an answer."""

from collections.abc import Iterator, Mapping

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012


def fault_of(schema: object) -> str | None:
    """Why nothing can be held against `schema`; `None` if it can."""
    if not isinstance(schema, Mapping):
        return "is no JSON object"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"is no JSON Schema: {error.message}"
    except RecursionError:
        return "is nested too deeply"
    found = Resource.from_contents(dict(schema), default_specification=DRAFT202012)
    resolver = Registry().with_resource("", found).resolver()
    for ref in _refs(schema):
        if not ref.startswith("#"):
            return f"refers to {ref!r}, and nothing outside the file is looked up"
        try:
            resolver.lookup(ref)
        except Unresolvable:
            return f"refers to {ref!r}, which is not in it"
    return None


def _refs(node: object) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            else:
                yield from _refs(value)
    elif isinstance(node, list):
        for one in node:
            yield from _refs(one)
