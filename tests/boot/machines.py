"""Virtual machines on a cable with `bpscript serve`: what the tests of the boot environment switch on.

    with lab(tmp_path) as room:
        room.serve(folder, "[defaults]\\nscript = 'deploy'\\n")
        machine = room.machine("pc1", disk="64M")
        machine.wait_for("login:", 90)

Everything a failed test leaves is in the test's folder: serial logs, the server's log, a capture of every machine's packets.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.network.namespaces import Process, Room, program, room
from tests.oracles import need

FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
FIRMWARE_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
ADDRESS = "10.9.0.1"        # of the server
POOL = "10.9.0.100-10.9.0.199"
# How disks and network cards are put into a machine.
DISKS = {
    "virtio": "virtio-blk-pci,drive={id},bootindex={index}",
    "ahci": "ide-hd,drive={id},bus=ide.{number},bootindex={index}",
    "nvme": "nvme,drive={id},serial=bpscript-{number},bootindex={index}",
    "ide": "ide-hd,drive={id},bootindex={index}",
}
_ESCAPES = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]|\x1bc|\r")


class Machine:
    """A virtual machine. `text` is all it said on its serial line, over all of its starts."""

    def __init__(self, name: str, command: list[str], folder: Path, stack: ExitStack) -> None:
        self.name = name
        self._command = command
        self._folder = folder
        self._starts = 0
        self._popen: subprocess.Popen[bytes] | None = None
        self._keys: socket.socket | None = None
        self.log = folder / f"{name}.serial.log"
        stack.callback(self.kill)

    @property
    def text(self) -> str:
        try:
            return _ESCAPES.sub("", self.log.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return ""

    @property
    def is_on(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def processor_s(self) -> float:
        """Seconds of this host's processors that it has used since it was switched on."""
        assert self._popen is not None
        words = Path(f"/proc/{self._popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def switch_on(self) -> None:
        assert not self.is_on
        self._starts += 1
        line = self._folder / f"{self.name}.{self._starts}.sock"
        with (self._folder / f"{self.name}.qemu.log").open("ab") as output:
            self._popen = subprocess.Popen(
                [*self._command, "-chardev", f"socket,id=line,path={line},server=on,wait=on", "-serial", "chardev:line"],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            )
        self._keys = self._connect(line)
        threading.Thread(target=self._listen, args=(self._keys,), daemon=True).start()

    def _connect(self, line: Path) -> socket.socket:
        """The serial line, once QEMU listens there."""
        end = time.monotonic() + 20
        while True:
            found = socket.socket(socket.AF_UNIX)
            try:
                found.connect(str(line))
                return found
            except OSError:
                found.close()
            assert self.is_on, (self._folder / f"{self.name}.qemu.log").read_text(errors="replace")
            assert time.monotonic() < end, f"{self.name}: QEMU does not listen"
            time.sleep(0.02)

    def kill(self) -> None:
        """As a power cut: nothing is told, nothing is written any more."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait(10)
        if self._keys is not None:
            self._keys.close()
            self._keys = None

    def type(self, text: str) -> None:
        """Keys on the serial line, as a person types: one after the other."""
        assert self._keys is not None
        for character in text:
            self._keys.sendall(character.encode())
            time.sleep(0.05)

    def wait_for(self, text: str, timeout_s: float, *, times: int = 1) -> None:
        """Until it has said that (so many times, over all starts)."""
        end = time.monotonic() + timeout_s
        while self.text.count(text) < times:
            assert time.monotonic() < end, f"{self.name}: no {text!r} within {timeout_s} s:\n{self.text[-6000:]}"
            assert self.is_on or self.text.count(text) >= times, f"{self.name} is off before {text!r}:\n{self.text[-6000:]}"
            time.sleep(0.05)

    def wait_until_off(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while self.is_on:
            assert time.monotonic() < end, f"{self.name} is not off within {timeout_s} s:\n{self.text[-6000:]}"
            time.sleep(0.05)

    def _listen(self, line: socket.socket) -> None:
        """Keep what it says; QEMU's own log repeats what a full socket did not take."""
        with self.log.open("ab", buffering=0) as log, suppress(OSError):
            while data := line.recv(1 << 16):
                log.write(data)


class Lab:
    """The cable, its server and its machines."""

    def __init__(self, cable: Room, folder: Path, stack: ExitStack) -> None:
        self.cable = cable
        self.folder = folder
        self._stack = stack
        self._machines = 0
        self._servers = 0

    def serve(self, root: Path, hosts: str = "", *options: str) -> Process:
        """`bpscript serve` on the cable; `hosts` is the text of hosts.toml."""
        self._servers += 1
        path = self.folder / "hosts.toml"
        path.write_text(hosts, encoding="utf-8")
        return self.cable.server.start(
            sys.executable, "-m", "bpscript", "serve", str(root), "--interface", "lan", "--dhcp", POOL, "--hosts", str(path),
            "--state", str(self.folder / "state.db"), *options, ready="serving",
        )

    def machine(
        self, name: str, *options: str, disks: tuple[Path, ...] = (), bus: str = "virtio", card: str = "virtio-net-pci", uefi: bool = False,
        net_first: bool = False, memory: int = 768, on: bool = True,
    ) -> Machine:
        """A machine of the old kind (BIOS) or with UEFI, which boots from its first disk, and from the network while that is empty.

        `net_first`: from the network each time.
        """
        number = self._new_port()
        command = [
            program("qemu-system-x86_64"), "-accel", "tcg,thread=single", "-cpu", "max,la57=off", "-m", str(memory), "-machine", "q35,graphics=off", "-nodefaults", "-display", "none",
            "-no-user-config", "-device", "virtio-rng-pci", "-name", name, "-uuid", f"33221100-5544-7766-8899-aabbccdd{number:04x}",
            *self._on_cable(name, number),
            "-device", f"{card},netdev=net0,mac={mac(number)},bootindex={0 if net_first else 9}{',romfile=' if uefi else ''}",
        ]
        for index, disk in enumerate(disks):
            command += ["-drive", f"file={disk},format=raw,if=none,id=disk{index},cache=unsafe,discard=unmap,detect-zeroes=unmap"]
            command += ["-device", DISKS[bus].format(id=f"disk{index}", number=index, index=index + 1)]
        if uefi:
            if not FIRMWARE.exists():
                pytest.skip(f"{FIRMWARE} is not installed")
            variables = self.folder / f"{name}.vars"
            variables.write_bytes(FIRMWARE_VARIABLES.read_bytes())
            command += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}", "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
        made = Machine(name, [*self.cable.server.command([*command, *options])], self.folder, self._stack)
        if on:
            made.switch_on()
        return made

    def arm_machine(self, name: str, folder: Path, command_line: str, *, disks: tuple[Path, ...] = ()) -> Machine:
        """A machine with an arm64 processor and virtio devices; a boot loader has brought kernel and initramfs of a folder."""
        number = self._new_port()
        command = [
            program("qemu-system-aarch64"), "-accel", "tcg,thread=single", "-machine", "virt", "-cpu", "cortex-a72", "-m", "768", "-nodefaults", "-display", "none",
            "-no-user-config", "-device", "virtio-rng-pci", "-name", name, "-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd.img"), "-append", command_line,
            *self._on_cable(name, number), "-device", f"virtio-net-pci,netdev=net0,mac={mac(number)},romfile=",
        ]
        for index, disk in enumerate(disks):
            command += ["-drive", f"file={disk},format=raw,if=none,id=disk{index},cache=unsafe", "-device", f"virtio-blk-pci,drive=disk{index}"]
        made = Machine(name, [*self.cable.server.command(command)], self.folder, self._stack)
        made.switch_on()
        return made

    def raspberry_pi(self, name: str, folder: Path, command_line: str, card: Path) -> Machine:
        """A Raspberry Pi 3 as its boot loader leaves it to the kernel, with its device tree; an SD card, and a network card on its USB. QEMU has no other for it."""
        number = self._new_port()
        command = [
            program("qemu-system-aarch64"), "-accel", "tcg,thread=single", "-machine", "raspi3b", "-m", "1G", "-nodefaults", "-display", "none", "-no-user-config", "-name", name,
            "-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd.img"), "-dtb", str(folder / "bcm2837-rpi-3-b.dtb"), "-append", command_line,
            *self._on_cable(name, number), "-device", f"usb-net,netdev=net0,mac={mac(number)}", "-drive", f"file={card},format=raw,if=sd,cache=unsafe",
        ]
        made = Machine(name, [*self.cable.server.command(command)], self.folder, self._stack)
        made.switch_on()
        return made

    def _new_port(self) -> int:
        """Of the cable, for the machine of that number."""
        self._machines += 1
        tap = f"tap{self._machines}"
        self.cable.server.ip("tuntap", "add", tap, "mode", "tap")
        self.cable.server.ip("link", "set", tap, "master", "lan", "up")
        return self._machines

    def _on_cable(self, name: str, number: int) -> list[str]:
        """Options of QEMU: the port, and a capture of what is on it."""
        return [
            "-netdev", f"tap,id=net0,ifname=tap{number},script=no,downscript=no,vnet_hdr=off",
            "-object", f"filter-dump,id=dump,netdev=net0,file={self.folder / f'{name}.pcap'},maxlen=200",
        ]

    def machines(self) -> list[dict[str, Any]]:
        """What the server knows of each machine."""
        found = json.loads(self.cable.server.run(program("curl"), "-sS", f"http://{ADDRESS}/api/machines"))
        rows = found["machines"] if isinstance(found, dict) else found
        assert isinstance(rows, list)
        return rows

    def disk(self, name: str, size: int) -> Path:
        """An empty disk."""
        path = self.folder / name
        with path.open("wb") as file:
            file.truncate(size)
        return path


def mac(number: int) -> str:
    """The hardware address of the machine that is made as the number `number`, from 1."""
    return f"52:54:00:77:00:{number:02x}"


@contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    need("qemu-system-x86_64")
    with room(folder) as cable, ExitStack() as stack:
        yield Lab(cable, folder, stack)
