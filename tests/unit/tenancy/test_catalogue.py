"""A template that breaks its schema is refused at file, line and field; the shipped ones keep their promises."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.placeholders import PLACEHOLDERS, unknown_in
from tenantry.tenancy.workload_spec import ModuleKind
from tests.unit.conftest import Resolve


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the shipped templates to break."""
    return shutil.copytree(Catalogue.root(), tmp_path / "templates")


@pytest.mark.parametrize(
    ("file", "change", "path", "message"),
    [
        pytest.param(
            "plans/growth.yaml", ("size: medium", "size: huge"), "spec.size", "not allowed here", id="plan size"
        ),
        pytest.param("plans/growth.yaml", ('cpu: "24"', "cpu: 24c"), "spec.ceiling.cpu", "not a CPU", id="plan unit"),
        pytest.param("plans/growth.yaml", ("  title:", "  titel:"), "spec.titel", "unknown field", id="plan field"),
        pytest.param(
            "plans/growth.yaml", ("name: growth", "name: grow"), "metadata.name", "as the file", id="plan name"
        ),
        pytest.param(
            "environments/test.yaml",
            ("[delete, ", "[destroy, "),
            "spec.deletionPolicies[0]",
            "not allowed",
            id="policy",
        ),
        pytest.param(
            "workloads/shlink/v1/workload.yaml",
            ("${database.host}", "${database.hst}"),
            "spec.environment.DB_HOST",
            "unknown placeholder ${database.hst}",
            id="placeholder",
        ),
        pytest.param(
            "workloads/shlink/v1/workload.yaml",
            ("scripts: [start.sh]", "scripts: [stop.sh]"),
            "spec.scripts[0]",
            "there is no such file",
            id="script that is not there",
        ),
        pytest.param(
            "workloads/shlink/v1/workload.yaml",
            ("templateVersion: 1", "templateVersion: 2"),
            "spec.templateVersion",
            "as the folder is called",
            id="version and folder differ",
        ),
        pytest.param(
            "workloads/shlink/v1/workload.yaml",
            ("kind: scheduled", "kind: worker"),
            "spec.modules[2]",
            "tasks and no command",
            id="a worker with schedules",
        ),
        pytest.param(
            "workloads/shlink/v1/workload.yaml",
            ("name: housekeeping", "name: backup"),
            "spec",
            "no module can be called backup",
            id="a module called as a part of Tenantry's own",
        ),
        pytest.param(
            "workloads/mautic/v1/workload.yaml",
            ("    - name: files\n      mountPath", "    - name: scratch-0\n      mountPath"),
            "spec",
            "no storage can be called scratch",
            id="storage called as a volume of Tenantry's own",
        ),
    ],
)
def test_a_broken_template_is_refused_at_its_field(
    copied: Path, file: str, change: tuple[str, str], path: str, message: str
) -> None:
    broken = copied / file
    text = broken.read_text()
    assert change[0] in text
    broken.write_text(text.replace(*change))
    with pytest.raises(InvalidInput) as caught:
        Catalogue.load(copied)
    assert caught.value.source == str(broken)
    problem = next(one for one in caught.value.problems if one.path == path)
    assert message in problem.message
    assert problem.line is not None


def test_a_configuration_template_with_an_unknown_placeholder_is_refused(copied: Path) -> None:
    template = copied / "workloads/shlink/v1/configuration/tenantry.local.php.ctmpl"
    template.write_text(template.read_text().replace("${database.role}", "${database.rol}"))
    with pytest.raises(InvalidInput) as caught:
        Catalogue.load(copied)
    assert "tenantry.local.php.ctmpl has the unknown placeholder" in caught.value.problems[0].message


def test_a_catalogue_without_an_environment_is_refused(copied: Path) -> None:
    (copied / "environments" / "test.yaml").unlink()
    with pytest.raises(InvalidInput, match="no file for environment test"):
        Catalogue.load(copied)


