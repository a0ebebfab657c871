"""The tenant file as JSON Schema (for editors) and as a Kubernetes CRD, and the cloud file as JSON Schema.

`python -m tenantry.tenancy.schema` writes the committed copies anew: tenant_templates/schema/*.json and
operator/deploy/*crd.yaml. A test holds them to the models.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tenantry.tenancy.api_rules import IMMUTABLE, RULES
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.model import Tenant
from tenantry.tenancy.rollout import Rollout
from tenantry.tenancy.scaling import Basis, Cap

__all__ = [
    "GROUP",
    "PLURAL",
    "VERSION",
    "cloud_schema_text",
    "crd",
    "crd_text",
    "json_schema",
    "json_schema_text",
    "main",
    "rollout_crd",
    "rollout_crd_text",
]

GROUP, VERSION, PLURAL = "tenantry.dev", "v1alpha1", "tenants"

_CONDITION: dict[str, Any] = {
    "type": "object",
    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
    "properties": {
        "type": {"type": "string", "maxLength": 316},
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "observedGeneration": {"type": "integer", "format": "int64"},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "reason": {"type": "string", "maxLength": 1024},
        "message": {"type": "string", "maxLength": 32768},
    },
}

_MODULE: dict[str, Any] = {
    "type": "object",
    "required": ["name", "replicas", "ready", "why", "basis"],
    "properties": {
        "name": {"type": "string", "maxLength": 63},
        "replicas": {"type": "integer", "description": "As many as it should have."},
        "ready": {"type": "integer"},
        "why": {"type": "string", "maxLength": 1024, "description": "Why so many, and what held it there."},
        "basis": {"type": "string", "enum": [one.value for one in Basis]},
        "cappedBy": {"type": "string", "enum": [one.value for one in Cap]},
    },
}

_STATUS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "observedGeneration": {"type": "integer", "format": "int64"},
        "phase": {"type": "string", "description": "For display; conditions are what counts."},
        "incarnation": {"type": "string"},
        "namespace": {"type": "string"},
        "release": {"type": "string"},
        "templateVersion": {"type": "integer"},
        "lastGoodRelease": {"type": "string"},
        "upgradeHeeded": {
            "type": "string",
            "description": "Text of the annotation tenantry.dev/upgrade that was last acted upon.",
        },
        "hosts": {"type": "array", "items": {"type": "string"}},
        "modules": {
            "type": "array",
            "description": "Modules that have replicas: how many, why, and what capped it.",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": _MODULE,
        },
        "resources": {"type": "integer", "description": "How many resources its stack has."},
        "conditions": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": _CONDITION,
        },
    },
}


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a tenant file, with a description for each field."""
    schema = Tenant.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://{GROUP}/schema/{VERSION}/tenant.json",
        **schema,
    }


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition of Tenant, with a structural schema."""
    schema = Tenant.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    spec = _structural(schema["properties"]["spec"], definitions)
    spec["x-kubernetes-validations"] = [dict(one) for one in IMMUTABLE]
    root = {
        "type": "object",
        "description": schema["description"],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {
                "type": "object",
                "properties": {
                    "name": {
                        key: value
                        for key, value in definitions["Metadata"]["properties"]["name"].items()
                        if key in ("type", "pattern", "maxLength")
                    }
                },
            },
            "spec": spec,
            "status": _STATUS,
        },
    }
    columns = [
        ("Plan", ".spec.plan"),
        ("Environment", ".spec.environment"),
        ("Release", ".status.release"),
        ("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        ("Phase", ".status.phase"),
    ]
    wide = [
        ("Namespace", ".status.namespace"),
        ("Hosts", ".status.hosts"),
        ("Stalled", ".status.conditions[?(@.type=='Stalled')].message"),
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "plural": PLURAL,
                "singular": "tenant",
                "kind": "Tenant",
                "listKind": "TenantList",
                "shortNames": ["tn"],
                "categories": ["tenantry"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        *({"name": name, "type": "string", "jsonPath": path} for name, path in columns),
                        *({"name": name, "type": "string", "jsonPath": path, "priority": 1} for name, path in wide),
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                    ],
                }
            ],
        },
    }


def rollout_crd() -> dict[str, Any]:
    """The CustomResourceDefinition of Rollout."""
    schema = Rollout.model_json_schema(by_alias=True)
    text = {"type": "string"}
    columns = [
        ("Release", ".spec.release"),
        ("Phase", ".status.phase"),
        ("Ring", ".status.ring"),
        ("Done", ".status.done"),
    ]
    root = {
        "type": "object",
        "description": schema["description"],
        "required": ["spec"],
        "properties": {
            "apiVersion": text,
            "kind": text,
            "metadata": {"type": "object"},
            "spec": _structural(schema["properties"]["spec"], schema["$defs"]),
            "status": {
                "type": "object",
                "properties": {
                    "observedGeneration": {"type": "integer", "format": "int64"},
                    "phase": text,
                    "since": {"type": "string", "format": "date-time"},
                    "ring": text,
                    "done": text,
                    "message": text,
                    "tenants": {"type": "object", "additionalProperties": {"type": "integer"}},
                    "failures": {"type": "array", "items": text},
                },
            },
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"rollouts.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "plural": "rollouts",
                "singular": "rollout",
                "kind": "Rollout",
                "listKind": "RolloutList",
                "categories": ["tenantry"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        *({"name": name, "type": "string", "jsonPath": path} for name, path in columns),
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                    ],
                }
            ],
        },
    }


_INT_OR_STRING = ["integer", "string"]
_MOST_ENTRIES = 64
_KEPT = (
    "description",
    "enum",
    "exclusiveMinimum",
    "format",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
    "type",
)


def _structural(node: dict[str, Any], definitions: dict[str, Any], name: str = "") -> dict[str, Any]:
    """A schema without references and unions with null: what an API server takes. name: the model's class.

    Defaults are those that the model writes out. What a plan or a pinned version decides has none: the API server
    would decide it for good.
    """
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/$defs/")
        merged = {**definitions[name], **{key: value for key, value in node.items() if key != "$ref"}}
        return _structural(merged, definitions, name)
    if "anyOf" in node:
        given = [one for one in node["anyOf"] if one.get("type") != "null"]
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        if [one.get("type") for one in given] == _INT_OR_STRING:
            kept = {key: value for key, value in _structural(rest, definitions).items() if key != "type"}
            return {**kept, "x-kubernetes-int-or-string": True, "anyOf": [{"type": one} for one in _INT_OR_STRING]}
        return _structural({**given[0], **rest}, definitions, name)
    result = {key: node[key] for key in _KEPT if key in node}
    if isinstance(node.get("default"), str | int):
        result["default"] = node["default"]
    if "const" in node:
        result["enum"] = [node["const"]]
    if "properties" in node:
        result["properties"] = {name: _structural(one, definitions) for name, one in node["properties"].items()}
        if node.get("required"):
            result["required"] = node["required"]
    elif isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _structural(node["additionalProperties"], definitions)
        if "properties" in result["additionalProperties"]:
            # Without a bound, a rule on each entry would cost more than an API server allows.
            result["maxProperties"] = _MOST_ENTRIES
    if "items" in node:
        result["items"] = _structural(node["items"], definitions)
    if rules := RULES.get(name):
        result["x-kubernetes-validations"] = [dict(one) for one in rules]
    return result


def json_schema_text() -> str:
    return json.dumps(json_schema(), indent=2) + "\n"


def cloud_schema_text() -> str:
    """JSON Schema (draft 2020-12) of a cloud file."""
    from tenantry.tenancy.cloud import Cloud  # here: nothing else of a cell's life needs it, and it takes its time

    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://{GROUP}/schema/{VERSION}/cloud.json",
        **Cloud.model_json_schema(by_alias=True),
    }
    return json.dumps(schema, indent=2) + "\n"


def crd_text() -> str:
    return _yaml(crd())


def rollout_crd_text() -> str:
    return _yaml(rollout_crd())


def _yaml(document: dict[str, Any]) -> str:
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 110
    yaml.representer.ignore_aliases = lambda _data: True  # kubectl reads anchors, people stumble over them
    stream.write("# Made by `python -m tenantry.tenancy.schema`.\n")
    yaml.dump(document, stream)
    return stream.getvalue()


def main() -> None:
    """Write the committed copies."""
    root = Catalogue.root()
    for path, text in (
        (root / "schema" / "tenant.schema.json", json_schema_text()),
        (root / "schema" / "cloud.schema.json", cloud_schema_text()),
        (root.parent / "operator" / "deploy" / "crd.yaml", crd_text()),
        (root.parent / "operator" / "deploy" / "rollout-crd.yaml", rollout_crd_text()),
    ):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
