"""Settings, read from the environment once, at the start.

Every field is the variable `TENANTRY_BACKUP_<FIELD>`; OpenBao's address, authority and token have the names that
its own tools use: VAULT_ADDR, VAULT_CACERT, VAULT_TOKEN. No variable of ours holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from tenantry.tenancy.errors import InvalidInput, Problem

__all__ = ["PREFIX", "Settings"]

PREFIX = "TENANTRY_BACKUP_"
_FOREIGN = {"VAULT_ADDR": "vault_addr", "VAULT_CACERT": "vault_cacert", "VAULT_TOKEN": "vault_token"}
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def _folders(value: object) -> object:
    """`media=/var/media,images=/var/images` as a mapping."""
    if not isinstance(value, str):
        return value
    pairs = [entry.partition("=") for entry in value.split(",") if entry]
    if any(not name or not path for name, _, path in pairs):
        raise ValueError("write it as name=/path, several separated by commas")
    if len({name for name, _, _ in pairs}) != len(pairs):
        raise ValueError("a name stands twice")
    return {name: path for name, _, path in pairs}


_MediaName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]


class Settings(BaseModel):
    """One tenant's backup: who it is, what to take, where to keep it, how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str = Field(min_length=1)
    """The tenant's namespace; bound into every ciphertext."""
    incarnation: str = Field(min_length=1)
    release: str = ""
    """Release of the application, for the person who restores; "" when not known."""

    vault_addr: str
    vault_cacert: Path | None = None
    """PEM of the authority that signed OpenBao's certificate; None: the system's trust store."""
    vault_token: SecretStr | None = None
    """Wins over `auth`."""
    auth: Literal["kubernetes", "agent"] = "kubernetes"
    """kubernetes: log in with `auth_role` and `auth_token_file`. agent: VAULT_ADDR is a `bao agent` on loopback,
    which adds its own token to what passes through it."""
    auth_mount: str = "kubernetes"
    auth_role: str = "tenant"
    auth_token_file: Path = Path("/var/run/secrets/openbao/token")
    """Projected service account token, of the audience that the auth role asks for."""
    transit_mount: str = "transit"
    transit_key: str = Field(min_length=1)
    kv_mount: str = "kv"
    kv_path: str = Field(min_length=1)
    """The tenant's folder in kv, without mount and `data/`."""
    database_mount: str = "database"

    database_host: str = Field(min_length=1)
    database_port: int = Field(default=3306, ge=1, le=65535)
    database_schema: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    database_ca: Path | None = None
    """PEM of the authority that signed the database server's certificate; None: the system's trust store."""
    database_role: str | None = None
    """Static role in OpenBao's database engine whose account takes the dump."""
    database_user: str | None = None
    """With `database_password_file`, instead of a role."""
    database_password_file: Path | None = None

    media: Annotated[dict[_MediaName, Path], BeforeValidator(_folders)] = Field(default_factory=dict)
    """Folders to take: name → path."""

    store_kind: Literal["s3", "folder"] = "s3"
    store_url: str = Field(min_length=1)
    """`https://host/bucket` for s3, an absolute path for folder."""
    store_prefix: str = Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]*/)+$")
    """Begin of every object's name, ends with a slash."""
    store_region: str = "us-east-1"
    """s3: region that requests are signed for; most compatible stores take any."""
    store_ca: Path | None = None
    """s3: PEM of the authority that signed the store's certificate; None: public authorities only."""

    keep_daily: int = Field(default=7, ge=0)
    keep_weekly: int = Field(default=4, ge=0)
    keep_monthly: int = Field(default=6, ge=0)

    @field_validator("vault_addr")
    @classmethod
    def _encrypted(cls, value: str) -> str:
        return _secure_url(value)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        by_file = self.database_user is not None and self.database_password_file is not None
        if (self.database_user is None) != (self.database_password_file is None):
            raise ValueError("database_user and database_password_file belong together")
        if by_file == (self.database_role is not None):
            raise ValueError("give either database_role, or database_user with database_password_file")
        if self.store_kind == "folder" and not Path(self.store_url).is_absolute():
            raise ValueError("store_url must be an absolute path for a folder")
        if self.store_kind == "s3":
            parts = urlsplit(_secure_url(self.store_url))
            if not parts.hostname or not parts.path.strip("/") or "/" in parts.path.strip("/"):
                raise ValueError("store_url must be https://host/bucket for s3")
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises InvalidInput naming each variable that is missing, wrong or unknown; never a value."""
        found = {
            name.removeprefix(PREFIX).lower(): text for name, text in environment.items() if name.startswith(PREFIX)
        }
        found |= {field: environment[name] for name, field in _FOREIGN.items() if environment.get(name)}
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            problems = tuple(
                Problem(message=entry["msg"], path=_variable(entry["loc"]))
                for entry in error.errors(include_input=False, include_url=False)
            )
            raise InvalidInput(
                "the environment does not describe a backup",
                source="environment",
                problems=problems,
                hint="docs/backups.md lists every variable",
            ) from None


def _variable(location: tuple[int | str, ...]) -> str:
    if not location:
        return ""
    field = str(location[0])
    return next((name for name, known in _FOREIGN.items() if known == field), PREFIX + field.upper())


def _secure_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold credentials")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError("must be an https:// address (http:// on loopback only)")
    return value
