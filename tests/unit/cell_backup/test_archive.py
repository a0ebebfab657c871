"""The sealed file: what went in comes out, in order; only the whole file and the right key open it."""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.cell_backup.archive import members, read_header, writing
from tenantry.cell_backup.keys import make_keys, read_private, read_public
from tenantry.tenancy.errors import InvalidInput, StateCorrupt

BEGUN = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(private, public)"""
    folder = tmp_path_factory.mktemp("keys")
    make_keys(folder / "private", folder / "public")
    return folder / "private", folder / "public"


def written(target: Path, public: Path, pieces: Iterable[bytes]) -> Path:
    with writing(target, read_public(public), cell="c", version="1", begun_at=BEGUN) as archive:
        archive.add("first", b"1")
        archive.add_stream("stream", pieces)
    return target


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=2000), max_size=5))
def test_what_went_in_comes_out(
    keys: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    file = written(tmp_path_factory.mktemp("backup") / "c.cell", keys[1], pieces)
    first, *stream = members(file, read_private(keys[0]))
    assert (first.name, first.content) == ("first", b"1")
    assert b"".join(one.content for one in stream) == b"".join(pieces)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_header(file).begun_at == BEGUN


def test_a_long_stream_is_a_row_of_members(keys: tuple[Path, Path], tmp_path: Path) -> None:
    file = written(tmp_path / "c.cell", keys[1], [bytes(5 * 1024 * 1024)] * 5)
    names = [one.name for one in members(file, read_private(keys[0]))]
    assert names == ["first", "stream/00000000", "stream/00000001", "stream/00000002", "stream/00000003"]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: text[:-1], id="the last byte is cut off"),
        pytest.param(lambda text: text[: text.index(b"\n") + 60], id="most of it is missing"),
        pytest.param(lambda text: text[:-20] + bytes([text[-20] ^ 1]) + text[-19:], id="one bit is another"),
        pytest.param(lambda text: text.replace(b'"version":"1"', b'"version":"2"', 1), id="its first line was edited"),
    ],
)
def test_a_file_that_was_altered_does_not_open(
    keys: tuple[Path, Path], tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    file = written(tmp_path / "c.cell", keys[1], [b"x" * 10_000])
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(StateCorrupt, match="altered or cut short"):
        list(members(file, read_private(keys[0])))


def test_another_key_does_not_open_it(keys: tuple[Path, Path], tmp_path: Path) -> None:
    make_keys(tmp_path / "private", tmp_path / "public")
    file = written(tmp_path / "c.cell", keys[1], [])
    with pytest.raises(InvalidInput, match="does not open"):
        list(members(file, read_private(tmp_path / "private")))


@pytest.mark.parametrize("text", [b"", b"{}\n", b"no backup\n" * 10_000], ids=["empty", "JSON of others", "no JSON"])
def test_another_file_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "file").write_bytes(text)
    with pytest.raises(InvalidInput, match="not the backup of a cell"):
        read_header(tmp_path / "file")


def test_a_private_key_does_not_seal_and_keys_are_never_overwritten(keys: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not the private key"):
        read_private(keys[1])
    with pytest.raises(InvalidInput, match="not the public key"):
        read_public(keys[0])
    with pytest.raises(InvalidInput, match="never overwritten"):
        make_keys(tmp_path / "private", keys[1])
    assert not (tmp_path / "private").exists()
    for key in keys:
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_backup_that_fails_leaves_no_file(keys: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "to"

    def fails() -> Iterator[bytes]:
        yield b"1"
        raise RuntimeError("down")

    with pytest.raises(RuntimeError, match="down"):
        written(folder / "c.cell", keys[1], fails())
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["/etc/passwd", "home/../../x", "parts//etc/x", "cell/./x", "", "home/"])
def test_a_name_that_leads_out_of_the_cell_is_refused(keys: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    file = tmp_path / "c.cell"
    with writing(file, read_public(keys[1]), cell="c", version="1", begun_at=BEGUN) as archive:
        archive.add(name, b"x")
    with pytest.raises(StateCorrupt, match="no backup of ours"):
        list(members(file, read_private(keys[0])))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_what_is_no_file_is_refused(
    keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes
) -> None:
    file = tmp_path / "c.cell"
    original = tarfile.TarInfo.__init__

    def other(self: tarfile.TarInfo, name: str = "") -> None:
        original(self, name)
        self.type, self.linkname = kind, "/etc/passwd"

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarInfo, "__init__", other)
        with writing(file, read_public(keys[1]), cell="c", version="1", begun_at=BEGUN) as archive:
            archive.add("home/x", b"")
    with pytest.raises(StateCorrupt, match="no backup of ours"):
        list(members(file, read_private(keys[0])))
