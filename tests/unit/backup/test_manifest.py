"""Manifests that are read back, and those that are refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tenantry.backup.manifest import Content, Manifest, Part, Segment, Table
from tenantry.tenancy.errors import StateCorrupt

_SUM = "0" * 64
_MANIFEST = Manifest(
    id="20261124T010203Z-0a1b2c3d",
    namespace="t-1",
    incarnation="i1",
    database_schema="t_1",
    release="7.0.1",
    started_at=datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC),
    finished_at=datetime(2026, 11, 24, 1, 3, 3, tzinfo=UTC),
    transit_key="transit/t-1",
    parts=(
        Part(
            name="database",
            kind="database",
            size=5,
            sha256=_SUM,
            plain_size=9,
            wrapped_key="vault:v3:abc",
            key_version=3,
            segments=(Segment(size=3, sha256=_SUM), Segment(size=2, sha256=_SUM)),
        ),
    ),
)


def test_it_reads_what_it_wrote() -> None:
    text = _MANIFEST.text()
    assert Manifest.parse(text, where="here") == _MANIFEST
    assert {"schema", "startedAt", "transitKey"} <= set(json.loads(text))


def test_parts_and_backups_are_bound_apart() -> None:
    other = _MANIFEST.model_copy(update={"id": "20261124T010203Z-0a1b2c3e"})
    assert len({_MANIFEST.context("database"), _MANIFEST.context("secrets"), other.context("database")}) == 3


def _with(change: dict[str, Any], part: dict[str, Any]) -> bytes:
    document = json.loads(_MANIFEST.text()) | change
    if part:
        document["parts"][0] |= part
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(_MANIFEST.text()[:-20], id="cut short"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(_with({"version": 2}, {}), id="of a later version"),
        pytest.param(_with({"id": "../../etc"}, {}), id="id that is a path"),
        pytest.param(_with({"extra": 1}, {}), id="unknown field"),
        pytest.param(_with({"parts": []}, {}), id="no parts"),
        pytest.param(_with({}, {"name": "../x"}), id="part that is a path"),
        pytest.param(_with({}, {"size": 6}), id="sizes that do not add up"),
        pytest.param(_with({}, {"wrappedKey": "plain"}), id="key that is not wrapped"),
        pytest.param(_with({}, {"kind": "media"}), id="name and kind that disagree"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_place(text: bytes) -> None:
    with pytest.raises(StateCorrupt) as caught:
        Manifest.parse(text, where="bucket/x")
    assert caught.value.where == "bucket/x"


def _content(program: str = "p", **tables: tuple[int, str]) -> Content:
    return Content(
        program=program,
        tables=tuple(Table(name=name, rows=rows, sha256=digit * 64) for name, (rows, digit) in tables.items()),
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param(_content(a=(1, "0")), (), id="the same"),
        pytest.param(_content(), ("table a is missing",), id="a table is missing"),
        pytest.param(_content(a=(1, "0"), b=(0, "0")), ("table b is too many",), id="a table is too many"),
        pytest.param(_content(a=(2, "0")), ("table a has 2 rows instead of 1",), id="another number of rows"),
        pytest.param(_content(a=(1, "1")), ("table a has other rows",), id="as many, but others"),
        pytest.param(_content("q", a=(1, "1")), (), id="dumped by another program, which digests cannot compare"),
    ],
)
def test_what_came_back_is_compared_with_what_was_dumped(found: Content, said: tuple[str, ...]) -> None:
    assert _content(a=(1, "0")).differences(found) == said
