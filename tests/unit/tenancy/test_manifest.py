"""Files: what is wrong is said with its line, all at once, and nothing unfolds, hangs or runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.document import MAX_BYTES, MAX_DEPTH
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.manifest import load_cell, load_tenant, parse_tenant

GOOD = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata:
  name: acme
spec:
  displayName: Acme
  owner: ops@acme.example
  plan: growth
"""


def refused(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse_tenant(text, source="tenant.yaml")
    assert caught.value.source == "tenant.yaml"
    return caught.value


def test_a_good_file_is_read() -> None:
    file = parse_tenant(GOOD, source="tenant.yaml")
    assert file.tenant.metadata.name == "acme"
    assert (file.source, file.text) == ("tenant.yaml", GOOD)


def test_json_is_read_as_well() -> None:
    document = {
        "apiVersion": "tenantry.dev/v1alpha1",
        "kind": "Tenant",
        "metadata": {"name": "acme"},
        "spec": {"displayName": "Acme", "owner": "ops@acme.example", "plan": "growth"},
    }
    assert parse_tenant(json.dumps(document)).tenant == parse_tenant(GOOD).tenant


def test_what_an_api_server_adds_is_accepted() -> None:
    text = GOOD.replace(
        "  name: acme\n",
        "  name: acme\n  uid: 0e4d5a9a\n  resourceVersion: '7'\n  generation: 2\n"
        "  creationTimestamp: 2026-11-24T00:00:00Z\n  managedFields: [{manager: kubectl}]\n",
    )
    assert parse_tenant(text + "status: {phase: Ready}\n").tenant.metadata.uid == "0e4d5a9a"


@pytest.mark.parametrize(
    ("change", "path", "line", "message", "hint"),
    [
        pytest.param(
            ("  plan: growth", "  plan: growth\n  enviroment: test"),
            "spec.enviroment",
            9,
            "unknown field enviroment",
            "did you mean environment?",
            id="misspelt field",
        ),
        pytest.param(
            ("  plan: growth", "  plan: growth\n  modules:\n    web: {memory: 512MB}"),
            "spec.modules.web.memory",
            10,
            "'512MB' is not a size",
            "write 512Mi",
            id="wrong unit",
        ),
        pytest.param(
            ("  plan: growth", "  plan: growth\n  modules:\n    web:\n      replica: {}"),
            "spec.modules.web.replica",
            11,
            "unknown field replica",
            "did you mean replicas?",
            id="misspelt field below a free key",
        ),
        pytest.param(
            ("  plan: growth", "  plan: growth\n  environment: prod"),
            "spec.environment",
            9,
            "'prod' is not allowed here",
            "did you mean production?",
            id="unknown environment",
        ),
        pytest.param(
            ("  plan: growth", "  plan: growth\n  graceDays: '30'"),
            "spec.graceDays",
            9,
            "must be a whole number, not '30'",
            None,
            id="number in quotes",
        ),
        pytest.param(
            ("  plan: growth", "  plan: growth\n  backup: {enabled: yes}"),
            "spec.backup.enabled",
            9,
            "must be true or false, not 'yes'",
            None,
            id="a word for a truth value",
        ),
        pytest.param(
            ("  plan: growth", "  plan: growth\n  expiresOn: 2030-02-30"),
            "spec.expiresOn",
            9,
            "must be a date such as 2030-01-31, not '2030-02-30'",
            None,
            id="a day that is not",
        ),
        pytest.param(
            ("  plan: growth", "  plan: growth\n  hosts: mail.acme.example"),
            "spec.hosts",
            9,
            "must be a list, not 'mail.acme.example'",
            None,
            id="one value for a list",
        ),
        pytest.param(
            ("  plan: growth", "  plan: growth\n  maintenanceWindow: Sunday 2-4"),
            "spec.maintenanceWindow",
            9,
            "'Sunday 2-4' is not a maintenance window",
            "write it as Sun 02:00-04:00 Europe/Berlin",
            id="window in one's own words",
        ),
        pytest.param(
            ("  plan: growth", "  plan: growth\n  maintenanceWindow: Sun 02:00-04:00 Europe/Berln"),
            "spec.maintenanceWindow",
            9,
            "'Europe/Berln' is not a time zone",
            "did you mean Europe/Berlin?",
            id="misspelt zone",
        ),
        pytest.param(("  plan: growth\n", ""), "spec.plan", 5, "plan is required", None, id="missing field"),
        pytest.param(
            ("name: acme", f"name: {'a' * 31}"),
            "metadata.name",
            4,
            "a tenant name has at most 30 characters, this one has 31",
            "shorten it; displayName can be longer",
            id="name too long",
        ),
        pytest.param(
            ("name: acme", "name: Acme_1"),
            "metadata.name",
            4,
            "'Acme_1' is not a DNS label",
            "begin with a letter, go on with a-z, 0-9 and -, do not end with -",
            id="name no DNS label",
        ),
        pytest.param(
            ("  plan: growth", "  plan: growth\n  plan: starter"),
            "spec.plan",
            9,
            "plan stands here twice; first in line 8",
            "keep one of the two",
            id="duplicate key",
        ),
        pytest.param(
            ("owner: ops@acme.example", 'owner: "o\'x@acme.example"'),
            "spec.owner",
            7,
            '"o\'x@acme.example" is not an e-mail address',
            "such as ops@example.com",
            id="an address that could end a quoted string",
        ),
    ],
)
def test_a_finding_names_field_line_and_remedy(
    change: tuple[str, str], path: str, line: int, message: str, hint: str | None
) -> None:
    assert change[0] in GOOD
    (problem,) = refused(GOOD.replace(*change)).problems
    assert (problem.path, problem.line, problem.message, problem.hint) == (path, line, message, hint)


def test_every_finding_is_reported_at_once_in_file_order() -> None:
    error = refused(GOOD.replace("name: acme", "name: A").replace("plan: growth", "plann: 1\n  hosts: [x]"))
    assert [problem.line for problem in error.problems] == sorted(problem.line or 0 for problem in error.problems)
    assert {problem.path for problem in error.problems} == {"metadata.name", "spec.plan", "spec.plann", "spec.hosts[0]"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("a: [1", 1, id="open bracket"),
        pytest.param("a: 1\n\tb: 2", 2, id="tab"),
        pytest.param("a: 1\n b: 2", 2, id="crooked indentation"),
        pytest.param("a: !python/object:os.system x", 1, id="a tag that would make an object"),
        pytest.param("a: &x 1", 1, id="anchor"),
        pytest.param("a: 1\n---\na: 1", 2, id="second document"),
        pytest.param("? [a, b]\n: 1", 1, id="list as a key"),
        pytest.param("1: a", 1, id="number as a key"),
        pytest.param("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), 1, id="too deep"),
    ],
)
def test_yaml_that_we_do_not_take_is_refused_at_its_line(text: str, line: int) -> None:
    assert refused(text).problems[0].line == line


def test_an_alias_bomb_is_refused_before_it_unfolds() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert refused("\n".join(lines)).problems[0].message == "anchors and aliases are not accepted"


@pytest.mark.parametrize("text", ["", "# nothing\n", "just text", "[a, list]", "null"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    assert refused(text).hint


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_and_never_crashes(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_tenant(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"\x7fELF\x00\x01\xff\xfe", "the file is not text", id="a program"),
        pytest.param(b"a: \xff", "the file is not text", id="another encoding"),
        pytest.param(b"a: \x00", "the file is not text", id="a zero byte"),
        pytest.param(b"#" * (MAX_BYTES + 1), "the file is larger than 1024 KiB", id="too big"),
    ],
)
def test_a_file_that_is_not_ours_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "tenant.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        load_tenant(path)
    assert (caught.value.message, caught.value.source) == (message, str(path))


def test_a_missing_file_a_folder_and_an_endless_device_are_refused(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "this is a folder, not a file"),
        (Path("/dev/zero"), "the file is larger than 1024 KiB"),
    ):
        with pytest.raises(InvalidInput) as caught:
            load_tenant(path)
        assert caught.value.message == message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tenant.yaml"
    path.write_text(GOOD)
    path.chmod(0)
    with pytest.raises(InvalidInput) as caught:
        load_tenant(path)
    assert caught.value.message == "the file cannot be read: permission denied"


def test_a_cell_file_is_held_to_the_same_rules(tmp_path: Path) -> None:
    text = (Catalogue.root() / "cells" / "example.yaml").read_text()
    path = tmp_path / "cell.yaml"
    path.write_text(text.replace("domain:", "domian:"))
    with pytest.raises(InvalidInput) as caught:
        load_cell(path)
    assert {(one.path, one.hint) for one in caught.value.problems} == {
        ("spec.domian", "did you mean domain?"),
        ("spec.domain", None),
    }
