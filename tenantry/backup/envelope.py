"""The envelope: zstandard, then streaming authenticated encryption (Tink) under a data key of the part's own.

The data key leaves the process only wrapped by the tenant's transit key. Ciphertext is authenticated in order and
to its end, so a cut or reordered stream does not open; it is bound to tenant, backup and part.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal

import tink
import zstandard
from tink import secret_key_access, streaming_aead

from tenantry.backup.manifest import Manifest, Part, binding
from tenantry.backup.openbao import OpenBao
from tenantry.backup.segments import SegmentReader, SegmentWriter
from tenantry.backup.store import Store
from tenantry.tenancy.errors import StateCorrupt

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Envelope", "Sink", "opened", "part_of"]

_LEVEL = 3
streaming_aead.register()


class Sink(io.RawIOBase):
    """Where a part's plain bytes go; counts them."""

    def __init__(self, target: Any) -> None:
        super().__init__()
        self._target = target
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        count = memoryview(data).nbytes
        self._target.write(data)
        self.size += count
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One part being written; `sink` takes its plain bytes."""

    name: str
    sink: Sink
    writer: SegmentWriter
    wrapped_key: str

    def part(self, kind: Literal["database", "media", "secrets"]) -> Part:
        """The entry in the manifest; only after the block of `part_of`, when all is stored."""
        return Part(
            name=self.name,
            kind=kind,
            size=self.writer.size,
            sha256=self.writer.sha256,
            plain_size=self.sink.size,
            wrapped_key=self.wrapped_key,
            key_version=int(self.wrapped_key.split(":")[1].removeprefix("v")),
            segments=tuple(self.writer.segments),
        )


@contextmanager
def part_of(
    *, store: Store, openbao: OpenBao, namespace: str, incarnation: str, identifier: str, name: str
) -> Iterator[Envelope]:
    """Write a part within the block. When the block fails, its error goes on and no further object is written."""
    context = binding(namespace=namespace, incarnation=incarnation, identifier=identifier, part=name)
    handle = tink.new_keyset_handle(streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB)
    key = tink.proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
    wrapped = openbao.wrap(key, context=context)
    writer = SegmentWriter(store, identifier, name)
    ciphertext = handle.primitive(streaming_aead.StreamingAead).new_encrypting_stream(writer, context)
    compressor: Any = zstandard.ZstdCompressor(level=_LEVEL).stream_writer(ciphertext, closefd=False)
    envelope = Envelope(name=name, sink=Sink(compressor), writer=writer, wrapped_key=wrapped)
    try:
        yield envelope
        compressor.close()
        ciphertext.close()
    except BaseException as error:
        writer.abort()
        with suppress(tink.TinkError, ValueError):
            ciphertext.close()
        if isinstance(error, tink.TinkError) and writer.failure is not None:
            raise writer.failure from None
        raise


@contextmanager
def opened(manifest: Manifest, part: Part, *, store: Store, openbao: OpenBao) -> Iterator[IO[bytes]]:
    """The part's plain bytes. Raises KeyDestroyed, or StateCorrupt for what does not open, also within the block."""
    context = manifest.context(part.name)
    key = openbao.unwrap(part.wrapped_key, context=context)
    handle = tink.proto_keyset_format.parse(key, secret_key_access.TOKEN)
    reader = SegmentReader(store, manifest.id, part)
    try:
        ciphertext = handle.primitive(streaming_aead.StreamingAead).new_decrypting_stream(reader, context)
        with zstandard.ZstdDecompressor().stream_reader(ciphertext) as plain:
            yield plain
    except (tink.TinkError, zstandard.ZstdError):
        if reader.failure is not None:
            raise reader.failure from None
        raise StateCorrupt(
            f"part {part.name} of backup {manifest.id} does not open with its data key",
            where=store.where(manifest.id),
            hint="it was altered together with its manifest; use another backup",
        ) from None
