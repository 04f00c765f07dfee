"""Validation: whether a value is an instance of a schema.

Decisions:
* Our own, and small: the answer is yes or no, formats are not checked, and nothing is fetched. Tests compare it with
  jsonschema.
* The work is bounded for any schema: what is not checked within the budget of the request, or the depth, counts as valid.
"""

from collections.abc import Callable, Iterator, Sized
from fractions import Fraction
from typing import Any

from llmsim.budgets import WorkBudget
from llmsim.json_schema.document import Schema

_MOST_DEPTH = 150
_ENTRIES_A_STEP = 16
"""Entries of a list or an object that are compared in a step of the budget."""


def conforms(value: Any, schema: Schema, budget: WorkBudget | None = None) -> bool:
    """Return whether `value`, a decoded JSON value, is an instance of `schema`; its budget is one of its own by default."""
    return Validator(schema.references, budget or WorkBudget()).is_valid(value, schema.document)


def canonical(value: Any, budget: WorkBudget | None = None) -> Any:
    """Return a hashable key that is equal for values that JSON Schema considers equal: 1 is 1.0, but not true."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, list):
        if budget is not None:
            budget.spend(1 + len(value) // _ENTRIES_A_STEP)
        return ("array", tuple([canonical(item, budget) for item in value]))
    if isinstance(value, dict):
        if budget is not None:
            budget.spend(1 + len(value) // _ENTRIES_A_STEP)
        return ("object", frozenset([(name, canonical(member, budget)) for name, member in value.items()]))
    return value


def is_of(value: Any, kind: str) -> bool:
    """Return whether `value` is of the JSON Schema type `kind`."""
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "integer":
            return _is_number(value) and (isinstance(value, int) or value.is_integer())
    return _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_multiple(value: float, of: float) -> bool:
    """Return whether `value` is a multiple, by float arithmetic if `of` is a float, as validators do."""
    if isinstance(of, float):
        try:
            quotient = value / of
            return bool(int(quotient) == quotient)
        except (OverflowError, ValueError):
            return Fraction(value) % Fraction(of) == 0
    if isinstance(value, float):
        return Fraction(value) % of == 0
    return value % of == 0


class Validator:
    """Validates values against schemas of one document.

    Args:
        references: Target of each `$ref` of the document.
        budget: Bounds the work.
        enumerated: Cache of its enumerations; shared by the validators of one document.

    Attributes:
        budget: The same.
    """

    __slots__ = ("_depth", "_enumerated", "_following", "_references", "budget")

    def __init__(
        self,
        references: dict[str, Any],
        budget: WorkBudget,
        enumerated: dict[int, frozenset[Any]] | None = None,
    ) -> None:
        self._references = references
        self._enumerated = {} if enumerated is None else enumerated
        self.budget = budget
        self._depth = 0
        self._following: set[tuple[int, int]] = set()

    def is_valid(self, value: Any, raw: Any) -> bool:
        """Return whether `value` is an instance of the schema `raw`."""
        if isinstance(raw, bool):
            return raw
        if not self.budget.spend(1 + len(raw) // _ENTRIES_A_STEP) or self._depth > _MOST_DEPTH:
            return True
        self._depth += 1
        try:
            for keyword, wanted in raw.items():
                check = _CHECKS.get(keyword)
                if check is not None and not check(self, value, wanted, raw):
                    # What was not checked below a `not` or a `oneOf` may have failed for that.
                    return self.budget.is_spent
        finally:
            self._depth -= 1
        return True

    def follow(self, value: Any, reference: str) -> bool:
        """Validate against the target of `reference`. One that leads back to itself adds no rule."""
        step = (id(value), id(target := self._references[reference]))
        if step in self._following:
            return True
        self._following.add(step)
        try:
            return self.is_valid(value, target)
        finally:
            self._following.discard(step)

    def is_one_of(self, value: Any, values: list[Any]) -> bool:
        """Return whether `value` is equal to one of an enumeration."""
        known = self._enumerated.get(id(values))
        if known is None:
            known = self._enumerated[id(values)] = frozenset(map(canonical, values))
        return canonical(value, self.budget) in known

    def may_match(self, pattern: str, text: str) -> bool:
        """Return whether a pattern is found in a text, or may be."""
        return self.budget.may_match(pattern, text)

    def spend(self, *entries: Sized) -> None:
        """Spend the steps to walk through lists or objects."""
        self.budget.spend(sum(map(len, entries)) // _ENTRIES_A_STEP)

    def evaluated(
        self, value: Any, raw: Any, evaluate: Callable[[Any, dict[str, Any]], set[Any]]
    ) -> set[Any]:
        """Return the members or indices of `value` that `raw`, and all schemas that apply in its place, evaluate."""
        if isinstance(raw, bool) or self._depth > _MOST_DEPTH or not self.budget.spend(1 + len(value)):
            return set()
        self._depth += 1
        try:
            found = evaluate(value, raw)
            for inner in self._applied(value, raw):
                found |= self.evaluated(value, inner, evaluate)
        finally:
            self._depth -= 1
        return found

    def _applied(self, value: Any, raw: dict[str, Any]) -> Iterator[Any]:
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in raw:
                yield self._references[raw[keyword]]
        for keyword in ("allOf", "anyOf", "oneOf"):
            yield from (inner for inner in raw.get(keyword, ()) if self.is_valid(value, inner))
        if "if" in raw:
            if self.is_valid(value, raw["if"]):
                yield raw["if"]
                yield raw.get("then", True)
            else:
                yield raw.get("else", True)
        for name, inner in raw.get("dependentSchemas", {}).items():
            if isinstance(value, dict) and name in value:
                yield inner

    def members(self, value: Any, raw: dict[str, Any]) -> set[Any]:
        """Return the names of the members of an object that `raw` itself evaluates."""
        if raw.get("unevaluatedProperties", raw.get("additionalProperties")) is not None:
            return set(value)
        patterns = raw.get("patternProperties", ())
        return {
            name
            for name in value
            if name in raw.get("properties", ()) or any(self.may_match(one, name) for one in patterns)
        }

    def places(self, value: Any, raw: dict[str, Any]) -> set[Any]:
        """Return the indices of the items of an array that `raw` itself evaluates."""
        if "unevaluatedItems" in raw or isinstance(raw.get("items"), dict | bool) or "additionalItems" in raw:
            return set(range(len(value)))
        found = set(range(min(len(value), len(raw.get("prefixItems", raw.get("items", ()))))))
        if "contains" in raw:
            found |= {place for place, item in enumerate(value) if self.is_valid(item, raw["contains"])}
        return found


Check = Callable[[Validator, Any, Any, dict[str, Any]], bool]


def _type(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if value is None and raw.get("nullable") is True:
        return True
    if isinstance(wanted, str):
        return is_of(value, wanted)
    return any(is_of(value, kind) for kind in wanted)


def _contains(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, list):
        return True
    count = sum(validator.is_valid(item, wanted) for item in value)
    least, most = raw.get("minContains", 1), raw.get("maxContains", len(value))
    return bool(least <= count <= most)


def _prefix(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    return not isinstance(value, list) or all(map(validator.is_valid, value, wanted))


def _items(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if isinstance(wanted, list):
        return _prefix(validator, value, wanted, raw)
    if not isinstance(value, list):
        return True
    return all(validator.is_valid(item, wanted) for item in value[len(raw.get("prefixItems", ())) :])


def _additional_items(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    prefix = raw.get("items")
    if not isinstance(value, list) or not isinstance(prefix, list):
        return True
    return all(validator.is_valid(item, wanted) for item in value[len(prefix) :])


def _properties(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    validator.spend(wanted)
    return all(validator.is_valid(value[name], inner) for name, inner in wanted.items() if name in value)


def _required(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    validator.spend(wanted)
    return all(name in value for name in wanted)


def _patterns(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    return all(
        validator.is_valid(member, inner)
        for pattern, inner in wanted.items()
        for name, member in value.items()
        if validator.may_match(pattern, name)
    )


def _additional(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    known, patterns = raw.get("properties", ()), raw.get("patternProperties", ())
    validator.spend(value)
    return all(
        validator.is_valid(member, wanted)
        for name, member in value.items()
        if name not in known and not any(validator.may_match(pattern, name) for pattern in patterns)
    )


def _dependencies(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    validator.spend(wanted, *[needed for needed in wanted.values() if isinstance(needed, list)])
    return all(
        all(other in value for other in needed)
        if isinstance(needed, list)
        else validator.is_valid(value, needed)
        for name, needed in wanted.items()
        if name in value
    )


def _condition(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    return validator.is_valid(value, raw.get("then" if validator.is_valid(value, wanted) else "else", True))


def _one(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    return sum(validator.is_valid(value, inner) for inner in wanted) == 1


def _unevaluated_members(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    rest = {keyword: inner for keyword, inner in raw.items() if keyword != "unevaluatedProperties"}
    known = validator.evaluated(value, rest, validator.members)
    return all(validator.is_valid(member, wanted) for name, member in value.items() if name not in known)


def _unevaluated_places(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, list):
        return True
    rest = {keyword: inner for keyword, inner in raw.items() if keyword != "unevaluatedItems"}
    known = validator.evaluated(value, rest, validator.places)
    return all(validator.is_valid(item, wanted) for place, item in enumerate(value) if place not in known)


def _unique(validator: Validator, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not wanted or not isinstance(value, list):
        return True
    return len({canonical(item, validator.budget) for item in value}) == len(value)


def _sized(kind: type[list[Any]] | type[dict[str, Any]] | type[str], *, least: bool) -> Check:
    if least:
        return lambda validator, value, wanted, raw: not isinstance(value, kind) or len(value) >= wanted
    return lambda validator, value, wanted, raw: not isinstance(value, kind) or len(value) <= wanted


def _compared(holds: Callable[[Any, Any], bool]) -> Check:
    return lambda validator, value, wanted, raw: not _is_number(value) or holds(value, wanted)


_CHECKS: dict[str, Check] = {
    "$ref": lambda validator, value, wanted, raw: validator.follow(value, wanted),
    "$dynamicRef": lambda validator, value, wanted, raw: validator.follow(value, wanted),
    "type": _type,
    "enum": lambda validator, value, wanted, raw: validator.is_one_of(value, wanted),
    "const": lambda validator, value, wanted, raw: (
        canonical(value, validator.budget) == canonical(wanted, validator.budget)
    ),
    "allOf": lambda validator, value, wanted, raw: all(validator.is_valid(value, inner) for inner in wanted),
    "anyOf": lambda validator, value, wanted, raw: any(validator.is_valid(value, inner) for inner in wanted),
    "oneOf": _one,
    "not": lambda validator, value, wanted, raw: not validator.is_valid(value, wanted),
    "if": _condition,
    "multipleOf": _compared(is_multiple),
    "minimum": _compared(lambda value, bound: value >= bound),
    "maximum": _compared(lambda value, bound: value <= bound),
    "exclusiveMinimum": _compared(lambda value, bound: value > bound),
    "exclusiveMaximum": _compared(lambda value, bound: value < bound),
    "minLength": _sized(str, least=True),
    "maxLength": _sized(str, least=False),
    "pattern": lambda validator, value, wanted, raw: (
        not isinstance(value, str) or validator.may_match(wanted, value)
    ),
    "minItems": _sized(list, least=True),
    "maxItems": _sized(list, least=False),
    "uniqueItems": _unique,
    "prefixItems": _prefix,
    "items": _items,
    "additionalItems": _additional_items,
    "contains": _contains,
    "unevaluatedItems": _unevaluated_places,
    "minProperties": _sized(dict, least=True),
    "maxProperties": _sized(dict, least=False),
    "required": _required,
    "properties": _properties,
    "patternProperties": _patterns,
    "additionalProperties": _additional,
    "propertyNames": lambda validator, value, wanted, raw: (
        not isinstance(value, dict) or all(validator.is_valid(name, wanted) for name in value)
    ),
    "dependentRequired": _dependencies,
    "dependentSchemas": _dependencies,
    "dependencies": _dependencies,
    "unevaluatedProperties": _unevaluated_members,
}
