"""Waves: which steps may run together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace

from tenantry.engine.plan import Step
from tenantry.engine.properties import plain

__all__ = ["deletes_in_waves", "in_waves", "levels"]


def levels(references: Mapping[str, Set[str]], acting: Set[str]) -> dict[str, int]:
    """The wave of each name: one more than the last wave of anything acting that it refers to, however indirectly.

    Names that do not act pass the waves of their references on. A circle (only possible through an implied
    reference) is cut where it closes.
    """
    found: dict[str, int] = {}
    entered: set[str] = set()

    def visit(name: str) -> int:
        if name in found:
            return found[name]
        entered.add(name)
        level = 0
        for reference in references[name]:
            if reference not in references or (reference in entered and reference not in found):
                continue
            level = max(level, visit(reference) + (reference in acting))
        found[name] = level
        return level

    for name in references:
        visit(name)
    return found


def in_waves(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Upserts: what is referred to goes first."""
    by_urn = {step.change.urn: step for step in steps}
    references = {name: set(step.wanted.references) if step.wanted else set() for name, step in by_urn.items()}
    _add_implicit(by_urn, references)
    acting = {name for name, step in by_urn.items() if step.acts}
    found = levels(references, acting)
    return tuple(replace(step, wave=found[name]) for name, step in by_urn.items())


def deletes_in_waves(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Deletes in reverse: what refers to others goes first."""
    by_urn = {step.change.urn: step for step in steps}
    references = {
        name: set(step.recorded.references) & by_urn.keys() if step.recorded else set() for name, step in by_urn.items()
    }
    _add_implicit(by_urn, references)
    acting = {name for name, step in by_urn.items() if step.acts}
    found = levels(references, acting)
    top = max(found.values(), default=0)
    return tuple(
        sorted((replace(step, wave=top - found[name]) for name, step in by_urn.items()), key=lambda step: step.wave)
    )


def _add_implicit(by_urn: Mapping[str, Step], references: dict[str, set[str]]) -> None:
    """An object comes after its namespace and after the definition of its kind, said or not."""
    namespaces: dict[str, str] = {}
    definitions: dict[tuple[str, str], str] = {}
    for name, step in by_urn.items():
        if step.reference is None:
            continue
        if step.reference.kind == "Namespace":
            namespaces[step.reference.name] = name
        elif step.reference.kind == "CustomResourceDefinition":
            spec = plain(step.inputs.get("spec")) or {}
            definitions[str(spec.get("group")), str((spec.get("names") or {}).get("kind"))] = name
    for name, step in by_urn.items():
        if step.reference is None:
            continue
        group = step.reference.api_version.rpartition("/")[0]
        for found in (namespaces.get(step.reference.namespace), definitions.get((group, step.reference.kind))):
            if found is not None and found != name:
                references[name].add(found)
