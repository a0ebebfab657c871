"""How a tenant's processes come through the cell's egress proxy: a login of their own, rendered into memory. Pure.

The proxy knows a tenant by this login, not by a pod's address, which the next pod may have. The URL with the password
stands in no Kubernetes object: the agent renders a file of variables, and run.sh reads it before the process starts.
"""

from __future__ import annotations

from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import Configuration, Reach
from tenantry_components.manifest import Manifest

__all__ = ["EGRESS_FILE", "egress_environment", "egress_file", "egress_files", "egress_path"]

EGRESS_FILE = "/run/tenantry/egress.env"
_DIRECT = "localhost,127.0.0.1,.svc,.cluster.local"


def egress_path(spec: TenantSpec) -> str:
    """Where OpenBao keeps the tenant's login to the proxy, below the kv mount: `username` and `password`."""
    return f"{spec.names.kv_path}/egress"


def egress_file(spec: TenantSpec) -> Configuration:
    """`HTTPS_PROXY` and its like with the login, as assignments of a shell; some clients know small letters only."""
    cell = spec.cell.spec
    login = "{{ .Data.data.username }}:{{ .Data.data.password }}"
    lines = "".join(
        f"{name}=http://{login}@{cell.egress.host}:{cell.egress.port}\n"
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")
    )
    secret = f"{cell.openbao.kv_mount}/data/{egress_path(spec)}"
    return Configuration(path=EGRESS_FILE, template=f'{{{{ with secret "{secret}" }}}}{lines}{{{{ end }}}}')


def egress_files(spec: TenantSpec) -> tuple[Configuration, ...]:
    """The file above where a module of the workload may go out, else nothing."""
    return (egress_file(spec),) if any(Reach.EGRESS in module.reach for module in spec.workload.modules) else ()


def egress_environment() -> list[Manifest]:
    """Variables of a container that goes out: where run.sh finds the login, and what needs no proxy."""
    pairs = {"TENANTRY_EGRESS": EGRESS_FILE, "NO_PROXY": _DIRECT, "no_proxy": _DIRECT}
    return [{"name": name, "value": value} for name, value in pairs.items()]
