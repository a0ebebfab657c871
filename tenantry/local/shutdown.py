"""Stops the parts of a local platform in the order in which they need one another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tenantry.local.cache import Redis
from tenantry.local.cluster import Etcd
from tenantry.local.composition import CONTROL_PLANE, NODE_PARTS, NODE_SERVICES
from tenantry.local.database import MariaDB
from tenantry.local.keys import OpenBao
from tenantry.local.messaging import Epmd, RabbitMQ
from tenantry.local.operating import Operator
from tenantry.local.supervisor import Supervisor

__all__ = ["STOP_ORDER", "shut_down"]

STOP_ORDER = (
    Operator.name,
    *NODE_PARTS[::-1],
    *NODE_SERVICES,
    *(RabbitMQ.name, Epmd.name, Redis.name, MariaDB.name),
    *CONTROL_PLANE[::-1],
    OpenBao.name,
)
"""The pods first, which finish with the others' help what they have begun. Then in the opposite order of the start:
MariaDB writes with OpenBao's keys until its very end."""


def shut_down(supervisor: Supervisor) -> None:
    """All parts and the supervisor; what a killed supervisor left running as well."""
    if not supervisor.running():
        supervisor.end_orphans(STOP_ORDER)
        return
    # Who works on all the others ends before them.
    supervisor.stop(Operator.name)
    running = {name for name, state in supervisor.states().items() if state.pid}
    for name in NODE_PARTS[::-1]:
        if name in running:
            supervisor.stop(name)
    alone = {OpenBao.name, Etcd.name, Epmd.name, *NODE_PARTS}
    first = [name for name in STOP_ORDER if name in running and name not in alone]
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(supervisor.stop, first))
    for name in STOP_ORDER:
        if name in running and name in alone and name not in NODE_PARTS:
            supervisor.stop(name)
    supervisor.shut_down()
