"""https:// in the boot environment: Python's ssl, OpenSSL, and the certificates of authorities that are trusted there.

A part of its own: half of it is libcrypto, and rooms that take their files by http:// in their own network do without.
"""

import ssl
from importlib.util import find_spec
from pathlib import Path

from ..base.errors import NotFoundError, UsageError
from .cpio import Tree
from .libraries import Libraries
from .python import EXTENSIONS

_EXTENSION = "_ssl"


def authorities(file: Path | None) -> bytes:
    """The certificates as PEM: those of a file, else those that this host trusts. Raises UsageError, NotFoundError."""
    if file is None:
        found = ssl.get_default_verify_paths().cafile
        if found is None:
            raise NotFoundError("this host has no certificates of authorities", hint="apt install ca-certificates, or give a file: --ca FILE")
        return Path(found).read_bytes()
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(file)
        if not context.cert_store_stats()["x509_ca"]:
            raise UsageError(f"--ca {file}: none of its certificates is that of an authority (CA:TRUE)")
        return file.read_bytes()
    except ssl.SSLError as error:
        raise UsageError(f"--ca {file}: no certificates in it", hint='expected PEM: "-----BEGIN CERTIFICATE-----"') from error
    except OSError as error:
        raise UsageError(f"--ca {file}: {error.strerror}") from error


def add_tls(tree: Tree, libraries: Libraries, certificates: bytes) -> None:
    """The extension with its libraries, and the certificates where that OpenSSL looks for them. Raises NotFoundError."""
    spec = find_spec(_EXTENSION)
    if spec is None or spec.origin is None:
        raise NotFoundError("this Python has no ssl, which https:// needs")
    if spec.has_location:       # else it is a part of the interpreter
        origin = Path(spec.origin)
        libraries.add_program(tree, f"{EXTENSIONS}/{origin.name}", origin)
    tree.add_file(ssl.get_default_verify_paths().openssl_cafile.lstrip("/"), certificates)
