"""Waves: which steps may run together. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set

__all__ = ["levels"]


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
