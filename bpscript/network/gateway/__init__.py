"""The login gateway: its protocol (GATEWAY.md) without sockets, and the question that a script asks it."""
