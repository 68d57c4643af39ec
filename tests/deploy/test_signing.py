"""Signatures of manifests: keys of OpenSSL, OpenSSH and minisign, and what minisign itself says of them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgenas.deploy.artefact import load_manifest, verify
from edgenas.deploy.signing import SIGNATURE, load_signatory, load_signer, read_signature
from edgenas.errors import UsageError

Make = Callable[..., Path]
Encoding, Private, Public = serialization.Encoding, serialization.PrivateFormat, serialization.PublicFormat
MINISIGN = shutil.which("minisign")


def keys(folder: Path, form: str, password: bytes | None = None) -> tuple[Path, Path]:
    """Paths of a new private key and of its public half."""
    made: Any = ec.generate_private_key(ec.SECP256R1()) if form == "ec" else Ed25519PrivateKey.generate()
    hidden: Any = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    private, public = folder / f"{form}.key", folder / f"{form}.pub"
    format_ = Private.OpenSSH if form == "ssh" else Private.PKCS8
    private.write_bytes(made.private_bytes(Encoding.PEM, format_, hidden))
    shown = (Encoding.OpenSSH, Public.OpenSSH) if form == "ssh" else (Encoding.PEM, Public.SubjectPublicKeyInfo)
    public.write_bytes(made.public_key().public_bytes(*shown))
    return private, public


@pytest.mark.parametrize("form", ["pem", "ssh"])
def test_a_signature_is_of_its_key_and_of_what_was_signed(form: str, tmp_path: Path) -> None:
    private, public = keys(tmp_path, form)
    text = load_signer(private).sign(b"a manifest", "by me")
    signatory = load_signatory(public)
    assert signatory.doubt(b"a manifest", text) is None
    assert "changed since" in str(signatory.doubt(b"another", text))
    assert "changed since" in str(signatory.doubt(b"a manifest", text.replace("by me", "by you")))
    _, other = keys(tmp_path, "pem")
    assert "not this key's" in str(load_signatory(other).doubt(b"a manifest", text))


def test_the_public_half_as_minisign_writes_it_is_a_key_as_well(tmp_path: Path) -> None:
    signer = load_signer(keys(tmp_path, "pem")[0])
    file = tmp_path / "mini.pub"
    file.write_text(f"untrusted comment: minisign public key\n{signer.public_key}\n")
    assert load_signatory(file).doubt(b"x", signer.sign(b"x", "c")) is None
    other = load_signer(keys(tmp_path, "ssh")[0])
    assert "it is of another key" in str(load_signatory(file).doubt(b"x", other.sign(b"x", "c")))


@pytest.mark.parametrize("text", ["", "a\nb\nc\nd\n", "untrusted comment: x\nRUQ=\ntrusted comment: x\nAAAA\n", "\x00\xff" * 40])
def test_what_is_no_signature_is_said_to_be_none(text: str, tmp_path: Path) -> None:
    signatory = load_signatory(keys(tmp_path, "pem")[1])
    assert "it is no minisign signature" in str(signatory.doubt(b"x", text))


def test_a_key_with_a_passphrase_is_refused_in_one_line(tmp_path: Path) -> None:
    private, _ = keys(tmp_path, "pem", b"secret")
    with pytest.raises(UsageError, match="protected by a passphrase"):
        load_signer(private)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed")
def test_so_is_one_of_openssh(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(tmp_path / "key")], check=True)
    with pytest.raises(UsageError, match="protected by a passphrase"):
        load_signer(tmp_path / "key")


def test_other_files_and_other_keys_are_refused(tmp_path: Path) -> None:
    private, public = keys(tmp_path, "ec")
    with pytest.raises(UsageError, match="of another kind"):
        load_signer(private)
    with pytest.raises(UsageError, match="of another kind"):
        load_signatory(public)
    with pytest.raises(UsageError, match="no public key"):
        load_signatory(private)
    with pytest.raises(UsageError, match="does not exist"):
        load_signer(tmp_path / "missing")
    with pytest.raises(UsageError, match="no private key"):
        load_signer(public)


@pytest.mark.skipif(MINISIGN is None, reason="minisign is not installed")
def test_minisign_reads_our_signatures_and_we_read_its_keys_and_signatures(tmp_path: Path) -> None:
    def minisign(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(MINISIGN), *arguments], capture_output=True, text=True, check=False, cwd=tmp_path, input="\n\n")

    data = tmp_path / "manifest.json"
    data.write_text("{}")
    signer = load_signer(keys(tmp_path, "ssh")[0])
    (tmp_path / SIGNATURE).write_text(signer.sign(b"{}", "by edgenas"))
    assert minisign("-V", "-P", signer.public_key, "-m", data.name).returncode == 0
    data.write_text("{ }")
    assert minisign("-V", "-P", signer.public_key, "-m", data.name).returncode != 0
    if minisign("-G", "-W", "-p", "mini.pub", "-s", "mini.key").returncode != 0:
        pytest.skip("this minisign makes no keys without a passphrase")
    assert load_signatory(tmp_path / "mini.pub").doubt(b"x", load_signer(tmp_path / "mini.key").sign(b"x", "c")) is None
    assert minisign("-S", "-s", "mini.key", "-m", data.name).returncode == 0
    text = read_signature(tmp_path)
    assert text is not None
    assert load_signatory(tmp_path / "mini.pub").doubt(b"{ }", text) is None


def test_an_artefact_is_signed_without_its_private_key_in_it(make_artefact: Make, tmp_path: Path) -> None:
    private, public = keys(tmp_path, "pem")
    folder = make_artefact(signer=load_signer(private))
    text = read_signature(folder)
    assert text is not None
    assert load_signatory(public).doubt((folder / "manifest.json").read_bytes(), text) is None
    assert {check.verdict for check in verify(folder)} == {"passed"}
    assert SIGNATURE not in {file.path for file in load_manifest(folder).support_files}
    secret = private.read_text().splitlines()[1]
    assert not any(secret.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_an_artefact_without_a_signature_has_none(make_artefact: Make) -> None:
    assert read_signature(make_artefact()) is None
