"""Quoting, and what MariaDB's errors become."""

from __future__ import annotations

import re

import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql.constants import CR, ER

from tenantry.tenancy.errors import DependencyUnavailable, RunFailed
from tenantry_components.providers.credential import Login
from tenantry_components.providers.mariadb_server import escape_pattern, mariadb_problem, quote

IDENTIFIERS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=64)


def like(pattern: str) -> re.Pattern[str]:
    """GRANT's patterns as a regular expression: `_` one character, `%` any number, a backslash escapes."""
    parts: list[str] = []
    rest = iter(pattern)
    for character in rest:
        if character == "\\":
            parts.append(re.escape(next(rest)))
        else:
            parts.append({"_": ".", "%": ".*"}.get(character, re.escape(character)))
    return re.compile("".join(parts), re.DOTALL)


@given(IDENTIFIERS, IDENTIFIERS)
def test_an_escaped_pattern_matches_its_own_name_and_no_other(name: str, other: str) -> None:
    pattern = like(escape_pattern(name))
    assert pattern.fullmatch(name)
    assert bool(pattern.fullmatch(other)) == (name == other)


@given(IDENTIFIERS)
def test_a_quoted_name_ends_where_it_should(name: str) -> None:
    quoted = quote(name)
    assert quoted[0] == quoted[-1] == "`"
    assert "`" not in quoted[1:-1].replace("``", "")
    assert quoted[1:-1].replace("``", "`") == name


def test_nul_is_no_name() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0b")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (pymysql.OperationalError(ER.CON_COUNT_ERROR, "hunter2"), DependencyUnavailable, "too many connections"),
        (pymysql.OperationalError(ER.USER_LIMIT_REACHED, "hunter2"), DependencyUnavailable, "too many connections"),
        (pymysql.OperationalError(ER.DISK_FULL, "hunter2"), DependencyUnavailable, "no disk space"),
        (pymysql.OperationalError(ER.ACCESS_DENIED_ERROR, "hunter2"), DependencyUnavailable, "refuses"),
        (pymysql.OperationalError(CR.CR_CONN_HOST_ERROR, "hunter2"), DependencyUnavailable, "cannot be reached"),
        (pymysql.ProgrammingError(ER.PARSE_ERROR, "near 'hunter2'"), RunFailed, "failed"),
        (ConnectionResetError("hunter2"), DependencyUnavailable, "cannot be reached"),
    ],
)
def test_an_error_names_the_server_and_the_trouble_and_quotes_nothing(
    error: Exception, kind: type[Exception], says: str
) -> None:
    problem = mariadb_problem("MariaDB at db:3306", error)
    assert type(problem) is kind
    assert problem.message.startswith("MariaDB at db:3306")
    assert says in problem.message
    assert "hunter2" not in f"{problem.message} {problem.hint} {problem.where}"


def test_a_login_does_not_print_its_password() -> None:
    assert "hunter2" not in repr(Login(username="a", password="hunter2"))
