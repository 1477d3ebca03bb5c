"""MD5 as the command of that name gives it (language.md 8.6). Never used to protect anything here."""


def md5_hex(data: bytes) -> str:
    """32 lower-case hexadecimal digits."""
    from hashlib import md5  # noqa: PLC0415 - loads OpenSSL, which most scripts do not need

    return md5(data, usedforsecurity=False).hexdigest()
