"""A signature of an artefact's manifest, in minisign's format: whose hand it is from, where its hash only says that it is whole.

The manifest names every other file with its hash, so its signature is one of all. `minisign -V` reads it as `edgenas verify` does
(https://jedisct1.github.io/minisign: Ed25519 of the BLAKE2b hash of the file, and once more of signature and trusted comment). Keys
are those of OpenSSL and OpenSSH, or minisign's own; a private key is read, used, and written nowhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenas.errors import ArtefactError, MissingBackendError, UsageError
from edgenas.runs.outside import OutsideError, read_regular

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "manifest.json.minisig"
MAX_BYTES = 64 << 10  # of a key, or a signature
_HASHED, _PURE, _UNENCRYPTED = b"ED", b"Ed", b"\0\0"
_SECRET = "untrusted comment: minisign"  # how a secret key of minisign begins, after which "encrypted" may follow
_KINDS = "an Ed25519 key as OpenSSL (PEM), OpenSSH or minisign write it"


@dataclass(frozen=True, slots=True, eq=False)
class Signer:
    """A private key.

    Attributes:
        key_id: eight bytes that a signature names its key by.
    """

    key: Ed25519PrivateKey
    key_id: bytes

    @property
    def public_key(self) -> str:
        """The public half, as ``minisign -P`` and ``verify --public-key`` take it."""
        return base64.b64encode(_PURE + self.key_id + self.key.public_key().public_bytes_raw()).decode()

    def sign(self, data: bytes, comment: str) -> str:
        """The text of a signature file.

        Args:
            data: what is signed.
            comment: one line that is signed with it.
        """
        signature = self.key.sign(hashlib.blake2b(data).digest())
        whole = self.key.sign(signature + comment.encode())
        lines = (
            f"untrusted comment: signature from edgenas, key {shown(self.key_id)}",
            base64.b64encode(_HASHED + self.key_id + signature).decode(),
            f"trusted comment: {comment}",
            base64.b64encode(whole).decode(),
        )
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True, eq=False)
class Signatory:
    """A public key; ``key_id`` is None where its file names none."""

    key: Ed25519PublicKey
    key_id: bytes | None

    def doubt(self, data: bytes, text: str) -> str | None:
        """Why a signature file is none of this key for some data; None where it is.

        Args:
            data: what was signed.
            text: of the signature file.
        """
        from cryptography.exceptions import InvalidSignature

        try:
            signed = _signature_in(text)
        except ValueError as error:
            return f"it is no minisign signature: {error}"
        message = hashlib.blake2b(data).digest() if signed.is_hashed else data
        try:
            self.key.verify(signed.signature, message)
            self.key.verify(signed.whole, signed.signature + signed.comment.encode())
        except InvalidSignature:
            if self.key_id not in (None, signed.key_id):
                return f"it is of another key, {shown(signed.key_id)}; this one is {shown(self.key_id or b'')}"
            return "it is not this key's, or what was signed was changed since"
        return None


@dataclass(frozen=True, slots=True)
class _Signature:
    is_hashed: bool
    key_id: bytes
    signature: bytes
    comment: str
    whole: bytes


def load_signer(path: Path) -> Signer:
    """A private key.

    Raises:
        UsageError: if the file holds none that is not protected by a passphrase.
        MissingBackendError: without the package that signs.
    """
    _require_package()
    text = _text_of(path, "private")
    if text.startswith(_SECRET):
        return _minisign_signer(path, text)
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    is_ssh = "BEGIN OPENSSH PRIVATE KEY" in text
    load: Any = serialization.load_ssh_private_key if is_ssh else serialization.load_pem_private_key
    try:
        key = load(text.encode(), password=None)
    except TypeError as error:  # how both say that a passphrase is missing
        raise _protected(path) from error
    except Exception as error:  # whatever a damaged key makes of the parsers
        raise UsageError(f"{path} is no private key that edgenas signs with: it takes {_KINDS}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is a private key of another kind: edgenas takes {_KINDS}")
    return Signer(key, _own_id(key.public_key()))


def load_signatory(path: Path) -> Signatory:
    """A public key.

    Raises:
        UsageError: if the file holds none.
        MissingBackendError: without the package that checks signatures.
    """
    _require_package()
    text = _text_of(path, "public")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        if "BEGIN PUBLIC KEY" in text:
            key: Any = serialization.load_pem_public_key(text.encode())
        elif text.startswith(("ssh-", "ecdsa-")):
            key = serialization.load_ssh_public_key(text.encode())
        else:
            packed = _decoded(text.strip().splitlines()[-1], 42)
            if packed[:2] != _PURE:
                raise ValueError("of another kind")
            return Signatory(Ed25519PublicKey.from_public_bytes(packed[10:]), packed[2:10])
    except Exception as error:  # whatever a damaged key makes of the parsers
        raise UsageError(f"{path} is no public key that edgenas checks with: it takes {_KINDS}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path} is a public key of another kind: edgenas takes {_KINDS}")
    return Signatory(key, None)


def read_signature(folder: Path) -> str | None:
    """The signature of an artefact folder's manifest; None where there is none.

    Raises:
        ArtefactError: if it cannot be read.
    """
    path = folder / SIGNATURE
    if not path.exists() and not path.is_symlink():
        return None
    try:
        return read_regular(path, MAX_BYTES).decode("utf-8", errors="replace")
    except OutsideError as error:
        raise ArtefactError(f"{path} {error}") from error


def shown(key_id: bytes) -> str:
    """A key's number as minisign writes it."""
    return f"{int.from_bytes(key_id, 'little'):016X}"


