"""What lives on the shared MariaDB server against what should: a few queries of its own tables for the whole cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tenantry.drift.expectation import Expectation
from tenantry_components.providers.mariadb import TENANT_PRIVILEGES
from tenantry_components.providers.mariadb_server import MariaDbServer, Session, escape_pattern

__all__ = ["look_at_mariadb"]

_SCHEMAS = "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 't\\_%'"
# Not the whole of Priv: it holds the password's hash.
_ACCOUNTS = """\
SELECT User, JSON_VALUE(Priv, '$.max_user_connections'), JSON_VALUE(Priv, '$.ssl_type'), JSON_VALUE(Priv, '$.access')
FROM mysql.global_priv WHERE User LIKE 't\\_%' AND Host = '%'"""
_GRANTS = """\
SELECT GRANTEE, TABLE_SCHEMA, GROUP_CONCAT(PRIVILEGE_TYPE), MAX(IS_GRANTABLE = 'YES')
FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE LIKE '''t\\_%' GROUP BY GRANTEE, TABLE_SCHEMA"""
_MORE = " UNION ".join(
    f"SELECT User FROM mysql.{table} WHERE User LIKE 't\\_%'"  # noqa: S608 (fixed names)
    for table in ("tables_priv", "columns_priv", "procs_priv", "roles_mapping", "proxies_priv")
)
"""Rights that no tenant's account has: on single tables, columns and routines, by a role, as somebody else."""
_TLS = "1"


def look_at_mariadb(
    server: MariaDbServer, expectations: Iterable[Expectation], *, host: str, suspect: Callable[[str, str], None]
) -> None:
    """host: of the shared server; what is on others is not looked at. Raises DependencyUnavailable."""
    with server.session() as session:
        schemas = {str(row[0]) for row in session.execute(_SCHEMAS)}
        accounts = {str(user): (cap, tls, access) for user, cap, tls, access in session.execute(_ACCOUNTS)}
        grants = _grants(session)
        more = {str(row[0]) for row in session.execute(_MORE)}
    for one in expectations:
        for schema, its_host in one.schemas.items():
            if its_host == host and schema not in schemas:
                suspect(one.name, f"the schema {schema} is gone")
        for user, account in one.accounts.items():
            if account.host != host:
                continue
            exact = {(escape_pattern(account.schema), frozenset(TENANT_PRIVILEGES), False)}
            live = accounts.get(user)
            if live is None:
                suspect(one.name, f"the account {user} is gone")
            elif (_number(live[0]), str(live[1]), _number(live[2])) != (account.max_connections, _TLS, 0):
                suspect(one.name, f"the account {user}: its terms changed")
            elif user in more or grants.get(user, set()) != exact:
                suspect(one.name, f"the account {user}: its grants changed")


def _grants(session: Session) -> dict[str, set[tuple[str, frozenset[str], bool]]]:
    found: dict[str, set[tuple[str, frozenset[str], bool]]] = {}
    for grantee, schema, privileges, grantable in session.execute(_GRANTS):
        user = str(grantee).partition("@")[0].strip("'")
        entry = (str(schema), frozenset(str(privileges).split(",")), bool(grantable))
        found.setdefault(user, set()).add(entry)
    return found


def _number(value: object) -> int:
    return int(str(value)) if value not in (None, "") else 0
