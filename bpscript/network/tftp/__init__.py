"""TFTP (RFC 1350, 2347-2349, 7440, 2090): cores without sockets, a server, a client as a FileSource."""
