"""OpenBao as the backup program needs it: log in, read the tenant's secrets, wrap and unwrap data keys."""

from __future__ import annotations

import base64
from typing import Any

import hvac
import hvac.exceptions
import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from tenantry.backup.settings import Settings
from tenantry.tenancy.errors import (
    Conflict,
    DependencyUnavailable,
    InvalidInput,
    RunFailed,
    StateCorrupt,
    TenantryError,
)

__all__ = ["KeyDestroyed", "OpenBao"]

_TIMEOUT_S = (3.0, 15.0)
_ATTEMPTS = 4
_TRANSIENT = (
    requests.ConnectionError,
    requests.Timeout,
    hvac.exceptions.InternalServerError,
    hvac.exceptions.BadGateway,
    hvac.exceptions.RateLimitExceeded,
)


class KeyDestroyed(Conflict):
    """The tenant's transit key is gone, and with it every backup that it enveloped."""

    code = "KeyDestroyed"


class OpenBao:
    """A logged-in client. Answers' bodies never reach an error."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        verify: str | bool = str(settings.vault_cacert) if settings.vault_cacert else True
        if settings.vault_cacert is not None and not settings.vault_cacert.is_file():
            raise InvalidInput("the authority's file is missing", source=str(settings.vault_cacert))
        session = requests.Session()
        session.trust_env = False  # REQUESTS_CA_BUNDLE would override `verify`
        session.verify = verify
        self._session = session
        self._client = hvac.Client(
            url=settings.vault_addr, verify=verify, timeout=_TIMEOUT_S, session=session, strict_http=True
        )
        if settings.vault_token is not None:
            self._client.token = settings.vault_token.get_secret_value()
        elif settings.auth == "kubernetes":
            self._client.token = self._log_in()
        else:
            self._client.token = None  # hvac would look for one in the environment and in the home folder

    def close(self) -> None:
        self._session.close()

    def secret(self, name: str) -> dict[str, Any] | None:
        """Fields of the tenant's secret `<kv path>/<name>`; None when there is none."""
        answer = self._call("get", f"{self._settings.kv_mount}/data/{self._settings.kv_path}/{name}")
        return None if answer is None else dict(answer["data"]["data"] or {})

    def database_login(self, role: str) -> tuple[str, str]:
        """Account and current password of a static role."""
        path = f"{self._settings.database_mount}/static-creds/{role}"
        answer = self._call("get", path)
        if answer is None:
            raise DependencyUnavailable(
                "OpenBao has no such database role", where=path, hint="provision the tenant again: `tenantry tenant up`"
            )
        return str(answer["data"]["username"]), str(answer["data"]["password"])

    def wrap(self, key: bytes, *, context: bytes) -> str:
        """The data key as transit ciphertext, bound to `context`. Raises KeyDestroyed."""
        # Asking first: a token that may create would otherwise bring a destroyed key's name back to life.
        if not self._key_may_exist():
            raise self._destroyed()
        answer = self._call("post", self._transit("encrypt"), json=self._bound(context, plaintext=_text(key)))
        if answer is None:
            raise self._destroyed()
        return str(answer["data"]["ciphertext"])

    def unwrap(self, ciphertext: str, *, context: bytes) -> bytes:
        """The data key. Raises KeyDestroyed when the transit key is gone, StateCorrupt when it does not fit."""
        path = self._transit("decrypt")
        try:
            answer = self._call("post", path, json=self._bound(context, ciphertext=ciphertext))
        except InvalidInput:
            if not self._key_may_exist():
                raise self._destroyed() from None
            raise StateCorrupt(
                "OpenBao cannot open the backup's data key with the tenant's transit key",
                where=path,
                hint="the manifest was altered, the key was destroyed or replaced, or its old versions were retired"
                f" (min_decryption_version); `bao read {self._transit('keys')}` tells",
            ) from None
        if answer is None:
            raise self._destroyed()
        return base64.b64decode(answer["data"]["plaintext"])

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
            return self._call("get", self._transit("keys")) is not None
        except DependencyUnavailable as error:
            if isinstance(error, _Refused):
                return True
            raise

    def _destroyed(self) -> KeyDestroyed:
        return KeyDestroyed(
            "the tenant's transit key is destroyed: backups that it enveloped cannot be opened by anybody",
            where=self.key_name,
            hint="this is crypto-shredding; only an OpenBao snapshot from before the deletion holds the key",
        )

    def _log_in(self) -> str:
        settings = self._settings
        try:
            token = settings.auth_token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"the service account token cannot be read ({type(error).__name__})",
                source=str(settings.auth_token_file),
                hint="mount a projected token there, or set VAULT_TOKEN",
            ) from None
        path = f"auth/{settings.auth_mount}/login"
        answer = self._call("post", path, json={"role": settings.auth_role, "jwt": token})
        if answer is None:
            raise DependencyUnavailable("OpenBao has no such auth mount", where=path, hint="set up the cell first")
        return str(answer["auth"]["client_token"])

    def _call(self, method: str, path: str, **kwargs: Any) -> dict[str, Any] | None:
        retrying = Retrying(
            retry=retry_if_exception_type(_TRANSIENT),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        try:
            answer = retrying(self._client.adapter.request, method, f"/v1/{path}", **kwargs)
        except hvac.exceptions.InvalidPath:
            return None
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise self._problem(error, path) from None
        return answer if isinstance(answer, dict) else {}

    def _problem(self, error: Exception, path: str) -> TenantryError:
        server = f"OpenBao at {self._settings.vault_addr}"
        if isinstance(error, hvac.exceptions.Forbidden | hvac.exceptions.Unauthorized):
            return _Refused(
                f"{server} refuses: the identity may not use this path", where=path, hint="check its policy"
            )
        if isinstance(error, hvac.exceptions.InvalidRequest):
            return InvalidInput(f"{server} does not accept the request", source=path)
        if isinstance(error, requests.exceptions.SSLError):
            return DependencyUnavailable(
                f"{server} shows a certificate that cannot be verified",
                where=self._settings.vault_addr,
                hint="VAULT_CACERT must name the file of the authority that signed it",
            )
        if isinstance(error, hvac.exceptions.VaultDown):
            return DependencyUnavailable(f"{server} is sealed", where=path, hint="unseal it: `bao operator unseal`")
        if isinstance(error, requests.RequestException):
            return DependencyUnavailable(f"{server} cannot be reached ({type(error).__name__})", where=path)
        return RunFailed(f"{server} failed ({type(error).__name__})", where=path, hint="look in OpenBao's log")


class _Refused(DependencyUnavailable):
    """The identity may not do it."""


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
