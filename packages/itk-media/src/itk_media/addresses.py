"""Decides which network addresses a caller may make us visit."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from .errors import BlockedAddressError, DownloadError

Resolve = Callable[[str, int], list[str]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Public by registration, but answered by the host of a virtual machine.
_HOST_SERVICES = {ipaddress.ip_address("168.63.129.16")}
# Networks whose addresses carry an IPv4 address inside, which a gateway would unwrap.
_TRANSLATING = tuple(
    ipaddress.ip_network(text)
    for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)


def resolve(host: str, port: int) -> list[str]:
    """Return every address of a host name, in the resolver's order."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"the host name {host!r} cannot be resolved"
        raise DownloadError(message, "unknown_host") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def checked_addresses(
    host: str, port: int, *, allow_private: bool = False, resolve: Resolve = resolve
) -> list[str]:
    """Resolve a host and return its addresses, all of them allowed.

    One forbidden address among several is enough to refuse the host. Names are not
    looked at, only what they resolve to, so every spelling of an address is covered.
    """
    addresses = resolve(host, port)
    for text in addresses:
        if not is_allowed(text, allow_private=allow_private):
            message = f"the address of {host!r} is not on the public internet"
            raise BlockedAddressError(message)
    if not addresses:
        raise DownloadError(f"the host name {host!r} has no address", "unknown_host")
    return addresses


def is_allowed(text: str, *, allow_private: bool = False) -> bool:
    """Say whether an address is public, or loopback or private where those are allowed."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if allow_private and (address.is_loopback or _is_local_network(address)):
        return True
    if address in _HOST_SERVICES or any(address in network for network in _TRANSLATING):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _is_local_network(address: Address) -> bool:
    """Private ranges; link-local ones, where cloud metadata lives, are never allowed."""
    return address.is_private and not (
        address.is_link_local or address.is_unspecified or address.is_reserved
    )
