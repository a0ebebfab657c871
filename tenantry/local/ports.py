"""Free ports, chosen once per platform and kept.

They come from below the range that the kernel hands to outgoing connections, because a port from inside it may
be somebody's connection by the time a stopped platform comes up again.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection, Iterable
from pathlib import Path

import psutil

from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["LOOPBACK", "choose", "is_free", "require_free"]

LOOPBACK = "127.0.0.1"
_LOWEST = 20_000
_KERNEL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def choose(names: Iterable[str], *, taken: Collection[int] = ()) -> dict[str, int]:
    """One free loopback port a name, none of them in `taken` (ports that stopped platforms own)."""
    candidates = list(range(_LOWEST, _highest()))
    random.SystemRandom().shuffle(candidates)
    chosen: dict[str, int] = {}
    used = set(taken)
    for name in names:
        port = next((port for port in candidates if port not in used and is_free(port)), None)
        if port is None:
            raise DependencyUnavailable(
                f"no free port for {name} between {_LOWEST} and {_highest()}",
                where=LOOPBACK,
                hint="stop a program that holds many ports, then run it again",
            )
        used.add(port)
        chosen[name] = port
    return chosen


def _highest() -> int:
    try:
        lowest_outgoing = int(_KERNEL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        lowest_outgoing = 32_768
    return lowest_outgoing if lowest_outgoing > _LOWEST + 1_000 else 49_151


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A connection of a server that has just ended is no hindrance to its successor.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def require_free(port: int, *, part: str) -> None:
    """Raise DependencyUnavailable, naming the holder where it can be seen, if the port is taken."""
    if is_free(port):
        return
    holder = _holder(port)
    raise DependencyUnavailable(
        f"port {port} of {part} is taken" + (f" by {holder}" if holder else ""),
        where=f"{LOOPBACK}:{port}",
        hint="stop the program that listens there, then run `tenantry local up` again; the platform keeps its ports",
    )


def _holder(port: int) -> str | None:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                return None
    return None
