"""The cluster, searched: every object of every kind, in every namespace, by its whole text.

A trace may be a name, a label, an annotation, an owner, a volume's claim or a line in a ConfigMap; so the text that the
API server sends is searched, and only a page that holds the incarnation is read as objects. Secrets are the one kind
that the search may be shut out from: the operator reads none, and those of the tenant's namespace go with it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config

from tenantry.inventory.findings import Finding, Searched, Subject
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["search_kubernetes"]

SYSTEM = "kubernetes"
_TIMEOUT = urllib3.Timeout(connect=5, read=60)
_PAGE = "500"
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_PASSING = frozenset({("", "events"), ("events.k8s.io", "events"), ("metrics.k8s.io", "pods"), ("", "bindings")})
"""(group, plural). Events are a log of an hour's length that Kubernetes drops by itself."""
_CONTINUE = re.compile(rb'"continue":"([^"]+)"')
_OWN = ("tenantry.dev", "tenants")
_MAY_BE_CLOSED = ("", "secrets")


def search_kubernetes(subject: Subject) -> Searched:
    api = _Api()
    findings: list[Finding] = []
    closed: list[str] = []
    looked_at = 0
    for group, version, plural in api.kinds():
        if (group, plural) in _PASSING:
            continue
        try:
            count, found = _search_kind(api, subject, group, version, plural)
        except _Forbidden:
            if (group, plural) != _MAY_BE_CLOSED:
                raise
            closed.append(plural)
            continue
        looked_at += count
        findings += found
    return Searched(system=SYSTEM, looked_at=looked_at, findings=tuple(findings), closed=tuple(closed))


def _search_kind(api: _Api, subject: Subject, group: str, version: str, plural: str) -> tuple[int, list[Finding]]:
    looked_at, findings = 0, []
    hosts = subject.hosts if plural == "ingresses" else ()
    marks = [subject.incarnation.encode(), *(f'"{host}"'.encode() for host in hosts)]
    for page in api.pages(group, version, plural):
        # A remaining count is not always given, and a page has one such line an object.
        looked_at += page.count(b'"uid":"') or page.count(b'"name":"')
        if not any(mark in page for mark in marks):
            continue
        for item in json.loads(page).get("items") or ():
            text = json.dumps(item, separators=(",", ":")).encode()
            metadata = item.get("metadata") or {}
            # The object that waits for this very search is not a trace.
            waiting = (group, plural) == _OWN and metadata.get("name") == subject.name
            if any(mark in text for mark in marks) and not waiting:
                name = "/".join(part for part in (metadata.get("namespace"), metadata.get("name")) if part)
                findings.append(Finding(system=SYSTEM, kind=plural, name=name))
    return looked_at, findings


def _next_page(page: bytes) -> str:
    """What the next page of a list is asked for by, "" after the last. The list's own metadata stands before its items,
    of custom resources behind them. To read five hundred objects for it would keep all else waiting."""
    found = _CONTINUE.search(page.partition(b'"items":')[0]) or _CONTINUE.search(page.rpartition(b"]")[2])
    return found[1].decode() if found else ""


class _Forbidden(DependencyUnavailable):
    """The account may not list a kind."""


class _Api:
    def __init__(self) -> None:
        configuration = client.Configuration()
        path = Path(os.environ.get("KUBECONFIG") or "~/.kube/config").expanduser()
        try:
            if path.exists():
                config.load_kube_config(str(path), client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            raise DependencyUnavailable("there is no usable kubeconfig", where="KUBECONFIG") from None
        self._configuration = configuration
        self._address = str(configuration.host).rstrip("/")
        self._pool: urllib3.PoolManager = client.ApiClient(configuration).rest_client.pool_manager

    def kinds(self) -> Iterator[tuple[str, str, str]]:
        """(group, preferred version, plural) of everything that can be listed."""
        seen: set[tuple[str, str]] = set()
        for root in ("/api", "/apis"):
            for group in json.loads(self._get(root, accept=_DISCOVERY)).get("items") or ():
                name = (group.get("metadata") or {}).get("name") or ""
                for version in group.get("versions") or ():
                    if version.get("freshness") == "Stale":
                        raise self._unavailable(f"the API group {name} does not answer")
                    for resource in version.get("resources") or ():
                        key = (name, str(resource["resource"]))
                        if "list" in resource.get("verbs", ()) and key not in seen:
                            seen.add(key)
                            yield name, str(version["version"]), key[1]

    def pages(self, group: str, version: str, plural: str) -> Iterator[bytes]:
        path = f"/apis/{group}/{version}/{plural}" if group else f"/api/{version}/{plural}"
        token = ""
        while True:
            page = self._get(path, limit=_PAGE, **({"continue": token} if token else {}))
            yield page
            token = _next_page(page)
            if not token:
                return

    def _get(self, path: str, *, accept: str = "application/json", **query: str) -> bytes:
        headers = {"Accept": accept, "User-Agent": "tenantry-inventory"}
        settings: Mapping[str, Any] = self._configuration.auth_settings()
        for setting in settings.values():
            if setting.get("value"):
                headers[str(setting["key"])] = str(setting["value"])
        url = f"{self._address}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            answer = self._pool.request("GET", url, headers=headers, timeout=_TIMEOUT, retries=2)
        except urllib3.exceptions.HTTPError as error:
            raise self._unavailable(f"it cannot be reached ({type(error).__name__})") from None
        if answer.status in {404, 405}:
            return b"{}"
        if answer.status == 403:
            raise _Forbidden(
                f"the inventory may not list {path}",
                where=self._address,
                hint="give the account the right to list every kind (for the operator: docs/operator.md)",
            )
        if answer.status != 200:
            raise self._unavailable(f"it answers {answer.status} to a list of {path}")
        return bytes(answer.data)

    def _unavailable(self, reason: str) -> DependencyUnavailable:
        return DependencyUnavailable(
            f"the inventory cannot search the cluster: {reason}",
            where=self._address,
            hint="check KUBECONFIG and that the cluster runs; the account must be able to list every kind",
        )
