"""The options of BOOTP and DHCP: their types, and their names in scripts, in dhclient leases and in udhcpc's environment.

Sources: RFC 2132 and the IANA registry (types), language.md section 7 (variables), dhcp-options(5) of ISC DHCP, and what
busybox udhcpc 1.35 hands to its script.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}\Z", re.ASCII)
_DOMAIN_LABEL = re.compile(rb"[^.\0]{1,63}\Z")


@dataclass(frozen=True, slots=True)
class ValueType:
    """How an option's bytes are shown to a script (`render`: None when they are not of this type), and the way back.

    `encode` takes the text of a dhclient lease or of udhcpc's environment and raises ValueError when it cannot be.
    """

    name: str
    render: Callable[[bytes], str | None]
    encode: Callable[[str], bytes]


def decode_text(data: bytes) -> str:
    """Text up to the first NUL, as UTF-8 or else ISO-8859-1."""
    data = data.partition(b"\0")[0]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("iso-8859-1")


def _encode_text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def show_address(data: bytes) -> str:
    """Four bytes as a dotted quad."""
    return "{}.{}.{}.{}".format(*data)


def _render_addresses(data: bytes) -> str | None:
    if not data or len(data) % 4:
        return None
    return " ".join(show_address(data[start : start + 4]) for start in range(0, len(data), 4))


def _encode_addresses(text: str) -> bytes:
    data = b""
    for word in text.replace(",", " ").replace("/", " ").split():
        numbers = [int(part) for part in word.split(".")] if _ADDRESS.match(word) else []
        if not numbers or max(numbers) > 255:
            raise ValueError(f'"{text}" is no list of IPv4 addresses')
        data += bytes(numbers)
    return data


def _encode_address(text: str) -> bytes:
    data = _encode_addresses(text)
    if len(data) != 4:
        raise ValueError(f'"{text}" is no IPv4 address')
    return data


def _number(name: str, layout: str) -> ValueType:
    codec = struct.Struct(f">{layout}")
    bits = codec.size * 8

    def render(data: bytes) -> str | None:
        return str(codec.unpack(data)[0]) if len(data) == codec.size else None

    def encode(text: str) -> bytes:
        # udhcpc writes signed numbers as unsigned ones: -3600 as 4294963696.
        if not re.fullmatch(r"-?\d{1,10}", text.strip(), re.ASCII) or not -(1 << bits - 1) <= int(text) < 1 << bits:
            raise ValueError(f'"{text}" is no number of {bits} bits')
        return (int(text) % (1 << bits)).to_bytes(codec.size, "big")

    return ValueType(name, render, encode)


def _numbers(name: str, size: int) -> ValueType:
    def render(data: bytes) -> str | None:
        if not data or len(data) % size:
            return None
        return " ".join(str(int.from_bytes(data[start : start + size], "big")) for start in range(0, len(data), size))

    def encode(text: str) -> bytes:
        try:
            return b"".join(int(word).to_bytes(size, "big") for word in text.replace(",", " ").split())
        except (ValueError, OverflowError) as error:
            raise ValueError(f'"{text}" is no list of numbers of {size * 8} bits') from error

    return ValueType(name, render, encode)


def _encode_flag(text: str) -> bytes:
    word = text.strip().lower()
    if word in {"true", "on", "1"}:
        return b"\1"
    if word in {"false", "off", "0"}:
        return b"\0"
    raise ValueError(f'"{text}" is neither true nor false')


def _encode_hex(text: str) -> bytes:
    """Hexadecimal digits: together as udhcpc writes them, or a number for each byte between colons as dhclient does."""
    if ":" not in text:
        return bytes.fromhex(text)
    words = text.split(":")
    if not all(re.fullmatch(r"[0-9A-Fa-f]{1,2}", word, re.ASCII) for word in words):
        raise ValueError(f'"{text}" is no list of hexadecimal bytes')
    return bytes(int(word, 16) for word in words)


def _encode_domains(text: str) -> bytes:
    """RFC 3397 without compression; names between blanks or commas, quoted or not."""
    data = b""
    for name in text.replace(",", " ").replace('"', " ").split():
        labels = name.encode("utf-8", "surrogateescape").strip(b".").split(b".")
        if not all(_DOMAIN_LABEL.match(label) for label in labels):
            raise ValueError(f'"{name}" is no domain name')
        data += b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return data


def _encode_routes(text: str) -> bytes:
    """RFC 3442: `network/width router` pairs (udhcpc), or the numbers of the bytes (dhclient)."""
    words = text.replace(",", " ").split()
    if "/" not in text:
        return _NUMBERS8.encode(text)
    if len(words) % 2:
        raise ValueError(f'"{text}" is no list of routes')
    data = b""
    for network, router in zip(words[::2], words[1::2], strict=True):
        address, _, width = network.partition("/")
        if not width.isdecimal() or int(width) > 32:
            raise ValueError(f'"{network}" is no network')
        data += bytes((int(width),)) + _encode_address(address)[: -(-int(width) // 8)] + _encode_address(router)
    return data


def _render_hex(data: bytes) -> str:
    return data.hex().upper()


_NUMBERS8 = _numbers("u8s", 1)
TYPES: dict[str, ValueType] = {
    each.name: each
    for each in (
        ValueType("ip", lambda data: show_address(data) if len(data) == 4 else None, _encode_address),
        ValueType("ips", _render_addresses, _encode_addresses),
        ValueType("text", decode_text, _encode_text),
        _number("u8", "B"),
        _number("u16", "H"),
        _number("u32", "I"),
        _number("s32", "i"),
        _NUMBERS8,
        _numbers("u16s", 2),
        ValueType("flag", lambda data: ("ON" if data[0] else "OFF") if len(data) == 1 else None, _encode_flag),
        ValueType("hex", _render_hex, _encode_hex),
        ValueType("domains", _render_hex, _encode_domains),
        ValueType("routes", _render_hex, _encode_routes),
    )
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `variables` are its names in scripts beside `BOOTP-Option-N`; "" where a program has no name for it."""

    code: int
    type_name: str
    variables: tuple[str, ...]
    dhclient: str = ""
    udhcpc: str = ""

    @property
    def type(self) -> ValueType:
        """How its bytes are read and written."""
        return TYPES[self.type_name]


