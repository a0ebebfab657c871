"""Bad input: a clear error, exit code 2, nothing made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.user import User

GOOD = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata:
  name: nordlicht
spec:
  displayName: Nordlicht Reisen
  owner: it@nordlicht.example
  plan: growth
  environment: production
  hosts: [mail.nordlicht.example]
"""


def _with(extra: str) -> str:
    return GOOD + extra


CASES: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "malformed YAML": ("spec: [unclosed", ("tenant.yaml:1",)),
    "a file that is not text": (b"\x7fELF\x00\x01\xff\xfe", ("not text",)),
    "an empty file": ("", ("tenant.yaml",)),
    "an unknown field": (_with("  colour: blue\n"), ("tenant.yaml:11", "spec.colour")),
    "a near miss of a field": (GOOD.replace("displayName", "displayname"), ("displayName",)),
    "a duplicate key": (_with("  plan: starter\n"), ("plan",)),
    "a wrong unit": (_with("  modules:\n    web: {memory: 512MB}\n"), ("tenant.yaml:12", "512Mi")),
    "an override over the plan": (
        _with("  modules:\n    web: {replicas: {min: 1, max: 60}}\n"),
        ("spec.modules.web", "growth"),
    ),
    "an unknown plan": (GOOD.replace("growth", "platinum"), ("tenant.yaml:8", "platinum", "starter")),
    "an unknown module": (_with("  modules:\n    wbe: {enabled: true}\n"), ("wbe", "web")),
    "a duplicate host": (
        GOOD.replace("[mail.nordlicht.example]", "[a.example.org, a.example.org]"),
        ("a.example.org",),
    ),
    "a name that is too long": (GOOD.replace("nordlicht\n", "n" * 64 + "\n", 1), ("metadata.name", "30")),
    "a name that is not a DNS label": (GOOD.replace("name: nordlicht", "name: Nord_Licht", 1), ("metadata.name",)),
    "an expiry in the past": (
        GOOD.replace("production", "test") + "  expiresOn: 2020-01-01\n",
        ("spec.expiresOn", "2020-01-01"),
    ),
    "an integration at a metadata service": (
        _with("  integrations:\n    - {name: crm, kind: crm, host: 169.254.169.254, port: 443}\n"),
        ("spec.integrations", "169.254.169.254"),
    ),
    "an integration inside the cluster": (
        _with("  integrations:\n    - {name: crm, kind: crm, host: kubernetes.default.svc, port: 443}\n"),
        ("spec.integrations", "kubernetes.default.svc"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_is_refused_by_file_line_and_field(visitor: User, tmp_path: Path, name: str) -> None:
    content, expected = CASES[name]
    path = tmp_path / "tenant.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = visitor.types("tenantry", "tenant", "validate", str(path), code=2)
    assert "error:" in done.stderr
    for text in expected:
        assert text in done.stderr
    assert not (visitor.home / "cells").exists()


def test_the_good_file_of_these_cases_is_accepted(visitor: User, tmp_path: Path) -> None:
    path = tmp_path / "tenant.yaml"
    path.write_text(GOOD)
    visitor.types("tenantry", "tenant", "validate", str(path))


def test_a_missing_file_is_named(visitor: User, tmp_path: Path) -> None:
    done = visitor.types("tenantry", "tenant", "validate", str(tmp_path / "absent.yaml"), code=2)
    assert "absent.yaml" in done.stderr


def test_problems_of_several_files_are_told_together(visitor: User, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(_with("  modules:\n    web: {memory: 512MB}\n"))
    (tmp_path / "two.yaml").write_text(_with("  colour: blue\n").replace("nordlicht", "suedwind"))
    done = visitor.types("tenantry", "tenant", "validate", str(tmp_path), code=2)
    assert "512Mi" in done.stderr
    assert "spec.colour" in done.stderr


def test_json_carries_the_same_problem(visitor: User, tmp_path: Path) -> None:
    path = tmp_path / "tenant.yaml"
    path.write_text(_with("  colour: blue\n"))
    document = visitor.json("tenant", "validate", str(path), code=2)
    (problem,) = document["errors"][0]["problems"]
    assert (problem["path"], problem["line"]) == ("spec.colour", 11)


def test_without_a_platform_up_says_how_to_start_one(visitor: User, tmp_path: Path) -> None:
    path = tmp_path / "tenant.yaml"
    path.write_text(GOOD)
    done = visitor.types("tenantry", "tenant", "up", str(path), code=3)
    assert "tenantry local up" in done.stderr
