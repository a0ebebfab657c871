"""What a rule is: a function named as the violation it finds, with its level and its reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.tenancy.judgement import Level, Violation
from tenantry_policies.view import Resource, Stack

__all__ = ["ResourceRule", "Rule", "StackRule", "resource_rule", "stack_rule"]

_DOCS = "docs/policies.md"

Sentences = Iterable[str]
Findings = Iterable[tuple[Resource | None, str]]
Remedy = Callable[[Resource], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """name: the violation, in words and hyphens; also its anchor in the documentation. title: what must hold, one
    sentence. why: the reason."""

    name: str
    level: Level
    title: str
    why: str

    def message(self, sentence: str) -> str:
        """sentence: what is wrong, and after a semicolon what to change."""
        return f"{sentence} (why: {_DOCS}#{self.name})"

    def violation(self, resource: Resource | None, sentence: str, *, level: Level | None = None) -> Violation:
        return Violation(
            rule=self.name,
            level=level or self.level,
            message=self.message(sentence),
            resource="" if resource is None else resource.title,
            urn=None if resource is None else resource.urn,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRule(Rule):
    """A rule that looks at one resource. keys: which (`Resource.key`). remedy: the inputs with what was left out filled
    in, None where nothing has to be; only rules of level `remediating` have one."""

    keys: frozenset[str]
    check: Callable[[Resource], Sentences]
    remedy: Remedy | None = None

    def remedied(self, resource: Resource) -> Mapping[str, Any] | None:
        """The inputs with what was left out filled in; None where nothing is or can be."""
        # A copy of the inputs costs more than all rules together, so that it is made for what breaks one.
        if self.remedy is None or not any(True for _ in self.violations(resource)):
            return None
        return self.remedy(resource)

    def violations(self, resource: Resource) -> Iterator[Violation]:
        if resource.key in self.keys:
            yield from (self.violation(resource, sentence) for sentence in self.check(resource))


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRule(Rule):
    """A rule that needs the whole stack; it names the resource, or None where something is missing altogether."""

    check: Callable[[Stack], Findings]

    def violations(self, stack: Stack) -> Iterator[Violation]:
        yield from (self.violation(resource, sentence) for resource, sentence in self.check(stack))


def resource_rule(
    *keys: str, level: Level = Level.MANDATORY, remedy: Remedy | None = None
) -> Callable[[Callable[[Resource], Sentences]], ResourceRule]:
    """Makes a rule of a function. Its docstring says what must hold, and after an empty line why."""

    def decorate(check: Callable[[Resource], Sentences]) -> ResourceRule:
        title, why = _described(check)
        return ResourceRule(
            name=_name(check),
            level=level,
            title=title,
            why=why,
            keys=frozenset(keys),
            check=check,
            remedy=remedy,
        )

    return decorate


def stack_rule(*, level: Level = Level.MANDATORY) -> Callable[[Callable[[Stack], Findings]], StackRule]:
    """The same for a rule over the whole stack."""

    def decorate(check: Callable[[Stack], Findings]) -> StackRule:
        title, why = _described(check)
        return StackRule(name=_name(check), level=level, title=title, why=why, check=check)

    return decorate


def _name(check: Callable[..., Any]) -> str:
    return check.__name__.replace("_", "-")


def _described(check: Callable[..., Any]) -> tuple[str, str]:
    title, _, why = (inspect.getdoc(check) or "").partition("\n\n")
    if not title or not why:
        raise TypeError(f"the docstring of rule {_name(check)} must say what holds, and why")
    return " ".join(title.split()), " ".join(why.split())
