"""Ways in from outside: one, through the ingress controller, with TLS."""

from __future__ import annotations

from tenantry_policies.rule import Rule, Sentences, resource_rule
from tenantry_policies.view import Resource, items, mapping

__all__ = ["RULES"]

_REDIRECTS = ("nginx.ingress.kubernetes.io/ssl-redirect", "nginx.ingress.kubernetes.io/force-ssl-redirect")


@resource_rule("Service")
def public_service(service: Resource) -> Sentences:
    """A Service is of type ClusterIP and claims no addresses.

    NodePort, LoadBalancer and external addresses are ways in that go round the ingress controller and the network
    policies; an ExternalName leads its callers wherever it says.
    """
    kind = service.spec.get("type")
    if kind not in (None, "ClusterIP"):
        yield f"the Service is of type {kind}; make it ClusterIP and publish it by the Ingress of a public module"
    if items(service.spec.get("externalIPs")):
        yield "the Service claims addresses; take externalIPs away"


@resource_rule("Ingress")
def ingress_without_tls(ingress: Resource) -> Sentences:
    """Every host of an Ingress has a certificate, and nothing turns the way to HTTPS off.

    Logins and customers' data would cross the network in plain text.
    """
    covered = {
        str(host)
        for entry in (mapping(one) for one in items(ingress.spec.get("tls")))
        if entry.get("secretName")
        for host in items(entry.get("hosts"))
    }
    for rule in (mapping(one) for one in items(ingress.spec.get("rules"))):
        host = str(rule.get("host") or "")
        if host and host not in covered:
            yield f"host {host} has no certificate; add it to spec.tls with a secretName"
    for name in _REDIRECTS:
        if str(ingress.annotations.get(name) or "").lower() == "false":
            yield f"the annotation {name} lets plain HTTP through; remove it"


@resource_rule("Ingress")
def ingress_too_wide(ingress: Resource) -> Sentences:
    """An Ingress answers for hosts that it names, and carries no configuration of the controller.

    A rule without a host, or with a wildcard, catches other tenants' requests; a snippet of configuration runs with
    the rights of the controller, which holds everybody's certificates.
    """
    if mapping(ingress.spec.get("defaultBackend")):
        yield "the Ingress catches every request that nobody else answers; remove defaultBackend"
    for rule in (mapping(one) for one in items(ingress.spec.get("rules"))):
        host = str(rule.get("host") or "")
        if not host:
            yield "a rule has no host and answers for all of them; name the host"
        elif "*" in host:
            yield f"host {host} answers for other tenants' names as well; name the hosts one by one"
    for name in sorted(str(one) for one in ingress.annotations):
        if name.endswith("-snippet"):
            yield f"the annotation {name} changes the controller's configuration; remove it"


RULES: tuple[Rule, ...] = (public_service, ingress_without_tls, ingress_too_wide)
