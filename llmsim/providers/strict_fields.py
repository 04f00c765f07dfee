"""Strict mode: fields that an API does not know are refused, as the real ones refuse them.

Decisions:
* The table of known fields is written from the types of the SDKs by `scripts/update-known-fields`. It is loaded in strict mode only:
  otherwise requests pay nothing.
* A request is checked after it was parsed: what is refused without strict mode is refused in the same words with it. One that changes
  what is stored is checked before: nothing may be stored of a request that is refused.
* An object that fits no known kind is not looked into: its kind is what is wrong with it, or an extension of a dialect.
"""

import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Any

import msgspec
import orjson
from msgspec.structs import replace

from llmsim.errors import UnknownFieldError
from llmsim.providers.contract import (
    ChannelFormat,
    Download,
    EndpointContext,
    GenerationEndpoint,
    IncomingRequest,
    ParsedRequest,
    Provider,
    Replay,
    Reply,
    ResourceEndpoint,
)
from llmsim.providers.forms import Form

_ANY = "*"

Path = tuple[str | int, ...]


class Shape(msgspec.Struct, omit_defaults=True):
    """A kind of object.

    Attributes:
        fields: By name, the kinds of objects that a field holds, in lists or not; `*` for any object. The name `*` stands for all
            names.
        tags: By name, the values of a field that all objects of the kind have.
        required: Names of those that no such object is without.
    """

    fields: dict[str, list[str]]
    tags: dict[str, list[str]] = {}
    required: list[str] = []


class Root(msgspec.Struct, omit_defaults=True):
    """What a request is.

    Attributes:
        kinds: The kinds of its body.
        header: A header with which it may have more fields; empty for none.
        kinds_with_header: The kinds of its body then.
    """

    kinds: list[str]
    header: str = ""
    kinds_with_header: list[str] = []

    def kinds_of(self, headers: Mapping[str, str]) -> list[str]:
        """Return the kinds of the body of a request."""
        return self.kinds_with_header if self.header and headers.get(self.header) else self.kinds


class FieldTable(msgspec.Struct):
    """The known fields.

    Attributes:
        sources: The versions of the SDKs that the table was made from.
        roots: By the label of a generating endpoint, with `.websocket` for its messages there; of another by its path, or by provider,
            method and path where it changes what is stored.
        shapes: By name.
    """

    sources: dict[str, str]
    roots: dict[str, Root]
    shapes: dict[str, Shape]

    def find_unknown(self, value: Any, kinds: list[str]) -> Path | None:
        """Return the path of the first unknown field in an object of one of some kinds; None if there is none."""
        if isinstance(value, list):
            for index, item in enumerate(value):
                if (path := self.find_unknown(item, kinds)) is not None:
                    return (index, *path)
            return None
        if not isinstance(value, dict) or _ANY in kinds:
            return None
        shapes = [shape for name in kinds if _fits(value, shape := self.shapes[name])]
        if not shapes:
            return None
        for field, inner in value.items():
            known = [
                found
                for shape in shapes
                if (found := shape.fields.get(field, shape.fields.get(_ANY))) is not None
            ]
            if not known:
                return (field,)
            if isinstance(inner, dict | list):
                path = self.find_unknown(inner, [kind for found in known for kind in found])
                if path is not None:
                    return (field, *path)
        return None


def _fits(value: dict[str, Any], shape: Shape) -> bool:
    for field, constants in shape.tags.items():
        found = value.get(field)
        if found not in constants and (found is not None or field in shape.required):
            return False
    return True


@functools.cache
def load_table() -> FieldTable:
    """Return the table of known fields."""
    text = resources.files("llmsim.providers").joinpath("known_fields.json").read_bytes()
    return msgspec.json.decode(text, type=FieldTable)


def make_strict(provider: Provider) -> Provider:
    """Return a provider that refuses unknown fields."""
    return replace(
        provider,
        generation_endpoints=tuple([strict_endpoint(one) for one in provider.generation_endpoints]),
        resource_endpoints=tuple(
            [_strict_resource(provider.name, one) for one in provider.resource_endpoints]
        ),
    )


def strict_endpoint(endpoint: GenerationEndpoint[Any]) -> GenerationEndpoint[Any]:
    """Return an endpoint that refuses unknown fields."""
    roots, websocket = load_table().roots, endpoint.websocket
    if endpoint.label not in roots:
        return endpoint
    if websocket is not None:
        messages = _strict_format(websocket.messages, roots[f"{endpoint.label}.websocket"])
        websocket = replace(websocket, messages=messages)
    return replace(endpoint, http=_strict_format(endpoint.http, roots[endpoint.label]), websocket=websocket)


Parse = Callable[[IncomingRequest], ParsedRequest[Any]]


def strict_parse(parse: Parse, label: str) -> Parse:
    """Return a parser that refuses unknown fields.

    Args:
        parse: Parses a request.
        label: Label of the endpoint whose requests it parses.
    """
    return _strict_parse(parse, load_table().roots[label])


def _strict_parse(parse: Parse, root: Root) -> Parse:
    def parse_strictly(request: IncomingRequest) -> ParsedRequest[Any]:
        parsed = parse(request)
        check_fields(request, root)
        return parsed

    return parse_strictly


def _strict_format(channel_format: ChannelFormat[Any], root: Root) -> ChannelFormat[Any]:
    headers = (*channel_format.parsed_headers, *([root.header] if root.header else ()))
    return replace(channel_format, parse=_strict_parse(channel_format.parse, root), parsed_headers=headers)


def _strict_resource(provider: str, endpoint: ResourceEndpoint) -> ResourceEndpoint:
    roots, run = load_table().roots, endpoint.run
    changing = roots.get(f"{provider} {endpoint.method} {endpoint.path}")
    if changing is not None:
        return replace(endpoint, run=_checked_first(run, changing))
    root = roots.get(endpoint.path)
    if root is None:
        return endpoint

    async def run_strictly(context: EndpointContext, request: IncomingRequest) -> Reply | Replay | Download:
        reply = await run(context, request)
        await context.compute(request, check_fields, request, root)
        return reply

    return replace(endpoint, run=run_strictly)


Run = Callable[[EndpointContext, IncomingRequest], Awaitable[Reply | Replay | Download]]


def _checked_first(run: Run, root: Root) -> Run:
    """Return an operation whose fields are checked before it changes anything; a body that is no JSON is refused by itself."""

    async def run_strictly(context: EndpointContext, request: IncomingRequest) -> Reply | Replay | Download:
        with contextlib.suppress(orjson.JSONDecodeError):
            await context.compute(request, check_fields, request, root)
        return await run(context, request)

    return run_strictly


def _form_document(form: Form) -> dict[str, Any]:
    """Return the names of a form as an object: `name[key]` is a member of an object, `name[]` an element of a list."""
    members: dict[str, Any] = {}
    for field in (*(name for name, _ in form.fields), *(one.field for one in form.files)):
        name, bracket, key = field.partition("[")
        key = key.partition("]")[0]
        if bracket and key and isinstance(members.setdefault(name, {}), dict):
            members[name][key] = None
        else:
            members.setdefault(name, None)
    return members


def check_fields(request: IncomingRequest, root: Root) -> None:
    """Check the fields of a request that was parsed.

    Raises:
        UnknownFieldError: The API does not know one of them.
    """
    document = orjson.loads(request.body) if request.form is None else _form_document(request.form)
    path = load_table().find_unknown(document, root.kinds_of(request.headers))
    if path is not None:
        raise UnknownFieldError(path, document)
