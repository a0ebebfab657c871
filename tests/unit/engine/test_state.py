"""Order, waves, sealing, the journal and the lock: what a stack's files rest on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.engine import Stack
from tenantry.engine.checkpoint import Recorded, ordered, read
from tenantry.engine.journal import Intent, Journal
from tenantry.engine.locking import hold
from tenantry.engine.properties import Secret, plain
from tenantry.engine.sealing import Sealer
from tenantry.engine.storage import StackFiles, write_atomically
from tenantry.engine.waves import levels
from tenantry.tenancy.errors import Locked, StateCorrupt

STATE = {"type": "cloud", "state": {"url": "hashivault://k", "encryptedkey": "w"}}
graphs = st.integers(1, 12).flatmap(
    lambda size: st.lists(st.sets(st.integers(0, size - 1), max_size=3), min_size=size, max_size=size).map(
        lambda rows: {str(i): {str(j) for j in row if j < i} for i, row in enumerate(rows)}
    )
)


@pytest.fixture
def files(tmp_path: Path) -> StackFiles:
    return StackFiles(Stack(project="p", name="s", backend=tmp_path, secrets_provider="hashivault://k"))


@given(graphs, st.data())
def test_whatever_acts_comes_in_a_later_wave_than_what_it_needs(
    graph: dict[str, set[str]], data: st.DataObject
) -> None:
    acting = data.draw(st.sets(st.sampled_from(sorted(graph))))
    found = levels(graph, acting)
    for name, references in graph.items():
        for reference in references:
            assert found[name] >= found[reference] + (reference in acting)


@given(graphs, st.randoms())
def test_resources_are_written_after_what_they_refer_to(graph: dict[str, set[str]], random: st.DataObject) -> None:
    given_order = sorted(graph)
    random.shuffle(given_order)  # type: ignore[attr-defined]
    written = ordered(Recorded({"urn": name, "dependencies": sorted(graph[name])}) for name in given_order)
    seen: set[str] = set()
    for one in written:
        assert set(one.references) <= seen
        seen.add(one.urn)
    assert seen == graph.keys()


def test_a_circle_is_refused() -> None:
    circle = [Recorded({"urn": "a", "dependencies": ["b"]}), Recorded({"urn": "b", "dependencies": ["a"]})]
    with pytest.raises(StateCorrupt, match="circle"):
        ordered(circle)


def test_an_unchanged_secret_keeps_its_ciphertext_and_a_changed_one_does_not() -> None:
    sealer = Sealer(b"k" * 32, STATE)
    first = sealer.seal({"a": Secret("hush"), "b": 1})
    assert "hush" not in json.dumps(first)
    assert sealer.seal({"a": Secret("hush"), "b": 1}, first) == first
    assert sealer.seal({"a": Secret("louder"), "b": 1}, first) != first
    assert plain(sealer.open(first)) == {"a": "hush", "b": 1}


def test_a_secret_of_another_key_is_refused() -> None:
    sealed = Sealer(b"k" * 32, STATE).seal(Secret("hush"))
    with pytest.raises(StateCorrupt):
        Sealer(b"x" * 32, STATE).open(sealed)


def test_a_journal_line_cut_short_hides_no_other(files: StackFiles) -> None:
    journal = Journal(files.journal)
    journal.add([Intent(op="create", state={"urn": "a"})])
    with files.journal.open("a") as file:
        file.write('{"op": "create", "sta')
    journal.add([Intent(op="delete", state={"urn": "b"})])
    assert [(one.op, one.state["urn"]) for one in journal.read()] == [("create", "a"), ("delete", "b")]
    journal.clear()
    assert journal.read() == ()


def test_files_are_private_and_whole(files: StackFiles) -> None:
    write_atomically(files.checkpoint, b"one")
    write_atomically(files.checkpoint, b"two")
    assert files.checkpoint.read_bytes() == b"two"
    assert files.checkpoint.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in files.checkpoint.parent.iterdir()] == ["s.json"]


def test_a_stack_is_held_once(files: StackFiles) -> None:
    with hold(files), pytest.raises(Locked), hold(files):
        pass
    with hold(files):
        assert len(list(files.locks.iterdir())) == 1
        write_atomically(files.checkpoint, b"{}")
    assert list(files.locks.iterdir()) == []


def test_a_lock_that_a_killed_run_left_half_written_keeps_no_folder(files: StackFiles) -> None:
    files.locks.mkdir(parents=True)
    (files.locks / ".981c0962-b5e3-4e18-8f25-ff002fda70d8.json.0baeb6f2").write_bytes(b"{")
    with hold(files):
        assert len(list(files.locks.iterdir())) == 1
    assert not files.locks.exists()


def test_a_stack_that_is_no_more_leaves_no_folder_of_locks(files: StackFiles) -> None:
    with hold(files):
        assert files.locks.exists()
    assert not files.locks.exists()


def test_the_lock_of_our_own_dead_run_is_removed(files: StackFiles) -> None:
    write_atomically(files.locks / "dead.json", b"{}")
    write_atomically(files.lock, json.dumps({"lock": "dead"}).encode())
    with hold(files):
        assert "dead.json" not in [path.name for path in files.locks.iterdir()]
    assert not files.locks.exists()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"version": 3, "checkp', id="cut short"),
        pytest.param('{"version": 9, "checkpoint": {}}', id="a version of the future"),
        pytest.param('{"version": 4, "features": ["magic"], "checkpoint": {}}', id="an unknown feature"),
        pytest.param("[]", id="not a checkpoint"),
        pytest.param(
            '{"version": 3, "checkpoint": {"latest": {"resources": [{"urn": "a", "type": "t", "parent": "b"}]}}}',
            id="a parent that does not exist",
        ),
    ],
)
def test_a_checkpoint_that_cannot_be_trusted_is_refused(files: StackFiles, text: str) -> None:
    write_atomically(files.checkpoint, text.encode())
    with pytest.raises(StateCorrupt) as caught:
        read(files)
    assert caught.value.where == str(files.checkpoint)
