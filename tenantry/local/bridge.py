"""The bridge between the machine and the pods of its real node, and the rules that keep it inside the machine.

Pods reach the machine's own address on the bridge, and there only the ports of the cell's shared services, and of
names. They have no route to anything else. From outside the machine that address is not reached, whatever its other
interfaces forward: Linux answers for any of its addresses on every interface unless told otherwise.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from pathlib import Path

from tenantry.local.node import NodePlace
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["Bridge"]


class Bridge:
    """One bridge interface with its packet rules. tools: paths of `ip` and `nft`."""

    def __init__(self, place: NodePlace, tools: dict[str, Path]) -> None:
        self._place = place
        self._tools = tools

    def ensure(self, ports: Collection[int]) -> None:
        """Make interface, address and rules, or correct them. ports: what pods may reach. Idempotent."""
        place = self._place
        if not self.exists:
            # A fixed hardware address: else it changes with the pods, and theirs would miss it for a moment.
            address = ":".join(("02", "74", *(place.mark[at : at + 2] for at in range(0, 8, 2))))
            self._run("ip", "link", "add", "name", place.bridge, "address", address, "type", "bridge")
        self._run("nft", "-f", "-", text=_rules(place, ports))
        self._run("ip", "address", "replace", f"{place.gateway}/{place.subnet.prefixlen}", "dev", place.bridge)
        self._run("ip", "link", "set", place.bridge, "up")

    @property
    def exists(self) -> bool:
        return Path(f"/sys/class/net/{self._place.bridge}").exists()

    def remove(self) -> None:
        """Remove interface and rules; does nothing where there are none."""
        if self.exists:
            self._run("ip", "link", "delete", self._place.bridge)
        table = f"table inet {self._place.guard}"
        self._run("nft", "-f", "-", text=f"add {table}\ndelete {table}\n")

    def _run(self, tool: str, *arguments: str, text: str = "") -> None:
        if tool not in self._tools:
            raise DependencyUnavailable(
                f"the bridge for pods cannot be set: {tool} is missing on this machine",
                where=self._place.bridge,
                hint=f"install {tool} again (Debian: nftables, iproute2), then run it again",
            )
        done = subprocess.run(
            [str(self._tools[tool]), *arguments], input=text, capture_output=True, text=True, timeout=30, check=False
        )
        if done.returncode != 0:
            raise DependencyUnavailable(
                f"the bridge for pods cannot be set: {tool} says {done.stderr.strip()[-200:] or 'no reason'}",
                where=self._place.bridge,
                hint="it needs root and a kernel with bridges and nftables; then run it again",
            )


def _rules(place: NodePlace, ports: Collection[int]) -> str:
    """Replaces the table in one step."""
    bridge, gateway, table = place.bridge, place.gateway, f"inet {place.guard}"
    allowed = ", ".join(str(port) for port in sorted(ports))
    return f"""\
add table {table}
delete table {table}
table {table} {{
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname "{bridge}" ct state established,related accept
    iifname "{bridge}" ip daddr {gateway} tcp dport {{ 53, {allowed} }} accept
    iifname "{bridge}" ip daddr {gateway} udp dport 53 accept
    iifname "{bridge}" drop
    ip daddr {place.subnet} iifname != "lo" drop
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname "{bridge}" oifname "{bridge}" accept
    iifname "{bridge}" drop
    oifname "{bridge}" drop
  }}
}}
"""
