"""Password formats and ciphers of the language: thin, on pycryptodome and libpass."""
