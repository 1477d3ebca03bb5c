"""The user bases that the login gateway asks: RADIUS, Windows and Samba servers, directories, PAM, password files.

`check` of each says yes or no, or raises BpscriptError when it cannot be asked. Calls take a few seconds at most, but for PAM, whose
modules take as long as they like.
"""

import os
import ssl
import uuid
from contextlib import closing, suppress
from time import monotonic, time
from typing import Protocol

from ..base.errors import FormatError, NetworkError, StorageError
from ..crypto.unix_crypt import is_known, matches
from ..network.gateway.radius import Query, Server
from ..network.sockets import Exchange, RefusedError
from .gateway_config import Ldap, Pam, PasswordFile, Samba, UserBase

NEEDS_EXTRA = "this needs {name}: pip install 'bpscript[gateway]'"
CONNECT_S, ANSWER_S = 2, 3              # seconds
_MAX_PASSWD = 16 << 20                  # bytes of a password file that are looked at
_DAY_S = 86_400


class Checker(Protocol):
    """Somebody who knows passwords."""

    def check(self, user: str, password: str) -> bool:
        """Whether that is the password of the user. Raises BpscriptError when nobody knows."""
        ...


def open_user_base(base: UserBase) -> Checker:
    """The one that a line of the configuration speaks of. Raises StorageError when the package that it needs is not installed."""
    match base:
        case Server():
            return RadiusChecker(base)
        case Samba():
            return SambaChecker(base)
        case Ldap():
            return LdapChecker(base)
        case Pam():
            return PamChecker(base)
        case PasswordFile():
            return FileChecker(base)


