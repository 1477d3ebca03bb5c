"""What one client is to be given: its boot program, script, variables and address.

`Directory` is what the server asks (hosts.toml is one); `choose` picks the boot program.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Protocol

from .firmware import FEATURE_HTTP, Client, Firmware
from .subnet import Subnet

# The first that exists is taken. iPXE's own build names and those of distributions.
DEFAULT_PROGRAMS: Mapping[Firmware, tuple[str, ...]] = {
    Firmware.BIOS: ("undionly.kpxe", "ipxe.pxe", "lpxelinux.0", "pxelinux.0"),
    Firmware.UEFI_IA32: ("ipxe-ia32.efi", "bootia32.efi"),
    Firmware.UEFI_X64: ("ipxe.efi", "ipxe-x64.efi", "snponly.efi", "bootx64.efi"),
    Firmware.UEFI_ARM32: ("ipxe-arm32.efi", "bootarm.efi"),
    Firmware.UEFI_ARM64: ("ipxe-arm64.efi", "snponly-arm64.efi", "bootaa64.efi"),
    Firmware.UEFI_RISCV64: ("ipxe-riscv64.efi", "bootriscv64.efi"),
    Firmware.UEFI_LOONGARCH64: ("ipxe-loong64.efi", "bootloongarch64.efi"),
    Firmware.IPXE: ("boot.ipxe",),
    Firmware.RASPBERRY_PI: ("bootcode.bin",),
}
_IS_IPXE = re.compile(r"(?:ipxe|undionly|snponly)[^/]*\Z", re.IGNORECASE)       # names of iPXE's own builds
# What the server itself has for firmware that is to go on to its next boot device.
ONWARD_PROGRAMS = {Firmware.UEFI_X64: "api/next/x64.efi", Firmware.UEFI_ARM64: "api/next/arm64.efi"}
# A firmware that boots by HTTP takes the program of its processor.
_PROGRAM_OF_HTTP = {each: Firmware(each.value.replace("http-", "uefi-")) for each in Firmware if each.is_http}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a directory says of one client. `name` is its entry ("" for a stranger), `options` are bytes as they are sent.

    `onward` is the path of an iPXE script on the HTTP server that leads the client somewhere else than to our boot environment: it is
    done. `leaves`: what it boots is its disk. `done` (disk, once or script) and `again` say when that is so.
    """

    name: str = ""
    address: IPv4Address | None = None
    host_name: str = ""
    script: str = ""                    # option 155, language.md 1.3
    programs: Mapping[Firmware, str] = field(default_factory=dict)
    options: Mapping[int, bytes] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    ignore: bool = False
    done: str = "disk"
    again: str = ""
    onward: str = ""
    leaves: bool = False


class Directory(Protocol):
    """Who knows the machines."""

    def plan_for(self, client: Client) -> Plan:
        """What this client is to get; a stranger gets the defaults."""

    def reserved(self) -> Mapping[IPv4Address, str]:
        """Addresses that belong to entries, with their names: nobody else gets them."""

    def networks(self) -> tuple[Subnet, ...]:
        """Networks it describes; they come before those of the server's settings."""


class NoDirectory:
    """Nobody is known, everybody gets the same."""

    def __init__(self, plan: Plan | None = None) -> None:
        self._plan = plan or Plan()

    def plan_for(self, client: Client) -> Plan:
        """The same for everybody."""
        return self._plan

    def reserved(self) -> Mapping[IPv4Address, str]:
        """None."""
        return {}

    def networks(self) -> tuple[Subnet, ...]:
        """None."""
        return ()


def _always(name: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class BootPolicy:
    """Which programs there are. `has_file` tells whether the server has a file; `http_port` None: no HTTP server."""

    programs: Mapping[Firmware, tuple[str, ...]] = field(default_factory=lambda: DEFAULT_PROGRAMS)
    has_file: Callable[[str], bool] = _always
    http_port: int | None = None

    def choose(self, client: Client, plan: Plan, server: IPv4Address) -> str:
        """The boot file for a client: a name below the TFTP root, or a URL; "" when there is none.

        What the plan says is taken as it is. iPXE that knows HTTP gets a URL: what its script names then comes by HTTP too.
        """
        # What runs already needs no other system, and the settings of a Raspberry Pi itself say what it boots from.
        if plan.onward and not client.is_ours and client.firmware is not Firmware.RASPBERRY_PI:
            return self._onward(client, plan, server)
        return self._program(client, plan, server)

    def _onward(self, client: Client, plan: Plan, server: IPv4Address) -> str:
        """The script for iPXE; for UEFI that shall boot its disk a program that sends it on; iPXE for firmware that can load it; "" for
        everybody else, who then tries the next boot device."""
        firmware = client.firmware
        if firmware is Firmware.IPXE:
            return self._url(plan.onward, server) if self.http_port is not None and FEATURE_HTTP in client.ipxe_features else ""
        leaving = None if firmware is None or not plan.leaves else ONWARD_PROGRAMS.get(_PROGRAM_OF_HTTP.get(firmware, firmware))
        if leaving is not None and firmware is not None and (self.http_port is not None or not firmware.is_http):
            return self._url(leaving, server) if firmware.is_http else leaving
        program = self._program(client, plan, server)
        return program if _IS_IPXE.search(program) else ""

    def _program(self, client: Client, plan: Plan, server: IPv4Address) -> str:
        # Our boot environment gets what iPXE got: from its URL it knows where the files are.
        firmware = Firmware.IPXE if client.is_ours else client.firmware
        if firmware is None:
            return ""
        wanted = _PROGRAM_OF_HTTP.get(firmware, firmware)
        name = plan.programs.get(firmware) or plan.programs.get(wanted)
        if name is None:
            known = self.programs.get(firmware) or self.programs.get(wanted, ())
            name = next((each for each in known if self.has_file(each)), "")
        by_http = firmware.is_http or client.is_ours or (firmware is Firmware.IPXE and FEATURE_HTTP in client.ipxe_features)
        if not name or "://" in name or not by_http:
            return name
        if self.http_port is None:
            return "" if firmware.is_http else name
        return self._url(name, server)

    def _url(self, name: str, server: IPv4Address) -> str:
        port = "" if self.http_port == 80 else f":{self.http_port}"
        return f"http://{server}{port}/{_quote(name)}"


def _quote(name: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415 - only with an HTTP server

    return quote(name.lstrip("/"))
