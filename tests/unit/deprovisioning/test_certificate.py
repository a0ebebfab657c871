"""Certificates: one text for one content, and no other content under its signature."""

from __future__ import annotations

import base64
import copy
import hashlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tenantry.deprovisioning.certificate import (
    Certificate,
    Signature,
    canonical,
    check_certificate,
    public_keys,
    publish,
)
from tenantry.tenancy.errors import InvalidInput, StateCorrupt

KEY = Ed25519PrivateKey.generate()
PAYLOAD: dict[str, Any] = {"tenant": "acme", "keysDestroyed": [{"name": "transit/t-acme"}], "found": {"tables": 3}}

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def certified(payload: dict[str, Any]) -> Certificate:
    public = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    value = base64.b64encode(KEY.sign(canonical(payload))).decode()
    return Certificate(payload=payload, signature=Signature(key=hashlib.sha256(public).hexdigest()[:32], value=value))


def check(certificate: Certificate) -> None:
    check_certificate(certificate, (KEY.public_key(),), source="file")


def test_the_text_has_sorted_keys_no_spaces_and_plain_characters() -> None:
    assert canonical({"b": [1, None], "a": "é"}) == '{"a":"é","b":[1,null]}'.encode()


@given(payload=st.dictionaries(st.text(), documents, max_size=4))
def test_a_certificate_still_verifies_after_it_went_through_a_file(payload: dict[str, Any]) -> None:
    found = Certificate.parse(certified(payload).model_dump_json(), source="file")
    check(found)
    assert found.digest == hashlib.sha256(canonical(payload)).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: body.update(tenant="other"), id="another tenant"),
        pytest.param(lambda body: body["keysDestroyed"].clear(), id="a key less"),
        pytest.param(lambda body: body["found"].update(tables=0), id="another number"),
        pytest.param(lambda body: body.update(more=1), id="a field more"),
    ],
)
def test_no_changed_text_verifies(change: Any) -> None:
    good = certified(PAYLOAD)
    changed = copy.deepcopy(PAYLOAD)
    change(changed)
    with pytest.raises(StateCorrupt, match="does not fit"):
        check(good.model_copy(update={"payload": changed}))


@pytest.mark.parametrize("value", ["", "AAAA", "not base64!"])
def test_a_broken_signature_is_refused(value: str) -> None:
    good = certified(PAYLOAD)
    with pytest.raises(StateCorrupt):
        check(good.model_copy(update={"signature": good.signature.model_copy(update={"value": value})}))


def test_another_cells_key_does_not_verify_it() -> None:
    with pytest.raises(InvalidInput, match="no public key here"):
        check_certificate(certified(PAYLOAD), (Ed25519PrivateKey.generate().public_key(),), source="file")


def test_fractions_are_refused_because_they_have_several_texts() -> None:
    with pytest.raises(ValueError, match="fractions"):
        canonical({"a": [{"b": 0.5}]})


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"kind": "DeprovisionCertificate"}', "\x00"])
def test_what_is_no_certificate_is_said_to_be_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a deprovision certificate"):
        Certificate.parse(text, source="file")


def test_published_keys_are_read_back_from_the_folder_and_from_a_file(tmp_path: Path) -> None:
    path = publish(tmp_path, KEY.public_key())
    for place in (tmp_path, path):
        check_certificate(certified(PAYLOAD), public_keys(place), source="file")


def test_a_file_that_is_no_ed25519_key_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "key.pem"
    other.write_text("hello")
    with pytest.raises(InvalidInput, match="no public key"):
        public_keys(other)
    key = generate_private_key(SECP256R1()).public_key()
    other.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(InvalidInput, match="another kind"):
        public_keys(other)
