"""Decide whether gRPC would use an HTTP proxy for a target, and which one.

gRPC reads `grpc_proxy`, `https_proxy` and `http_proxy` (in this order, only in lower case) when a channel is created,
and then `no_grpc_proxy` or `no_proxy`. It applies them to every target, loopback addresses included; a proxy cannot
reach those on this machine. `channel` switches the proxy off for local targets, and `grpc_errors` names the proxy when
no worker answers through it. The rules are those of gRPC's `http_proxy_mapper.cc`.
"""

import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

_PROXY_VARIABLES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTION_VARIABLES: Final = ("no_grpc_proxy", "no_proxy")

# Names of the loopback addresses in the hosts files of Linux distributions, besides those that end with `.localhost`.
_LOOPBACK_NAMES: Final = frozenset(
    {"localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6"}
    | {"localhost6.localdomain6", "ip6-localhost", "ip6-loopback"}
)

# Schemes of targets on this machine, and those whose targets are addresses or names of the DNS. Others (`xds`) leave it
# to a server where a name leads.
_LOCAL_SCHEMES: Final = frozenset({"unix", "unix-abstract", "vsock"})
_ADDRESS_SCHEMES: Final = frozenset({"", "dns", "ipv4", "ipv6"})

_TARGET: Final = re.compile(
    r"(?:(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*):(?!\d+$))?(?://(?P<authority>[^/]*)/)?(?P<path>.*)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy between the client and its target.

    Attributes:
        variable: the environment variable that names it.
        address: its URL without user and password; empty if it is no valid URL, so that it is not known where they end.
        host: the target's host, which `no_proxy` would have to contain.
    """

    variable: str
    address: str
    host: str


def is_local(target: str) -> bool:
    """Return whether a gRPC target is a socket file or a loopback address of this machine.

    A name that another DNS server resolves (`dns://SERVER/localhost:1`) is not: it may lead anywhere.
    """
    scheme, authority, hosts = _parse(target)
    if scheme in _LOCAL_SCHEMES:
        return True
    return scheme in _ADDRESS_SCHEMES and not authority and all(_is_loopback(host) for host in hosts)


def find_proxy(target: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that gRPC uses for a target; None if it connects directly."""
    variable = next((name for name in _PROXY_VARIABLES if environ.get(name)), "")
    if not variable or is_local(target):
        return None
    hosts = _parse(target)[-1]
    exceptions = next((environ[name] for name in _EXCEPTION_VARIABLES if environ.get(name)), "")
    if all(_is_excepted(host, exceptions) for host in hosts):
        return None
    url = environ[variable]
    if not url.lower().startswith("http://"):  # gRPC ignores others
        return None
    return Proxy(variable, _without_credentials(url), hosts[0])


def _parse(target: str) -> tuple[str, str, list[str]]:
    """Return the scheme, the authority and the hosts of a target; `ipv4:` and `ipv6:` may have several."""
    match = _TARGET.fullmatch(target)
    if match is None:
        return "", "", [target]
    addresses = unquote(match["path"]).split(",")
    return (
        (match["scheme"] or "").lower(),
        match["authority"] or "",
        [_host(address) for address in addresses],
    )


def _host(address: str) -> str:
    bracketed = re.fullmatch(r"\[(.*)\](?::\d+)?", address)
    if bracketed:
        return bracketed[1]
    return re.sub(r":\d+$", "", address)


def _is_loopback(host: str) -> bool:
    name = host.rstrip(".").lower()
    if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
        return True
    address = _ip_address(name)
    if address is None:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    # Connecting to an unspecified address (0.0.0.0, ::) reaches this machine.
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    if not re.fullmatch(r"[0-9a-fx.]+", host):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # other forms, such as 127.1 or 0x7f.1
    except OSError:
        return None


def _is_excepted(host: str, exceptions: str) -> bool:
    """Return whether `no_proxy` contains a host: as a suffix of its name, or as a range of addresses."""
    address = _ip_address(host)
    for entry in filter(None, (part.strip() for part in exceptions.split(","))):
        if host.lower().endswith(entry.lower()):
            return True
        try:
            if address is not None and address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:  # a name, not a range
            continue
    return False


def _without_credentials(url: str) -> str:
    """Return a proxy's URL without user, password and path; empty if it is not valid."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if not parts.hostname or "@" in parts.path + parts.query + parts.fragment:  # a password with / ? or #
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"http://{host}:{port}" if port else f"http://{host}"
