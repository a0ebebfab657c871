"""Where a release's journal lies: it holds others back while it is under way, and is remembered afterwards."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenantry.fleet.operations import Operations
from tenantry.fleet.releases import Releases
from tenantry.tenancy.errors import Locked, StateCorrupt
from tenantry.tenancy.release import KEPT, KIND, End, Release, Step, Version

NOW = datetime(2026, 11, 26, tzinfo=UTC)
ASKED = Release(
    name="acme",
    incarnation="abcd2345",
    namespace="t-acme-abcd2345",
    before=Version(release="1", template_version=1),
    after=Version(release="2", template_version=1),
    by="tests",
    requested_at=NOW,
)
UNDER_WAY = ASKED.beginning(Step.CHECK, NOW).with_done(Step.CHECK, NOW).beginning(Step.PAUSE, NOW)
ENDED = UNDER_WAY.turned_back("no").ended(End.ROLLED_BACK, NOW)


@pytest.mark.parametrize(
    ("release", "holds"),
    [
        pytest.param(ASKED, False, id="asked for"),
        pytest.param(UNDER_WAY, True, id="under way"),
        pytest.param(ENDED, False, id="ended"),
    ],
)
def test_only_what_is_under_way_holds_others_back(tmp_path: Path, release: Release, holds: bool) -> None:
    releases, operations = Releases(tmp_path), Operations(tmp_path, ASKED.namespace)
    for earlier in (ASKED, UNDER_WAY):
        releases.put(earlier)
    releases.put(release)
    assert releases.get(ASKED.namespace) == release
    assert (operations.get(KIND) is not None) is holds
    releases.close(release)
    assert releases.get(ASKED.namespace) is None


def test_a_kill_between_the_two_files_is_finished_by_the_next_call(tmp_path: Path) -> None:
    releases, operations = Releases(tmp_path), Operations(tmp_path, ASKED.namespace)
    operations.put(KIND, UNDER_WAY.model_dump(mode="json"))
    operations.put(KEPT, ENDED.model_dump(mode="json"))
    assert releases.get(ASKED.namespace) == UNDER_WAY
    releases.put(ENDED)
    assert releases.get(ASKED.namespace) == ENDED
    assert operations.get(KIND) is None


def test_a_damaged_journal_is_said_and_not_passed_over(tmp_path: Path) -> None:
    Operations(tmp_path, ASKED.namespace).put(KIND, {"name": "acme"})
    with pytest.raises(StateCorrupt, match="cannot be read"):
        Releases(tmp_path).get(ASKED.namespace)


def test_two_never_work_on_one_release(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    with releases.exclusive("acme"), releases.exclusive("globex"), pytest.raises(Locked), releases.exclusive("acme"):
        pass