def test_another_workload_needs_only_its_folder(copied: Path, resolve_text: Resolve) -> None:
    folder = shutil.copytree(copied / "workloads" / "shlink", copied / "workloads" / "clicks")
    file = folder / "v1" / "workload.yaml"
    file.write_text(file.read_text().replace("name: shlink", "name: clicks"))
    spec = resolve_text("workload: clicks", catalogue=Catalogue.load(copied))
    assert spec.labels["app.kubernetes.io/part-of"] == "clicks"


def test_a_new_template_version_moves_nobody_who_is_pinned(copied: Path, resolve_text: Resolve) -> None:
    second = shutil.copytree(copied / "workloads" / "shlink" / "v1", copied / "workloads" / "shlink" / "v2")
    file = second / "workload.yaml"
    file.write_text(file.read_text().replace("templateVersion: 1", "templateVersion: 2"))
    changed = Catalogue.load(copied)
    assert resolve_text("workload: shlink", catalogue=changed).workload.template_version == 2
    pinned = resolve_text("workload: shlink", catalogue=changed, pinned_template_version=1)
    assert pinned == resolve_text("workload: shlink")


def test_every_placeholder_that_is_listed_is_filled(copied: Path, resolve_text: Resolve) -> None:
    file = copied / "workloads/shlink/v1/workload.yaml"
    listed = "".join(f"    ALL_{index}: ${{{name}}}\n" for index, name in enumerate(PLACEHOLDERS))
    file.write_text(file.read_text().replace("  environment:\n", f"  environment:\n{listed}", 1))
    web = resolve_text("workload: shlink", catalogue=Catalogue.load(copied)).workload.modules[1]
    filled = {name: value for name, value in web.environment if name.startswith("ALL_")}
    assert len(filled) == len(PLACEHOLDERS)
    assert not [value for value in filled.values() if list(unknown_in(value)) or "${" in value]


@pytest.mark.parametrize("plan", ["starter", "growth", "enterprise"])
def test_no_schedule_of_mautic_can_overlap_or_hang(resolve_text: Resolve, plan: str) -> None:
    spec = resolve_text(plan=plan)
    scheduled = [one for one in spec.workload.modules if one.kind is ModuleKind.SCHEDULED]
    tasks = [task for module in scheduled for task in module.tasks]
    assert {"campaigns-update", "campaigns-trigger", "segments-update", "webhooks-process", "reports"} <= {
        task.name for task in tasks
    }
    for task in tasks:
        at = task.command.index("/opt/tenantry/scripts/exclusive.php")
        assert task.command[at + 1 : at + 3] == (task.name, str(task.deadline_s))


@pytest.mark.parametrize("workload", ["mautic", "shlink"])
def test_no_web_server_migrates_and_no_stock_entrypoint_runs(resolve_text: Resolve, workload: str) -> None:
    spec = resolve_text(f"workload: {workload}")
    for module in spec.workload.modules:
        words = " ".join([*module.command, *(word for task in module.tasks for word in task.command)])
        assert "entrypoint" not in words
        assert not (module.kind is not ModuleKind.TASK and "migrat" in words)
    assert [one.name for one in spec.workload.modules if one.run_before][-1] == "migrate"
    assert spec.workload.uid > 0


def test_a_preview_is_never_the_default_and_a_workload_needs_one_that_is_not(copied: Path) -> None:
    reference = Catalogue.load().workloads["reference"][1].workload.spec
    assert [one.name for one in reference.releases if one.preview] == ["1.2-bad"]
    assert reference.default_release.name == "1.1"
    file = copied / "workloads/reference/v1/workload.yaml"
    file.write_text(file.read_text().replace('tag: "1.0"}', 'tag: "1.0", preview: true}'))
    assert Catalogue.load(copied).workloads["reference"][1].workload.spec.default_release.name == "1.1"
    file.write_text(file.read_text().replace('tag: "1.1"}', 'tag: "1.1", preview: true}'))
    with pytest.raises(InvalidInput) as caught:
        Catalogue.load(copied)
    assert "every release is a preview" in caught.value.problems[0].message
