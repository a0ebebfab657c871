"""The catalogue: plans, environment classes and workloads, read from `tenant_templates/` and checked as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import tenantry
from tenantry.tenancy.document import Document, FieldPath, parse, read, validate
from tenantry.tenancy.errors import InvalidInput, Problem
from tenantry.tenancy.model import Fields
from tenantry.tenancy.placeholders import PLACEHOLDERS, unknown_in
from tenantry.tenancy.plans import EnvironmentClass, Plan
from tenantry.tenancy.spec import Environment
from tenantry.tenancy.workload import Workload

__all__ = ["Catalogue", "WorkloadEntry"]

Template = TypeVar("Template", bound=Fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadEntry:
    """One version of a workload with the files beside it. templates, scripts: file name → text."""

    workload: Workload
    templates: Mapping[str, str]
    scripts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """workloads: name → template version → entry."""

    plans: Mapping[str, Plan]
    environments: Mapping[Environment, EnvironmentClass]
    workloads: Mapping[str, Mapping[int, WorkloadEntry]]

    @staticmethod
    def root() -> Path:
        """The templates that came with this installation: beside the package, in a clone and in a wheel alike."""
        return Path(tenantry.__file__).parent.parent / "tenant_templates"

    @staticmethod
    def load(root: Path | None = None) -> Catalogue:
        """Read a folder laid out as tenant_templates/ is. None: the one that came with this installation (read once).

        Raises InvalidInput for the first file that breaks its schema, with each of its problems.
        """
        return _installed() if root is None else _load(root)


@cache
def _installed() -> Catalogue:
    return _load(Catalogue.root())


def _load(root: Path) -> Catalogue:
    plans = {plan.name: plan for plan in _templates(root / "plans", Plan, "the plan file")}
    classes = {
        one.environment: one for one in _templates(root / "environments", EnvironmentClass, "the environment file")
    }
    missing = [one.value for one in Environment if one not in classes]
    if missing:
        raise InvalidInput(
            f"no file for environment {', '.join(missing)}",
            source=str(root / "environments"),
            hint="add environments/<name>.yaml",
        )
    workloads: dict[str, dict[int, WorkloadEntry]] = {}
    for path in sorted(root.glob("workloads/*/v*/workload.yaml")):
        entry = _workload(path)
        workloads.setdefault(entry.workload.name, {})[entry.workload.spec.template_version] = entry
    if not plans or not workloads:
        raise InvalidInput(
            "the catalogue has no plan or no workload", source=str(root), hint="it is laid out as tenant_templates/ is"
        )
    return Catalogue(plans=plans, environments=classes, workloads=workloads)


def _templates(folder: Path, model: type[Template], noun: str) -> Iterator[Template]:
    for path in sorted(folder.glob("*.yaml")):
        document = parse(read(path), source=str(path))
        template = validate(document, model, noun=noun)
        _same_name(document, template, expected=path.stem)
        yield template


def _same_name(document: Document, template: Any, *, expected: str) -> None:
    name = template.metadata.name
    if name != expected:
        raise InvalidInput(
            f"{name} stands in the place of {expected}",
            source=document.source,
            problems=(document.problem(("metadata", "name"), f"must be {expected}, as the file is called"),),
        )


def _workload(path: Path) -> WorkloadEntry:
    document = parse(read(path), source=str(path))
    workload = validate(document, Workload, noun="the workload file")
    _same_name(document, workload, expected=path.parent.parent.name)
    problems: list[Problem] = []
    if path.parent.name != f"v{workload.spec.template_version}":
        problems.append(
            document.problem(("spec", "templateVersion"), f"must be {path.parent.name[1:]}, as the folder is called")
        )
    problems.extend(_unknown_placeholders(document, document.content["spec"], ("spec",)))
    templates: dict[str, str] = {}
    for index, one in enumerate(workload.spec.configuration):
        at: FieldPath = ("spec", "configuration", index, "file")
        text = _beside(path.parent / "configuration" / one.file, document, at, problems)
        problems.extend(
            document.problem(at, f"{one.file} has the unknown placeholder ${{{name}}}", hint=_meant(name))
            for name in unknown_in(text)
        )
        templates[one.file] = text
    scripts = {
        name: _beside(path.parent / "scripts" / name, document, ("spec", "scripts", index), problems)
        for index, name in enumerate(workload.spec.scripts)
    }
    if problems:
        raise InvalidInput("the workload file cannot be accepted", source=str(path), problems=tuple(problems))
    return WorkloadEntry(workload=workload, templates=templates, scripts=scripts)


def _beside(path: Path, document: Document, at: FieldPath, problems: list[Problem]) -> str:
    try:
        return read(path)
    except InvalidInput as error:
        problems.append(document.problem(at, f"{path.parent.name}/{path.name}: {error.message}", hint=error.hint))
        return ""


def _unknown_placeholders(document: Document, value: object, path: FieldPath) -> Iterator[Problem]:
    if isinstance(value, str):
        for name in unknown_in(value):
            yield document.problem(path, f"unknown placeholder ${{{name}}}", hint=_meant(name))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _unknown_placeholders(document, inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unknown_placeholders(document, inner, (*path, index))


def _meant(name: str) -> str:
    close = get_close_matches(name, PLACEHOLDERS, n=1)
    return f"did you mean ${{{close[0]}}}?" if close else "tenantry/tenancy/placeholders.py lists them"
