"""The effect of each keyword of a schema on a shape.

Decisions:
* A shape is narrowed by one schema after the other and shares no mutable state: lists and sets are
  replaced, never extended.
"""

from collections.abc import Callable
from typing import Any

from llmsim.json_instances.bounds_in_description import parse_bounds
from llmsim.json_instances.shape import Group, Shape

_OF_TYPE = {
    "object": frozenset(
        {
            "properties",
            "required",
            "additionalProperties",
            "patternProperties",
            "minProperties",
            "propertyNames",
        }
    ),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "contains", "uniqueItems"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
}
"""Keywords that imply the type of a schema without `type`."""

_DOUBTFUL = frozenset(
    {
        "contains",
        "dependencies",
        "dependentSchemas",
        "if",
        "maxProperties",
        "minProperties",
        "not",
        "oneOf",
        "patternProperties",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
"""Keywords that a value may violate although each part of it conforms."""

_BESIDE_BRANCHES = frozenset(
    {"anyOf", "title", "description", "default", "examples", "$defs", "definitions", "$schema"}
)
"""Keywords that do not restrict the choice of a branch."""


def narrow(shape: Shape, raw: dict[str, Any]) -> None:
    """Add the requirements of `raw` to `shape`, except for those of its references and combinations."""
    for keyword, value in raw.items():
        if (merge := _MERGES.get(keyword)) is not None:
            merge(shape, value, raw)
    shape.is_doubtful |= not _DOUBTFUL.isdisjoint(raw) or (
        "anyOf" in raw and not raw.keys() <= _BESIDE_BRANCHES
    )


Merge = Callable[[Shape, Any, dict[str, Any]], None]


def _merge_types(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
    kinds = {value} if isinstance(value, str) else set(value)
    if "number" in kinds:
        kinds.add("integer")
    if raw.get("nullable") is True:
        kinds.add("null")
    shape.types &= kinds


def _merge_not(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
    if not isinstance(value, dict):
        return
    if value.keys() == {"type"} and isinstance(value["type"], str) and value["type"] != "integer":
        shape.types -= {value["type"]} | ({"integer"} if value["type"] == "number" else set())
    if value.keys() == {"required"} and len(value["required"]) == 1:
        shape.barred = shape.barred | set(value["required"])


def _merge_values(shape: Shape, value: list[Any], raw: dict[str, Any]) -> None:
    shape.values = value if shape.values is None or len(value) < len(shape.values) else shape.values


def _merge_groups(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
    if id(value) not in shape.settled:
        shape.groups = [*shape.groups, Group(id(value), [(branch,) for branch in value])]


def _merge_condition(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
    if id(raw) not in shape.settled and not raw.keys().isdisjoint(("then", "else")):
        branches = [(value, raw.get("then", True)), (raw.get("else", True),)]
        shape.groups = [*shape.groups, Group(id(raw), branches)]


def _merge_least(value: float, shape: Shape, *, is_excluded: bool) -> None:
    if shape.least is None or (value, is_excluded) > shape.least:
        shape.least = (value, is_excluded)


def _merge_most(value: float, shape: Shape, *, is_excluded: bool) -> None:
    if shape.most is None or (value, not is_excluded) < (shape.most[0], not shape.most[1]):
        shape.most = (value, is_excluded)


def _merge_list(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
    if not any(raw is other for other in shape.lists):
        prefix = value if isinstance(raw.get("items"), list) else raw.get("prefixItems", ())
        shape.lists = [*shape.lists, raw]
        shape.prefix = max(shape.prefix, len(prefix))


def _merge_contains(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
    shape.contains = [*shape.contains, (value, raw.get("minContains", 1))]


def _merge_object(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
    if not any(raw is other for other in shape.objects):
        shape.objects = [*shape.objects, raw]
        shape.names = shape.names | dict.fromkeys(raw.get("properties", ()))
        shape.name_patterns = [*shape.name_patterns, *raw.get("patternProperties", ())]
        shape.is_map |= bool(raw.get("additionalProperties")) or "patternProperties" in raw


def _merge_needs(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
    for name, needed in value.items():
        if isinstance(needed, list):
            shape.needs = shape.needs | {name: [*shape.needs.get(name, ()), *needed]}
        else:
            shape.dependents = shape.dependents | {name: (*shape.dependents.get(name, ()), needed)}


def _merge_description(shape: Shape, value: str, raw: dict[str, Any]) -> None:
    shape.description = shape.description or value
    for keyword, bound in parse_bounds(value).items():
        if keyword not in raw:
            _MERGES[keyword](shape, bound, raw)


def _stretch(field: str) -> Merge:
    def merge(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
        setattr(shape, field, max(getattr(shape, field), int(value)))

    return merge


def _limit(field: str) -> Merge:
    def merge(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
        setattr(shape, field, min(getattr(shape, field), value))

    return merge


def _append(field: str) -> Merge:
    def merge(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
        setattr(shape, field, [*getattr(shape, field), value])

    return merge


def _set(field: str) -> Merge:
    def merge(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
        setattr(shape, field, value)

    return merge


def _merge_default(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
    shape.suggestions = [*shape.suggestions, value]
    shape.defaults = [*shape.defaults, value]


def _merge_likely(kind: str, merge: Merge) -> Merge:
    def merge_and_note(shape: Shape, value: Any, raw: dict[str, Any]) -> None:
        shape.likely = shape.likely or kind
        merge(shape, value, raw)

    return merge_and_note


_MERGES: dict[str, Merge] = {
    "type": _merge_types,
    "not": _merge_not,
    "enum": _merge_values,
    "const": lambda shape, value, raw: _merge_values(shape, [value], raw),
    "anyOf": _merge_groups,
    "oneOf": _merge_groups,
    "if": _merge_condition,
    "default": _merge_default,
    "examples": lambda shape, value, raw: _set("suggestions")(shape, [*shape.suggestions, *value], raw),
    "description": _merge_description,
    "minimum": lambda shape, value, raw: _merge_least(value, shape, is_excluded=False),
    "exclusiveMinimum": lambda shape, value, raw: _merge_least(value, shape, is_excluded=True),
    "maximum": lambda shape, value, raw: _merge_most(value, shape, is_excluded=False),
    "exclusiveMaximum": lambda shape, value, raw: _merge_most(value, shape, is_excluded=True),
    "multipleOf": _append("multiples"),
    "minLength": _stretch("shortest"),
    "maxLength": _limit("longest"),
    "pattern": _append("patterns"),
    "format": _set("format"),
    "minItems": _stretch("fewest"),
    "maxItems": _limit("longest_array"),
    "uniqueItems": lambda shape, value, raw: _set("is_unique")(shape, shape.is_unique or value, raw),
    "prefixItems": _merge_list,
    "items": _merge_list,
    "unevaluatedItems": _merge_list,
    "contains": _merge_contains,
    "properties": _merge_object,
    "patternProperties": _merge_object,
    "additionalProperties": _merge_object,
    "unevaluatedProperties": _merge_object,
    "required": lambda shape, value, raw: _set("required")(shape, shape.required | dict.fromkeys(value), raw),
    "dependentRequired": _merge_needs,
    "dependentSchemas": _merge_needs,
    "dependencies": _merge_needs,
    "minProperties": _stretch("fewest_members"),
    "maxProperties": _limit("most_members"),
    "propertyNames": lambda shape, value, raw: _set("name_parts")(shape, (*shape.name_parts, value), raw),
}

for _kind, _keywords in _OF_TYPE.items():
    for _keyword in _keywords:
        _MERGES[_keyword] = _merge_likely(_kind, _MERGES[_keyword])
