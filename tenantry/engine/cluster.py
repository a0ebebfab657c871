"""A connection to one Kubernetes API server: raw JSON over kept-alive connections, and API discovery.

The official client finds and loads the configuration (kubeconfig, exec plugins, in-cluster) and makes the TLS pool;
its model classes are not used, because turning JSON into them and back costs more than all the rest.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes import client, config

from tenantry.tenancy.errors import DependencyUnavailable, RunFailed, TenantryError, Unsupported

__all__ = ["ApiError", "Cluster", "Kind", "as_ours", "connect"]

_TIMEOUT = urllib3.Timeout(connect=5, read=60)
_RETRIES = urllib3.Retry(
    total=4, read=1, backoff_factor=0.2, status_forcelist=(429, 503, 504), allowed_methods=None, raise_on_status=False
)
"""read=1: a kept-alive connection that the server closed is opened anew; one that hangs is not asked five times."""
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_CONNECTIONS = 8
_HINT = "check KUBECONFIG and that the cluster runs (on a local platform: `tenantry local status`)"


class ApiError(Exception):
    """The API server refused a request. reason: the machine-readable one (`NotFound`, `Invalid`, …)."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(str(body.get("message") or f"HTTP status {status}"))
        self.status = status
        self.reason = str(body.get("reason") or "")
        self.causes = tuple((body.get("details") or {}).get("causes") or ())


