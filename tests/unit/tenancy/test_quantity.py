"""Quantities are read strictly, and a slip is answered with the right spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from tenantry.tenancy.quantity import cpu_text, mebibytes_text, parse_cpu, parse_mebibytes


@given(st.integers(1, 999_999))
def test_what_is_written_is_read_back(amount: int) -> None:
    assert parse_cpu(cpu_text(amount)) == amount
    assert parse_mebibytes(mebibytes_text(amount)) == amount


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        pytest.param("512MB", "write 512Mi", id="decimal unit"),
        pytest.param("2G", "write 2Gi", id="one letter"),
        pytest.param("2gb", "write 2Gi", id="small letters"),
        pytest.param(512, "the unit is missing: write 512Mi or 512Gi", id="no unit"),
        pytest.param("0.5Gi", "write a whole number with Mi, Gi or Ti, such as 512Mi", id="fraction"),
        pytest.param("-1Mi", "write a whole number with Mi, Gi or Ti, such as 512Mi", id="negative"),
        pytest.param(True, "write a whole number with Mi, Gi or Ti, such as 512Mi", id="truth value"),
    ],
)
def test_a_wrong_size_is_refused_with_the_right_one(text: object, hint: str) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        parse_mebibytes(text)
    assert caught.value.context is not None
    assert caught.value.context["hint"] == hint


@pytest.mark.parametrize(
    ("given_", "hint"), [(0.5, "write 500m"), ("1.5", None), ("250M", None), (True, None), (0, None)]
)
def test_a_wrong_cpu_amount_is_refused(given_: object, hint: str | None) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        parse_cpu(given_)
    assert caught.value.context is not None
    assert caught.value.context["hint"] == (hint or "write milli-cores such as 250m, or whole cores such as 2")
