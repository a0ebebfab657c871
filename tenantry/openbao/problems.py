"""What an error of OpenBao's client means. Pure: nothing is asked here, and no body of a request or answer is kept."""

from __future__ import annotations

import hvac.exceptions
import requests

from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput, TenantryError

__all__ = ["TRANSIENT", "Absent", "Refused", "Sealed", "problem"]

TRANSIENT = (
    requests.ConnectionError,
    requests.Timeout,
    hvac.exceptions.InternalServerError,
    hvac.exceptions.BadGateway,
    hvac.exceptions.VaultDown,
    hvac.exceptions.RateLimitExceeded,
)
"""What a second try can heal."""


class Absent(DependencyUnavailable):
    """There is nothing at the path that takes what was sent."""


class Refused(DependencyUnavailable):
    """The token is not valid, or may not do this."""


class Sealed(DependencyUnavailable):
    """The server is sealed or has not started yet."""


def problem(error: hvac.exceptions.VaultError | requests.RequestException, *, server: str, path: str) -> TenantryError:
    """The tenancy error for a call that failed. server: address. path: without `/v1/`."""
    name = f"OpenBao at {server}"
    match error:
        case hvac.exceptions.Forbidden() | hvac.exceptions.Unauthorized():
            return Refused(
                f"{name} refuses {path}: the token is not valid or may not do this",
                where=path,
                hint="check the token (`bao token lookup`) and its policies; `tenantry cell up` renews those of a cell",
            )
        case hvac.exceptions.InvalidPath():
            return Absent(
                f"{name} has nothing that takes {path}",
                where=path,
                hint="set up the cell's mounts first: `tenantry cell up`",
            )
        case hvac.exceptions.InvalidRequest():
            # OpenBao's own words about names and settings; it does not repeat values that were sent.
            return InvalidInput(f"{name} refuses the content for {path}: {error.args[0]}", source=path)
        case requests.exceptions.SSLError():
            return DependencyUnavailable(
                f"{name} shows a certificate that cannot be verified",
                where=server,
                hint="VAULT_CACERT must name the file of the authority that signed it",
            )
        case requests.RequestException():
            return DependencyUnavailable(
                f"{name} cannot be reached ({type(error).__name__})",
                where=server,
                hint="check VAULT_ADDR and that OpenBao runs; on a local platform: `tenantry local status`",
            )
        case hvac.exceptions.VaultDown():
            return Sealed(
                f"{name} is sealed or still starting",
                where=server,
                hint="unseal it (`bao operator unseal`; on a local platform: `tenantry local up`), then run again",
            )
        case _:
            return DependencyUnavailable(
                f"{name} failed at {path} ({type(error).__name__})",
                where=path,
                hint="look in OpenBao's log; try again when it is healthy",
            )
