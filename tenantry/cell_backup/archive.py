"""The file of a cell's backup: a line of JSON, then a tar, compressed (zstandard) and sealed (Tink) as it is written.

The line says whose backup it is and when it was begun, and holds the data key, wrapped by the public key. It is bound
to what follows: a line that was changed, or bytes that were changed, cut off or moved, open nothing. Streams of unknown
length are rows of members.
"""

from __future__ import annotations

import base64
import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import tink
import zstandard
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError
from tink import hybrid, secret_key_access, streaming_aead

from tenantry.engine.storage import make_folder, storage_error, sync_folder
from tenantry.tenancy.errors import InvalidInput, StateCorrupt

__all__ = ["Archive", "Header", "Member", "members", "read_header", "writing"]

_FORMAT = "tenantry-cell-backup/1"
_CHUNK = 8 * 1024 * 1024
_LEVEL = 3
_LONGEST_LINE = 65_536
streaming_aead.register()


class Header(BaseModel):
    """What can be read without the key. begun_at: when it was begun; the moment that it is
    of is later, and stands in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    cell: str
    version: str
    begun_at: AwareDatetime
    wrapped_key: str

    def line(self) -> bytes:
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode() + b"\n"

    @property
    def binding(self) -> bytes:
        """What the data key is bound to, and the stream to all of the line."""
        return f"{self.format} {self.cell} {self.begun_at.isoformat()}".encode()


class Archive:
    """One being written."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o600
        self._tar.addfile(member, io.BytesIO(content))

    def add_stream(self, name: str, chunks: Iterable[bytes]) -> int:
        """As `name/00000000`, `name/00000001`, …; how many bytes it had."""
        buffer, number, total = bytearray(), 0, 0
        for chunk in chunks:
            buffer += chunk
            total += len(chunk)
            while len(buffer) >= _CHUNK:
                self.add(f"{name}/{number:08d}", bytes(memoryview(buffer)[:_CHUNK]))
                del buffer[:_CHUNK]
                number += 1
        self.add(f"{name}/{number:08d}", bytes(buffer))
        return total

    def add_tree(self, prefix: str, folder: Path, *, but: Iterable[str] = ()) -> None:
        """Regular files below a folder, as `prefix/<path>`. but: paths below it that are left out, with all in them."""
        left_out = set(but)
        for path in sorted(folder.rglob("*")):
            inner = path.relative_to(folder)
            hidden = any(part in left_out for part in (inner.as_posix(), *(one.as_posix() for one in inner.parents)))
            if not hidden and path.is_file() and not path.is_symlink():
                with suppress(FileNotFoundError):  # locks and temporary files come and go
                    self.add(f"{prefix}/{inner.as_posix()}", path.read_bytes())


@contextmanager
def writing(
    target: Path, public: hybrid.HybridEncrypt, *, cell: str, version: str, begun_at: datetime
) -> Iterator[Archive]:
    """Write within the block; the file has its name (and 0600) only when the block has ended well."""
    handle = tink.new_keyset_handle(streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB)
    header = Header(format=_FORMAT, cell=cell, version=version, begun_at=begun_at, wrapped_key="")
    key = tink.proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
    header = header.model_copy(update={"wrapped_key": base64.b64encode(public.encrypt(key, header.binding)).decode()})
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        make_folder(target.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(header.line())
            sealed = handle.primitive(streaming_aead.StreamingAead).new_encrypting_stream(_Kept(file), header.line())
            compressor: Any = zstandard.ZstdCompressor(level=_LEVEL).stream_writer(sealed, closefd=False)
            with tarfile.open(fileobj=compressor, mode="w|") as tar:
                yield Archive(tar)
            compressor.close()
            sealed.close()
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise storage_error(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_header(source: Path) -> Header:
    """Raises InvalidInput for a file that is no cell's backup."""
    with _reading(source) as file:
        return _header(file, source)


class Member:
    """name: as it was added; of a stream, its own without the number."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.content = content


def members(source: Path, private: hybrid.HybridDecrypt) -> Iterator[Member]:
    """Everything, in the order in which it was written, one member in memory at a time. Raises InvalidInput for the
    wrong key, StateCorrupt for a file that was altered or cut short: what was read before is then not to be used."""
    with _reading(source) as file:
        header = _header(file, source)
        try:
            key = private.decrypt(base64.b64decode(header.wrapped_key), header.binding)
            handle = tink.proto_keyset_format.parse(key, secret_key_access.TOKEN)
        except (tink.TinkError, ValueError):
            raise InvalidInput(
                "this key does not open the backup",
                source=str(source),
                hint="use the private key of the pair that sealed it",
            ) from None
        try:
            opened = handle.primitive(streaming_aead.StreamingAead).new_decrypting_stream(file, header.line())
            with (
                zstandard.ZstdDecompressor().stream_reader(opened) as plain,
                tarfile.open(fileobj=plain, mode="r|") as tar,
            ):
                for entry in tar:
                    content = tar.extractfile(entry) if entry.isreg() else None
                    if content is None or not _is_inside(entry.name):
                        raise StateCorrupt(
                            f"the backup holds {entry.name!r}, which no backup of ours does",
                            where=str(source),
                            hint="use another one; whoever has the public key can seal such a file",
                        )
                    yield Member(entry.name, content.read())
        except (tink.TinkError, zstandard.ZstdError, tarfile.TarError, EOFError) as error:
            raise StateCorrupt(
                f"the backup was altered or cut short ({type(error).__name__})",
                where=str(source),
                hint="use another one",
            ) from None


@contextmanager
def _reading(source: Path) -> Iterator[IO[bytes]]:
    try:
        with source.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise InvalidInput("there is no such file", source=str(source)) from None
    except OSError as error:
        raise storage_error(error, source) from error


def _is_inside(name: str) -> bool:
    """Whether a member's name stays below the folder that it is put into: whoever restores is root."""
    return all(part not in ("", ".", "..") for part in name.split("/")) and "\0" not in name


def _header(file: IO[bytes], source: Path) -> Header:
    try:
        header = Header.model_validate_json(file.readline(_LONGEST_LINE))
    except ValidationError:
        header = None
    if header is None or header.format != _FORMAT:
        raise InvalidInput(
            "this is not the backup of a cell", source=str(source), hint=f"it begins with a line of format {_FORMAT}"
        )
    return header


class _Kept(io.RawIOBase):
    """Passes on what is written and leaves the file open: a sealing stream closes what it writes to."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._file.write(data)
        return memoryview(data).nbytes
