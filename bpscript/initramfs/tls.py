"""https:// in the boot environment: Python's ssl, OpenSSL, and the certificates of authorities that are trusted there.

A part of its own: half of it is libcrypto, and rooms that take their files by http:// in their own network do without.
"""

from pathlib import Path

from ..base.errors import NotFoundError, UsageError
from .cpio import Tree
from .libraries import Libraries
from .origin import Origin
from .python import EXTENSIONS

_EXTENSION = "_ssl.*so"
_NO_SSL = "this Python has no ssl, which https:// needs"


def authorities(file: Path | None) -> bytes:
    """The certificates as PEM: those of a file, else those that this host trusts. Raises UsageError, NotFoundError."""
    try:
        import ssl  # noqa: PLC0415 - there are Pythons without it, which build what needs none
    except ImportError as error:
        raise NotFoundError(_NO_SSL) from error
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


def add_tls(tree: Tree, libraries: Libraries, origin: Origin, certificates: bytes) -> None:
    """The extension with its libraries, and the certificates where that OpenSSL looks for them. Raises NotFoundError."""
    extension = next((origin.standard_library / "lib-dynload").glob(_EXTENSION), None)
    if extension is not None:
        libraries.add_program(tree, f"{EXTENSIONS}/{extension.name}", extension)
    elif not origin.has_built_in_ssl:
        raise NotFoundError(_NO_SSL)
    tree.add_file(origin.certificates.lstrip("/"), certificates)
