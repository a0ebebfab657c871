"""Edits of a tenant that people make by a command: which fields of its file change. Pure.

An edit is a JSON merge patch of `spec`: what is None goes away. It is made on the Tenant object or on the text of the
record, whichever says what the tenant is.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from ruamel.yaml import YAML

from tenantry.tenancy.document import did_you_mean
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.model import Tenant
from tenantry.tenancy.plans import EnvironmentClass

__all__ = ["AUTO", "Edit", "difference", "edited", "extending", "scaling", "suspending"]

Edit = Mapping[str, Any]

AUTO = "auto"
"""A module that follows its load again."""


def scaling(wishes: Sequence[str], *, modules: Sequence[str]) -> Edit:
    """wishes: `MODULE=N` or `MODULE=auto`. modules: those that have replicas. Raises InvalidInput."""
    patch: dict[str, Any] = {}
    for wish in wishes:
        module, equals, count = wish.partition("=")
        if not equals:
            raise InvalidInput(f"{wish!r} is not MODULE=N", hint="such as web=3, or web=auto to follow the load again")
        if module not in modules:
            hint = did_you_mean(module, list(modules), what="modules with replicas")
            raise InvalidInput(f"the tenant has no module {module} with replicas", hint=hint)
        if module in patch:
            raise InvalidInput(f"{module} is named twice", hint="name each module once")
        if count != AUTO and not (count.isascii() and count.isdigit() and len(count) <= 4):
            raise InvalidInput(f"{count!r} is no number of replicas", hint=f"{module}=3, or {module}=auto")
        patch[module] = {"scale": None if count == AUTO else int(count)}
    return {"modules": patch}


def suspending(*, suspended: bool) -> Edit:
    """The default is left out, as people leave it out."""
    return {"suspended": True if suspended else None}


def extending(tenant: Tenant, environment: EnvironmentClass, *, today: date, days: int, until: date | None) -> Edit:
    """A later day: `until`, else so many days after the present one, or after today where that has passed. Raises
    InvalidInput where there is nothing to extend, and for a day that is not later."""
    name, now = tenant.metadata.name, tenant.spec.expires_on
    if not environment.spec.expiry:
        raise InvalidInput(f"tenant {name} is a {environment.metadata.name} environment: it does not expire")
    if now is None:
        raise InvalidInput(f"tenant {name} has no day on which it expires", hint="it stays until it is deleted")
    later = until or max(now, today) + timedelta(days=days)
    if later <= max(now, today):
        raise InvalidInput(
            f"{later.isoformat()} is not later than {max(now, today).isoformat()}",
            hint=f"it expires on {now.isoformat()}; name a later day",
        )
    return {"expiresOn": later.isoformat()}


def edited(text: str, patch: Edit) -> str:
    """The text of a tenant file with the edit in it; what it does not touch keeps its form and its comments."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    content = yaml.load(text)
    _edit(content["spec"], patch)
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Edit:
    """The merge patch that makes `after` of `before`."""
    patch: dict[str, Any] = dict.fromkeys(name for name in before if name not in after)
    for name, value in after.items():
        earlier = before.get(name)
        if isinstance(earlier, Mapping) and isinstance(value, Mapping):
            inner = difference(earlier, value)
            if inner:
                patch[name] = inner
        elif value != earlier:
            patch[name] = value
    return patch


def _edit(fields: Any, patch: Edit) -> None:
    for name, value in patch.items():
        if value is None:
            fields.pop(name, None)
        elif isinstance(value, Mapping):
            if not isinstance(fields.get(name), Mapping):
                fields[name] = {}
            _edit(fields[name], value)
            if not fields[name]:
                del fields[name]
        else:
            fields[name] = value
