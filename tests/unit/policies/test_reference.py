"""docs/policies.md is what the rules say."""

from __future__ import annotations

from pathlib import Path

from tenantry_policies.reference import reference

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "policies.md"


def test_the_documentation_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == reference()
