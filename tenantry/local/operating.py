"""The operator as a part: the same program that runs in a cluster, here under the platform's supervisor.

It has a certificate of its own service account, so that it may do what `operator/deploy/rbac.yaml` says and nothing
else. Its tokens for OpenBao are those that the cell's set-up leaves beside the records; so it is started last.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import urllib3

from tenantry.local.cluster import Authorities, kubeconfig
from tenantry.local.names import with_names, write_resolver
from tenantry.local.part import Health, Part, Program, Site, State
from tenantry.local.pki import Leaf

__all__ = ["ACCOUNT", "Operated", "Operator"]

ACCOUNT = "system:serviceaccount:tenantry-system:tenantry-operator"
_GROUPS = ("system:serviceaccounts", "system:serviceaccounts:tenantry-system")
_ASK = urllib3.Timeout(connect=1.0, read=3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operated:
    """records: the data folder in which the operator keeps its tenants' records and state. build: names the code that
    it runs; another build is started anew."""

    records: Path
    build: str


class Operator(Part):
    """Answers health over plain HTTP on loopback; nothing that it says there is secret."""

    name = "operator"

    def __init__(self, site: Site, authorities: Authorities, openbao_url: str, operated: Operated) -> None:
        super().__init__(site)
        self._authorities = authorities
        self._openbao_url = openbao_url
        self._operated = operated

    def program(self) -> Program:
        authority = str(self.site.layout.ca_file)
        program = Program(
            command=(
                sys.executable,
                "-m",
                "tenantry",
                "operator",
                "run",
                f"--cell={self.site.layout.cell_file}",
                f"--port={self.port}",
            ),
            environment={
                "KUBECONFIG": str(self.folder / "client.json"),
                "TENANTRY_HOME": str(self._operated.records),
                "VAULT_ADDR": self._openbao_url,
                "VAULT_CACERT": authority,
            },
            # What runs is stopped in order and saved.
            stop_seconds=75,
        )
        # So does it with the database servers in pods.
        return with_names(self, program)

    def prepare(self) -> None:
        folder = self.make_folder()
        kubeconfig(
            self.site, self._authorities, folder / "client.json", Leaf(common_name=ACCOUNT, organizations=_GROUPS)
        )
        write_resolver(self)
        self.write("build", self._operated.build)
        self.write("cell.yaml", self.site.layout.cell_file.read_text())  # it reads the cell at its start

    def probe(self) -> Health:
        with urllib3.PoolManager(timeout=_ASK, retries=False) as client:
            for path, state in (("/healthz", State.UNHEALTHY), ("/readyz", State.STARTING)):
                try:
                    answer = client.request("GET", f"http://{self.address}{path}")
                except urllib3.exceptions.HTTPError as error:
                    said = f"no answer ({type(error).__name__})"
                    return Health(state=State.UNHEALTHY, message=said, hint=f"read {self.log}")
                if answer.status != 200:
                    said = answer.data.decode(errors="replace").strip()
                    return Health(state=state, message=said, hint=f"read {self.log}")
        return Health(state=State.RUNNING)
