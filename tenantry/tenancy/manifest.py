"""Tenant and cell files from disk or text. JSON works too: it is YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenantry.tenancy.cell import Cell
from tenantry.tenancy.document import Document, parse, read, validate
from tenantry.tenancy.model import Tenant

__all__ = ["TenantFile", "load_cell", "load_tenant", "parse_tenant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFile:
    """A tenant and the text that it came from, so that later findings still know their line."""

    tenant: Tenant
    document: Document

    @property
    def source(self) -> str:
        """Path of the file, or what the caller named the text."""
        return self.document.source

    @property
    def text(self) -> str:
        return self.document.text


def load_tenant(path: Path) -> TenantFile:
    """Read a tenant file. Raises InvalidInput with every problem of its grammar."""
    return parse_tenant(read(path), source=str(path))


def parse_tenant(text: str, *, source: str = "<text>") -> TenantFile:
    """The same for text. source: what errors call it."""
    document = parse(text, source=source)
    return TenantFile(tenant=validate(document, Tenant, noun="the tenant file"), document=document)


def load_cell(path: Path) -> Cell:
    """Read a cell file. Raises InvalidInput with every problem."""
    return validate(parse(read(path), source=str(path)), Cell, noun="the cell file")