class RadiusChecker:
    """A RADIUS server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def check(self, user: str, password: str) -> bool:
        """Ask up to three times."""
        query = Query(self._server, user, password, os.urandom)
        try:
            with closing(Exchange(self._server.host, self._server.port)) as exchange:
                exchange.send(query.start(monotonic()))
                while True:
                    got = exchange.receive()
                    if got is None:
                        again = query.expire(monotonic())
                        if again is not None:
                            exchange.send(again)
                        continue
                    packets, step, _ = got
                    for at in range(0, len(packets), max(1, step)):
                        verdict = query.receive(bytes(packets[at : at + step]))
                        if verdict is not None:
                            return verdict
        except RefusedError as error:
            raise NetworkError(f"the host {self._server.host} has no RADIUS server on port {self._server.port}") from error


class LdapChecker:
    """A directory: whether one can log in to it as that user (simple bind), over TLS."""

    def __init__(self, base: Ldap) -> None:
        self._base = base
        try:
            import ldap3  # noqa: F401, PLC0415 - an extra
        except ImportError as error:
            raise StorageError("a line for LDAP cannot be used", hint=NEEDS_EXTRA.format(name="ldap3")) from error

    def check(self, user: str, password: str) -> bool:
        """Bind; the certificate of the directory must be right before the password is sent."""
        import ldap3  # noqa: PLC0415
        from ldap3.core.exceptions import LDAPException  # noqa: PLC0415
        from ldap3.utils.dn import escape_rdn  # noqa: PLC0415

        base = self._base
        if not password:
            return False        # RFC 4513, 5.1.2: that would be no authentication at all, and succeed
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=None if base.ca is None else str(base.ca))
        name = f"{base.attribute}={escape_rdn(user)},{base.base}"
        try:
            server = ldap3.Server(base.host, base.port, use_ssl=base.tls, tls=tls, connect_timeout=CONNECT_S, get_info=ldap3.NONE)
            connection = ldap3.Connection(
                server, user=name, password=password, authentication=ldap3.SIMPLE, receive_timeout=ANSWER_S, read_only=True,
                auto_referrals=False, raise_exceptions=False,
            )
            try:
                connection.open()
                if not base.tls and not connection.start_tls():
                    raise NetworkError(f"the directory {base.host} does not offer TLS, and a password is not sent in clear")
                done = bool(connection.bind())
                code = int((connection.result or {}).get("result", -1))
            finally:
                with suppress(LDAPException, OSError):
                    connection.unbind()
        except (LDAPException, OSError) as error:
            raise NetworkError(f"the directory {base.host} cannot be asked: {_first_line(error)}") from error
        if not done and code not in _LDAP_NO:
            raise NetworkError(f"the directory {base.host} answers with the error {code}")
        return done and code == 0


# RFC 4511, appendix A.2: noSuchObject, invalidDNSyntax, inappropriateAuthentication, invalidCredentials, insufficientAccessRights,
# unwillingToPerform (a locked account).
_LDAP_NO = {32, 34, 48, 49, 50, 53}


class SambaChecker:
    """A Windows or Samba server: whether one can log on to it as that user (SMB 2 and 3, NTLMv2).

    The server must sign its last word, which it can only when it knows the password: nobody in between can say yes, and guests are refused.
    """

    def __init__(self, base: Samba) -> None:
        self._base = base
        try:
            import smbprotocol  # noqa: F401, PLC0415 - an extra
        except ImportError as error:
            raise StorageError("a line for Windows domains cannot be used", hint=NEEDS_EXTRA.format(name="smbprotocol")) from error

    def check(self, user: str, password: str) -> bool:
        """Log on and off."""
        from smbprotocol.connection import Connection  # noqa: PLC0415
        from smbprotocol.exceptions import SMBException  # noqa: PLC0415
        from smbprotocol.session import Session  # noqa: PLC0415
        from spnego.exceptions import SpnegoError  # noqa: PLC0415

        base = self._base
        if "\\" in user or "@" in user:
            return False        # the line says which domain is meant
        connection = Connection(uuid.uuid4(), base.host, base.port, require_signing=True)
        try:
            connection.connect(timeout=ANSWER_S)
            session = Session(connection, f"{base.netbios_name}\\{user}", password, require_encryption=False, auth_protocol="ntlm")
            session.connect()
            return True
        except SMBException as error:
            status = getattr(error, "status", None)
            if status in _NT_NO or _is_guest(error):
                return False
            raise NetworkError(f"the server {base.host} cannot be asked: {_first_line(error)}") from error
        except (SpnegoError, OSError, ValueError) as error:
            raise NetworkError(f"the server {base.host} cannot be asked: {_first_line(error)}") from error
        finally:
            with suppress(SMBException, SpnegoError, OSError, ValueError):
                connection.disconnect(close=True)


# [MS-ERREF] 2.3.1: NO_SUCH_USER, WRONG_PASSWORD, LOGON_FAILURE, ACCOUNT_RESTRICTION, INVALID_LOGON_HOURS, INVALID_WORKSTATION, PASSWORD_EXPIRED,
# ACCOUNT_DISABLED, ACCESS_DENIED, ACCOUNT_EXPIRED, PASSWORD_MUST_CHANGE, ACCOUNT_LOCKED_OUT.
_NT_NO = {
    0xC0000064, 0xC000006A, 0xC000006D, 0xC000006E, 0xC000006F, 0xC0000070, 0xC0000071, 0xC0000072, 0xC0000022, 0xC0000193, 0xC0000224, 0xC0000234,
}


def _is_guest(error: Exception) -> bool:
    return "guest" in str(error).lower()


class PamChecker:
    """The users of this host."""

    def __init__(self, base: Pam) -> None:
        self._service = base.service
        try:
            import pamela  # noqa: F401, PLC0415 - an extra
        except ImportError as error:
            raise StorageError("the users of this host cannot be asked", hint=NEEDS_EXTRA.format(name="pamela") + ', or write "unix file PATH"') from error

    def check(self, user: str, password: str) -> bool:
        """Authenticate, and look whether the account is valid."""
        import pamela  # noqa: PLC0415

        try:
            pamela.authenticate(user, password, service=self._service, resetcred=0, check=True)
        except pamela.PAMError as error:
            if error.errno in _PAM_NO:
                return False
            raise StorageError(f"PAM cannot be asked for the service {self._service}: {_first_line(error)}") from error
        return True


# security/_pam_types.h: PERM_DENIED, AUTH_ERR, CRED_INSUFFICIENT, USER_UNKNOWN, MAXTRIES, NEW_AUTHTOK_REQD, ACCT_EXPIRED, AUTHTOK_EXPIRED.
_PAM_NO = {6, 7, 8, 10, 11, 12, 13, 27}


class FileChecker:
    """A passwd or shadow file; it is read anew each time."""

    def __init__(self, base: PasswordFile) -> None:
        self._path = base.path

    def check(self, user: str, password: str) -> bool:
        """Compare with the first line of that user; an account whose day is over (field 8 of shadow) is locked."""
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_PASSWD + 1)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be read: {error.strerror}") from error
        if len(data) > _MAX_PASSWD:
            raise StorageError(f"{self._path}: too large for a password file (at most {_MAX_PASSWD} bytes)")
        for line in data.decode("utf-8", "surrogateescape").splitlines():
            fields = line.split(":")
            if len(fields) < 2 or fields[0] != user or user.startswith("#"):
                continue
            if len(fields) == 9 and fields[7].isdecimal() and int(fields[7]) <= time() // _DAY_S:
                return False
            if fields[1].startswith("$") and not is_known(fields[1]):
                raise FormatError(f"{self._path}: the password of {user} is in a format that we do not know", hint='"unix pam" asks the system')
            return matches(password.encode(), fields[1])
        return False


def _first_line(error: BaseException) -> str:
    """What a library says, short; none of them puts passwords into its messages."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
