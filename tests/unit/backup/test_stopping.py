"""What is asked to stop ends between two pieces."""

from __future__ import annotations

import io

import pytest

from tenantry.backup.stopping import StoppableSink, StoppableSource, Stopped


def test_writing_ends_with_the_piece_after_the_wish() -> None:
    target, wish = io.BytesIO(), [False]
    sink = StoppableSink(target, lambda: wish[0])
    assert sink.write(b"one") == 3
    wish[0] = True
    with pytest.raises(Stopped):
        sink.write(b"two")
    assert target.getvalue() == b"one"


def test_reading_ends_with_the_piece_after_the_wish() -> None:
    wish = [False]
    source = StoppableSource(io.BytesIO(b"onetwo"), lambda: wish[0])
    assert source.read(3) == b"one"
    wish[0] = True
    with pytest.raises(Stopped):
        source.read(3)
