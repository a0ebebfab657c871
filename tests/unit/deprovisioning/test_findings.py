"""The inventory's verdict: what is left over, and what is kept on purpose."""

from __future__ import annotations

from datetime import date

import pytest

from tenantry.inventory.files import search_files
from tenantry.inventory.findings import Finding, Inventory, Kept, Searched, Subject

SUBJECT = Subject(name="acme", incarnation="abcd2345")
KEPT = (Kept(system="store", what="tenants/t-acme-abcd2345/", until=date(2026, 12, 24)),)


def inventory(*findings: Finding) -> Inventory:
    return Inventory.of([Searched(system="store", looked_at=7, findings=findings)], KEPT)


def finding(name: str, system: str = "store") -> Finding:
    return Finding(system=system, kind="objects", name=name)


@pytest.mark.parametrize(
    ("found", "result"),
    [
        pytest.param((), "nothing-left", id="nothing"),
        pytest.param((finding("tenants/t-acme-abcd2345/"),), "nothing-left", id="what is kept on purpose"),
        pytest.param((finding("tenants/t-acme-abcd2345x/"),), "left-over", id="a longer name"),
        pytest.param((finding("exports/t-acme-abcd2345/"),), "left-over", id="another folder"),
        pytest.param((finding("tenants/t-acme-abcd2345/", "files"),), "left-over", id="the same name elsewhere"),
    ],
)
def test_only_what_is_kept_on_purpose_may_be_found(found: tuple[Finding, ...], result: str) -> None:
    verdict = inventory(*found)
    assert verdict.result == result
    assert {*verdict.left, *verdict.kept} == set(found)
    assert verdict.looked_at == {"store": 7}


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        pytest.param("state/other.json", "nothing here", False, id="another's file"),
        pytest.param("state/t-acme-abcd2345.json", "", True, id="a name, though empty"),
        pytest.param("state/acme.json.bak", "x" * 70_000 + "t_acme_abcd2345", True, id="a trace deep in a text"),
        pytest.param("abcd2345-left/other", "", True, id="a folder"),
    ],
)
def test_files_are_found_by_name_and_by_content(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: str, found: bool
) -> None:
    root = tmp_path_factory.mktemp("cell")
    path = root / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    searched = search_files(SUBJECT, root)
    assert bool(searched.findings) is found
    assert searched.looked_at == 1
