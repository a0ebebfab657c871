"""What a command works with, opened from the settings: OpenBao, the store and the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from tenantry.backup.database import Database, Login
from tenantry.backup.openbao import OpenBao
from tenantry.backup.retention import Retention
from tenantry.backup.settings import Settings
from tenantry.backup.store import CREDENTIALS, Store, open_store
from tenantry.tenancy.errors import InvalidInput

__all__ = ["Surroundings", "surroundings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    settings: Settings
    openbao: OpenBao
    store: Store
    database: Database
    retention: Retention


@contextmanager
def surroundings(settings: Settings) -> Iterator[Surroundings]:
    """Raises DependencyUnavailable when OpenBao is out of reach; the database is reached only when it is used."""
    openbao = OpenBao(settings)
    try:
        credentials = openbao.secret(CREDENTIALS) if settings.store_kind == "s3" else None
        yield Surroundings(
            settings=settings,
            openbao=openbao,
            store=open_store(settings, credentials),
            database=Database(
                host=settings.database_host,
                port=settings.database_port,
                schema=settings.database_schema,
                authority=settings.database_ca,
                login=lambda: _login(settings, openbao),
            ),
            retention=Retention(daily=settings.keep_daily, weekly=settings.keep_weekly, monthly=settings.keep_monthly),
        )
    finally:
        openbao.close()


def _login(settings: Settings, openbao: OpenBao) -> Login:
    if settings.database_role is not None:
        username, password = openbao.database_login(settings.database_role)
        return Login(username=username, password=SecretStr(password))
    assert settings.database_user is not None  # Settings requires one of the two
    assert settings.database_password_file is not None
    try:
        password = settings.database_password_file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"the password file cannot be read ({type(error).__name__})", source=str(settings.database_password_file)
        ) from None
    return Login(username=settings.database_user, password=SecretStr(password))
