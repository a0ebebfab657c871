"""`${…}` in a catalogue entry: what a workload's commands, environment, alerts and configuration may refer to.

Strict: an unknown placeholder is an error when the catalogue is loaded, not when a tenant is made. Values come from
the decided names and the cell alone and are free of quotes and line breaks, so that they cannot break out of the
file that they are put into. Credentials are no placeholders: configuration templates read them from OpenBao.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

__all__ = ["PLACEHOLDERS", "fill", "unknown_in"]

PLACEHOLDERS: Mapping[str, str] = {
    "cache.host": "host of Redis, the cell's or the tenant's own",
    "cache.login": "where OpenBao keeps its login, below kv.path",
    "cache.port": "its port (TLS)",
    "cache.prefix": "prefix that every key must have; ends with a colon",
    "database.host": "host of MariaDB",
    "database.mount": "mount of OpenBao's database engine",
    "database.port": "port of MariaDB (TLS)",
    "database.role": "static role in OpenBao whose credentials the workload uses",
    "database.schema": "the tenant's schema",
    "database.version": "version of the server, such as 10.11",
    "kv.mount": "mount of OpenBao's kv engine",
    "kv.path": "the tenant's folder below it",
    "limits.apiRequestsPerMinute": "API requests a minute that are sold",
    "limits.contacts": "contacts that are sold",
    "limits.messagesPerMonth": "messages a month that are sold",
    "messaging.host": "host of RabbitMQ; empty with kind database",
    "messaging.kind": "rabbitmq or database",
    "messaging.port": "port of RabbitMQ (TLS)",
    "messaging.vhost": "the tenant's virtual host",
    "release": "the application's version",
    "retention.days": "days that old events are kept",
    "task.deadlineS": "seconds after which the run of a schedule is ended; empty elsewhere",
    "task.name": "name of the schedule; empty elsewhere",
    "tenant.host": "the tenant's main public host name",
    "tenant.name": "the tenant's name",
    "tenant.namespace": "its namespace",
    "tenant.owner": "e-mail address of who answers for it",
    "tenant.url": "https:// and the main host name",
}

_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")


def unknown_in(text: str) -> Iterator[str]:
    """Placeholders of `text` that do not exist."""
    for found in _PLACEHOLDER.finditer(text):
        if found[1] not in PLACEHOLDERS:
            yield found[1]


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put the values in. Raises KeyError for one that is missing."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)
