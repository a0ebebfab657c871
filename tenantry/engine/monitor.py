"""The resource monitor that a program talks to while it is evaluated.

It answers every registration with the resource's own inputs, so that a program which hands on decided values runs to
its end without anything being made. What only a real engine can answer is refused by name. Called by evaluating.py;
the SDK calls the upper-case methods, one at a time.
"""

# ruff: noqa: ARG002, N802 (the names and the arguments are the RPC service's)

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, resource_pb2

from tenantry.engine import properties, urn
from tenantry.engine.desired import CustomTimeouts, DesiredResource
from tenantry.engine.interface import Diagnostic
from tenantry.tenancy.errors import InvalidInput, TenantryError, Unsupported

__all__ = ["EngineLog", "Monitor"]

_FEATURES = (
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    # Announced so that the SDK sends them here, where they are refused with the resource's name.
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACEMENT_TRIGGER,
    resource_pb2.RESOURCE_MONITOR_FEATURE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_INVOKE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_PARAMETERIZATION,
)
_BY_CLI = "run this stack by the Pulumi CLI (`pulumi up`)"
_PACKAGES = ("kubernetes", "pulumi-python")
_PROVIDER_INPUTS = frozenset(
    {
        "context",
        "enableConfigMapMutable",
        "enableSecretMutable",
        "enableServerSideApply",
        "kubeconfig",
        "suppressDeprecationWarnings",
        "version",
    }
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class EngineLog:
    """The engine end of the SDK's log: messages become diagnostics."""

    def __init__(self, emit: Callable[[Diagnostic], None]) -> None:
        self._emit = emit

    def Log(self, request: engine_pb2.LogRequest) -> empty_pb2.Empty:
        severity = engine_pb2.LogSeverity.Name(request.severity).lower()
        if severity != "debug":
            self._emit(Diagnostic(severity=severity, message=request.message, urn=request.urn or None))
        return empty_pb2.Empty()

    def RequirePulumiVersion(self, request: object) -> engine_pb2.RequirePulumiVersionResponse:
        return engine_pb2.RequirePulumiVersionResponse()


class Monitor:
    """Collects registrations. refusal: the first error of ours, which the SDK would otherwise wrap."""

    def __init__(self, *, stack: str, project: str, config: Mapping[str, str], known_ids: Mapping[str, str]) -> None:
        self._stack = stack
        self._project = project
        self._config = config
        self._known_ids = known_ids
        self._providers: dict[str, Mapping[str, str]] = {}
        self.resources: dict[str, DesiredResource] = {}
        self.outputs: dict[str, dict[str, Any]] = {}
        self.refusal: TenantryError | None = None

    # -- the SDK's calls -------------------------------------------------------------------------------------------

    def GetDeploymentInfo(self, request: object) -> resource_pb2.DeploymentInfo:
        return resource_pb2.DeploymentInfo(supportedFeatures=_FEATURES)

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:
        try:
            resource = self._register(request)
        except TenantryError as error:
            self.refusal = self.refusal or error
            raise
        return resource_pb2.RegisterResourceResponse(
            urn=resource.urn, id=resource.id, object=request.object, unknown=resource.custom
        )

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> empty_pb2.Empty:
        try:
            self.outputs[request.urn] = properties.from_struct(request.outputs, where=_title(request.urn))
        except TenantryError as error:
            self.refusal = self.refusal or error
            raise
        return empty_pb2.Empty()

    def SignalAndWaitForShutdown(self, request: object) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def Invoke(self, request: resource_pb2.ResourceInvokeRequest) -> None:
        self._refuse(f"the program calls the function {request.tok}", "the program")

    def Call(self, request: resource_pb2.ResourceCallRequest) -> None:
        self._refuse(f"the program calls the method {request.tok}", "the program")

    def ReadResource(self, request: resource_pb2.ReadResourceRequest) -> None:
        self._refuse(f"the program reads the existing resource {request.name}", f"{request.type} {request.name}")

    def ExistsResource(self, request: object) -> None:
        self._refuse("the program asks whether a resource exists", "the program")

    def RegisterPackage(self, request: resource_pb2.RegisterPackageRequest) -> None:
        self._refuse(f"the program uses the parameterized package {request.name}", "the program")

    def RegisterStackTransform(self, request: object) -> None:
        self._refuse("the program registers a stack transform", "the program")

    def RegisterStackInvokeTransform(self, request: object) -> None:
        self._refuse("the program registers an invoke transform", "the program")

    def RegisterResourceHook(self, request: object) -> None:
        self._refuse("the program registers a resource hook", "the program")

    def RegisterErrorHook(self, request: object) -> None:
        self._refuse("the program registers an error hook", "the program")

    # -- ours ------------------------------------------------------------------------------------------------------

    def _refuse(self, message: str, where: str) -> None:
        error = Unsupported(message, where=where, hint=_BY_CLI)
        self.refusal = self.refusal or error
        raise error

    def _register(self, request: resource_pb2.RegisterResourceRequest) -> DesiredResource:
        title = f"{request.type} {request.name}"
        self._check_options(request, title)
        parent = self.resources.get(request.parent) if request.parent else None
        name = urn.make(
            stack=self._stack,
            project=self._project,
            parent=request.parent or None,
            type_=request.type,
            name=request.name,
        )
        if name in self.resources:
            raise InvalidInput(
                f"two resources are named {request.name}", source=title, hint="give each resource its own name"
            )
        inputs = properties.from_struct(request.object, where=title)
        is_provider = request.type.startswith("pulumi:providers:")
        if is_provider:
            inputs |= _plugin(request.version)
        provider = ""
        if request.custom and not is_provider:
            provider = request.provider or self._provider_for(request, parent)
        resource = DesiredResource(
            urn=name,
            type=request.type,
            name=request.name,
            custom=request.custom,
            id=self._id_of(name, request, inputs, title),
            inputs=_normalised(request.type, inputs),
            parent=request.parent or None,
            # The SDK keeps them in sets; sorted, the state file stays stable.
            dependencies=tuple(sorted(request.dependencies)),
            property_dependencies={
                key: tuple(sorted(value.urns)) for key, value in sorted(request.propertyDependencies.items())
            },
            provider=provider,
            protect=_inherited(request, "protect", parent.protect if parent else False),
            retain_on_delete=_inherited(request, "retainOnDelete", parent.retain_on_delete if parent else False),
            delete_before_replace=request.deleteBeforeReplace,
            deleted_with=request.deletedWith or (parent.deleted_with if parent else None),
            ignore_changes=tuple(request.ignoreChanges),
            replace_on_changes=tuple(request.replaceOnChanges),
            additional_secret_outputs=tuple(sorted(request.additionalSecretOutputs)),
            aliases=self._aliases_of(request, parent),
            timeouts=_timeouts_of(request),
        )
        self.resources[name] = resource
        self._providers[name] = {**self._providers.get(request.parent, {}), **dict(request.providers)}
        return resource

    def _check_options(self, request: resource_pb2.RegisterResourceRequest, title: str) -> None:
        refused = {
            "a transform": bool(request.transforms),
            "resource hooks": request.HasField("hooks") and request.hooks.ByteSize() > 0,
            "an import": bool(request.importId),
            "replace_with": bool(request.replace_with),
            "a replacement trigger": request.HasField("replacement_trigger"),
            "state migrations": bool(request.state_migrations),
            "a parameterized package": bool(request.packageRef),
            "environment variable mappings": bool(request.envVarMappings),
        }
        for what, present in refused.items():
            if present:
                raise Unsupported(f"the resource uses {what}", where=title, hint=_BY_CLI)
        if request.remote:
            raise Unsupported("the component is constructed by a plugin", where=title, hint=_BY_CLI)
        if not request.custom:
            return
        package = urn.package_of(request.type)
        if package not in _PACKAGES:
            raise Unsupported(f"the embedded engine has no provider for {package}", where=title, hint=_BY_CLI)
        if request.type.startswith("pulumi:providers:"):
            unknown = sorted(set(request.object.fields) - _PROVIDER_INPUTS)
            if unknown:
                raise Unsupported(f"the provider sets {', '.join(unknown)}", where=title, hint=_BY_CLI)
        elif package == "kubernetes" and (
            not request.object.fields["apiVersion"].string_value
            or not request.object.fields["kind"].string_value
            or request.type.endswith("Patch")
        ):
            raise Unsupported("only plain Kubernetes objects are known here", where=title, hint=_BY_CLI)

    def _id_of(
        self, name: str, request: resource_pb2.RegisterResourceRequest, inputs: Mapping[str, Any], title: str
    ) -> str:
        if not request.custom:
            return ""
        if request.type.startswith("pulumi:providers:"):
            return self._known_ids.get(name) or str(uuid4())
        if urn.package_of(request.type) == "pulumi-python":
            return ""  # only its provider knows, when it was created
        metadata = properties.plain(inputs.get("metadata")) or {}
        if not metadata.get("name"):
            raise Unsupported(
                "the object has no metadata.name", where=title, hint="give a name: the embedded engine makes none up"
            )
        return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])

    def _provider_for(self, request: resource_pb2.RegisterResourceRequest, parent: DesiredResource | None) -> str:
        package = urn.package_of(request.type)
        if parent is not None and (inherited := self._providers.get(parent.urn, {}).get(package)):
            return inherited
        version = request.version
        name = f"default_{re.sub(r'[^A-Za-z0-9]', '_', version)}" if version else "default"
        reference = urn.make(
            stack=self._stack, project=self._project, parent=None, type_=f"pulumi:providers:{package}", name=name
        )
        if reference not in self.resources:
            self.resources[reference] = DesiredResource(
                urn=reference,
                type=f"pulumi:providers:{package}",
                name=name,
                custom=True,
                id=self._known_ids.get(reference) or str(uuid4()),
                inputs=self._default_provider_inputs(package, version),
            )
        return f"{reference}::{self.resources[reference].id}"

    def _default_provider_inputs(self, package: str, version: str) -> dict[str, Any]:
        inputs: dict[str, Any] = {}
        for key, value in self._config.items():
            namespace, _, short = key.partition(":")
            if package == "pulumi-python":
                inputs[key] = value
            elif namespace == package:
                inputs[short] = value
        return inputs | _plugin(version)

    def _aliases_of(
        self, request: resource_pb2.RegisterResourceRequest, parent: DesiredResource | None
    ) -> tuple[str, ...]:
        found = dict.fromkeys(request.aliasURNs)
        parents = (request.parent or None, *(parent.aliases if parent else ()))
        for alias in request.aliases:
            if alias.urn:
                found[alias.urn] = None
                continue
            spec = alias.spec
            if spec.noParent:
                above: tuple[str | None, ...] = (None,)
            else:
                above = (spec.parentUrn,) if spec.parentUrn else parents
            for one in above:
                found[self._alias(spec.stack, spec.project, one, spec.type, spec.name, request)] = None
        for one in parents[1:]:
            found[self._alias("", "", one, "", "", request)] = None
        return tuple(found)

    def _alias(
        self,
        stack: str,
        project: str,
        parent: str | None,
        type_: str,
        name: str,
        request: resource_pb2.RegisterResourceRequest,
    ) -> str:
        return urn.make(
            stack=stack or self._stack,
            project=project or self._project,
            parent=parent,
            type_=type_ or request.type,
            name=name or request.name,
        )


