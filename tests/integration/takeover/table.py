"""The take-over matrix as docs/take-over.md has it: kind × operation, each in both directions.

`python -m tests.integration.takeover.table` writes it there. What it promises is what test_matrix.py does with the
kinds of zoo.py; a test keeps those in step with what tenants' programs make.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from tests.integration.takeover.zoo import DYNAMIC, KUBERNETES, UNCHANGEABLE

__all__ = ["PAGE", "page", "table"]

PAGE = Path(__file__).parents[3] / "docs" / "take-over.md"
_BEGIN, _END = "<!-- the matrix -->\n", "<!-- its end -->\n"
_BOTH = "⇄"


def table() -> str:
    lines = [
        f"Pulumi SDK {version('pulumi')}, Kubernetes provider {version('pulumi-kubernetes')}, CLI 3.260:",
        "",
        "| kind | create | update | replace | destroy |",
        "|---|---|---|---|---|",
    ]
    for type_ in (*sorted(KUBERNETES), *sorted(DYNAMIC)):
        update = "–" if type_ in UNCHANGEABLE else _BOTH
        lines.append(f"| `{type_}` | {_BOTH} | {update} | {_BOTH} | {_BOTH} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with the table of today."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
