"""Rights: as many as somebody needs, for things that are named, on what is their own."""

from __future__ import annotations

import ipaddress
import json
import re

from tenantry_policies.rule import Findings, Rule, Sentences, resource_rule, stack_rule
from tenantry_policies.view import Resource, Stack, items, mapping

__all__ = ["RULES"]

_EVERYBODY = {"system:authenticated", "system:unauthenticated", "system:serviceaccounts", "system:masters"}
_BROAD_ROLES = {"cluster-admin", "admin", "edit"}
_READ_SECRETS = {"get", "list", "watch"}
_GRANT = re.compile(r"^\s*GRANT\s+(?P<privileges>.+?)\s+ON\s+(?P<target>\S+)\s+TO\s", re.IGNORECASE | re.DOTALL)
_TOO_MUCH = {
    *("ALL", "ALL PRIVILEGES", "ALTER", "CREATE", "DELETE", "DROP", "FILE", "GRANT OPTION", "INSERT", "SELECT"),
    *("SET USER", "SHUTDOWN", "SUPER", "UPDATE"),
}
_PATH = re.compile(r'^\s*path\s+"(?P<path>[^"]+)"\s*\{(?P<body>[^}]*)\}', re.MULTILINE)
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\$\{.*?\}")
_MAX_TTL_S = 86_400
_EXACT = {
    "tenantry:Account": "grants",
    "tenantry:CacheUser": "rules",
    "tenantry:MessagingUser": "permissions",
}
_OWN = {
    "tenantry:Account": ("username", "schema"),
    "tenantry:CacheUser": ("username", "prefix", "kv_path"),
    "tenantry:DatabaseStaticRole": ("role", "username"),
    "tenantry:EgressEntry": ("namespace", "kv_path"),
    "tenantry:KvSecrets": ("path",),
    "tenantry:MessagingUser": ("username", "vhost", "kv_path"),
    "tenantry:OwnServer": ("path",),
    "tenantry:Schema": ("schema",),
    "tenantry:TransitKey": ("key_name",),
    "tenantry:Vhost": ("vhost",),
}


@resource_rule("Role", "ClusterRole")
def wildcard_role(role: Resource) -> Sentences:
    """A Kubernetes role names its verbs, resources and API groups.

    With a wildcard, tomorrow's resource is granted today.
    """
    for rule in (mapping(one) for one in items(role.inputs.get("rules"))):
        for field in ("verbs", "resources", "apiGroups", "nonResourceURLs"):
            if any("*" in str(one) for one in items(rule.get(field))):
                yield f"a rule grants every one of its {field}; name them"


@resource_rule("Role", "ClusterRole")
def powerful_role_in_tenant(role: Resource) -> Sentences:
    """A role in a tenant's namespace reads no Secrets, enters no pod and gives no rights away.

    Each of these turns a viewer into the application, or into more than themselves.
    """
    if role.is_cells:
        return
    for rule in (mapping(one) for one in items(role.inputs.get("rules"))):
        verbs = {str(one) for one in items(rule.get("verbs"))}
        resources = {str(one) for one in items(rule.get("resources"))}
        given = sorted(verbs & {"bind", "escalate", "impersonate"})
        if given:
            yield f"a rule may {' and '.join(given)}; remove the verb"
        if "secrets" in resources and verbs & _READ_SECRETS:
            yield "a rule reads Secrets; remove them from its resources"
        entered = sorted(resources & {"pods/attach", "pods/exec", "pods/portforward", "serviceaccounts/token"})
        if entered:
            yield f"a rule opens {', '.join(entered)}; remove it from its resources"


