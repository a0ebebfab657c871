"""Several files with mistakes: every problem of every file in one report."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenantry.cli.loading import load_files
from tenantry.cli.opening import checking
from tenantry.cli.reporting import exit_code_of, flatten
from tenantry.tenancy.errors import InvalidInput, TenantryError

GOOD = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {name: nordlicht}
spec:
  displayName: Nordlicht Reisen
  owner: it@nordlicht.example
  plan: growth
"""


@pytest.fixture(autouse=True)
def _no_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No local platform: files are judged by the example cell."""
    monkeypatch.setenv("TENANTRY_HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tenants"
    made.mkdir()
    return made


def errors(*paths: Path, cell: Path | None = None) -> list[TenantryError]:
    with pytest.raises((TenantryError, ExceptionGroup)) as caught:
        load_files(paths, cell, "default")
    return list(flatten(caught.value))


def found(told: list[TenantryError]) -> set[tuple[str, str]]:
    """File and field of each problem; of an error without problems its message."""
    return {
        (Path(one.where or "").name, problem if isinstance(problem, str) else problem.path)
        for one in told
        for problem in ((one.problems if isinstance(one, InvalidInput) else ()) or (one.message,))
    }


def test_good_files_are_read_in_order(folder: Path) -> None:
    (folder / "b.yaml").write_text(GOOD)
    (folder / "a.yaml").write_text(GOOD.replace("nordlicht}", "suedwind}"))
    assert [file.tenant.metadata.name for file in load_files([folder], None, "default")] == ["suedwind", "nordlicht"]


def test_no_files_problem_hides_that_of_another(folder: Path) -> None:
    (folder / "a.yaml").write_text(GOOD + "  colour: blue\n  modules: {wbe: {enabled: true}}\n")
    (folder / "b.yaml").write_text(GOOD.replace("nordlicht}", "suedwind}").replace("growth", "platinum"))
    (folder / "c.yaml").write_text("spec: [")
    told = errors(folder, folder / "absent.yaml")
    assert found(told) == {
        ("a.yaml", "spec.colour"),
        ("a.yaml", "spec.modules.wbe"),
        ("b.yaml", "spec.plan"),
        ("c.yaml", ""),
        ("absent.yaml", "there is no such file"),
    }
    assert exit_code_of(told) == 2


def test_a_name_and_a_host_that_two_files_claim_are_told_though_the_first_has_mistakes(folder: Path) -> None:
    (folder / "a.yaml").write_text(GOOD + "  hosts: [mail.example.org]\n  colour: blue\n")
    (folder / "b.yaml").write_text(GOOD + "  hosts: [mail.example.org]\n")
    (folder / "c.yaml").write_text(GOOD.replace("nordlicht}", "suedwind}") + "  hosts: [mail.example.org]\n")
    assert found(errors(folder)) == {
        ("a.yaml", "spec.colour"),
        ("b.yaml", "metadata.name"),
        ("c.yaml", "spec.hosts[0]"),
    }


def test_two_files_without_a_name_are_not_called_the_same(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / f"{name}.yaml").write_text(GOOD.replace("name: nordlicht", "nme: nordlicht"))
    assert found(errors(folder)) == {
        (f"{file}.yaml", f"metadata.{field}") for file in "ab" for field in ("nme", "name")
    }


def test_without_a_sound_cell_file_the_texts_are_judged_by_themselves(folder: Path) -> None:
    (folder / "a.yaml").write_text(GOOD + "  colour: blue\n  modules: {wbe: {enabled: true}}\n")
    told = errors(folder, cell=folder / "absent-cell.yaml")
    assert found(told) == {("absent-cell.yaml", "there is no such file"), ("a.yaml", "spec.colour")}


def test_what_can_never_change_is_told_beside_the_other_mistakes(folder: Path) -> None:
    path = folder / "a.yaml"
    path.write_text(GOOD)
    (file,) = load_files([path], None, "default")
    with checking(None, "default") as fleet:
        (spec,) = fleet.specs.resolve_all([file])
        fleet.registry.claim(fleet._record(file, spec))
    path.write_text(GOOD + "  colour: blue\n  environment: test\n  modules: {wbe: {enabled: true}}\n")
    assert found(errors(path)) == {
        ("a.yaml", "spec.colour"),
        ("a.yaml", "spec.environment"),
        ("a.yaml", "spec.modules.wbe"),
    }