# code, type, variables of language.md section 7 (blank-separated), name in dhclient leases, name in udhcpc's environment
_TABLE = """
  1 ip      BOOTP-Subnet-Mask                          subnet-mask                   subnet
  2 s32     BOOTP-Time-Offset                          time-offset                   timezone
  3 ips     BOOTP-Routers                              routers                       router
  4 ips     BOOTP-Time-Servers                         time-servers                  timesrv
  5 ips     BOOTP-Name-Servers                         ien116-name-servers           namesrv
  6 ips     BOOTP-Domain-name-Servers                  domain-name-servers           dns
  7 ips     BOOTP-BOOTP-Log-Servers,BOOTP-Log-Servers  log-servers                   logsrv
  8 ips     BOOTP-Cookie-Servers                       cookie-servers                cookiesrv
  9 ips     BOOTP-Lpr-Servers                          lpr-servers                   lprsrv
 10 ips     BOOTP-Impress-Servers                      impress-servers               -
 11 ips     BOOTP-Resource-Location-Servers            resource-location-servers     -
 12 text    BOOTP-Host-Name                            host-name                     hostname
 13 u16     BOOTP-Boot-Size                            boot-size                     bootsize
 14 text    BOOTP-Merit-Dump                           merit-dump                    -
 15 text    BOOTP-Domain-Name                          domain-name                   domain
 16 ip      BOOTP-Swap-Servers                         swap-server                   swapsrv
 17 text    BOOTP-Root-Path                            root-path                     rootpath
 18 text    BOOTP-Extensions-Path                      extensions-path               -
 19 flag    BOOTP-IP-Forwarding                        ip-forwarding                 -
 20 flag    -                                          non-local-source-routing      -
 21 ips     -                                          policy-filter                 -
 22 u16     -                                          max-dgram-reassembly          -
 23 u8      -                                          default-ip-ttl                ipttl
 24 u32     -                                          path-mtu-aging-timeout        -
 25 u16s    -                                          path-mtu-plateau-table        -
 26 u16     BOOTP-Interface-MTU                        interface-mtu                 mtu
 27 flag    BOOTP-All-Subnets-Are-Local                all-subnets-local             -
 28 ip      BOOTP-Broadcast-Address                    broadcast-address             broadcast
 29 flag    -                                          perform-mask-discovery        -
 30 flag    -                                          mask-supplier                 -
 31 flag    -                                          router-discovery              -
 32 ip      -                                          router-solicitation-address   -
 33 ips     -                                          static-routes                 routes
 34 flag    -                                          trailer-encapsulation         -
 35 u32     -                                          arp-cache-timeout             -
 36 flag    -                                          ieee802-3-encapsulation       -
 37 u8      -                                          default-tcp-ttl               -
 38 u32     -                                          tcp-keepalive-interval        -
 39 flag    -                                          tcp-keepalive-garbage         -
 40 text    BOOTP-NIS-Domain                           nis-domain                    nisdomain
 41 ips     BOOTP-NIS-Servers                          nis-servers                   nissrv
 42 ips     BOOTP-NTP-Servers                          ntp-servers                   ntpsrv
 43 hex     -                                          vendor-encapsulated-options   -
 44 ips     -                                          netbios-name-servers          wins
 45 ips     -                                          netbios-dd-server             -
 46 u8      -                                          netbios-node-type             -
 47 text    -                                          netbios-scope                 -
 48 ips     BOOTP-Font-Servers                         font-servers                  -
 49 ips     BOOTP-X-Display-Manager                    x-display-manager             -
 50 ip      -                                          dhcp-requested-address        requestip
 51 u32     DHCP-IP-Address-Lease-Time                 dhcp-lease-time               lease
 52 u8      -                                          dhcp-option-overload          -
 53 u8      DHCP-Message-Type                          dhcp-message-type             dhcptype
 54 ip      DHCP-Server-Identifier                     dhcp-server-identifier        serverid
 55 u8s     -                                          dhcp-parameter-request-list   -
 56 text    DHCP-Message                               dhcp-message                  message
 57 u16     -                                          dhcp-max-message-size         -
 58 u32     DHCP-Renewal-Time                          dhcp-renewal-time             -
 59 u32     DHCP-Rebinding-Time                        dhcp-rebinding-time           -
 60 text    -                                          vendor-class-identifier       vendorclass
 61 hex     -                                          dhcp-client-identifier        -
 62 text    -                                          nwip-domain                   -
 63 hex     -                                          nwip-suboptions               -
 64 text    BOOTP-NIS+-Domain                          nisplus-domain                -
 65 ips     BOOTP-NIS+-Servers                         nisplus-servers               -
 66 text    -                                          tftp-server-name              tftp
 67 text    -                                          bootfile-name                 bootfile
 68 ips     BOOTP-Mobile-IP-Agent                      mobile-ip-home-agent          -
 69 ips     BOOTP-SMTP-Servers                         smtp-server                   -
 70 ips     BOOTP-POP3-Servers                         pop-server                    -
 71 ips     BOOTP-NNTP-Servers                         nntp-server                   -
 72 ips     BOOTP-WWW-Servers                          www-server                    -
 73 ips     BOOTP-Finger-Servers                       finger-server                 -
 74 ips     BOOTP-IRC-Servers                          irc-server                    -
 75 ips     BOOTP-StreetTalk-Servers                   streettalk-server             -
 76 ips     BOOTP-STDA-Servers                         streettalk-directory-assistance-server -
 77 text    -                                          user-class                    userclass
 78 hex     -                                          slp-directory-agent           -
 79 hex     -                                          slp-service-scope             -
 85 ips     -                                          nds-servers                   -
 86 text    -                                          nds-tree-name                 -
 87 text    -                                          nds-context                   -
 91 u32     -                                          client-last-transaction-time  -
 92 ips     -                                          associated-ip                 -
 93 u16s    -                                          pxe-system-type               -
 94 hex     -                                          pxe-interface-id              -
 97 hex     -                                          pxe-client-id                 -
 98 text    -                                          uap-servers                   -
100 text    -                                          pcode                         -
101 text    -                                          tcode                         -
112 ips     -                                          netinfo-server-address        -
113 text    -                                          netinfo-server-tag            -
114 text    -                                          default-url                   -
116 u8      -                                          auto-config                   -
117 u16s    -                                          name-service-search           -
118 ip      -                                          subnet-selection              -
119 domains -                                          domain-search                 search
121 routes  -                                          rfc3442-classless-static-routes staticroutes
132 u32     -                                          -                             vlanid
133 u8      -                                          -                             vlanpriority
209 text    -                                          loader-configfile             pxeconffile
210 text    -                                          loader-pathprefix             pxepathprefix
211 u32     -                                          loader-reboottime             reboottime
249 routes  -                                          -                             msstaticroutes
252 text    -                                          -                             wpad
"""


def _read_table() -> dict[int, Option]:
    found = {}
    for row in _TABLE.split("\n"):
        if row:
            code, type_name, *names = ("" if word == "-" else word for word in row.split())
            variables, dhclient, udhcpc = names
            found[int(code)] = Option(int(code), type_name, tuple(variables.split(",")) if variables else (), dhclient, udhcpc)
    return found


OPTIONS: dict[int, Option] = _read_table()
