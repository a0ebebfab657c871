"""How commands show until when tokens and certificates are good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.markup import escape
from rich.table import Table

from tenantry.cli.reporting import out
from tenantry.tenancy.validity import SOON_DAYS, Validity

__all__ = ["print_validities", "validity_documents"]


def print_validities(found: Sequence[Validity]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("WHAT THE CELL LIVES ON", "LAST DAY", "DAYS", "RENEWED BY"):
        table.add_column(column, justify="right" if column == "DAYS" else "left")
    now = datetime.now(UTC)
    for one in found:
        days = one.days_left(now)
        colour = "green" if days > SOON_DAYS else "red"
        table.add_row(escape(one.what), f"{one.until:%Y-%m-%d}", f"[{colour}]{days:.0f}[/]", escape(one.renewed_by))
    out.print(table)


def validity_documents(found: Sequence[Validity]) -> list[dict[str, object]]:
    now = datetime.now(UTC)
    return [
        {
            "what": one.what,
            "until": one.until.isoformat(),
            "daysLeft": round(one.days_left(now), 1),
            "renewedBy": one.renewed_by,
        }
        for one in found
    ]
