"""The application itself: its configuration, volumes and modules, in the order in which they may start."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from tenantry.tenancy.spec import Activity, Hold, TenantSpec
from tenantry.tenancy.workload_spec import ModuleKind, ModuleSpec
from tenantry_components.agent import ca_manifests, configuration_digest, configuration_manifest
from tenantry_components.manifest import Manifest, keeping, metadata, register
from tenantry_components.module import address_manifests, module_manifests, volume_claim
from tenantry_components.monitoring import scrape_annotations
from tenantry_components.pod import CONFIGURATION, SCRIPTS
from tenantry_components.trust import workload_files

__all__ = ["Workload", "configuration_manifests", "is_held", "pod_annotations", "standing_modules"]


class Workload(pulumi.ComponentResource):
    """spec: the tenant. after: what its pods need: the fence, the accounts, the secrets.

    Tasks that `run_before` come first, in the catalogue's order, one after the other; the rest waits for the last of
    them. Outputs: `modules`, names of what runs; `release`. `standing`: its configuration and volumes.
    """

    def __init__(
        self,
        name: str,
        spec: TenantSpec,
        *,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:tenant:Workload", name, None, opts)
        files = configuration_manifests(spec)
        standing = [register(manifest, parent=self, after=after) for manifest in files]
        standing += [
            register(volume_claim(spec, volume), parent=self, after=after, options=keeping(spec))
            for volume in spec.workload.storage
        ]
        self.standing: Sequence[pulumi.Resource] = tuple(standing)
        # What the files come after, their pods come after as well.
        ready: Sequence[pulumi.Resource] = [*standing] or list(after)
        annotations = pod_annotations(spec, files)
        first, rest = _order(spec)
        for module in first if spec.hold is not Hold.STOPPED else ():
            ready = [
                register(manifest, parent=self, after=ready)
                for manifest in module_manifests(spec, module, {**annotations, **scrape_annotations(spec, module)})
            ]
        for module in standing_modules(spec, rest):
            made = (
                address_manifests(spec, module)
                if is_held(spec, module)
                else module_manifests(spec, module, {**annotations, **scrape_annotations(spec, module)})
            )
            for manifest in made:
                register(manifest, parent=self, after=ready)
        self.modules = pulumi.Output.from_input([module.name for module in spec.workload.modules])
        self.release = pulumi.Output.from_input(spec.workload.release)
        self.register_outputs({"modules": self.modules, "release": self.release})


def configuration_manifests(spec: TenantSpec) -> tuple[Manifest, ...]:
    """ConfigMaps that the workload's pods alone mount. Their names are fixed, their content may change in place."""
    manifests: list[Manifest] = []
    if workload_files(spec):
        manifests.append(configuration_manifest(spec, CONFIGURATION, workload_files(spec)))
    if spec.workload.scripts:
        manifests.append(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata(spec, SCRIPTS),
                "data": dict(spec.workload.scripts),
            }
        )
    return tuple(manifests)


def pod_annotations(spec: TenantSpec, files: Sequence[Manifest]) -> dict[str, str]:
    """Annotations of lasting pods: a change of what they mount rolls them."""
    mounted = [*ca_manifests(spec), *files]
    return {"tenantry.dev/configuration": configuration_digest(*mounted), "tenantry.dev/release": spec.workload.release}


def standing_modules(spec: TenantSpec, modules: Sequence[ModuleSpec]) -> list[ModuleSpec]:
    """Those of `modules` that stand at the tenant's activity. A suspended tenant keeps what answers its essential
    paths; configuration and volumes stay in any case."""
    match spec.activity:
        case Activity.RUNNING:
            return list(modules)
        case Activity.SUSPENDED:
            return [module for module in modules if module.essential_paths]
        case Activity.CLOSED:
            return []


def is_held(spec: TenantSpec, module: ModuleSpec) -> bool:
    """Whether a release under way keeps a module from running. Schedules stand, suspended."""
    match module.kind:
        case ModuleKind.WORKER:
            return spec.hold not in (Hold.NONE, Hold.PAUSED)
        case ModuleKind.SERVICE:
            return spec.hold in (Hold.STOPPED, Hold.MIGRATING)
        case ModuleKind.TASK:
            return spec.hold is not Hold.NONE
        case ModuleKind.SCHEDULED:
            return False


def _order(spec: TenantSpec) -> tuple[list[ModuleSpec], list[ModuleSpec]]:
    first = [m for m in spec.workload.modules if m.kind is ModuleKind.TASK and m.run_before]
    return first, [m for m in spec.workload.modules if m not in first]
