"""Collects what is wrong with a tenant, so that a person sees all of it at once, each finding at its line."""

from __future__ import annotations

from tenantry.tenancy.document import Document, FieldPath, dotted, in_order
from tenantry.tenancy.drafting import SOUND, Draft
from tenantry.tenancy.errors import InvalidInput, Problem

__all__ = ["Findings"]


class Findings:
    """document: where lines come from; None for a tenant that came as an object and not as text.

    draft: what was wrong with the text itself. The fields at fault are left out of what is judged, so that nothing more
    is said of them.
    """

    def __init__(self, document: Document | None, draft: Draft = SOUND) -> None:
        self._document = document
        self._draft = draft
        self._problems: list[Problem] = list(draft.problems)

    def unknown(self, *path: str) -> bool:
        """Whether the field, or something in it, is not what the text says, since that is at fault."""
        return any(one[: len(path)] == path or path[: len(one)] == one for one in self._draft.faults)

    def add(self, path: FieldPath, message: str, *, hint: str | None = None, at_key: bool = False) -> None:
        written = path if self._document is None else self._document.written(path)
        if any(written[: len(one)] == one for one in self._draft.faults):
            return
        if self._document is None:
            self._problems.append(Problem(message=message, path=dotted(path), hint=hint))
        else:
            self._problems.append(self._document.problem(path, message, hint=hint, at_key=at_key))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """In file order."""
        return in_order(self._problems)

    def __len__(self) -> int:
        return len(self._problems)

    def raise_any(self, message: str) -> None:
        """Raises InvalidInput when anything was found, in file order."""
        if self._problems:
            raise InvalidInput(
                message,
                source=None if self._document is None else self._document.source,
                problems=self.problems,
            )
