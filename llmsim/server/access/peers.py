"""Who stands at the other end of a connection: a client of this machine, or a proxy that has a connection for clients from anywhere."""

import ipaddress
from typing import Any

_FORWARDED = frozenset(
    {
        *(
            b"forwarded",
            b"via",
            b"x-real-ip",
            b"x-client-ip",
            b"x-cluster-client-ip",
            b"x-original-forwarded-for",
        ),
        *(b"true-client-ip", b"cf-connecting-ip", b"fly-client-ip", b"fastly-client-ip"),
    }
)
"""Headers by which a proxy is known, besides `x-forwarded-*`."""


def is_direct(scope: dict[str, Any]) -> bool:
    """Return whether a request comes straight from this machine, not by a proxy."""
    client = scope.get("client")
    address = parse_address(client[0]) if client else None
    if address is None:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback and not any(
        name in _FORWARDED or name.startswith(b"x-forwarded-") for name, _ in scope["headers"]
    )


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address; None for any other text."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
