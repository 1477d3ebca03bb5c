"""The language server: `bpscript lsp`. `features.py` answers questions about a text, `server.py` speaks the protocol."""
