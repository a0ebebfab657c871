"""OpenBao as the backup program needs it: log in, read the tenant's secrets, wrap and unwrap data keys."""

from __future__ import annotations

import base64
from typing import Any

from tenantry.backup.settings import Settings
from tenantry.openbao import Absent, OpenBaoServer, Refused
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, InvalidInput, StateCorrupt

__all__ = ["KeyDestroyed", "OpenBao"]


class KeyDestroyed(Conflict):
    """The tenant's transit key is gone, and with it every backup that it enveloped."""

    code = "KeyDestroyed"


class OpenBao:
    """A logged-in client. Answers' bodies never reach an error."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        if settings.vault_cacert is not None and not settings.vault_cacert.is_file():
            raise InvalidInput("the authority's file is missing", source=str(settings.vault_cacert))
        self._server = OpenBaoServer(
            address=settings.vault_addr,
            token=settings.vault_token.get_secret_value() if settings.vault_token else None,
            ca_file=str(settings.vault_cacert) if settings.vault_cacert else None,
        )
        if settings.vault_token is None and settings.auth == "kubernetes":
            self._server.log_in(settings.auth_mount, role=settings.auth_role, token=self._account_token())

    def close(self) -> None:
        self._server.close()

    def secret(self, name: str) -> dict[str, Any] | None:
        """Fields of the tenant's secret `<kv path>/<name>`; None when there is none."""
        found = self._server.kv_read(self._settings.kv_mount, f"{self._settings.kv_path}/{name}")
        return None if found is None else found[0]

    def database_login(self, role: str) -> tuple[str, str]:
        """Account and current password of a static role."""
        path = f"{self._settings.database_mount}/static-creds/{role}"
        answer = self._server.read(path)
        if answer is None:
            raise DependencyUnavailable(
                "OpenBao has no such database role", where=path, hint="provision the tenant again: `tenantry tenant up`"
            )
        return str(answer["username"]), str(answer["password"])

    def wrap(self, key: bytes, *, context: bytes) -> str:
        """The data key as transit ciphertext, bound to `context`. Raises KeyDestroyed."""
        # Asking first: a token that may create would otherwise bring a destroyed key's name back to life.
        if not self._key_may_exist():
            raise self._destroyed()
        try:
            answer = self._server.write(self._transit("encrypt"), self._bound(context, plaintext=_text(key)))
        except Absent:
            raise self._destroyed() from None
        return str(answer["ciphertext"])

    def unwrap(self, ciphertext: str, *, context: bytes) -> bytes:
        """The data key. Raises KeyDestroyed when the transit key is gone, StateCorrupt when it does not fit."""
        path = self._transit("decrypt")
        try:
            answer = self._server.write(path, self._bound(context, ciphertext=ciphertext))
        except Absent:
            raise self._destroyed() from None
        except InvalidInput:
            if not self._key_may_exist():
                raise self._destroyed() from None
            raise StateCorrupt(
                "OpenBao cannot open the backup's data key with the tenant's transit key",
                where=path,
                hint="the manifest was altered, the key was destroyed or replaced, or its old versions were retired"
                f" (min_decryption_version); `bao read {self._transit('keys')}` tells",
            ) from None
        return base64.b64decode(answer["plaintext"])

    @property
    def key_name(self) -> str:
        return f"{self._settings.transit_mount}/{self._settings.transit_key}"

    def _transit(self, verb: str) -> str:
        return f"{self._settings.transit_mount}/{verb}/{self._settings.transit_key}"

    @staticmethod
    def _bound(context: bytes, **fields: str) -> dict[str, str]:
        return {"associated_data": _text(context), **fields}

    def _key_may_exist(self) -> bool:
        """False only when OpenBao says that there is no such key; a token that may not look cannot tell."""
        try:
            return self._server.read(self._transit("keys")) is not None
        except Refused:
            return True

    def _destroyed(self) -> KeyDestroyed:
        return KeyDestroyed(
            "the tenant's transit key is destroyed: backups that it enveloped cannot be opened by anybody",
            where=self.key_name,
            hint="this is crypto-shredding; only an OpenBao snapshot from before the deletion holds the key",
        )

    def _account_token(self) -> str:
        settings = self._settings
        try:
            return settings.auth_token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"the service account token cannot be read ({type(error).__name__})",
                source=str(settings.auth_token_file),
                hint="mount a projected token there, or set VAULT_TOKEN",
            ) from None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