@resource_rule("RoleBinding", "ClusterRoleBinding")
def broad_binding(binding: Resource) -> Sentences:
    """A binding gives a narrow role to somebody in particular.

    `cluster-admin`, `admin` and `edit` read every Secret of their scope; groups such as `system:authenticated` are
    everybody, other tenants' pods among them.
    """
    role = mapping(binding.inputs.get("roleRef"))
    if role.get("kind") == "ClusterRole" and role.get("name") in _BROAD_ROLES:
        yield f"it grants {role.get('name')}; bind a role that names what is needed"
    for subject in (mapping(one) for one in items(binding.inputs.get("subjects"))):
        name = str(subject.get("name") or "")
        if name in _EVERYBODY or name.startswith("system:serviceaccounts:"):
            yield f"it is bound to {name}, which is everybody; name an account or a group of people"
        other = subject.get("namespace")
        if not binding.is_cells and subject.get("kind") == "ServiceAccount" and other not in (None, binding.namespace):
            yield f"it is bound to an account of namespace {other}; bind accounts of this namespace alone"


@resource_rule("tenantry:DatabaseConnection")
def wildcard_sql_grant(connection: Resource) -> Sentences:
    """No SQL account has rights on everybody's data, nor a privilege that leads there.

    An account that manages tenants needs rights on their schemas' names, `t\\_%`, and nothing on `*.*` that reads or
    writes rows.
    """
    for statement in items(connection.inputs.get("provisioner")):
        grant = _GRANT.match(str(statement))
        if grant is None:
            continue
        privileges = {one.strip().upper() for one in grant["privileges"].split(",")}
        if privileges & {"ALL", "ALL PRIVILEGES"}:
            yield f"a statement grants everything on {grant['target']}; name the privileges"
        elif grant["target"].replace("`", "") in ("*.*", "%.*"):
            found = sorted(privileges & _TOO_MUCH)
            if str(statement).rstrip(" ;").upper().endswith("WITH GRANT OPTION"):
                found.append("GRANT OPTION")
            if found:
                yield f"a statement grants {', '.join(found)} on every schema; name the schemas"


@resource_rule(*_EXACT)
def loose_account(account: Resource) -> Sentences:
    """A tenant's account has exactly the rights that Tenantry gives; what else is found on it is taken back.

    A grant that somebody added by hand would outlive every review.
    """
    field = _EXACT[account.key]
    if account.inputs.get(field) != "exact":
        yield f"the account keeps rights that it was given elsewhere; set {field} to exact"
    if account.key == "tenantry:CacheUser" and not str(account.inputs.get("prefix") or "").endswith(":"):
        yield "its key prefix does not end with a colon, so that it reaches longer names; end it with one"
    if account.key == "tenantry:Account" and re.search(r"(?<!\\)%", str(account.inputs.get("schema") or "")):
        yield "its schema is a pattern; name the schema"


_KNOWN = frozenset(
    (path, frozenset(rights.split()))
    for path, rights in (
        # OpenBao lists tokens and leases for `sudo` alone; a token itself is never shown.
        ("auth/token/accessors", "list sudo"),
        ("auth/token/accessors/", "list sudo"),
        ("sys/leases/lookup/*", "list sudo"),
        # Who may do what, without any secret, and the end of a deleted tenant's identities.
        ("auth/+/role/*", "list read"),
        ("auth/+/users/*", "list read"),
        ("sys/policies/acl/*", "list read"),
        ("identity/entity/id/+", "delete read"),
        ("identity/group/id/+", "read"),
    )
)
"""What deprovisioning alone may do: find whatever a deleted tenant left behind, and end its logins."""


@resource_rule("tenantry:Policy")
def wildcard_openbao_policy(policy: Resource) -> Sentences:
    """An OpenBao policy opens paths that are named down to whose they are, and no rights of root.

    `kv/data/*` is every tenant's secrets; a wildcard below `sys` or `auth` is OpenBao itself. A path that lists names
    and does nothing else may be wide: the inventory after a deletion looks everywhere.
    """
    known = _KNOWN if policy.inputs.get("policy") == "tenantry-deprovisioner" else frozenset()
    text = re.sub(r"(?m)^\s*(#|//).*$", "", str(policy.inputs.get("text") or ""))
    for block in _PATH.finditer(_TEMPLATE.sub("x", text)):
        path = block["path"]
        rights = frozenset(re.findall(r'"([a-z]+)"', block["body"]))
        if rights == {"list"} or (path, rights) in known:
            continue
        if _too_wide(path):
            yield f'the path "{path}" is everybody\'s; name at least the folder and the beginning of the name'
        powers = sorted(rights & {"root", "sudo"})
        if powers:
            yield f'the path "{path}" gives {powers[0]}; remove the capability'


