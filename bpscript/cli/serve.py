"""`bpscript serve`: files, addresses and boot programs for a room of machines."""

import argparse
from pathlib import Path
from typing import Any

from ..base.errors import UsageError

_EXAMPLES = """examples:
  bpscript serve images/ --listen 10.0.0.1                                   files by TFTP and HTTP
  bpscript serve images/ --interface eth1 --dhcp 10.0.0.100-10.0.0.199       a room without a DHCP server
  bpscript serve images/ --interface eth0 --proxy-dhcp --hosts hosts.toml    beside the DHCP server that is there
  bpscript serve images/ --interface eth0 --carousel 239.255.69.70           large files to all at once (carousel+http://...)
  bpscript serve images/ --http-port 8080 --tftp-port 6969 --enhanced-port 5959    without root, for this host only

BPSCRIPT_TOKEN in the environment allows changes by the API; without it nothing can be changed over the network.
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser(
        "serve", help=summary, description="Serve a folder by TFTP and HTTP, and addresses and boot programs by DHCP, until stopped.",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=serve_verb)
    parser.add_argument("folder", metavar="DIR", help="the files; nothing outside of it is served, and nothing in it is written")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--listen", metavar="ADDR", help="the address to listen on (default: 127.0.0.1; 0.0.0.0 is all of IPv4)")
    where.add_argument("--interface", metavar="IF", help="listen on the address of this interface")
    dhcp = parser.add_mutually_exclusive_group()
    dhcp.add_argument("--dhcp", metavar="FIRST-LAST", help="give these addresses to machines that ask")
    dhcp.add_argument("--proxy-dhcp", action="store_true", help="only tell boot programs, beside another DHCP server")
    dhcp.add_argument("--no-dhcp", action="store_true", help="neither (the default)")
    parser.add_argument("--tftp-port", metavar="N", type=_port, default=69, help="default 69; 0 is any free port")
    parser.add_argument("--enhanced-port", metavar="N", type=_port, default=59, help="of BpBatch's TFTP with blocks of 1408 bytes; default 59")
    parser.add_argument("--http-port", metavar="N", type=_port, default=80, help="default 80")
    parser.add_argument("--carousel", metavar="GROUP[:PORT]", help="send large files by multicast to all who ask for them so; port 1759 by default")
    parser.add_argument("--carousel-rate", metavar="MBIT", type=_rate, default=90_000_000, help="of all multicast together, in Mbit/s on the wire (default 90)")
    parser.add_argument("--hosts", metavar="FILE", help="which machine is which and what it is given: hosts.toml, or a database of `bpscript hosts`")
    parser.add_argument("--state", metavar="DB", help="keep leases in this database (default: in memory)")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def serve_verb(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from ..server.service import ServeOptions, Service, free_token  # noqa: PLC0415 - the servers are for this alone

    for name in (options.hosts,):
        if name is not None and not Path(name).is_file():
            raise UsageError(f"{name}: no such file")
    chosen = ServeOptions(
        root=Path(options.folder), address=options.listen, interface=options.interface, dhcp=options.dhcp, proxy_dhcp=options.proxy_dhcp,
        tftp_port=options.tftp_port, enhanced_port=options.enhanced_port, http_port=options.http_port,
        hosts=None if options.hosts is None else Path(options.hosts), state=None if options.state is None else Path(options.state),
        token=free_token(), carousel=None if options.carousel is None else _group(options.carousel), carousel_rate=options.carousel_rate,
    )
    with Service(chosen, lambda line: print(line, flush=True)) as service:
        service.run()
    raise AssertionError("it runs until an exception ends it")


def _group(text: str) -> tuple[str, int]:
    from ..network.carousel.talk import parse_group  # noqa: PLC0415 - only with --carousel

    return parse_group(text)


def _rate(text: str) -> int:
    """Bits a second."""
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.1 <= rate <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate; expected 0.1 to 100000 (Mbit/s)")
    return round(rate * 1e6)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected 0 to 65535")
    return int(text)
