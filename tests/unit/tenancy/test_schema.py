"""The committed schemas are those of the model, and the CRD is structural."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_tenant
from tenantry.tenancy.model import Tenant
from tenantry.tenancy.schema import (
    cloud_schema_text,
    crd,
    crd_text,
    json_schema,
    json_schema_text,
    rollout_crd,
    rollout_crd_text,
)

ROOT = Catalogue.root()


def test_the_committed_schemas_agree_with_the_model() -> None:
    assert (ROOT / "schema" / "tenant.schema.json").read_text() == json_schema_text()
    assert (ROOT / "schema" / "cloud.schema.json").read_text() == cloud_schema_text()
    assert (ROOT.parent / "operator" / "deploy" / "crd.yaml").read_text() == crd_text()
    assert (ROOT.parent / "operator" / "deploy" / "rollout-crd.yaml").read_text() == rollout_crd_text()


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for inner in node.values():
            yield from _nodes(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _nodes(inner)


def test_the_crd_has_nothing_that_a_structural_schema_forbids() -> None:
    schemas = [made["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for made in (crd(), rollout_crd())]
    for node in _nodes(schemas):
        assert not {"$ref", "$defs", "anyOf", "const", "default", "title"} & set(node) or "properties" not in node
        assert "$ref" not in node
        assert "anyOf" not in node or node.get("x-kubernetes-int-or-string")


def test_every_field_of_the_spec_is_described_for_editors() -> None:
    for name, definition in json_schema()["$defs"].items():
        for field, schema in definition.get("properties", {}).items():
            assert schema.get("description"), f"{name}.{field}"


def test_the_crd_and_the_file_know_the_same_fields() -> None:
    version = crd()["spec"]["versions"][0]
    in_cluster = set(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])
    assert in_cluster == set(json_schema()["$defs"]["TenantFields"]["properties"])


def _defaulted(schema: dict[str, Any], value: Any) -> Any:
    """What an API server makes of a value: the schema's defaults put in where fields are left out."""
    if isinstance(value, dict):
        inner = schema.get("properties") or {}
        filled = {name: one["default"] for name, one in inner.items() if "default" in one} | value
        return {
            name: _defaulted(inner.get(name) or schema.get("additionalProperties") or {}, one)
            for name, one in filled.items()
        }
    if isinstance(value, list):
        return [_defaulted(schema.get("items") or {}, one) for one in value]
    return value


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_tenant_is_the_same_after_the_api_server_put_its_defaults_in(path: Path) -> None:
    file = load_tenant(path)
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    filled = _defaulted(schema, file.document.content)
    assert filled["spec"]["suspended"] is False
    assert filled["spec"] != file.document.content["spec"]
    assert Tenant.model_validate(filled).spec == file.tenant.spec
