"""A stream of ciphertext as a row of objects of one size, written and read with one segment in memory."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from tenantry.backup.manifest import Part, Segment
from tenantry.backup.store import Store
from tenantry.tenancy.errors import StateCorrupt

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["SEGMENT_BYTES", "SegmentReader", "SegmentWriter", "check_segment", "segment_name"]

SEGMENT_BYTES = 16 * 1024 * 1024
"""Large enough to keep requests few, small enough to hold two in the memory of the smallest job."""


def segment_name(identifier: str, part: str, index: int) -> str:
    return f"{identifier}/{part}/{index:08d}"


def check_segment(store: Store, identifier: str, part: Part, index: int) -> bytes:
    """The segment's bytes. Raises StateCorrupt naming the object when it is absent, cut short or altered."""
    name = segment_name(identifier, part.name, index)
    data = store.get(name)
    if data is None:
        fault = "is missing"
    elif len(data) != part.segments[index].size:
        fault = f"has {len(data)} bytes instead of {part.segments[index].size}"
    elif hashlib.sha256(data).hexdigest() != part.segments[index].sha256:
        fault = "was altered: its checksum is not the manifest's"
    else:
        return data
    raise StateCorrupt(
        f"object {name} {fault}", where=store.where(name), hint="use another backup: `tenantry-backup list`"
    )


class SegmentWriter(io.RawIOBase):
    """Takes ciphertext, puts segments. After `abort` it swallows what an encrypting stream still flushes.

    failure: the error that a put ended with; kept because the encrypting stream reports errors as text only.
    """

    def __init__(self, store: Store, identifier: str, part: str) -> None:
        super().__init__()
        self._store = store
        self._identifier = identifier
        self._part = part
        self._buffer = bytearray()
        self._whole = hashlib.sha256()
        self._aborted = False
        self.failure: Exception | None = None
        self.segments: list[Segment] = []

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments)

    @property
    def sha256(self) -> str:
        return self._whole.hexdigest()

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        if not self._aborted:
            self._buffer += view
            while len(self._buffer) >= SEGMENT_BYTES:
                self._put(SEGMENT_BYTES)
        return len(view)

    def abort(self) -> None:
        self._aborted = True
        self._buffer.clear()

    def close(self) -> None:
        if not self.closed and not self._aborted and (self._buffer or not self.segments):
            self._put(len(self._buffer))
        super().close()

    def _put(self, size: int) -> None:
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        try:
            self._store.put(segment_name(self._identifier, self._part, len(self.segments)), data)
        except Exception as error:
            self.failure = error
            raise
        self._whole.update(data)
        self.segments.append(Segment(size=size, sha256=hashlib.sha256(data).hexdigest()))


class SegmentReader(io.RawIOBase):
    """The ciphertext of a part, each segment checked before a byte of it is handed out."""

    def __init__(self, store: Store, identifier: str, part: Part) -> None:
        super().__init__()
        self._store = store
        self._identifier = identifier
        self._part = part
        self._next = 0
        self._left = memoryview(b"")
        self.failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while not self._left and self._next < len(self._part.segments):
            self._left = memoryview(b"")  # the segment before goes before the next one comes
            try:
                self._left = memoryview(check_segment(self._store, self._identifier, self._part, self._next))
            except Exception as error:
                self.failure = error
                raise
            self._next += 1
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._left))
        target[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
