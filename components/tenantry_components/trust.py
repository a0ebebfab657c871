"""Whom a workload trusts: the authority of the cell's servers, and the certificate of the tenant's own ones. Pure."""

from __future__ import annotations

from tenantry.tenancy.spec import DatabaseTier, TenantSpec
from tenantry.tenancy.workload_spec import Configuration
from tenantry_components.agent import CA_FOLDER, ca_mount
from tenantry_components.egress_login import egress_files
from tenantry_components.manifest import Manifest

__all__ = ["OWN_SERVER", "authorities", "authority_mounts", "secret_field", "server_path", "workload_files"]

OWN_SERVER = "server"
"""Secret of what the tenant's own servers need, in its folder."""


def authorities(spec: TenantSpec) -> tuple[Configuration, ...]:
    """Where the tenant has servers of its own: the file of authorities with theirs added, which takes the place of
    the cell's. Nothing else."""
    if spec.database.tier is not DatabaseTier.DEDICATED and not spec.cache.dedicated:
        return ()
    text = f"{spec.cell.spec.ca_bundle}{secret_field(spec, server_path(spec), 'certificate')}\n"
    return (Configuration(path=f"{CA_FOLDER}/ca.pem", template=text),)


def authority_mounts(spec: TenantSpec) -> list[Manifest]:
    """Mounts of the cell's file of authorities, where no rendered one takes its place."""
    return [] if authorities(spec) else ca_mount(spec.cell.spec)


def workload_files(spec: TenantSpec) -> tuple[Configuration, ...]:
    """What the agent renders for the workload: its configuration, whom it trusts, and its login to the egress proxy."""
    return (*spec.workload.configuration, *authorities(spec), *egress_files(spec))


def server_path(spec: TenantSpec) -> str:
    """Where OpenBao keeps what the tenant's own servers need, below the kv mount."""
    return f"{spec.names.kv_path}/{OWN_SERVER}"


def secret_field(spec: TenantSpec, path: str, name: str) -> str:
    """One field of a secret, in the agent's template language."""
    secret = f"{spec.cell.spec.openbao.kv_mount}/data/{path}"
    return f'{{{{ with secret "{secret}" }}}}{{{{ .Data.data.{name} }}}}{{{{ end }}}}'
