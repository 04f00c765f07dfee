"""Whether a value is an instance of a schema.

Decisions:
* Our own, and small: the answer is yes or no, formats are not judged, and nothing is fetched. jsonschema is the judge
  of it in the tests.
* The work is bounded whatever the schema says: what is not judged within the steps, or the depth, counts as conforming.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from llmsim.json_schema import regexes
from llmsim.json_schema.document import Schema

_MOST_STEPS = 30_000
_MOST_DEPTH = 150


def conforms(value: Any, schema: Schema) -> bool:
    """Tell whether `value`, of the types that JSON decodes to, is an instance of `schema`."""
    return Judge(schema.references).fits(value, schema.document)


def canonical(value: Any) -> Any:
    """Give what is equal, and hashes the same, for all values that JSON Schema takes as equal: 1 is 1.0, but not true."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, list):
        return ("array", tuple(map(canonical, value)))
    if isinstance(value, dict):
        return ("object", frozenset((name, canonical(member)) for name, member in value.items()))
    return value


def is_of(value: Any, kind: str) -> bool:
    """Tell whether `value` is of the type that a schema calls `kind`."""
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
    """Tell whether `value` is a multiple, by the arithmetic of floats if `of` is one, as validators do."""
    if isinstance(of, float):
        try:
            quotient = value / of
            return bool(int(quotient) == quotient)
        except (OverflowError, ValueError):
            return Fraction(value) % Fraction(of) == 0
    if isinstance(value, float):
        return Fraction(value) % of == 0
    return value % of == 0


class Judge:
    """Judges values by schemas of one document, as many as its steps last.

    Args:
        references: What each `$ref` of the document stands for.
        enumerated: What is known of its enumerations; to be shared among the judges of one document.
        steps: Schemas that it may look into.
    """

    __slots__ = ("_depth", "_enumerated", "_following", "_references", "_steps")

    def __init__(
        self,
        references: dict[str, Any],
        enumerated: dict[int, frozenset[Any]] | None = None,
        *,
        steps: int = _MOST_STEPS,
    ) -> None:
        self._references = references
        self._enumerated = {} if enumerated is None else enumerated
        self._steps = steps
        self._depth = 0
        self._following: set[tuple[int, int]] = set()

    def fits(self, value: Any, raw: Any) -> bool:
        """Tell whether `value` is an instance of the schema `raw`."""
        if isinstance(raw, bool):
            return raw
        self._steps -= 1
        if self._steps < 0 or self._depth > _MOST_DEPTH:
            return True
        self._depth += 1
        try:
            for keyword, wanted in raw.items():
                check = _CHECKS.get(keyword)
                if check is not None and not check(self, value, wanted, raw):
                    return False
        finally:
            self._depth -= 1
        return True

    def follow(self, value: Any, reference: str) -> bool:
        """Judge by what `reference` stands for. One that leads back to itself asks for nothing more."""
        step = (id(value), id(target := self._references[reference]))
        if step in self._following:
            return True
        self._following.add(step)
        try:
            return self.fits(value, target)
        finally:
            self._following.discard(step)

    def is_one_of(self, value: Any, values: list[Any]) -> bool:
        """Tell whether `value` is equal to one of an enumeration."""
        known = self._enumerated.get(id(values))
        if known is None:
            known = self._enumerated[id(values)] = frozenset(map(canonical, values))
        return canonical(value) in known

    def evaluated(self, value: Any, raw: Any, judged: Callable[[Any, dict[str, Any]], set[Any]]) -> set[Any]:
        """Gather the members or places of `value` that `raw`, and all of what applies in its place, has judged."""
        if isinstance(raw, bool) or self._depth > _MOST_DEPTH:
            return set()
        self._depth += 1
        try:
            found = judged(value, raw)
            for inner in self._applied(value, raw):
                found |= self.evaluated(value, inner, judged)
        finally:
            self._depth -= 1
        return found

    def _applied(self, value: Any, raw: dict[str, Any]) -> Iterator[Any]:
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in raw:
                yield self._references[raw[keyword]]
        for keyword in ("allOf", "anyOf", "oneOf"):
            yield from (inner for inner in raw.get(keyword, ()) if self.fits(value, inner))
        if "if" in raw:
            if self.fits(value, raw["if"]):
                yield raw["if"]
                yield raw.get("then", True)
            else:
                yield raw.get("else", True)
        for name, inner in raw.get("dependentSchemas", {}).items():
            if isinstance(value, dict) and name in value:
                yield inner

    def members(self, value: Any, raw: dict[str, Any]) -> set[Any]:
        """Give the names of the members of an object that `raw` itself judges."""
        if raw.get("unevaluatedProperties", raw.get("additionalProperties")) is not None:
            return set(value)
        patterns = raw.get("patternProperties", ())
        return {
            name
            for name in value
            if name in raw.get("properties", ()) or any(regexes.matches(one, name) for one in patterns)
        }

    def places(self, value: Any, raw: dict[str, Any]) -> set[Any]:
        """Give the indices of the items of an array that `raw` itself judges."""
        if "unevaluatedItems" in raw or isinstance(raw.get("items"), dict | bool) or "additionalItems" in raw:
            return set(range(len(value)))
        found = set(range(min(len(value), len(raw.get("prefixItems", raw.get("items", ()))))))
        if "contains" in raw:
            found |= {place for place, item in enumerate(value) if self.fits(item, raw["contains"])}
        return found


