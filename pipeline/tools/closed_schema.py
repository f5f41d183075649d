"""JSON schemas that let nothing through but what they declare: silence about further properties means none.

JSON Schema takes silence for "anything goes", and a Python function with `**options` or an argument that only its own
program is meant to set would get whatever a model was talked into.
"""

from typing import Any

_SAID = ("additionalProperties", "unevaluatedProperties")
_OF_ONE_CHILD = ("items", "additionalProperties", "unevaluatedProperties", "contains")
_OF_NAMED_CHILDREN = ("properties", "patternProperties")
_IN_PLACE = ("allOf", "anyOf", "oneOf")
_IN_PLACE_ONE = ("if", "then", "else", "not")


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a tool's arguments (2020-12), closed.

    The arguments themselves are closed in any case, objects inside of them where they name properties: one that names
    none ({"type": "object"}) is a map on purpose. What says "additionalProperties" or "unevaluatedProperties" by itself
    is left as it is.
    """
    # "unevaluated" in place of "additional": properties that a $ref or an allOf beside it declares count as declared.
    return {"unevaluatedProperties": False, **_inside(schema)} if _silent(schema) else _inside(schema)


def _silent(schema: dict[str, Any]) -> bool:
    return not any(keyword in schema for keyword in _SAID)


def _child(schema: Any) -> Any:
    """Of a value inside of the arguments."""
    if not isinstance(schema, dict):
        return schema
    return closed(schema) if "properties" in schema else _inside(schema)


def _inside(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as it is, with its children closed; what applies to the same object is not closed by itself."""
    found = dict(schema)
    for keyword in _OF_NAMED_CHILDREN:
        if isinstance(schema.get(keyword), dict):
            found[keyword] = {name: _child(child) for name, child in schema[keyword].items()}
    for keyword in _OF_ONE_CHILD:
        if keyword in schema:
            found[keyword] = _child(schema[keyword])
    if isinstance(schema.get("prefixItems"), list):
        found["prefixItems"] = [_child(child) for child in schema["prefixItems"]]
    for keyword in _IN_PLACE:
        if isinstance(schema.get(keyword), list):
            found[keyword] = [_inside(part) if isinstance(part, dict) else part for part in schema[keyword]]
    for keyword in _IN_PLACE_ONE:
        if isinstance(schema.get(keyword), dict):
            found[keyword] = _inside(schema[keyword])
    if isinstance(schema.get("$defs"), dict):
        found["$defs"] = {
            name: _inside(part) if isinstance(part, dict) else part for name, part in schema["$defs"].items()
        }
    return found
