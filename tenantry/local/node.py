"""What a real node of a local platform takes from the machine, and what is put back when it ends.

containerd, the kubelet and every container live in a mount and a process namespace of their own. So the kernel
itself ends every process and every mount with the namespaces' first process, however that one ends, and nothing
that a kubelet changes under /proc/sys or /run is seen outside. What a namespace does not hold is here and in
`bridge`: the control groups, and the bridge that pods are attached to.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import psutil

from tenantry.local.layout import Layout
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = [
    "NODE_LABEL",
    "NodePlace",
    "choose_subnet",
    "clear",
    "make_control_group",
    "require_machine",
    "require_namespaces",
]

NODE_LABEL = ("tenantry.dev/nodes", "real")
"""Label of the real node, and its taint: only pods that ask for it come to it."""

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_ROUTES = Path("/proc/net/route")
_INSTEAD = "leave out `--nodes real`: the nodes are simulated then"
_END_SECONDS = 20.0
_TRIAL = """\
set -e
cd "$1"
mkdir lower upper work merged
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
mount -t proc proc /proc
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlace:
    """Where a platform's real node is: names on the machine, and addresses.

    subnet: of the pods. gateway: the machine's own address in it, on which the shared services listen for pods.
    """

    subnet: ipaddress.IPv4Network
    mark: str

    @classmethod
    def of(cls, layout: Layout, subnet: str) -> NodePlace:
        mark = hashlib.sha256(os.fsencode(layout.home)).hexdigest()[:8]
        return cls(subnet=ipaddress.IPv4Network(subnet), mark=mark)

    @property
    def name(self) -> str:
        """Of the Node object."""
        return "local-real"

    @property
    def gateway(self) -> str:
        return str(self.subnet[1])

    @property
    def bridge(self) -> str:
        """Interface names have 15 letters at most."""
        return f"tnt-{self.mark}"

    @property
    def guard(self) -> str:
        """The table of packet rules."""
        return f"tenantry_{self.mark}"

    @property
    def control_group(self) -> str:
        return f"tenantry-{self.mark}"


def choose_subnet(taken: Iterable[str]) -> str:
    """A private /24 that overlaps no network that the machine knows a way to, and none in `taken`."""
    known = [ipaddress.IPv4Network(one) for one in taken]
    known += [
        ipaddress.IPv4Interface(f"{address.address}/{address.netmask}").network
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family.name == "AF_INET" and address.netmask
    ]
    known += _routed()
    for second in range(201, 255):
        for third in range(256):
            candidate = ipaddress.IPv4Network(f"10.{second}.{third}.0/24")
            if not any(candidate.overlaps(other) for other in known):
                return str(candidate)
    raise DependencyUnavailable(
        "no free network for pods between 10.201.0.0 and 10.254.255.0",
        where="the machine's routes",
        hint=_INSTEAD,
    )


def _routed() -> list[ipaddress.IPv4Network]:
    """Networks with a route, the default route aside: the kernel's table has them as hexadecimal numbers."""
    found = []
    for line in _ROUTES.read_text().splitlines()[1:]:
        words = line.split()
        target, mask = (int.from_bytes(bytes.fromhex(words[at]), "little") for at in (1, 7))
        if mask:
            found.append(ipaddress.IPv4Network((target, mask.bit_count())))
    return found


def require_machine() -> None:
    """Raise DependencyUnavailable, saying precisely why, where this machine cannot carry a real node."""

    def refuse(why: str, hint: str = _INSTEAD) -> None:
        raise DependencyUnavailable(f"this machine cannot run a real node: {why}", where="--nodes real", hint=hint)

    if sys.platform != "linux":
        refuse("containers need Linux")
    if os.geteuid() != 0:
        refuse("only root may start containers", f"run it as root, or {_INSTEAD}")
    if not (_CONTROL_GROUPS / "cgroup.controllers").exists() and not (_CONTROL_GROUPS / "memory").exists():
        refuse(f"there are no control groups below {_CONTROL_GROUPS}")
    if not os.access(_CONTROL_GROUPS, os.W_OK):
        refuse(f"{_CONTROL_GROUPS} cannot be written to")


def require_namespaces(unshare: Path, nft: Path) -> None:
    """Try what containers need once, in namespaces that are gone afterwards. Raises DependencyUnavailable."""
    with tempfile.TemporaryDirectory(prefix="tenantry-") as folder:
        for command, what in (
            ([str(unshare), "--mount", "--pid", "--fork", "/bin/sh", "-c", _TRIAL, "sh", folder], "overlay mounts"),
            ([str(nft), "list", "tables"], "packet rules (nftables)"),
        ):
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
            )
            if done.returncode != 0:
                raise DependencyUnavailable(
                    f"this machine cannot run a real node: {what}: {done.stderr.strip()[-200:] or 'refused'}",
                    where="--nodes real",
                    hint=f"inside a container it needs to be a privileged one; or {_INSTEAD}",
                )


def make_control_group(place: NodePlace) -> None:
    """The kubelet expects its root among the control groups to be there, in each hierarchy that it uses."""
    for hierarchy in _hierarchies():
        (hierarchy / place.control_group).mkdir(exist_ok=True)


def clear(place: NodePlace, init_file: Path) -> None:
    """End whatever is left of the node: its namespaces' first process, with all others in them, and its groups.

    init_file: where the first process has left its number. Nothing happens where nothing is left. Raises
    DependencyUnavailable when something does not end.
    """
    members = _members(place)
    with suppress(OSError, ValueError):
        members.add(int(init_file.read_text()))
    for pid in members:
        if _is_ours(pid, init_file):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    init_file.unlink(missing_ok=True)
    deadline, pause = time.monotonic() + _END_SECONDS, Event()
    while not _groups_removed(place):
        if time.monotonic() > deadline:
            raise DependencyUnavailable(
                f"processes of the real node do not end: {sorted(_members(place))}",
                where=f"{_CONTROL_GROUPS}/…/{place.control_group}",
                hint="see what they wait for (a hung disk?), then run it again",
            )
        pause.wait(0.1)


def _is_ours(pid: int, init_file: Path) -> bool:
    """Whether a process is in the node's mount namespace, by the mark there; a number may have passed to another."""
    return Path(f"/proc/{pid}/root{init_file.parent / 'state' / 'inside'}").exists()


def _hierarchies() -> list[Path]:
    """One with control groups v2; one a controller with v1."""
    if (_CONTROL_GROUPS / "cgroup.controllers").exists():
        return [_CONTROL_GROUPS]
    return [path for path in _CONTROL_GROUPS.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]


def _groups(place: NodePlace) -> list[Path]:
    """The node's control groups, innermost first."""
    return [
        Path(folder)
        for hierarchy in _hierarchies()
        for folder, _, _ in os.walk(hierarchy / place.control_group, topdown=False)
    ]


def _members(place: NodePlace) -> set[int]:
    found: set[int] = set()
    for group in _groups(place):
        with suppress(OSError):
            found |= {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
    return found


def _groups_removed(place: NodePlace) -> bool:
    for group in _groups(place):
        with suppress(OSError):
            group.rmdir()
    return not _groups(place)
