"""What lives in OpenBao against what should: three lists for the whole cell, and a look at each database role.

Lists tell no fields, so roles are read one by one; they are few (two a tenant) and small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from tenantry.drift.expectation import Expectation, StaticRole
from tenantry.openbao import OpenBaoServer

__all__ = ["look_at_openbao"]


def look_at_openbao(
    server: OpenBaoServer,
    expectations: Iterable[Expectation],
    *,
    threads: Executor,
    suspect: Callable[[str, str], None],
) -> None:
    """Raises DependencyUnavailable."""
    everybody = tuple(expectations)
    folders = sorted({key.rpartition("/")[0] for one in everybody for key in one.keys})
    keys = {f"{folder}/{name}" for folder in folders for name in server.names(folder)}
    mounts = sorted({path.partition("/")[0] for one in everybody for path in one.secrets})
    secrets = {f"{mount}/tenants/{name}" for mount in mounts for name in server.tree(f"{mount}/metadata/tenants")}
    for one in everybody:
        for path in (one.keys - keys) | (one.secrets - secrets):
            suspect(one.name, f"{path} is gone from OpenBao")
    asked = [(one, path, role) for one in everybody for path, role in one.roles.items()]
    for (one, path, role), live in zip(asked, threads.map(lambda each: server.read(each[1]), asked), strict=True):
        if live is None:
            suspect(one.name, f"the database role {path} is gone")
        elif _role(live) != role:
            suspect(one.name, f"the database role {path} was changed")


def _role(live: dict[str, object]) -> StaticRole:
    return StaticRole(
        connection=str(live["db_name"]),
        username=str(live["username"]),
        rotation_s=int(str(live["rotation_period"])),
    )
