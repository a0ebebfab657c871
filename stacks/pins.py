"""What is decided at a stack's first run and must not change by itself afterwards: incarnation, release, template.

A plain `pulumi up` keeps it in the stack's own settings file, as config that the next run reads; `tenantry` keeps it in
its records instead. The preview of a first `pulumi up` already writes it, so that what is shown is what is made.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.naming import incarnation_of

__all__ = ["Pins", "keep", "pins_of"]

_INCARNATION, _RELEASE, _TEMPLATE = "tenantry:incarnation", "tenantry:release", "tenantry:templateVersion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """release, template_version: None before the first run."""

    incarnation: str
    release: str | None
    template_version: int | None


def pins_of(settings: Path) -> Pins:
    """What the stack's settings file pins; a new incarnation when it pins none. Raises InvalidInput."""
    config = _read(settings).get("config") or {}
    template = config.get(_TEMPLATE)
    try:
        return Pins(
            incarnation=str(config.get(_INCARNATION) or incarnation_of(str(uuid.uuid4()))),
            release=str(config[_RELEASE]) if _RELEASE in config else None,
            template_version=int(template) if template is not None else None,
        )
    except ValueError as error:
        raise InvalidInput(
            f"{_TEMPLATE} is no number", source=str(settings), hint=f"pulumi config rm {_TEMPLATE}"
        ) from error


def keep(settings: Path, pins: Pins) -> None:
    """Write the pins that the file does not have yet; everything else in it, comments included, stays."""
    document = _read(settings)
    config = document.setdefault("config", {})
    wanted = {
        _INCARNATION: pins.incarnation,
        _RELEASE: pins.release,
        _TEMPLATE: str(pins.template_version),
    }
    missing = {key: value for key, value in wanted.items() if key not in config}
    if missing:
        config.update(missing)
        with settings.open("w", encoding="utf-8") as file:
            YAML().dump(document, file)


def _read(settings: Path) -> Any:
    try:
        document = YAML().load(settings.read_text(encoding="utf-8"))
    except (OSError, YAMLError) as error:
        raise InvalidInput(
            "the stack's settings cannot be read, and so what its first run fixed is not known",
            source=str(settings),
            hint=f"keep the settings in this file (no --config-file), with {_INCARNATION} as it was",
        ) from error
    if not isinstance(document, Mapping):
        raise InvalidInput("the stack's settings are not a mapping", source=str(settings))
    return document
