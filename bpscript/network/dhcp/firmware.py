"""What boots: which firmware a DHCP request comes from, and which machine.

Sources: RFC 4578 2.1 and the IANA registry "Processor Architecture Types" (option 93), RFC 4578 2.3 (option 97), RFC 3004 (option 77;
iPXE sends its name bare), ipxe.org/howto/dhcpd (option 175), the Raspberry Pi documentation on network boot (option 97).
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from .message import Message
from .options import decode_text

CLIENT_ID, VENDOR_CLASS, USER_CLASS, ARCHITECTURE, MACHINE_ID, IPXE = 61, 60, 77, 93, 97, 175
OUR_VENDOR_CLASS = "bpscript"           # option 60 of our boot environment


class Firmware(StrEnum):
    """Kinds of boot clients. The names are those of `boot` in hosts.toml."""

    BIOS = "bios"
    UEFI_IA32 = "uefi-ia32"
    UEFI_X64 = "uefi-x64"
    UEFI_ARM32 = "uefi-arm32"
    UEFI_ARM64 = "uefi-arm64"
    UEFI_RISCV64 = "uefi-riscv64"
    UEFI_LOONGARCH64 = "uefi-loongarch64"
    HTTP_IA32 = "http-ia32"
    HTTP_X64 = "http-x64"
    HTTP_ARM32 = "http-arm32"
    HTTP_ARM64 = "http-arm64"
    HTTP_RISCV64 = "http-riscv64"
    HTTP_LOONGARCH64 = "http-loongarch64"
    IPXE = "ipxe"
    RASPBERRY_PI = "raspberry-pi"

    @property
    def is_http(self) -> bool:
        """True when it wants the URL of a boot program."""
        return self.value.startswith("http-")


# Option 93. 7 and 9 were swapped by an erratum of RFC 4578: machines of either number are x64.
ARCHITECTURES: dict[int, Firmware] = {
    0: Firmware.BIOS, 6: Firmware.UEFI_IA32, 7: Firmware.UEFI_X64, 9: Firmware.UEFI_X64,
    10: Firmware.UEFI_ARM32, 11: Firmware.UEFI_ARM64,
    15: Firmware.HTTP_IA32, 16: Firmware.HTTP_X64, 17: Firmware.HTTP_X64, 18: Firmware.HTTP_ARM32, 19: Firmware.HTTP_ARM64,
    27: Firmware.UEFI_RISCV64, 28: Firmware.HTTP_RISCV64,
    39: Firmware.UEFI_LOONGARCH64, 40: Firmware.HTTP_LOONGARCH64,
    41: Firmware.RASPBERRY_PI,
}

# Raspberry Pi says it is a BIOS PC (option 93 = 0): known by the vendor part of its address, or by option 97.
_PI_VENDORS = frozenset(bytes.fromhex(each) for each in ("b827eb", "dca632", "e45f01", "28cdc1", "2ccf67", "d83add", "88a29e"))
_PI_MACHINE = b"4iPR"                   # "RPi4" as a number; then board revision, end of the hardware address, serial number
_ARCHITECTURE_TEXT = re.compile(r"(?:PXE|HTTP)Client:Arch:(\d{5})")

FEATURE_HTTP = 0x13                     # iPXE's feature number in option 175
_SETTINGS = {0xB0, 0xB1, 0xBD, 0xBE, 0xBF, 0xEB}


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: facts of one request that decide what it is given.

    `identity` is the key of its lease: option 61, or else type and hardware address (RFC 2131 4.2); option 61 that only repeats
    them is the same client, so a machine keeps its address from the boot ROM on. `serials` holds every reading of a serial number.
    """

    hardware_address: bytes
    identity: bytes
    firmware: Firmware | None = None
    vendor_class: str = ""
    uuid: str = ""
    serials: tuple[str, ...] = ()
    ipxe_features: frozenset[int] = frozenset()
    user_classes: tuple[str, ...] = ()

    @property
    def mac(self) -> str:
        """The hardware address as people write it."""
        return self.hardware_address.hex(":")

    @property
    def is_pxe(self) -> bool:
        """True when it says so in option 60: it listens for proxyDHCP."""
        return self.vendor_class.startswith("PXEClient")

    @property
    def is_ours(self) -> bool:
        """True for our boot environment."""
        return self.vendor_class.startswith(OUR_VENDOR_CLASS)


