"""The records of a cell's tenants, which several processes read and replace."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenantry.fleet.registry import Record, Registry
from tenantry.tenancy.errors import Conflict, StateCorrupt


def _record(name: str, **changes: object) -> Record:
    fields: Mapping[str, object] = {
        "name": name,
        "incarnation": "abcd2345",
        "managed_by": "cli",
        "created_at": datetime(2026, 11, 26, tzinfo=UTC),
        "source": "tests",
        "manifest": "",
        "hosts": (f"{name}.example.com",),
        "release": "1",
        "template_version": 1,
        "environment": "test",
        "plan": "starter",
        "namespace": f"t-{name}-abcd2345",
    }
    return Record.model_validate({**fields, **changes})


def test_what_another_process_wrote_replaced_and_removed_is_seen(tmp_path: Path) -> None:
    ours, theirs = Registry(tmp_path / "tenants"), Registry(tmp_path / "tenants")
    assert ours.all() == ()
    for name in ("b", "a"):
        theirs.claim(_record(name))
    assert [one.name for one in ours.all()] == ["a", "b"]
    theirs.claim(_record("a", plan="growth"))
    assert [one.plan for one in ours.all()] == ["growth", "starter"]
    theirs.forget("b")
    assert [one.name for one in ours.all()] == ["a"]
    assert ours.get("b") is None


def test_a_host_belongs_to_one_tenant(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.claim(_record("a"))
    assert registry.taken_hosts() == {"a.example.com": "a"}
    with pytest.raises(Conflict, match="belongs to tenant a"):
        registry.claim(_record("b", hosts=("a.example.com",)))
    registry.claim(_record("a", plan="growth"))


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.claim(_record("a"))
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(StateCorrupt, match="the record of tenant a"):
        registry.all()
