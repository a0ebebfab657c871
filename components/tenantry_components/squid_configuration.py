"""The egress proxy's configuration: Squid's own, and the templates of what OpenBao knows about tenants. Pure.

A request needs a tenant's login (else 407) and a destination on that tenant's list (else 403). Names that are not on
the list are not even resolved, so that nothing leaves by DNS. A name on the list that leads into the cell, to a private
network or to a metadata service is refused as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.tenancy.cell import Cell
from tenantry.tenancy.workload_spec import Configuration
from tenantry_components.agent import RENDERED_FOLDER
from tenantry_components.providers.egress_entry import ENTRIES

__all__ = ["INNER_RANGES", "rendered_files", "squid_configuration"]

INNER_RANGES = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/127",
    "64:ff9b::/96",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
)
"""Where no tenant's traffic goes: this host, private and shared networks, link-local with the metadata services,
multicast, and addresses that translate to any of them."""

_USERS = "users"
_RULES = "rules.conf"
_AUTHENTICATOR = "/usr/lib/squid/basic_ncsa_auth"


def rendered_files(cell: Cell) -> tuple[Configuration, ...]:
    """Who may come, and where to, in the agent's template language; both range over the tenants' entries."""
    kv = cell.spec.openbao.kv_mount
    each = f'{{{{ range $index, $tenant := secrets "{kv}/metadata/{ENTRIES}" }}}}'
    entry = f'{{{{ with secret (printf "{kv}/data/{ENTRIES}/%s" $tenant) }}}}'
    users = f"{each}{entry}{{{{ $tenant }}}}:{{{{ .Data.data.verifier }}}}\n{{{{ end }}}}{{{{ end }}}}"
    # Squid's names of ACLs are short, so they carry a number instead of the tenant.
    rules = (
        f"{each}{entry}# {{{{ $tenant }}}}\n"
        "acl user-{{ $index }} proxy_auth {{ $tenant }}\n"
        "{{ range $port, $names := parseJSON .Data.data.hosts }}"
        "acl port-{{ $index }}-{{ $port }} port {{ $port }}\n"
        "acl host-{{ $index }}-{{ $port }} dstdomain -n{{ range $names }} {{ . }}{{ end }}\n"
        "http_access allow user-{{ $index }} port-{{ $index }}-{{ $port }} host-{{ $index }}-{{ $port }} !inner\n"
        "{{ end }}{{ end }}{{ end }}"
    )
    # Never empty: the agent counts as ready when both files have content.
    return (
        Configuration(path=f"{RENDERED_FOLDER}/{_USERS}", template=f"# login:hash\n{users}"),
        Configuration(path=f"{RENDERED_FOLDER}/{_RULES}", template=f"# One tenant after another.\n{rules}"),
    )


def squid_configuration(cell: Cell, *, inner: Sequence[str] = INNER_RANGES) -> str:
    """squid.conf, which includes the rendered files. inner: ranges of addresses that are refused."""
    users, rules = (f"{RENDERED_FOLDER}/{index}-{name}" for index, name in enumerate((_USERS, _RULES)))
    return f"""\
http_port {cell.spec.egress.port}
visible_hostname egress.{cell.metadata.name}
httpd_suppress_version_string on
via off
forwarded_for delete
request_header_access Proxy-Authorization deny all
cache deny all
pid_filename none
coredump_dir /tmp
netdb_filename none
shutdown_lifetime 20 seconds
connect_timeout 20 seconds
# Tenant, method, host and port, status and bytes: no path and no query, which may carry secrets.
logformat tenant %ts.%03tu %[un %rm %>rd:%>rP %>Hs %<st %<a
access_log stdio:/dev/stdout tenant
cache_log /dev/stderr
logfile_rotate 0

auth_param basic program {_AUTHENTICATOR} {users}
auth_param basic children 5 startup=1 idle=1
auth_param basic realm egress
# A login that was taken away opens nothing for longer than this.
auth_param basic credentialsttl 1 minute
acl known proxy_auth REQUIRED

acl inner dst {" ".join(inner)}
http_access deny manager
http_access deny !known
include {rules}
http_access deny all
"""
