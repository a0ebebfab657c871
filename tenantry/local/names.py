"""CoreDNS: the names of Services, for the pods of a real node and for those parts of the platform that reach into pods.

It answers on the bridge alone. Pods learn the cluster's names and nothing else; the machine's own processes, which are
started `with_names`, get every other name from the machine's name servers, as before.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tenantry.local.cluster import Authorities, WebPart, kubeconfig
from tenantry.local.node import NodePlace
from tenantry.local.objects import apply_objects, role
from tenantry.local.packages import programs
from tenantry.local.part import Part, Program, Site
from tenantry.local.pki import Leaf
from tenantry.local.ports import LOOPBACK

__all__ = ["DOMAIN", "CoreDns", "with_names", "write_resolver"]

DOMAIN = "cluster.local"
_USER = "system:coredns"
_RESOLVER = Path("/etc/resolv.conf")
_FRESH_S = 5
"""For how long an answer holds: a server's pod that is started anew has another address."""
_ENTER = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'


class CoreDns(WebPart):
    """Answers at the node's own address, port 53: pods know no other port."""

    name = "coredns"
    health_scheme = "http"
    health_path = "/ready"

    def __init__(self, site: Site, authorities: Authorities, place: NodePlace) -> None:
        super().__init__(site, authorities)
        self._place = place

    @property
    def address(self) -> str:
        return f"{self._place.gateway}:53"

    def program(self) -> Program:
        return Program(
            command=(str(self.site.tools["coredns"]), "-conf", str(self.folder / "Corefile")),
            environment={"HOME": str(self.folder)},
        )

    def prepare(self) -> None:
        folder = self.make_folder()
        kubeconfig(self.site, self.authorities, folder / "client.json", Leaf(common_name=_USER))
        rules = [
            {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ]
        apply_objects(self.site, role("tenantry-names", _USER, rules))
        self.write("Corefile", self._configuration())

    def _configuration(self) -> str:
        gateway = self._place.gateway
        others = "" if not _has_servers() else f"    forward . {_RESOLVER}\n"
        return f"""\
{DOMAIN}:53 {{
    bind {gateway}
    errors
    ready {LOOPBACK}:{self.port}
    kubernetes {{
        kubeconfig {self.folder / "client.json"}
        ttl {_FRESH_S}
    }}
}}

.:53 {{
    bind {gateway}
    errors
    acl {{
        allow net {gateway}/32
        block
    }}
{others}}}
"""


def with_names(part: Part, program: Program) -> Program:
    """The program with the cluster's names, where the platform has a real node: in a mount namespace in which the
    machine's resolver file is another. Nothing changes for the machine. Call it with the part's folder made."""
    node = part.site.node
    if node is None or not _RESOLVER.exists():
        return program
    file = part.folder / "resolv.conf"
    shell = ("/bin/sh", "-c", _ENTER, "sh", str(file), str(_RESOLVER))
    command = (str(programs()["unshare"]), "--mount", *shell, *program.command)
    return replace(program, command=command)


def write_resolver(part: Part) -> None:
    """The resolver file of `with_names`."""
    node = part.site.node
    if node is not None:
        part.write("resolv.conf", f"nameserver {node.gateway}\nsearch {DOMAIN}\noptions ndots:5 attempts:2 timeout:2\n")


def _has_servers() -> bool:
    try:
        lines = _RESOLVER.read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("nameserver") for line in lines)
