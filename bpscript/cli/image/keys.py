"""`bpscript image keygen`, `bpscript image sign`."""

import argparse
import os
from pathlib import Path

from ...archive.signing import load_private_key, sign_archive
from ...base.errors import StorageError, UsageError
from ...crypto.signatures import PrivateKey, new_private_key
from ..main import DONE
from . import Declare
from .opening import about, need_file


def add_to(declare: Declare) -> None:
    """Declare the actions."""
    sub = declare("keygen", keygen, "keygen lab")
    sub.add_argument("name", metavar="NAME", help="NAME.key and NAME.pub are made; neither may exist")
    sub = declare("sign", sign, "sign linux.imz lab.key")
    sub.add_argument("archive", metavar="ARCHIVE", help="an older signature is replaced")
    sub.add_argument("key", metavar="KEY", help="the private key, NAME.key of keygen or any Ed25519 key in PEM")


def keygen(options: argparse.Namespace) -> int:
    """`image keygen`."""
    private, public = Path(f"{options.name}.key"), Path(f"{options.name}.pub")
    for path in (private, public):
        if os.path.lexists(path):
            raise UsageError(f"{path} exists already", hint="a key that is lost cannot be made again; remove it yourself if you mean it")
    key = new_private_key()
    _write_new(private, key.to_pem(), 0o600)
    try:
        _write_new(public, key.public_pem(), 0o644)
    except BaseException:
        private.unlink()
        raise
    print(f"{private} signs, keep it secret; {public} checks: key {key.public.hex()}")
    return DONE


def sign(options: argparse.Namespace) -> int:
    """`image sign`."""
    key = read_private_key(options.key)
    if options.archive == "-":
        raise UsageError("standard input cannot be signed", hint="give the file")
    need_file(options.archive)
    with about(options.archive):
        sign_archive(Path(options.archive), key)
    print(f"{options.archive}: signed by key {key.public.hex()}")
    return DONE


def read_private_key(name: str) -> PrivateKey:
    """The key in a file named on the command line. Raises UsageError when it cannot be read, FormatError when it is none."""
    try:
        return load_private_key(name)
    except StorageError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _write_new(path: Path, text: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
