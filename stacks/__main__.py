"""Entry of the Pulumi CLI: reads the stack's config, decides the input, and runs one of the programs.

Config (`pulumi config set`), read here and nowhere else:
  tenantry:stack        `tenant`, `cell` or `cloud` (an AWS account and region for a cell)
  tenantry:cell         path of the cell file; else the environment's TENANTRY_CELL
  tenantry:tenant       tenant: path of the tenant file
  tenantry:mode         tenant: `stack` (the default), or `operator`: declare the Tenant object and await Ready
  tenantry:incarnation, tenantry:release, tenantry:templateVersion  tenant: written by the stack's first run (pins.py)
  tenantry:cloud        cloud: path of the cloud file
  tenantry:brokerPassword  cloud: first password of the message broker, secret, replaced by `tenantry cell up`
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pulumi
from pulumi.runtime.settings import get_root_directory

from stacks.cell_stack import cell_stack
from stacks.pins import keep, pins_of
from stacks.tenant_object import tenant_object
from stacks.tenant_stack import tenant_stack
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.cloud import load_authorities, load_cloud
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.manifest import load_cell, load_tenant
from tenantry.tenancy.resolving import resolve


def _cell(config: pulumi.Config) -> Cell:
    path = config.get("cell") or os.environ.get("TENANTRY_CELL")
    if path is None:
        raise InvalidInput(
            "no cell file is named",
            source="stack config",
            hint="pulumi config set tenantry:cell <path>, or TENANTRY_CELL",
        )
    return load_cell(_located(path))


def _located(path: str) -> Path:
    """Paths in config are relative to the project's folder."""
    return Path(get_root_directory()) / path


def _tenant(config: pulumi.Config) -> None:
    file = load_tenant(_located(config.require("tenant")))
    mode = config.get("mode") or "stack"
    if mode == "operator":
        tenant_object(manifest=file.document.content)
        return
    if mode != "stack":
        raise InvalidInput(
            f"there is no mode {mode}", source="tenantry:mode", hint="pulumi config set tenantry:mode stack"
        )
    settings = Path(get_root_directory()) / f"Pulumi.{pulumi.get_stack()}.yaml"
    pins = pins_of(settings)
    spec = resolve(
        file,
        catalogue=Catalogue.load(),
        cell=_cell(config),
        incarnation=pins.incarnation,
        managed_by="pulumi",
        today=datetime.now(UTC).date(),
        pinned_release=pins.release,
        pinned_template_version=pins.template_version,
    )
    workload = spec.workload
    keep(settings, replace(pins, release=workload.release, template_version=workload.template_version))
    tenant_stack(spec=spec)


def main() -> None:
    config = pulumi.Config("tenantry")
    match config.require("stack"):
        case "tenant":
            _tenant(config)
        case "cell":
            cell_stack(cell=_cell(config))
        case "cloud":
            # Importing the AWS SDK costs every other program's run a second and 100 MiB.
            from stacks.cloud_stack import cloud_stack

            path = Path(config.require("cloud"))
            cloud = load_cloud(path)
            cloud_stack(
                cloud=cloud,
                authorities=load_authorities(cloud, path.parent),
                broker_password=config.require_secret("brokerPassword"),
            )
        case other:
            raise InvalidInput(
                f"there is no program {other}", source="tenantry:stack", hint="pulumi config set tenantry:stack tenant"
            )


main()
