"""Bootstrap logins: admin accounts that a part's installer leaves in `$TENANTRY_BOOTSTRAP/<part>.json`, once.

The adopter changes the password at once and deletes the file; from then on only OpenBao knows it.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput
from tenantry_components.providers.credential import Login

__all__ = ["Bootstrap", "discard_bootstrap", "missing_login", "read_bootstrap"]


class Bootstrap(BaseModel):
    """One file. ca_file: PEM file of the authority that signed the part's certificate."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)

    host: str
    port: int
    username: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    password: SecretStr
    ca_file: Path
    management_url: str | None = None

    def login(self) -> Login:
        return Login(
            username=self.username,
            password=self.password.get_secret_value(),
            authority=self.ca_file.read_text(encoding="ascii"),
        )


def _path(part: str) -> Path | None:
    folder = os.environ.get("TENANTRY_BOOTSTRAP")
    return Path(folder) / f"{part}.json" if folder else None


def read_bootstrap(part: str) -> Bootstrap | None:
    """The part's bootstrap login, None when there is none (any more). Raises InvalidInput for a broken file."""
    path = _path(part)
    if path is None or not path.exists():
        return None
    try:
        return Bootstrap.model_validate_json(path.read_bytes())
    except ValidationError:
        raise InvalidInput(
            f"{path} is not a bootstrap login",
            source=str(path),
            hint="it needs host, port, username, password and caFile",
        ) from None


def discard_bootstrap(part: str) -> None:
    """Delete the part's file; absent is success."""
    path = _path(part)
    if path is not None:
        path.unlink(missing_ok=True)


def missing_login(part: str, held: str) -> DependencyUnavailable:
    """Neither OpenBao nor a bootstrap file opens the part. held: where OpenBao would keep the login."""
    return DependencyUnavailable(
        f"no login opens {part}: OpenBao has no working one at {held}, and no bootstrap file has",
        where=held,
        hint=f"put an admin login into $TENANTRY_BOOTSTRAP/{part}.json (rotated and deleted at once), run again",
    )
