"""Which addresses may be asked: public ones, and one's own hosts that the settings name.

Whoever adds a source, and every page and redirect of it, could otherwise have this machine ask its own neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urljoin, urlsplit

import idna

from mundap.errors import FetchFailed

Address = IPv4Address | IPv6Address

MAX_URL = 2000  # as long as the database keeps
_PORTS = {"http": 80, "https": 443}
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_LABELS = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_NEIGHBOURS = tuple(
    map(
        ip_network,
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
    )
)
_NEIGHBOURS_IPV6 = tuple(map(ip_network, ("::1/128", "fc00::/7")))
_NO_SERVERS = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_TRANSLATED = IPv6Network("64:ff9b::/96")
# Tunnels (Teredo, ORCHID, 6to4) and addresses for examples: of the global range, and nobody's server.
_NO_SERVERS_IPV6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))

# What may stand in a path, and the sign of what is encoded already.
SAFE = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class Target:
    """An address that was checked, in its parts; the connection is made from these and not from a text."""

    scheme: str
    host: str
    port: int
    path: str  # with the query

    @property
    def place(self) -> str:
        """The host, with its port where that is an unusual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The address of the server."""
        return f"{self.scheme}://{self.place}"

    def __str__(self) -> str:
        return self.origin + self.path


class AddressRules:
    """What may be asked. `own_hosts` are one's own: `host`, `host:port` or `.domain`; they may be private."""

    def __init__(self, own_hosts: Iterable[str] = ()) -> None:
        self._own = {host.lower().rstrip(".") for host in own_hosts}

    def is_own(self, host: str, port: int) -> bool:
        """Return whether the settings name this host."""
        shown = f"[{host}]" if ":" in host else host
        parents = {host[place:] for place, sign in enumerate(host) if sign == "."}
        return bool(self._own & ({shown, f"{shown}:{port}"} | parents))

    def target(self, url: str, *, base: str = "") -> Target:
        """Return the address, or a link on the page `base`, in its parts. Raises FetchFailed if it may not be asked."""
        try:
            parts = urlsplit(urljoin(base, url.strip()))
            port, path = parts.port, _path(parts.path, parts.query)
        except ValueError as exc:
            raise FetchFailed(f"{url[:200]!r} is not an address: {exc}.") from exc
        if parts.scheme not in _PORTS or not parts.hostname:
            raise FetchFailed(
                f"{url[:200]!r} is not an address that begins with https:// or http://."
            )
        if "@" in parts.netloc:
            raise FetchFailed("An address with a user's name or password in it is not asked.")
        target = Target(parts.scheme, _host(parts.hostname), port or _PORTS[parts.scheme], path)
        if target.port not in _PORTS.values() and not self.is_own(target.host, target.port):
            raise FetchFailed(
                f"{target.origin} has an unusual port. Only hosts that MUNDAP_CRAWL_OWN_HOSTS names may have one."
            )
        if len(str(target)) > MAX_URL:
            raise FetchFailed(f"The address is longer than {MAX_URL} characters: {url[:100]}…")
        return target

    def allowed(self, host: str, port: int, addresses: Iterable[Address]) -> list[Address]:
        """Return those of a host's addresses that may be connected to. Raises FetchFailed where none may."""
        is_own = self.is_own(host, port)
        found = [each for each in addresses if is_public(each) or (is_own and is_neighbour(each))]
        if not found:
            raise FetchFailed(
                f"{host} is not a public address. If it is a host of your own, name it in MUNDAP_CRAWL_OWN_HOSTS."
            )
        return found


def _host(name: str) -> str:
    """Return a host's name as it is looked up: in lower case, ASCII, without a dot at its end."""
    with suppress(ValueError):
        return str(ip_address(name.partition("%")[0]))
    name = name.lower()
    try:
        if not name.isascii():
            name = idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as exc:
        raise FetchFailed(f"{name[:200]!r} is not a name of a host: {exc}.") from exc
    name = name.removesuffix(".")
    if len(name) > 253 or not _LABELS.fullmatch(name):
        raise FetchFailed(f"{name[:200]!r} is not a name of a host.")
    return name


def _path(path: str, query: str) -> str:
    """Return the path as it is sent: what may not stand there is percent-encoded, what is so already stays."""
    sent = quote(path or "/", safe=SAFE)
    return f"{sent}?{quote(query, safe=SAFE + '?')}" if query else sent


def is_public(address: Address) -> bool:
    """Return whether this is an address of the public internet, also when it is wrapped into an IPv6 one."""
    if isinstance(address, IPv6Address):
        inner = _carried(address)
        if inner is not None:
            return is_public(inner)
        is_tunnel = any(address in network for network in _NO_SERVERS_IPV6)
        return address in _GLOBAL_IPV6 and not is_tunnel
    is_special = address.is_multicast or address.is_reserved
    return address.is_global and not is_special and not any(address in net for net in _NO_SERVERS)


def is_neighbour(address: Address) -> bool:
    """Return whether a host of one's own may have this address: this machine or a private network.

    Never a link-local one: that is where clouds keep their machines' secrets.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return is_neighbour(address.ipv4_mapped)
        return any(address in network for network in _NEIGHBOURS_IPV6)
    return any(address in network for network in _NEIGHBOURS)


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that is really meant: mapped (RFC 4291) or translated on the way (NAT64, RFC 6052)."""
    if address.ipv4_mapped:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _TRANSLATED else None
