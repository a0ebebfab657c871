"""Which host names a tenant may publish, and which outside hosts its integrations may name.

The egress proxy connects on a tenant's behalf from inside the cell. An integration host that led back into the cell,
a private network or a cloud's metadata service would give a tenant the proxy's reach, so only public names pass.
A name can still resolve to such an address later: the proxy refuses those addresses too.
"""

from __future__ import annotations

import ipaddress
import re

__all__ = ["integration_refusal", "public_host_refusal"]

_LABEL = r"[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)+{_LABEL}")
_INSIDE = (
    "cluster.local",
    "internal",
    "intranet",
    "lan",
    "home.arpa",
    "local",
    "localdomain",
    "localhost",
    "pod",
    "svc",
)
_REBINDING = ("nip.io", "sslip.io", "xip.io", "localtest.me", "lvh.me")


def integration_refusal(host: str, *, cell_domain: str) -> str | None:
    """Why an integration may not name this host; None: it may."""
    name = host.strip().lower().rstrip(".")
    if name != host:
        return "must be a plain host name in lower case without a dot at its end"
    address = _address(name)
    if address is not None:
        return _address_refusal(address)
    if _within(name, _INSIDE) or "." not in name:
        return "is a name of the cluster or of a private network"
    if not _NAME.fullmatch(name):
        return "is not a host name: no scheme, port, path or wildcard"
    if name == cell_domain or name.endswith(f".{cell_domain}"):
        return "is a name of this cell; tenants do not reach one another"
    if _within(name, _REBINDING):
        return "is a name that resolves to whatever address it spells"
    return None


def public_host_refusal(host: str, *, tenant: str, cell_domain: str) -> str | None:
    """Why a tenant may not publish this host; None: it may. Below the cell's domain only its own name is free."""
    if host == f"{tenant}.{cell_domain}":
        return None
    if host == cell_domain or host.endswith(f".{cell_domain}"):
        return f"below {cell_domain} a tenant has only {tenant}.{cell_domain}"
    if _address(host) is not None:
        return "is an address; publish a name"
    if _within(host, _INSIDE):
        return "is a name of the cluster or of a private network"
    return None


def _within(name: str, suffixes: tuple[str, ...]) -> bool:
    return any(name == one or name.endswith(f".{one}") for one in suffixes)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a resolver would read out of `name`, in any spelling: 127.1, 0x7f000001, 2130706433, [::1]."""
    try:
        return ipaddress.ip_address(name.strip("[]").split("%")[0])
    except ValueError:
        pass
    parts = name.split(".")
    if len(parts) > 4:
        return None
    numbers: list[int] = []
    for part in parts:
        if re.fullmatch(r"0x[0-9a-f]+", part):
            numbers.append(int(part, 16))
        elif re.fullmatch(r"0[0-7]+", part):
            numbers.append(int(part, 8))
        elif re.fullmatch(r"[0-9]+", part):
            numbers.append(int(part))
        else:
            return None
    # As inet_aton does: the last part fills all the bytes that the earlier ones leave.
    value = 0
    for number in numbers[:-1]:
        value = (value << 8) | (number & 0xFF)
    rest = 8 * (5 - len(numbers))
    return ipaddress.IPv4Address(((value << rest) | (numbers[-1] & ((1 << rest) - 1))) & 0xFFFFFFFF)


def _address_refusal(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    inner = getattr(address, "ipv4_mapped", None) or address
    if inner in (ipaddress.ip_address("169.254.169.254"), ipaddress.ip_address("fd00:ec2::254")):
        return "is the address of a cloud's metadata service"
    if inner.is_loopback:
        return "is this machine itself"
    if inner.is_link_local:
        return "is a link-local address, where metadata services live"
    if inner.is_private:
        return "is an address of a private network or of the cluster"
    return "is an address; name the host, so that its certificate can be checked"
