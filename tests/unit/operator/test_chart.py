"""What the Helm chart and the image are made of."""

from __future__ import annotations

import yaml

from tenantry.tenancy.catalogue import Catalogue

DEPLOY = Catalogue.root().parent / "operator" / "deploy"
CHART = DEPLOY / "chart"


def test_definition_and_rights_are_written_once() -> None:
    assert (CHART / "crds" / "tenants.yaml").resolve() == DEPLOY / "crd.yaml"
    assert (CHART / "crds" / "rollouts.yaml").resolve() == DEPLOY / "rollout-crd.yaml"
    assert (CHART / "files" / "rbac.yaml").resolve() == DEPLOY / "rbac.yaml"


def test_the_rights_name_all_that_they_give_and_no_secret() -> None:
    for document in yaml.safe_load_all((DEPLOY / "rbac.yaml").read_text()):
        for rule in document.get("rules") or ():
            named = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not named & {"*", "secrets", "pods/exec", "impersonate", "escalate"}, rule
            assert "bind" not in rule["verbs"] or rule["resourceNames"] == ["viewer"]


def test_the_image_is_pinned_and_runs_as_nobody() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert "USER 65532:65532" in lines
    assert any(line.startswith("ARG PYTHON=python:3.11.") for line in lines)
    assert any("--require-hashes" in line for line in lines)