def as_ours(error: ApiError | TenantryError, *, where: str) -> TenantryError:
    """The error itself, or for a refusal of the API server a RunFailed that tells of it. where: what was worked on."""
    if isinstance(error, TenantryError):
        return error
    return RunFailed(
        f"the API server refuses ({error.status} {error.reason}): {error}",
        where=where,
        hint="check that the objects are there, and the rights of the account in KUBECONFIG",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Where the objects of a kind are served. listed: the server lists them (it does not for reviews and tokens)."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    listed: bool = True

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        parts = ["/apis" if "/" in self.api_version else "/api", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        return "/".join(parts)


class Cluster:
    """Safe to use from several threads."""

    def __init__(self, configuration: client.Configuration) -> None:
        self._configuration = configuration
        self.address = str(configuration.host).rstrip("/")
        configuration.connection_pool_maxsize = _CONNECTIONS
        self._pool: urllib3.PoolManager = client.ApiClient(configuration).rest_client.pool_manager
        # Runs side by side share these connections and wait for a free one: a handshake costs more than the wait.
        self._pool.connection_pool_kw["block"] = True
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._lock = threading.Lock()

    @property
    def configuration(self) -> client.Configuration:
        """How the server is reached, for another client of it."""
        return self._configuration

    def kind(self, api_version: str, kind: str) -> Kind | None:
        """Where a kind is served, None when the server does not know it (its CRD may still be missing)."""
        with self._lock:
            if (api_version, kind) not in self._kinds:
                self._kinds = self._discover()
            return self._kinds.get((api_version, kind))

    def get(self, path: str) -> dict[str, Any] | None:
        """The object, None when it does not exist."""
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def listed_kinds(self) -> tuple[Kind, ...]:
        """Every kind that the server lists, once: in the version that it names first."""
        with self._lock:
            if not self._kinds:
                self._kinds = self._discover()
            first: dict[tuple[str, str], Kind] = {}
            for (api_version, name), kind in self._kinds.items():
                if kind.listed:
                    first.setdefault((api_version.rpartition("/")[0], name), kind)
            return tuple(first.values())

    def list(self, kind: Kind, namespace: str | None, *, selector: str = "") -> list[dict[str, Any]]:
        """All objects of a kind in a namespace (that a label selector picks), each with its apiVersion and kind."""
        return [*self.walk(kind, namespace, selector=selector)]

    def walk(self, kind: Kind, namespace: str | None, *, selector: str = "") -> Iterator[dict[str, Any]]:
        """The same one page at a time, for more objects than should be in memory together. namespace: None for all."""
        token = ""
        while True:
            query = {"limit": "500", "continue": token, "labelSelector": selector}
            page = self.request("GET", kind.path(namespace), query=query)
            for item in page["items"]:
                item["apiVersion"], item["kind"] = kind.api_version, kind.kind
                yield item
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """One call. Raises ApiError for a refusal, DependencyUnavailable when there is no answer.

        seconds: for a caller who would rather know soon: how long it may take, without a second try.
        """
        response = self._send(
            method, path, query=query, body=body, content_type=content_type, accept=accept, seconds=seconds
        )
        try:
            answer = json.loads(response.data) if response.data else {}
        except ValueError:
            answer = {"message": response.data[:300].decode(errors="replace")}
        if response.status < 400:
            return answer if isinstance(answer, dict) else {}
        if response.status == 401:
            raise DependencyUnavailable(
                "the Kubernetes API server refuses our credentials", where=self.address, hint=_HINT
            )
        if response.status in (429, 503, 504):
            raise DependencyUnavailable(
                f"the Kubernetes API server is overloaded or starting: {answer.get('message') or response.status}",
                where=self.address,
                hint="try again later",
            )
        raise ApiError(response.status, answer if isinstance(answer, dict) else {})

    def ask_pod(self, namespace: str, pod: str, port: int, path: str, *, seconds: float) -> tuple[int, bytes]:
        """Status and body of what a pod answers to a GET, through the API server's proxy, whatever it answers. A pod
        that cannot be reached is answered for by the API server, with 502 or 503."""
        proxied = f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}"
        response = self._send("GET", proxied, accept="*/*", seconds=seconds)
        return response.status, response.data

    def _send(
        self,
        method: str,
        path: str,
        *,
        accept: str,
        seconds: float | None,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self.address}{path}"
        if query:
            url += "?" + urlencode({key: value for key, value in query.items() if value})
        headers = {"Accept": accept, "User-Agent": "tenantry"}
        # Asked each time: a token from an exec plugin or a projected volume is renewed by this call.
        settings: Mapping[str, Any] = self._configuration.auth_settings()
        for setting in settings.values():
            if setting.get("value"):
                headers[str(setting["key"])] = str(setting["value"])
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body, separators=(",", ":")).encode()
        try:
            return self._pool.request(
                method,
                url,
                body=data,
                headers=headers,
                timeout=_TIMEOUT if seconds is None else urllib3.Timeout(total=seconds),
                pool_timeout=seconds,
                retries=_RETRIES if seconds is None else False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._unavailable(error) from error

    def _discover(self) -> dict[tuple[str, str], Kind]:
        found: dict[tuple[str, str], Kind] = {}
        for root in ("/api", "/apis"):
            for group in self.request("GET", root, accept=_DISCOVERY).get("items") or ():
                prefix = (group.get("metadata") or {}).get("name") or ""
                for version in group.get("versions") or ():
                    api_version = f"{prefix}/{version['version']}" if prefix else version["version"]
                    for resource in version.get("resources") or ():
                        name = (resource.get("responseKind") or {}).get("kind")
                        if name:
                            found[api_version, name] = Kind(
                                api_version=api_version,
                                kind=name,
                                plural=resource["resource"],
                                namespaced=resource["scope"] == "Namespaced",
                                listed="list" in (resource.get("verbs") or ()),
                            )
        return found

    def _unavailable(self, error: Exception) -> TenantryError:
        cause = getattr(error, "reason", None) or error
        if isinstance(cause, urllib3.exceptions.SSLError):
            return DependencyUnavailable(
                f"the Kubernetes API server's certificate or our own is not accepted: {cause}",
                where=self.address,
                hint="check the certificates in KUBECONFIG",
            )
        return DependencyUnavailable(
            f"the Kubernetes API server cannot be reached ({type(cause).__name__})", where=self.address, hint=_HINT
        )


_connections: dict[tuple[object, ...], Cluster] = {}
_connections_lock = threading.Lock()


def connect(provider: Mapping[str, Any]) -> Cluster:
    """The cluster that a Kubernetes provider's inputs name: `kubeconfig` (a path or the text) and `context`, else
    KUBECONFIG, else the user's default, else the pod's own cluster. Connections are kept for the process."""
    text = provider.get("kubeconfig")
    context = provider.get("context")
    path = Path(os.environ.get("KUBECONFIG") or "~/.kube/config").expanduser()
    if text and "\n" not in text and not text.lstrip().startswith("{"):
        path, text = Path(text).expanduser(), None
    stamp = path.stat().st_mtime_ns if not text and path.exists() else None
    key = (text, None if text else path, stamp, context)
    with _connections_lock:
        if key not in _connections:
            _connections[key] = Cluster(_configuration(text, path, context))
        return _connections[key]


def _configuration(text: str | None, path: Path, context: str | None) -> client.Configuration:
    configuration = client.Configuration()
    try:
        if text:
            config.load_kube_config_from_dict(yaml.safe_load(text), context=context, client_configuration=configuration)  # type: ignore[no-untyped-call]
        elif path.exists():
            config.load_kube_config(str(path), context=context, client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        raise DependencyUnavailable(
            f"no usable Kubernetes configuration: {error}",
            where=str(path),
            hint='set KUBECONFIG; on a local platform: eval "$(tenantry local env)"',
        ) from error
    if not configuration.verify_ssl:
        raise Unsupported(
            "the Kubernetes configuration turns certificate checks off",
            where=str(path),
            hint="give certificate-authority-data instead of insecure-skip-tls-verify",
        )
    return configuration