def _minisign_signer(path: Path, text: str) -> Signer:
    """A secret key of minisign that was made without a passphrase (``minisign -GW``)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        packed = _decoded(text.strip().splitlines()[-1], 158)
    except (ValueError, IndexError) as error:
        raise UsageError(f"{path} is no private key that edgenas signs with: it takes {_KINDS}") from error
    if packed[2:4] != _UNENCRYPTED:
        raise _protected(path)
    return Signer(Ed25519PrivateKey.from_private_bytes(packed[62:94]), packed[54:62])


def _signature_in(text: str) -> _Signature:
    """What a signature file says.

    Raises:
        ValueError: what is wrong with it.
    """
    lines = text.splitlines()
    if len(lines) != 4 or not lines[2].startswith("trusted comment: "):
        raise ValueError("it has not the four lines of one")
    packed = _decoded(lines[1], 74)
    if packed[:2] not in (_HASHED, _PURE):
        raise ValueError(f"its algorithm is {packed[:2]!r}")
    comment = lines[2].removeprefix("trusted comment: ")
    return _Signature(packed[:2] == _HASHED, packed[2:10], packed[10:], comment, _decoded(lines[3], 64))


def _decoded(line: str, size: int) -> bytes:
    """Bytes of base64.

    Raises:
        ValueError: if it is none, or of another size.
    """
    try:
        packed = base64.b64decode(line.strip(), validate=True)
    except binascii.Error as error:
        raise ValueError("a line is no base64") from error
    if len(packed) != size:
        raise ValueError(f"a line holds {len(packed)} bytes instead of {size}")
    return packed


def _own_id(key: Ed25519PublicKey) -> bytes:
    """The number of a key whose file has none: of its hash, so that it is always the same."""
    return hashlib.sha256(key.public_bytes_raw()).digest()[:8]


def _text_of(path: Path, kind: str) -> str:
    try:
        return read_regular(path, MAX_BYTES).decode("ascii")
    except OutsideError as error:
        raise UsageError(f"{path} {error}: it is to be the {kind} key") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no {kind} key: edgenas takes {_KINDS}") from error


def _protected(path: Path) -> UsageError:
    hint = "sign with one without, or sign manifest.json with minisign: `verify --public-key` reads it"
    return UsageError(f"{path} is protected by a passphrase, which edgenas does not ask for", hint=hint)


def _require_package() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise MissingBackendError("signatures need cryptography", hint="pip install 'edgenas[sign]'") from error
