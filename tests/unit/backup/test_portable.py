"""Key ids and definers leave a dump, wherever its pieces are cut; everything else passes unchanged."""

from __future__ import annotations

import hashlib
import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.backup.portable import PortableDump

_DUMP = b"""/*M!999999\\- enable the sandbox mode */
CREATE TABLE `a` (
  `id` int(11) NOT NULL COMMENT ') `ENCRYPTION_KEY_ID`=1',
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='it''s `ENCRYPTED`=YES \\' x' `ENCRYPTED`=YES `ENCRYPTION_KEY_ID`=17;
INSERT INTO `a` VALUES (1,') ENGINE=InnoDB `ENCRYPTION_KEY_ID`=5 CREATE DEFINER=`x`@`%` \\n');
) ENGINE=InnoDB `ENCRYPTION_KEY_ID`=5
CREATE TABLE `b` (`id` int(11)
) ENGINE=InnoDB ENCRYPTION_KEY_ID=3
/*!50100 PARTITION BY HASH (`id`) */;
/*!50003 CREATE*/ /*!50017 DEFINER=`t-1-a`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON a
FOR EACH ROW SET @d = 'DEFINER=`z`@`%`' */;;
/*!50013 DEFINER=`we``ird`@`%` SQL SECURITY DEFINER */
/*!50106 CREATE*/ /*!50117 DEFINER=`t-1-a`@`%`*/ /*!50106 EVENT e DO SELECT 1 */ ;;
CREATE DEFINER=`t-1-a`@`%` PROCEDURE `p`()
"""
_WANTED = b"""/*M!999999\\- enable the sandbox mode */
CREATE TABLE `a` (
  `id` int(11) NOT NULL COMMENT ') `ENCRYPTION_KEY_ID`=1',
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='it''s `ENCRYPTED`=YES \\' x';
INSERT INTO `a` VALUES (1,') ENGINE=InnoDB `ENCRYPTION_KEY_ID`=5 CREATE DEFINER=`x`@`%` \\n');
) ENGINE=InnoDB `ENCRYPTION_KEY_ID`=5
CREATE TABLE `b` (`id` int(11)
) ENGINE=InnoDB
/*!50100 PARTITION BY HASH (`id`) */;
/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER t BEFORE INSERT ON a
FOR EACH ROW SET @d = 'DEFINER=`z`@`%`' */;;
/*!50013 SQL SECURITY DEFINER */
/*!50106 CREATE*/ /*!50117 */ /*!50106 EVENT e DO SELECT 1 */ ;;
CREATE PROCEDURE `p`()
"""


def _through(dump: bytes, cuts: list[int]) -> bytes:
    target = io.BytesIO()
    portable = PortableDump(target)
    edges = [0, *sorted(cuts), len(dump)]
    for start, end in itertools.pairwise(edges):
        portable.write(dump[start:end])
    portable.finish()
    return target.getvalue()


@given(st.lists(st.integers(min_value=0, max_value=len(_DUMP)), max_size=30))
def test_pieces_may_be_cut_anywhere(cuts: list[int]) -> None:
    assert _through(_DUMP, cuts) == _WANTED


def test_one_byte_at_a_time() -> None:
    assert _through(_DUMP, list(range(len(_DUMP)))) == _WANTED


@given(st.binary(max_size=400), st.lists(st.integers(min_value=0, max_value=400), max_size=8))
def test_what_is_no_statement_of_ours_passes_unchanged(data: bytes, cuts: list[int]) -> None:
    dump = b"INSERT INTO `a` VALUES (" + data.replace(b"\n", b"\\n") + b");\n"
    assert _through(dump, [min(cut, len(dump)) for cut in cuts]) == dump


@pytest.mark.parametrize("size", [1_000, 5_000_000])
def test_a_long_row_is_passed_on_piece_by_piece(size: int) -> None:
    target = io.BytesIO()
    portable = PortableDump(target)
    portable.write(b"INSERT INTO `a` VALUES ('" + b"x" * size)
    assert len(target.getvalue()) == len("INSERT INTO `a` VALUES ('") + size  # nothing waits for the line's end


_COUNTED = b"""-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)
CREATE TABLE `a` (
  `id` int(11) NOT NULL
) ENGINE=InnoDB;
INSERT INTO `a` VALUES
(1,'x\\n(2,'),
(2,NULL);
INSERT INTO `a` VALUES
(3,'(');
CREATE TABLE `b``c` (
  `id` int(11) NOT NULL
) ENGINE=InnoDB;
/*!50003 TRIGGER t BEFORE INSERT ON a FOR EACH ROW
(no row) */;;
"""


@given(st.lists(st.integers(min_value=0, max_value=len(_COUNTED)), max_size=30))
def test_rows_are_counted_and_digested_wherever_the_pieces_are_cut(cuts: list[int]) -> None:
    portable = PortableDump(io.BytesIO())
    edges = [0, *sorted(cuts), len(_COUNTED)]
    for start, end in itertools.pairwise(edges):
        portable.write(_COUNTED[start:end])
    portable.finish()
    content = portable.content
    assert content.program == "Distrib 10.11.19-MariaDB"
    assert [(table.name, table.rows) for table in content.tables] == [("a", 3), ("b`c", 0)]
    rows = b"(1,'x\\n(2,'),\n(2,NULL);\n(3,'(');\n"
    assert content.tables[0].sha256 == hashlib.sha256(rows).hexdigest()
