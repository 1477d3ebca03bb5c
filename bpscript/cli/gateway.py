"""`bpscript gateway`: the login gateway that CheckUser asks."""

import argparse
from pathlib import Path
from typing import Any

_EXAMPLES = """examples:
  bpscript gateway --config stftpd.conf --listen 10.0.0.1                 as root, on port 89
  bpscript gateway --config stftpd.conf --port 8989                       without root, for this host only

lines of the file:
  radius DOMAIN HOST[@PORT] SECRET [chap] [unsigned]    a RADIUS server
  winnt DOMAIN HOST[@PORT] NETBIOSNAME                  a Windows or Samba server
  ldap DOMAIN URL BASE [attribute=NAME] [ca=FILE]       a directory, over TLS: attribute=USER,BASE logs in
  unix pam [SERVICE]  or  unix file PATH                the domain Unix (default: unix pam login)
  deny USER...                                          never let in
  key FILE                                              the gateway's key (default: the file's name with .key)
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser(
        "gateway", help=summary, description="Answer CheckUser: ask user bases whether a password is right, until stopped.",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=gateway_verb)
    parser.add_argument("--config", metavar="FILE", required=True, help="which user bases there are (stftpd.conf)")
    parser.add_argument("--listen", metavar="ADDR", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1; 0.0.0.0 is all of IPv4)")
    parser.add_argument("--port", metavar="N", type=_port, default=89, help="default 89; 0 is any free port")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def gateway_verb(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from ..server.gateway import GatewayService  # noqa: PLC0415 - the servers are for this alone

    with GatewayService(Path(options.config), options.listen, options.port, lambda line: print(line, flush=True)) as service:
        service.run()
    raise AssertionError("it runs until an exception ends it")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected 0 to 65535")
    return int(text)
