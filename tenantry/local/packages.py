"""The servers that come from the operating system: MariaDB with its key plugin, Redis, RabbitMQ."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["PACKAGES", "find_servers"]

PACKAGES = (
    "mariadb-server",
    "mariadb-plugin-hashicorp-key-management",
    "redis-server",
    "rabbitmq-server",
)
_FOLDERS = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")
"""Looked at besides PATH. RabbitMQ's own script comes first: Debian's wrapper in /usr/sbin ignores our settings."""
_PROGRAMS = ("mariadbd", "mariadb-install-db", "redis-server", "rabbitmq-server", "epmd")
_PLUGINS = (
    Path("/usr/lib/mysql/plugin/hashicorp_key_management.so"),
    Path("/usr/lib64/mariadb/plugin/hashicorp_key_management.so"),
)
_POLICY = Path("/usr/sbin/policy-rc.d")


def find_servers(say: Callable[[str], None]) -> dict[str, Path]:
    """Paths of the server programs, installing Debian's packages where we may. Raises DependencyUnavailable."""
    found, missing = _look()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"packages: installing {', '.join(PACKAGES)}")
        _install()
        found, missing = _look()
    if missing:
        raise DependencyUnavailable(
            f"missing on this machine: {', '.join(missing)}",
            where="PATH",
            hint=f"install them (on Debian: apt-get install --no-install-recommends {' '.join(PACKAGES)})",
        )
    return found


def _look() -> tuple[dict[str, Path], list[str]]:
    search = os.pathsep.join([_FOLDERS[0], os.environ.get("PATH", os.defpath), *_FOLDERS[1:]])
    found: dict[str, Path] = {}
    missing: list[str] = []
    for name in _PROGRAMS:
        path = shutil.which(name, path=search)
        if path:
            found[name] = Path(path)
        else:
            missing.append(name)
    if not any(plugin.exists() for plugin in _PLUGINS):
        missing.append("MariaDB's hashicorp_key_management plugin")
    return found, missing


def _install() -> None:
    """apt-get, without letting the packages start their own services: the platform runs its own."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES],
        ):
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=1800,
                check=False,
            )
            if done.returncode != 0:
                reason = next((line for line in done.stderr.splitlines() if line.startswith("E:")), "no message")
                raise DependencyUnavailable(
                    f"{' '.join(command[:2])} failed: {reason}",
                    where="apt",
                    hint=f"install {' '.join(PACKAGES)} by hand, then run `tenantry local up` again",
                )
    finally:
        if ours:
            _POLICY.unlink(missing_ok=True)