def _plugin(version: str) -> dict[str, Any]:
    """What the CLI adds to a provider's inputs, to know which plugin to run."""
    return {"__internal": {}, "version": version} if version else {}


def _title(name: str) -> str:
    return f"{urn.type_of(name)} {urn.name_of(name)}"


def _inherited(request: resource_pb2.RegisterResourceRequest, option: Any, inherited: bool) -> bool:
    return bool(getattr(request, option)) if request.HasField(option) else inherited


def _timeouts_of(request: resource_pb2.RegisterResourceRequest) -> CustomTimeouts | None:
    if not request.HasField("customTimeouts"):
        return None
    given = request.customTimeouts
    return CustomTimeouts(create=_seconds(given.create), update=_seconds(given.update), delete=_seconds(given.delete))


def _seconds(duration: str) -> float | None:
    parts = _DURATION.findall(duration)
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts) if parts else None


def _normalised(type_: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs as the Kubernetes provider's check stores them: no nulls, a Secret's stringData as data."""
    if urn.package_of(type_) != "kubernetes" or type_.startswith("pulumi:providers:"):
        return inputs
    clean: dict[str, Any] = _without_nulls(inputs)
    if clean.get("kind") == "Secret" and clean.get("apiVersion") == "v1":
        text = properties.plain(clean.pop("stringData", None)) or {}
        data = properties.plain(clean.get("data")) or {}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
        if data or encoded:
            clean["data"] = properties.Secret({**data, **encoded})
    return clean


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if isinstance(value, properties.Secret):
        return properties.Secret(_without_nulls(value.value))
    return value
