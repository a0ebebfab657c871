"""A document with mistakes, read as far as it goes: what is at fault is left out, so that the rest can be judged too.

A person then sees in one report what is wrong with the text and what is wrong with what it asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tenantry.tenancy.document import Document, FieldPath, in_order, path_of, problem_of, require_mapping
from tenantry.tenancy.errors import InvalidInput, Problem

__all__ = ["SOUND", "Draft", "read_draft"]

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What was wrong with a document. faults: the fields that were left out or stood in for, as the text has them."""

    problems: tuple[Problem, ...] = ()
    faults: frozenset[FieldPath] = field(default_factory=frozenset)


SOUND = Draft()
"""Of a document without mistakes."""


def read_draft(
    document: Document, model: type[Model], *, noun: str, stand_ins: Mapping[FieldPath, Any]
) -> tuple[Model, Document, Draft]:
    """The document as `model` without what is at fault, and the document that knows the lines of what is left.

    stand_ins: for required fields. An element of a list, or a part of an optional field, that lacks a required field
    without one is left out whole. Raises InvalidInput as `validate` does where nothing is left.
    """
    require_mapping(document, noun=noun)
    problems: list[Problem] = []
    faults: set[FieldPath] = set()
    while True:
        content, kept = _without(document.content, faults, stand_ins)
        left = replace(document, kept=kept)
        try:
            return model.model_validate(content), left, Draft(problems=in_order(problems), faults=frozenset(faults))
        except ValidationError as error:
            found = error.errors(include_url=False)
        before = frozenset(faults)
        for one in found:
            path = left.written(path_of(one))
            # What is only wrong because something was left out is no mistake of the file.
            if not any(path[: len(fault)] == fault or fault[: len(path)] == path for fault in before):
                problems.append(problem_of(left, model, one))
            faults.add(path[:-1] if one["type"] == "missing" and path not in stand_ins else path)
        if faults == before or () in faults:
            raise InvalidInput(f"{noun} cannot be accepted", source=document.source, problems=in_order(problems))


def _without(
    content: Any, faults: Set[FieldPath], stand_ins: Mapping[FieldPath, Any]
) -> tuple[Any, dict[FieldPath, tuple[int, ...]]]:
    """A copy without the fields at fault, and the elements that stayed of each list that lost some."""
    kept: dict[FieldPath, tuple[int, ...]] = {}

    def copied(value: Any, path: FieldPath) -> Any:
        if isinstance(value, dict):
            found = {key: copied(one, (*path, key)) for key, one in value.items() if (*path, key) not in faults}
            # A field that is missing is at fault as well.
            return found | {one[-1]: stand_ins[one] for one in faults if one in stand_ins and one[:-1] == path}
        if isinstance(value, list):
            stayed = tuple(index for index in range(len(value)) if (*path, index) not in faults)
            if len(stayed) < len(value):
                kept[path] = stayed
            return [copied(value[index], (*path, index)) for index in stayed]
        return value

    return copied(content, ()), kept
