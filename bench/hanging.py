"""One tenant's database hangs: a session holds the tenant's schema, and every statement that would change it waits.

It is what a long ALTER or a forgotten LOCK TABLES does. The schema stands before the operator's run comes to it, in
another character set than it has to have, so that the run has to change it and waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tenantry.tenancy.cell import Cell
from tenantry_components.providers.mariadb_server import Session, quote, shared_server

__all__ = ["Hold", "session_to_hold_with"]

_LIMIT_S = 120.0
_WAITING = "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for % metadata lock'"


@contextmanager
def session_to_hold_with(cell: Cell) -> Iterator[Hold]:
    """The provisioner's, open before the name of the schema is known: the hold has to be quicker than the run."""
    with shared_server(cell).session() as session:
        yield Hold(session)


class Hold:
    def __init__(self, session: Session) -> None:
        self._session = session

    @contextmanager
    def of(self, schema: str) -> Iterator[None]:
        """Hold the schema of a tenant that has none yet."""
        name = quote(schema)
        self._session.execute(f"CREATE DATABASE {name} CHARACTER SET latin1")
        self._session.execute(f"CREATE TABLE {name}.held (id INT PRIMARY KEY)")
        self._session.execute(f"LOCK TABLES {name}.held WRITE")
        try:
            yield
        finally:
            self._session.execute(f"DROP TABLE {name}.held")
            self._session.execute("UNLOCK TABLES")

    def waited_for(self) -> bool:
        """Whether a statement hangs at this moment."""
        return bool(self._session.execute(_WAITING)[0][0])

    def await_hanging(self) -> None:
        """Until a statement hangs. Raises TimeoutError."""
        deadline = time.monotonic() + _LIMIT_S
        while not self.waited_for():
            if time.monotonic() > deadline:
                raise TimeoutError("nothing waits for the schema that is held")
            time.sleep(0.1)