def client_of(request: Message) -> Client:
    """The facts in a request; nothing in it is an error."""
    address = request.hardware_address
    own_identity = bytes((request.hardware_type & 0xFF,)) + address
    identity = request.option(CLIENT_ID) or own_identity
    vendor_class = decode_text(request.option(VENDOR_CLASS) or b"")
    machine = request.option(MACHINE_ID) or b""
    is_pi = address[:3] in _PI_VENDORS or machine[1:5] == _PI_MACHINE
    features = request.option(IPXE)
    is_ipxe = features is not None or b"iPXE" in (request.option(USER_CLASS) or b"")
    firmware = _firmware(request, vendor_class)
    if is_ipxe:
        firmware = Firmware.IPXE
    elif is_pi and firmware is Firmware.BIOS:
        firmware = Firmware.RASPBERRY_PI
    return Client(
        address,
        identity[:255],
        firmware,
        vendor_class[:255],
        _uuid(machine),
        _pi_serials(machine) if is_pi else (),
        _features(features or b""),
        _user_classes(request.option(USER_CLASS) or b""),
    )


def _firmware(request: Message, vendor_class: str) -> Firmware | None:
    """From option 93, whose first known number counts, or else from the text of option 60."""
    data = request.option(ARCHITECTURE)
    text = _ARCHITECTURE_TEXT.match(vendor_class)
    if data is not None and vendor_class.startswith(("PXEClient", "HTTPClient")):
        numbers = [int.from_bytes(data[start : start + 2], "big") for start in range(0, len(data) - 1, 2)]
    elif text is not None:
        numbers = [int(text[1])]
    elif request.message_type is None:      # plain BOOTP is spoken by boot ROMs of the years before PXE
        return Firmware.BIOS
    elif data is None or len(data) < 2:
        return None
    else:       # Raspberry Pi leaves option 60 out of its DHCPREQUEST
        numbers = [int.from_bytes(data[:2], "big")]
    return next((ARCHITECTURES[each] for each in numbers if each in ARCHITECTURES), None)


def _uuid(machine: bytes) -> str:
    """Option 97 in the notation of SMBIOS 2.6 (the first three fields are little-endian); "" for none, or one that identifies nobody."""
    data = machine[1:17]
    if len(machine) != 17 or machine[0] != 0 or data in {bytes(16), b"\xff" * 16}:
        return ""
    first = data[3::-1].hex(), data[5:3:-1].hex(), data[7:5:-1].hex()
    return "-".join((*first, data[8:10].hex(), data[10:].hex()))


def _pi_serials(machine: bytes) -> tuple[str, ...]:
    """The last four bytes of a Raspberry Pi's option 97, in both byte orders: boot loaders of different age differ."""
    if len(machine) != 17:
        return ()
    serial = machine[13:17]
    return tuple(dict.fromkeys((serial[::-1].hex(), serial.hex())))


def _user_classes(data: bytes) -> tuple[str, ...]:
    """Option 77: texts with their lengths before them (RFC 3004 4), or one bare text, as iPXE and many others send it."""
    found, position = [], 0
    while position < len(data):             # each turn consumes at least a byte
        end = position + 1 + data[position]
        if end > len(data) or end == position + 1:
            return (decode_text(data),)
        found.append(decode_text(data[position + 1 : end]))
        position = end
    return tuple(found)


def _features(data: bytes) -> frozenset[int]:
    """Features in iPXE's encapsulated option: number, length, 1; settings that are no features passed over."""
    found = set()
    position = 0
    while position + 2 <= len(data):        # each turn consumes at least two bytes
        number, length = data[position], data[position + 1]
        if number not in _SETTINGS and data[position + 2 : position + 2 + length] == b"\1":
            found.add(number)
        position += 2 + length
    return frozenset(found)