def _too_wide(path: str) -> bool:
    wildcard = min((at for at in (path.find("*"), path.find("+")) if at >= 0), default=-1)
    if wildcard < 0:
        return False
    *complete, partial = path[:wildcard].split("/")
    if not complete:
        return True
    if complete[0] in ("auth", "identity", "sys"):
        return len(complete) < 4
    return len(complete) < 2 or (len(complete) == 2 and not partial)


@resource_rule("tenantry:KubernetesAuthRole")
def unbound_login(role: Resource) -> Sentences:
    """A login to OpenBao is for accounts of namespaces that are picked by a label, for OpenBao's audience, for a day.

    A role for any account of any namespace is a role for everybody in the cluster.
    """
    selector = str(role.inputs.get("namespace_selector") or "")
    if not _selects(selector):
        yield "it takes accounts of every namespace; give namespace_selector a label"
    if not role.inputs.get("audience"):
        yield "it takes tokens that were made for the API server; set audience"
    if "root" in items(role.inputs.get("policies")):
        yield "it gives the policy root; name a policy of its own"
    ttl_s = role.inputs.get("ttl_s")
    if not isinstance(ttl_s, int | float) or not 0 < ttl_s <= _MAX_TTL_S:
        yield f"its tokens live longer than a day; set ttl_s to at most {_MAX_TTL_S}"


def _selects(selector: str) -> bool:
    try:
        return bool(mapping(mapping(json.loads(selector)).get("matchLabels")))
    except ValueError:
        return False


@resource_rule("tenantry:EgressEntry")
def open_egress(entry: Resource) -> Sentences:
    """A tenant gets out to hosts that it names, each with its port.

    A wildcard or a bare address is a way to carry data anywhere.
    """
    for host in (str(one) for one in items(entry.inputs.get("hosts"))):
        name, colon, port = host.rpartition(":")
        if not colon or not port.isdecimal():
            yield f"the destination {host} has no port; write host:port"
            name = host
        if "*" in name or name.startswith("."):
            yield f"the destination {host} stands for many; name each host"
        elif _is_address(name):
            yield f"the destination {host} is an address; name the host"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


@stack_rule()
def name_of_another_tenant(stack: Stack) -> Findings:
    """Everything of a tenant outside of Kubernetes carries the tenant's own name and incarnation.

    Schemas, accounts, keys and paths have no namespace around them: their names are the fence.
    """
    if stack.tenant is None:
        return
    home = stack.tenant.namespace
    for one in stack.of(*_OWN):
        for field in _OWN[one.key]:
            value = str(one.inputs.get(field) or "")
            if not _carries(value, home):
                yield one, f"its {field} {value!r} is not this tenant's; derive it from {home}"


def _carries(value: str, home: str) -> bool:
    # The role of the provisioner's account on a tenant's own RDS instance has its own beginning, so that OpenBao's
    # policy can let the provisioner read it and no account of a tenant.
    rest = value.removeprefix("tenants/").removeprefix("tenantry-provisioner-").replace("-", "_")
    own = home.replace("-", "_")
    return rest.startswith(own) and rest[len(own) : len(own) + 1] in ("", "_", ":", "/")


RULES: tuple[Rule, ...] = (
    wildcard_role,
    powerful_role_in_tenant,
    broad_binding,
    wildcard_sql_grant,
    loose_account,
    wildcard_openbao_policy,
    unbound_login,
    open_egress,
    name_of_another_tenant,
)
