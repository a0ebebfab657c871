"""Tenant and cell files from disk or text. JSON works too: it is YAML."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenantry.tenancy.cell import Cell
from tenantry.tenancy.document import Document, FieldPath, parse, read, validate
from tenantry.tenancy.drafting import SOUND, Draft, read_draft
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.model import Tenant

__all__ = ["TenantFile", "load_cell", "load_draft", "load_tenant", "parse_draft", "parse_tenant", "refusal"]

_NOUN = "the tenant file"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFile:
    """A tenant and the text that it came from, so that later findings still know their line.

    draft: of a text with mistakes of its own, which `resolve` refuses together with what else is wrong. Only
    `parse_draft` and `load_draft` give one; no tenant is ever made of it.
    """

    tenant: Tenant
    document: Document
    draft: Draft = SOUND

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
    return TenantFile(tenant=validate(document, Tenant, noun=_NOUN), document=document)


def load_draft(path: Path) -> TenantFile:
    """Read a tenant file that may have mistakes. Raises InvalidInput where nothing in it can be judged."""
    return parse_draft(read(path), source=str(path))


def parse_draft(text: str, *, source: str = "<text>") -> TenantFile:
    """The same for text. source: what errors call it."""
    document = parse(text, source=source)
    tenant, left, draft = read_draft(document, Tenant, noun=_NOUN, stand_ins=_stand_ins())
    return TenantFile(tenant=tenant, document=left, draft=draft)


def refusal(file: TenantFile) -> InvalidInput:
    """The error of a draft alone, where there is nothing to judge its rest by."""
    return InvalidInput(f"{_NOUN} cannot be accepted", source=file.source, problems=file.draft.problems)


def _stand_ins() -> dict[FieldPath, Any]:
    """For required fields that are missing or at fault. The name is nobody's."""
    name = f"t{secrets.token_hex(12)}"
    return {
        ("apiVersion",): "tenantry.dev/v1alpha1",
        ("kind",): "Tenant",
        ("metadata",): {"name": name},
        ("metadata", "name"): name,
        ("spec", "displayName"): "-",
        ("spec", "owner"): "nobody@example.com",
        ("spec", "plan"): "-",
    }


def load_cell(path: Path) -> Cell:
    """Read a cell file. Raises InvalidInput with every problem."""
    return validate(parse(read(path), source=str(path)), Cell, noun="the cell file")
