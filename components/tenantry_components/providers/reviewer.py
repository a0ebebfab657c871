"""A token with which an OpenBao outside the cluster asks the cluster to review its pods' tokens."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kubernetes.client
import kubernetes.config
import urllib3

from tenantry.tenancy.errors import DependencyUnavailable, Unsupported

__all__ = ["ReviewerToken", "reviewer_token"]

_LIFE = timedelta(days=365)
_SHORTEST_USEFUL = timedelta(days=60)
_TIMEOUT_S = (3, 15)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewerToken:
    """server, authority: the API server's address and PEM, as the kubeconfig has them."""

    server: str
    authority: str
    token: str = field(repr=False)


def reviewer_token(*, namespace: str, account: str) -> ReviewerToken:
    """A new token of the service account, in the cluster of KUBECONFIG.

    Raises DependencyUnavailable when the cluster cannot be asked, Unsupported when it gives short tokens only.
    """
    try:
        # The library's own default is what KUBECONFIG was when it was imported.
        chosen = os.environ.get("KUBECONFIG")
        client = kubernetes.config.new_client_from_config(config_file=chosen)  # type: ignore[no-untyped-call]
    except kubernetes.config.ConfigException:
        raise DependencyUnavailable(
            "no usable kubeconfig",
            where="KUBECONFIG",
            hint='set KUBECONFIG; on a local platform: eval "$(tenantry local env)"',
        ) from None
    server = str(client.configuration.host)
    request = kubernetes.client.AuthenticationV1TokenRequest(
        spec=kubernetes.client.V1TokenRequestSpec(audiences=[], expiration_seconds=int(_LIFE.total_seconds()))
    )
    try:
        answer = kubernetes.client.CoreV1Api(client).create_namespaced_service_account_token(
            account, namespace, request, _request_timeout=_TIMEOUT_S
        )
    except kubernetes.client.ApiException as error:
        raise DependencyUnavailable(
            f"the API server at {server} gives no token for {namespace}/{account} (status {error.status})",
            where=f"{namespace}/{account}",
            hint="the account must exist and KUBECONFIG's user may create serviceaccounts/token",
        ) from None
    except urllib3.exceptions.HTTPError:
        raise DependencyUnavailable(
            f"the API server at {server} cannot be reached",
            where=server,
            hint="check that it runs (on a local platform: `tenantry local status`, then `tenantry local up`)",
        ) from None
    status = answer.status
    ends = status.expiration_timestamp if status is not None else None
    if status is None or ends is None or ends - datetime.now(UTC) < _SHORTEST_USEFUL:
        raise Unsupported(
            f"the cluster at {server} caps the life of service account tokens",
            where=server,
            hint="run OpenBao in the cluster (cell: openbao.peer.namespace), where it renews its own token",
        )
    pem = Path(client.configuration.ssl_ca_cert).read_text(encoding="ascii")
    return ReviewerToken(server=server, authority=pem, token=str(status.token))
