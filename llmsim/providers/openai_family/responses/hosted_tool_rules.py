"""What hosted tools must be given, and the values that their members may have.

Decisions:
* Each type of tool is a struct that is only checked: the echo is what was sent, and unknown members are left to strict mode.

Source: openai SDK 3.57, types/responses/tool_param.py, web_search_tool_param.py, web_search_preview_tool_param.py,
file_search_tool_param.py, computer_use_preview_tool_param.py; the API's messages for servers: reports of August and October 2026.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.providers.openai_family.field_messages import format_path, listed
from llmsim.providers.openai_family.responses.input_items import Path, raise_below
from llmsim.wire.codec import decoder

_SIZE = re.compile(r"auto|\d{1,5}x\d{1,5}")
_SIZES = ("1024x1024", "1024x1536", "1536x1024", "auto")
_ADDRESSES = ("server_url", "connector_id", "tunnel_id")


class _Location(Struct):
    type: Literal["approximate"] | None = None
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class _Domains(Struct):
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None


class _WebSearch(Struct):
    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: _Location | None = None
    filters: _Domains | None = None
    external_web_access: bool | None = None


class _Ranking(Struct):
    ranker: Literal["auto", "default-2024-11-15"] | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None


class _FileSearch(Struct):
    vector_store_ids: list[str]
    ranking_options: _Ranking | None = None


class _AutoContainer(Struct):
    type: Literal["auto"]
    file_ids: list[str] | None = None
    memory_limit: Literal["1g", "4g", "16g", "64g"] | None = None


class _CodeInterpreter(Struct):
    container: str | _AutoContainer


class _Images(Struct):
    action: Literal["generate", "edit", "auto"] | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    input_fidelity: Literal["high", "low"] | None = None
    moderation: Literal["auto", "low"] | None = None
    output_compression: Annotated[int, Meta(ge=0, le=100)] | None = None
    output_format: Literal["png", "webp", "jpeg", "gif", "svg"] | None = None
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto"] | None = None
    size: str | None = None


class _Computer(Struct):
    display_height: int
    display_width: int
    environment: Literal["windows", "mac", "linux", "ubuntu", "browser"]


class _Environment(Struct):
    type: Literal["container_auto", "local", "container_reference"]


class _Shell(Struct):
    environment: _Environment | None = None


class _Server(Struct):
    server_url: str | None = None
    connector_id: (
        Literal[
            "connector_dropbox",
            "connector_gmail",
            "connector_googlecalendar",
            "connector_googledrive",
            "connector_microsoftteams",
            "connector_outlookcalendar",
            "connector_outlookemail",
            "connector_sharepoint",
        ]
        | None
    ) = None
    tunnel_id: str | None = None


def _check_size(images: _Images, path: Path) -> None:
    if images.size is not None and _SIZE.fullmatch(images.size) is None:
        raise InvalidFieldError((*path, "size"), "choice", _SIZES, images.size)


def _check_address(server: _Server, path: Path) -> None:
    given = [name for name in _ADDRESSES if getattr(server, name) is not None]
    if len(given) == 1:
        return
    place = format_path(path)
    if not given:
        raise ApiRuleError(
            f"Missing mutually exclusive parameters: '{place}'. Ensure you are providing exactly one of: "
            "'server_url', 'connector_id', or 'tunnel_id'.",
            place,
            "missing_mutually_exclusive_parameters",
        )
    raise ApiRuleError(
        f"Mutually exclusive parameters: '{place}'. Ensure you are only providing one of: "
        f"{listed(given[:2]).replace(' and ', ' or ')}.",
        place,
        "mutually_exclusive_parameters",
    )


class _Rules(Struct, frozen=True):
    """How tools of one type are checked."""

    decode: Callable[[bytes], Any]
    check: Callable[[Any, Path], None] | None = None


_WEB_SEARCH = _Rules(decoder(_WebSearch))

_RULES = {
    "code_interpreter": _Rules(decoder(_CodeInterpreter)),
    "computer_use_preview": _Rules(decoder(_Computer)),
    "file_search": _Rules(decoder(_FileSearch)),
    "image_generation": _Rules(decoder(_Images), _check_size),
    "mcp": _Rules(decoder(_Server), _check_address),
    "shell": _Rules(decoder(_Shell)),
    "web_search": _WEB_SEARCH,
    "web_search_2025_08_26": _WEB_SEARCH,
    "web_search_preview": _WEB_SEARCH,
    "web_search_preview_2025_03_11": _WEB_SEARCH,
}


def check_hosted_tool(name: str, tool: bytes, path: Path) -> None:
    """Check a tool by the rules of its type.

    Args:
        name: Its type.
        tool: The tool.
        path: Its place in the request.

    Raises:
        InvalidFieldError: A member is missing, or has a value that the API does not take.
        ApiRuleError: It is a server without an address, or with several.
    """
    rules = _RULES.get(name)
    if rules is None:
        return
    try:
        decoded = rules.decode(tool)
    except InvalidFieldError as error:
        raise_below(error, path)
    if rules.check is not None:
        rules.check(decoded, path)
