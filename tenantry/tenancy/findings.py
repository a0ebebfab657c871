"""Collects what is wrong with a tenant, so that a person sees all of it at once, each finding at its line."""

from __future__ import annotations

from tenantry.tenancy.document import Document, FieldPath, dotted
from tenantry.tenancy.errors import InvalidInput, Problem

__all__ = ["Findings"]


class Findings:
    """document: where lines come from; None for a tenant that came as an object and not as text."""

    def __init__(self, document: Document | None) -> None:
        self._document = document
        self._problems: list[Problem] = []

    def add(self, path: FieldPath, message: str, *, hint: str | None = None, at_key: bool = False) -> None:
        if self._document is None:
            self._problems.append(Problem(message=message, path=dotted(path), hint=hint))
        else:
            self._problems.append(self._document.problem(path, message, hint=hint, at_key=at_key))

    def __len__(self) -> int:
        return len(self._problems)

    def raise_any(self, message: str) -> None:
        """Raises InvalidInput when anything was found, in file order."""
        if self._problems:
            raise InvalidInput(
                message,
                source=None if self._document is None else self._document.source,
                problems=tuple(sorted(self._problems, key=lambda one: (one.line or 0, one.column or 0, one.path))),
            )