Check = Callable[[Judge, Any, Any, dict[str, Any]], bool]


def _type(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if value is None and raw.get("nullable") is True:
        return True
    if isinstance(wanted, str):
        return is_of(value, wanted)
    return any(is_of(value, kind) for kind in wanted)


def _contains(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, list):
        return True
    count = sum(judge.fits(item, wanted) for item in value)
    least, most = raw.get("minContains", 1), raw.get("maxContains", len(value))
    return bool(least <= count <= most)


def _prefix(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    return not isinstance(value, list) or all(map(judge.fits, value, wanted))


def _items(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if isinstance(wanted, list):
        return _prefix(judge, value, wanted, raw)
    if not isinstance(value, list):
        return True
    return all(judge.fits(item, wanted) for item in value[len(raw.get("prefixItems", ())) :])


def _additional_items(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    prefix = raw.get("items")
    if not isinstance(value, list) or not isinstance(prefix, list):
        return True
    return all(judge.fits(item, wanted) for item in value[len(prefix) :])


def _properties(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    return all(judge.fits(value[name], inner) for name, inner in wanted.items() if name in value)


def _patterns(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    return all(
        judge.fits(member, inner)
        for pattern, inner in wanted.items()
        for name, member in value.items()
        if regexes.matches(pattern, name)
    )


def _additional(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    known, patterns = raw.get("properties", ()), raw.get("patternProperties", ())
    return all(
        judge.fits(member, wanted)
        for name, member in value.items()
        if name not in known and not any(regexes.matches(pattern, name) for pattern in patterns)
    )


def _dependencies(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    return all(
        all(other in value for other in needed) if isinstance(needed, list) else judge.fits(value, needed)
        for name, needed in wanted.items()
        if name in value
    )


def _condition(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    return judge.fits(value, raw.get("then" if judge.fits(value, wanted) else "else", True))


def _one(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    return sum(judge.fits(value, inner) for inner in wanted) == 1


def _unevaluated_members(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    rest = {keyword: inner for keyword, inner in raw.items() if keyword != "unevaluatedProperties"}
    known = judge.evaluated(value, rest, judge.members)
    return all(judge.fits(member, wanted) for name, member in value.items() if name not in known)


def _unevaluated_places(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    if not isinstance(value, list):
        return True
    rest = {keyword: inner for keyword, inner in raw.items() if keyword != "unevaluatedItems"}
    known = judge.evaluated(value, rest, judge.places)
    return all(judge.fits(item, wanted) for place, item in enumerate(value) if place not in known)


def _unique(judge: Judge, value: Any, wanted: Any, raw: dict[str, Any]) -> bool:
    return not wanted or not isinstance(value, list) or len(set(map(canonical, value))) == len(value)


def _sized(kind: type[list[Any]] | type[dict[str, Any]] | type[str], *, least: bool) -> Check:
    if least:
        return lambda judge, value, wanted, raw: not isinstance(value, kind) or len(value) >= wanted
    return lambda judge, value, wanted, raw: not isinstance(value, kind) or len(value) <= wanted


def _compared(holds: Callable[[Any, Any], bool]) -> Check:
    return lambda judge, value, wanted, raw: not _is_number(value) or holds(value, wanted)


_CHECKS: dict[str, Check] = {
    "$ref": lambda judge, value, wanted, raw: judge.follow(value, wanted),
    "$dynamicRef": lambda judge, value, wanted, raw: judge.follow(value, wanted),
    "type": _type,
    "enum": lambda judge, value, wanted, raw: judge.is_one_of(value, wanted),
    "const": lambda judge, value, wanted, raw: canonical(value) == canonical(wanted),
    "allOf": lambda judge, value, wanted, raw: all(judge.fits(value, inner) for inner in wanted),
    "anyOf": lambda judge, value, wanted, raw: any(judge.fits(value, inner) for inner in wanted),
    "oneOf": _one,
    "not": lambda judge, value, wanted, raw: not judge.fits(value, wanted),
    "if": _condition,
    "multipleOf": _compared(is_multiple),
    "minimum": _compared(lambda value, bound: value >= bound),
    "maximum": _compared(lambda value, bound: value <= bound),
    "exclusiveMinimum": _compared(lambda value, bound: value > bound),
    "exclusiveMaximum": _compared(lambda value, bound: value < bound),
    "minLength": _sized(str, least=True),
    "maxLength": _sized(str, least=False),
    "pattern": lambda judge, value, wanted, raw: not isinstance(value, str) or regexes.matches(wanted, value),
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
    "required": lambda judge, value, wanted, raw: (
        not isinstance(value, dict) or all(name in value for name in wanted)
    ),
    "properties": _properties,
    "patternProperties": _patterns,
    "additionalProperties": _additional,
    "propertyNames": lambda judge, value, wanted, raw: (
        not isinstance(value, dict) or all(judge.fits(name, wanted) for name in value)
    ),
    "dependentRequired": _dependencies,
    "dependentSchemas": _dependencies,
    "dependencies": _dependencies,
    "unevaluatedProperties": _unevaluated_members,
}
