"""AWS as the providers reach it: with the credentials that its own tools use (a profile, a role, Pod Identity).

The library is imported when it is first needed: no other cell pays for it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tenantry.tenancy.errors import DependencyUnavailable, RunFailed, TenantryError
from tenantry_components.providers.credential import Login

__all__ = ["aws_client", "aws_errors", "master_login"]

_TIMEOUT_S = 10
_ATTEMPTS = 4
_REFUSED = {"AccessDenied", "AccessDeniedException", "ExpiredTokenException", "UnrecognizedClientException"}


@functools.lru_cache(maxsize=8)
def aws_client(service: str, region: str) -> Any:
    """The process's client of one AWS service. Errors are botocore's: see `aws_errors`."""
    import boto3
    from botocore.config import Config

    settings = Config(
        connect_timeout=_TIMEOUT_S,
        read_timeout=_TIMEOUT_S,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
    )
    return boto3.client(service, region_name=region, config=settings)


@contextmanager
def aws_errors(what: str) -> Iterator[None]:
    """Turns botocore's errors into ours. what: the thing that is asked for, for the message."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise _problem(what, error) from None


def _problem(what: str, error: Any) -> TenantryError:
    """AWS's own text is left out: it can quote what was sent."""
    code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
    if code in _REFUSED or code in {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"}:
        return DependencyUnavailable(
            f"AWS refuses {what} ({code})",
            where=what,
            hint="who runs this needs the rights of the role tenantry-<cell>-operator: `aws sts get-caller-identity`",
        )
    if code in {"EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"}:
        return DependencyUnavailable(
            f"AWS cannot be reached for {what} ({code})", where=what, hint="run it where the VPC or the internet is"
        )
    return RunFailed(f"AWS failed at {what} ({code})", where=what, hint="docs/aws.md; run again when it is mended")


def master_login(arn: str, *, region: str, authority: str) -> Login:
    """The login that RDS keeps in Secrets Manager. authority: PEM that signed the server's certificate, "": what the
    system trusts."""
    with aws_errors(f"the secret {arn}"):
        answer = aws_client("secretsmanager", region).get_secret_value(SecretId=arn)
    fields = json.loads(answer["SecretString"])
    return Login(username=str(fields["username"]), password=str(fields["password"]), authority=authority or None)
