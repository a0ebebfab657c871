"""One tenant's schema replaced as a whole: loaded beside it, proved, and swapped in by one statement.

`RENAME TABLE` moves all tables of both schemas or none, also when the server dies in it. A marker that names the backup
is made once the scratch schema is proved, and moves with the tables: nothing else is ever swapped in. Views and
triggers cannot move between schemas: they are made again, by the tenant's account, which thereby owns them. Every
method may be repeated after a kill at any moment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pymysql
from pymysql.constants import ER

from tenantry.backup.database import Database, Login, Readable
from tenantry.backup.database import Session as TenantSession
from tenantry.backup.envelope import opened
from tenantry.backup.manifest import Content, Manifest
from tenantry.backup.stopping import StoppableSource
from tenantry.backup.surroundings import Surroundings
from tenantry.recovery.keeper import Keeper, Statements
from tenantry.tenancy.errors import Conflict, RunFailed
from tenantry.tenancy.recovery import Definition
from tenantry_components.providers.mariadb import TENANT_PRIVILEGES
from tenantry_components.providers.mariadb_server import escape_pattern, quote

__all__ = ["SCRATCH_SUFFIXES", "SchemaRestore"]

LOADED, BEFORE, PROOF = "_restore", "_before", "_proof"
SCRATCH_SUFFIXES = (LOADED, BEFORE, PROOF)
"""Of the schema's name. No tenant's schema can end like this: an incarnation has no underscore before it twice."""
_MARKER = "tenantry_restored"
_DEFINER = re.compile(r"^CREATE\s+(.*?)DEFINER=(?:`(?:[^`]|``)*`@`(?:[^`]|``)*`|\S+)\s", re.DOTALL)


class SchemaRestore:
    """around: the tenant's. keeper: who makes and drops schemas beside the tenant's.
    proof: only to prove a backup, in a schema that is never swapped in. stopping: asked all the time while rows go in;
    when it says so, Stopped is raised."""

    def __init__(
        self,
        around: Surroundings,
        keeper: Keeper,
        *,
        proof: bool = False,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._around = around
        self._keeper = keeper
        self._stopping = stopping
        self._proof = proof
        self._live = around.database.schema
        self._loaded = self._live + (PROOF if proof else LOADED)
        self._before = self._live + BEFORE
        self._ours = (self._loaded,) if proof else (self._loaded, self._before)

    @property
    def scratch(self) -> Database:
        """What `load` fills."""
        return replace(self._around.database, schema=self._loaded)

    @contextmanager
    def locked(self) -> Iterator[tuple[TenantSession, Login]]:
        """Hold the schema against every backup and restore, or against another proof. Raises Locked at once."""
        held = self.scratch if self._proof else self._around.database
        with held.session() as (session, login):
            session.lock()
            yield session, login

    def clean(self, *, before: bool = True) -> None:
        """Drop the scratch schemas and the rights on them; absent is success. before: also the tables of before."""
        username = self._around.database.login().username
        with self._keeper.session() as keeper:
            for name in self._ours if before else self._ours[:1]:
                if self._keeper.grants:
                    _revoke(keeper, name, username)
                keeper.execute(f"DROP DATABASE IF EXISTS {quote(name)}")

    def make(self) -> None:
        """An empty scratch schema that the tenant's own account may use, and nobody else's."""
        username = self._around.database.login().username
        with self._keeper.session() as keeper:
            rows = keeper.execute(
                "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA "
                "WHERE SCHEMA_NAME = %s",
                (self._live,),
            )
            if not rows:
                raise Conflict("the tenant has no schema", where=self._around.database.name)
            charset, collation = rows[0]
            keeper.execute(
                f"CREATE DATABASE IF NOT EXISTS {quote(self._loaded)} CHARACTER SET {charset} COLLATE {collation}"
            )
            if self._keeper.grants:
                pattern = quote(escape_pattern(self._loaded))
                privileges = ", ".join(TENANT_PRIVILEGES)
                keeper.execute(f"GRANT {privileges} ON {pattern}.* TO {_account(username)}")

    def load(self, manifest: Manifest, *, origin: Surroundings | None = None) -> Content:
        """Fill an empty scratch schema and prove it against the manifest. origin: whose backup it is, when it is
        another tenant's. Raises RunFailed when the rows are not those that were dumped."""
        source = origin or self._around
        (part,) = (one for one in manifest.parts if one.kind == "database")
        with opened(manifest, part, store=source.store, openbao=source.openbao) as plain:
            return self.fill(plain, identifier=manifest.id, expected=lambda: manifest.content)

    def fill(self, dump: Readable, *, identifier: str, expected: Callable[[], Content | None]) -> Content:
        """`load` from any dump. expected: asked once the dump is read to its end; None: nothing is known."""
        self.clean()
        self.make()
        with self.scratch.session() as (_, login):
            self.scratch.load(login, StoppableSource(dump, self._stopping))
            found = self.scratch.content(login)
        wanted = expected()
        if wanted is not None and (differences := wanted.differences(found)):
            more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
            raise RunFailed(
                f"{identifier} did not come back as it was taken: {'; '.join(differences[:3])}{more}",
                where=self.scratch.name,
                hint="the tenant's own schema is untouched; restore another backup, and look at the server's log",
            )
        with self._keeper.session() as keeper:
            keeper.execute(f"CREATE TABLE {quote(self._loaded)}.{quote(_MARKER)} (id INT) COMMENT = %s", (identifier,))
        return found

    def definitions(self) -> tuple[Definition, ...]:
        """Views and triggers of the scratch schema. Before `swap`, which drops them."""
        with self.scratch.session() as (session, _):
            session.execute(f"USE {quote(self._loaded)}")
            return tuple(_definitions(session, self._loaded))

    def loaded(self, identifier: str) -> bool:
        """Whether this backup stands in the scratch schema, whole and proved."""
        return self._marked(self._loaded) == identifier

    def swapped(self, identifier: str) -> bool:
        """Whether this backup has been swapped in since the scratch schema was made."""
        return self._marked(self._before) == identifier

    def _marked(self, schema: str) -> str | None:
        with self._keeper.session() as keeper:
            rows = keeper.execute(
                "SELECT TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
                (schema, _MARKER),
            )
        return str(rows[0][0]) if rows else None

    def swap(self, identifier: str) -> None:
        """The scratch schema's tables become the tenant's, and the tenant's become those of the schema before. Raises
        Conflict when it is not this backup that is loaded."""
        if self.swapped(identifier):
            return
        if not self.loaded(identifier):
            raise Conflict(
                f"{identifier} is not what the scratch schema holds", where=self.scratch.name, hint="restore it again"
            )
        with self._keeper.session() as keeper:
            keeper.execute(f"DROP DATABASE IF EXISTS {quote(self._before)}")
            keeper.execute(f"CREATE DATABASE {quote(self._before)}")
            for schema in (self._live, self._loaded):
                _drop_what_stays(keeper, schema)
            moves = [(self._live, name, self._before) for name in _tables(keeper, self._live)]
            moves += [
                (self._loaded, name, self._before if name == _MARKER else self._live)
                for name in _tables(keeper, self._loaded)
            ]
            keeper.execute(
                "RENAME TABLE "
                + ", ".join(f"{quote(a)}.{quote(name)} TO {quote(b)}.{quote(name)}" for a, name, b in moves)
            )

    def define(self, definitions: Sequence[Definition]) -> None:
        """Make the views and triggers, in whatever order they need. Raises RunFailed when one cannot be."""
        left = list(definitions)
        with self._around.database.session() as (session, _):
            session.execute(f"USE {quote(self._live)}")
            while left:
                refused = [one for one in left if not _define(session, one)]
                if len(refused) == len(left):
                    raise RunFailed(
                        f"{len(refused)} views or triggers cannot be made, the first is {refused[0].name}",
                        where=self._around.database.name,
                        hint="all rows are there; what they refer to was not in the backup",
                    )
                left = refused


