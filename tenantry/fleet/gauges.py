"""What waits for a tenant's modules and how much a tenant uses, read from the cell's shared servers.

Reads only, in bounded time, for a thousand tenants in one process: all queues of the cell are read at once and kept
for a few seconds, database sessions are kept and shared, and a server that did not answer is left alone for a while,
so that it costs one tenant a timeout and not each of them. A number that cannot be read is None, never 0.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence

import pymysql
from pymysql.constants import ER

from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import TenantryError
from tenantry.tenancy.room import Usage
from tenantry.tenancy.scaling import Reading
from tenantry.tenancy.spec import DatabaseTier, TenantSpec
from tenantry.tenancy.workload_spec import ScalingSource
from tenantry_components.providers import rabbitmq_server
from tenantry_components.providers.mariadb_server import OBSERVER, MariaDbServer, Session, server

__all__ = ["Gauges"]

_log = logging.getLogger(__name__)
_FRESH_S = 5.0
"""RabbitMQ itself counts anew every five seconds."""
_LEFT_ALONE_S = 10.0
_STATEMENT_S = 2
_PATIENCE_S = 5
"""Of the connection: a statement that the server ends by itself never takes so long."""
_QUEUES = {"disable_stats": "true", "enable_queue_totals": "true", "columns": "vhost,name,messages"}
"""Totals without the statistics that cost RabbitMQ most. Versions that do not know these leave more in the answer."""
_MIB = 1024 * 1024
_SIZE = (
    "SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables WHERE table_schema = DATABASE()"
)


class Gauges:
    """Of one cell. Safe to use from several threads."""

    def __init__(self, cell: Cell) -> None:
        openbao = cell.spec.openbao
        self._database: MariaDbServer = server(
            host=cell.spec.database.host,
            port=cell.spec.database.port,
            database_mount=openbao.database_mount,
            kv_mount=openbao.kv_mount,
            role=OBSERVER,
            patience_s=_PATIENCE_S,
        )
        self._rabbitmq = rabbitmq_server.server(url=cell.spec.messaging.management_url, kv_mount=openbao.kv_mount)
        self._queues: Mapping[tuple[str, str], int | None] | None = None
        self._queues_until = 0.0
        self._asking = threading.Lock()
        self._database_from = 0.0

    def read(self, spec: TenantSpec, sources: Sequence[ScalingSource]) -> tuple[Reading, ...]:
        """A reading for each source; its value is None when it could not be read."""
        counted = self._count(spec, {one.name: one.query for one in sources if one.query is not None})
        return tuple(
            Reading(
                source=one.name,
                value=counted[one.name]
                if one.query is not None
                else self._messages(spec.names.messaging_vhost, str(one.queue)),
            )
            for one in sources
        )

    def usage(self, spec: TenantSpec) -> Usage:
        """Of a tenant as it stands."""
        queries = {"size": _SIZE}
        if spec.workload.contacts_query is not None:
            queries["contacts"] = spec.workload.contacts_query
        shared = spec.database.tier is DatabaseTier.SHARED
        counted = self._count(spec, queries) if shared else dict.fromkeys(queries)
        size = counted["size"]
        return Usage(
            contacts=counted.get("contacts"),
            database_mib=None if size is None else -(-size // _MIB),
            # Whatever it asks for now: it may have had a virtual host until now.
            messages=self._messages(spec.names.messaging_vhost, None),
        )

    # -- RabbitMQ -----------------------------------------------------------------------------------------

    def _messages(self, vhost: str, queue: str | None) -> int | None:
        """In one queue, or in all of the virtual host; a queue that nobody has declared yet is empty."""
        with self._asking:  # who comes while somebody asks wants the same answer
            if time.monotonic() >= self._queues_until:
                self._queues = self._ask_queues()
                self._queues_until = time.monotonic() + (_FRESH_S if self._queues is not None else _LEFT_ALONE_S)
            found = self._queues
        if found is None:
            return None
        if queue is not None:
            return found.get((vhost, queue), 0)
        total = 0
        for (home, _), messages in found.items():
            if home == vhost:
                if messages is None:
                    return None
                total += messages
        return total

    def _ask_queues(self) -> Mapping[tuple[str, str], int | None] | None:
        try:
            answer = self._rabbitmq.get("queues", query=_QUEUES)
        except TenantryError as error:
            _log.warning("RabbitMQ's queues cannot be read: %s", error)
            return None
        # One that was declared this very moment has no number yet.
        return {(str(one["vhost"]), str(one["name"])): _whole(one.get("messages")) for one in answer or ()}

    # -- MariaDB ------------------------------------------------------------------------------------------

    def _count(self, spec: TenantSpec, queries: Mapping[str, str]) -> dict[str, int | None]:
        nothing: dict[str, int | None] = dict.fromkeys(queries)
        if not queries or time.monotonic() < self._database_from:
            return nothing
        try:
            with self._database.session() as session:
                try:
                    session.connection.select_db(spec.names.schema)
                except pymysql.MySQLError as error:
                    if error.args[0] in (ER.BAD_DB_ERROR, ER.DBACCESS_DENIED_ERROR):
                        return nothing
                    raise
                return {name: _number(session, query) for name, query in queries.items()}
        except TenantryError as error:
            _log.warning("what waits in databases cannot be read: %s", error)
            self._database_from = time.monotonic() + _LEFT_ALONE_S
            return nothing


def _number(session: Session, query: str) -> int | None:
    """What one SELECT of one number says. A table that is not there yet holds nothing; a statement that takes too
    long, or waits for a lock, says nothing, and the session goes on."""
    try:
        rows = session.execute(f"SET STATEMENT max_statement_time={_STATEMENT_S}, lock_wait_timeout=1 FOR {query}")
    except pymysql.MySQLError as error:
        if error.args[0] == ER.NO_SUCH_TABLE:
            return 0
        # Numbers up to 2000 are the server's, about this statement; the client's own mean that the connection is gone.
        if isinstance(error, pymysql.OperationalError | pymysql.ProgrammingError) and error.args[0] < 2000:
            return None
        raise
    return _whole(rows[0][0]) if len(rows) == 1 and len(rows[0]) == 1 else None


def _whole(value: object) -> int | None:
    """A count as a number, None for what is none."""
    try:
        number = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return None
    return number if number >= 0 else None
