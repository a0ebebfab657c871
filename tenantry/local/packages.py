"""The programs that come from the operating system: MariaDB with its key plugin, Redis, RabbitMQ; for a real node
containerd, runc and what they need."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["NODE_PACKAGES", "PACKAGES", "find_servers", "installed", "programs"]

PACKAGES = (
    "mariadb-server",
    "mariadb-backup",
    "mariadb-plugin-hashicorp-key-management",
    "redis-server",
    "rabbitmq-server",
)
NODE_PACKAGES = (
    "containerd",
    "runc",
    "containernetworking-plugins",
    "nftables",
    "iproute2",
    "busybox-static",
)
_FOLDERS = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")
"""Looked at besides PATH. RabbitMQ's own script comes first: Debian's wrapper in /usr/sbin ignores our settings."""
_PROGRAMS = ("mariadbd", "mariadb-install-db", "mariadb-backup", "mbstream", "redis-server", "rabbitmq-server", "epmd")
_NODE_PROGRAMS = (
    "mariadb",
    "mariadb-dump",
    "containerd",
    "ctr",
    "runc",
    "nft",
    "ip",
    "busybox",
    "setpriv",
    "unshare",
    "nsenter",
)
_NETWORK_PLUGINS = ("bridge", "host-local", "loopback")
_NETWORK_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
_PLUGINS = (
    Path("/usr/lib/mysql/plugin/hashicorp_key_management.so"),
    Path("/usr/lib64/mariadb/plugin/hashicorp_key_management.so"),
)
_POLICY = Path("/usr/sbin/policy-rc.d")
_LOCK = Path("/run/lock/tenantry-packages.lock")
_INSTALL_S = 1800


def find_servers(say: Callable[[str], None], *, real_node: bool = False) -> dict[str, Path]:
    """Paths of the server programs, installing Debian's packages where we may. Raises DependencyUnavailable.

    The folder of MariaDB's plugins is `mariadb-plugins`. real_node: also what a real node needs, with the folder of the
    network plugins as `cni`.
    """
    packages = (*PACKAGES, *NODE_PACKAGES) if real_node else PACKAGES
    return installed(lambda: _look(real_node=real_node), packages, say)


def installed(
    look: Callable[[], tuple[dict[str, Path], list[str]]], packages: Sequence[str], say: Callable[[str], None]
) -> dict[str, Path]:
    """What `look` finds by name, with Debian's packages installed where it misses something and we may. look: gives the
    paths found, and what is missing. Raises DependencyUnavailable."""
    found, missing = look()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        with FileLock(_LOCK, timeout=_INSTALL_S):  # apt-get does not wait for another that is updating its lists
            found, missing = look()
            if missing:
                say(f"packages: installing {', '.join(packages)}")
                _install(packages)
                found, missing = look()
    if missing:
        raise DependencyUnavailable(
            f"missing on this machine: {', '.join(missing)}",
            where="PATH",
            hint=f"install them (on Debian: apt-get install --no-install-recommends {' '.join(packages)})",
        )
    return found


def programs() -> dict[str, Path]:
    """What is there, without asking for more: enough to put things back."""
    return _look(real_node=True)[0]


def _look(*, real_node: bool) -> tuple[dict[str, Path], list[str]]:
    search = os.pathsep.join([_FOLDERS[0], os.environ.get("PATH", os.defpath), *_FOLDERS[1:]])
    found: dict[str, Path] = {}
    missing: list[str] = []
    for name in (*_PROGRAMS, *_NODE_PROGRAMS) if real_node else _PROGRAMS:
        path = shutil.which(name, path=search)
        if path:
            found[name] = Path(path)
        else:
            missing.append(name)
    plugin = next((one for one in _PLUGINS if one.exists()), None)
    if plugin is None:
        missing.append("MariaDB's hashicorp_key_management plugin")
    else:
        found["mariadb-plugins"] = plugin.parent
    if real_node:
        folder = next(
            (one for one in _NETWORK_FOLDERS if all((one / name).exists() for name in _NETWORK_PLUGINS)), None
        )
        if folder is None:
            missing.append(f"the network plugins {', '.join(_NETWORK_PLUGINS)}")
        else:
            found["cni"] = folder
    return found, missing


def _install(packages: Sequence[str]) -> None:
    """apt-get, without letting the packages start their own services: the platform runs its own."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "--yes", "--no-install-recommends", *packages],
        ):
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_INSTALL_S,
                check=False,
            )
            if done.returncode != 0:
                reason = next((line for line in done.stderr.splitlines() if line.startswith("E:")), "no message")
                raise DependencyUnavailable(
                    f"{' '.join(command[:2])} failed: {reason}",
                    where="apt",
                    hint=f"install {' '.join(packages)} by hand, then run `tenantry local up` again",
                )
    finally:
        if ours:
            _POLICY.unlink(missing_ok=True)