def _define(session: TenantSession, one: Definition) -> bool:
    session.execute("SET SESSION collation_connection = %s", (one.collation,))
    if one.sql_mode is not None:
        session.execute("SET SESSION sql_mode = %s", (one.sql_mode,))
    try:
        session.execute(one.statement)
    except pymysql.MySQLError as error:
        if error.args[0] in (ER.NO_SUCH_TABLE, ER.VIEW_INVALID):
            return False  # another view comes first
        raise
    return True


def _definitions(session: TenantSession, schema: str) -> Iterator[Definition]:
    for kind, name in session.execute(
        "SELECT 'VIEW', TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s "
        "UNION ALL SELECT 'TRIGGER', TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s",
        (schema, schema),
    ):
        (row,) = session.execute(f"SHOW CREATE {kind} {quote(name)}")
        statement, _, collation = row[1:4] if kind == "VIEW" else row[2:5]
        yield Definition(
            name=name,
            statement=_DEFINER.sub(r"CREATE OR REPLACE \1", str(statement), count=1),
            sql_mode=None if kind == "VIEW" else str(row[1]),
            collation=str(collation),
        )


def _tables(keeper: Statements, schema: str) -> list[str]:
    rows = keeper.execute(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE <> 'VIEW'", (schema,)
    )
    return [str(row[0]) for row in rows]


def _drop_what_stays(keeper: Statements, schema: str) -> None:
    """Views and triggers: a table with a trigger cannot move to another schema."""
    for kind, name in keeper.execute(
        "SELECT 'VIEW', TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s "
        "UNION ALL SELECT 'TRIGGER', TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s",
        (schema, schema),
    ):
        keeper.execute(f"DROP {kind} IF EXISTS {quote(schema)}.{quote(name)}")


def _revoke(keeper: Statements, schema: str, username: str) -> None:
    try:
        # Not ALL PRIVILEGES: nobody may take back what he could not give.
        privileges = ", ".join(TENANT_PRIVILEGES)
        keeper.execute(f"REVOKE {privileges} ON {quote(escape_pattern(schema))}.* FROM {_account(username)}")
    except pymysql.MySQLError as error:
        if error.args[0] != ER.NONEXISTING_GRANT:
            raise


def _account(username: str) -> str:
    return "'" + pymysql.converters.escape_string(username) + "'@'%'"
