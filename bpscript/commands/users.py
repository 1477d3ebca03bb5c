"""Security (language.md 8.6): password formats, DES, MD5, and users."""

from string import hexdigits

from ..base.errors import BpscriptError, NetworkError, NotFoundError
from ..interpreter.run import Run
from ..language.declare import command
from ..language.parser import one_line
from ..language.places import PlacedError
from .arguments import VariableName

_GROUP = "security"
_TFTP_PORT = 69         # of a server part without a port (language.md 4.2)


@command("Crypt", group=_GROUP)
def crypt(run: Run, text: str, salt: str, name: VariableName) -> None:
    """Encrypt a password as Unix does.

    Args:
        text: the password
        salt: two characters, or a salt that starts with `$`
        name: the variable that gets the result

    Examples:
        > Crypt "justdoit" "Bp" p
    """
    from ..crypto import unix_crypt  # noqa: PLC0415 - few scripts need it

    run.machine.secrets.add(text)
    try:
        result = unix_crypt.crypt(_encoded(run, text, 0), salt)
    except BpscriptError as error:
        if isinstance(error, PlacedError):
            raise
        raise run.refuse(1, error.message, error.hint) from error
    run.machine.secrets.add(result)
    run.variables.set(name, result)


@command("DESCrypt", group=_GROUP)
def des_crypt(run: Run, text: str, key: str, name: VariableName) -> None:
    """Encrypt text by DES.

    Args:
        text: the text
        key: 8 characters
        name: the variable that gets the result, in hexadecimal

    Examples:
        > DESCrypt "secret" "key12345" x
    """
    from ..crypto.des import des_encrypt_hex  # noqa: PLC0415

    run.machine.secrets.add(text, key)
    run.variables.set(name, des_encrypt_hex(_encoded(run, text, 0), _encoded(run, key, 1)))


@command("DESDecrypt", group=_GROUP, usage='"hex" "key" name')
def des_decrypt(run: Run, digits: str, key: str, name: VariableName) -> None:
    """Decrypt what DESCrypt made.

    Args:
        digits: hexadecimal digits
        key: 8 characters
        name: the variable that gets the text

    Examples:
        > DESDecrypt "c0673e81bb2f08e9" "key12345" x
    """
    from ..crypto.des import des_decrypt_hex  # noqa: PLC0415

    run.machine.secrets.add(key)
    key_bytes = _encoded(run, key, 1)
    try:
        data = des_decrypt_hex(digits, key_bytes)
    except BpscriptError as error:
        raise run.refuse(0, error.message, error.hint) from error
    try:
        text = data.decode(run.code_page)
    except UnicodeDecodeError:
        raise run.refuse(0, f"what is decrypted is no text of code page {run.code_page}: the key may be wrong") from None
    if "\0" in text:
        raise run.refuse(0, "what is decrypted holds the character code 0: the key may be wrong")
    run.machine.secrets.add(text)
    run.variables.set(name, text)


@command("MD5", group=_GROUP)
def md5(run: Run, text: str, name: VariableName) -> None:
    """Compute the MD5 sum of text.

    Args:
        text: the text
        name: the variable that gets 32 hexadecimal digits

    Examples:
        > MD5 "abc" sum
    """
    from ..crypto.md5 import md5_hex  # noqa: PLC0415

    run.variables.set(name, md5_hex(_encoded(run, text, 0)))


@command("CheckUser", group=_GROUP)
def check_user(run: Run, user: str, password: str, domain: str) -> None:
    """Check a user's password and set $Security-Check to PASSED or FAILED.

    Args:
        user: the name
        password: in clear
        domain: `Unix`, or a domain of the gateway

    Examples:
        > CheckUser "joe" "justdoit" "Unix"
    """
    from ..network.roots import NetworkRoot  # noqa: PLC0415 - few scripts need it

    run.machine.secrets.add(password)
    check = _asks if isinstance(run.machine.files.source, NetworkRoot) else _matches
    passed = bool(user and password) and check(run, user, password, domain)
    run.variables.set("Security-Check", "PASSED" if passed else "FAILED")


def _asks(run: Run, user: str, password: str, domain: str) -> bool:
    """The gateway's answer, when files come from a server (network/GATEWAY.md). One that gives none is a note, and no."""
    from ..network.foreign import parse_foreign  # noqa: PLC0415
    from ..network.gateway.asking import ask_gateway  # noqa: PLC0415
    from ..network.gateway.protocol import Question  # noqa: PLC0415
    from ..network.roots import NetworkRoot  # noqa: PLC0415

    source = run.machine.files.source
    assert isinstance(source, NetworkRoot)
    gateway = run.variables.get("Security-Gateway")
    try:
        if run.machine.files.network_gone:
            raise NetworkError("the network is gone after HideBootProm")
        place = parse_foreign(f"{gateway}:x")
        if place.path != "x":
            raise NetworkError(f'$Security-Gateway is "{gateway}"; expected HOST@PORT')
        host, port = place.server or source.host, place.port or _TFTP_PORT
        name = f"{host}@{port}"
        wanted = _gateway_key(run)
        trusted = wanted or source.pins.get(name)
        reply = ask_gateway(host, port, Question(user, domain, password), trusted)
        if trusted is None:
            kept = "" if source.pins.put(name, reply.gateway_key) else " in this run"
            run.note(f"CheckUser: the gateway {name} is trusted from now on{kept}: its key is {reply.gateway_key.hex()}")
    except (BpscriptError, OSError) as error:
        text = f"{error.message}{f' ({error.hint})' if error.hint else ''}" if isinstance(error, BpscriptError) else str(error)
        run.note(f"CheckUser: {' '.join(text.split())}")
        return False
    return reply.passed


def _gateway_key(run: Run) -> bytes | None:
    """What `$Gateway-Key` says: the key in hexadecimal digits, or the name of a file with it. Raises FormatError, StorageError, NetworkError."""
    from ..crypto.signatures import parse_public_key  # noqa: PLC0415

    text = run.variables.get("Gateway-Key")
    if not text:
        return None
    is_digits = len(text) == 64 and all(each in hexdigits for each in text)
    return parse_public_key(text.encode() if is_digits else run.machine.files.read(text))


def _matches(run: Run, user: str, password: str, domain: str) -> bool:
    """The local form (language.md 4.4): lines `user:crypted[:anything]` in a file of the gateway."""
    from ..crypto.unix_crypt import matches  # noqa: PLC0415

    gateway = run.variables.get("Security-Gateway")
    name = "passwd" if domain.lower() == "unix" else f"{domain.lower()}.passwd"
    if "/" in name or "\\" in name or ":" in name:
        return False
    try:
        text = run.decode(run.machine.files.read(f"{gateway}:{name}"))
    except NotFoundError:
        return False
    except BpscriptError as error:
        run.note(f"CheckUser: {one_line(error.message)}")
        return False
    try:
        encoded = password.encode(run.code_page)
    except UnicodeEncodeError:
        encoded = password.encode()
    for line in text.splitlines():
        found, colon, rest = line.partition(":")
        if colon and found == user:
            return matches(encoded, rest.partition(":")[0])
    return False


def _encoded(run: Run, text: str, argument: int) -> bytes:
    """Text in the active code page."""
    try:
        return text.encode(run.code_page)
    except UnicodeEncodeError as error:
        character = error.object[error.start]
        raise run.refuse(argument, f'code page {run.code_page} has no character "{one_line(character)}"') from None
