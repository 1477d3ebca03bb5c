"""Which drivers a machine gets, with devices and tables as the kernel shows them."""

from pathlib import Path

import pytest

from bpscript.base.errors import StorageError
from bpscript.base.events import Event
from bpscript.workstation import devices
from bpscript.workstation.devices import Drivers


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A PCI card whose driver brings a virtio device."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "modules.dep").write_text("k/virtio.ko:\nk/virtio-pci.ko: k/virtio.ko\nk/virtio_net.ko: k/failover.ko k/virtio.ko\nk/failover.ko:\nk/bad.ko:\n")
    (folder / "modules.alias").write_text("alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\nalias virtio:d00000001v* virtio_net\nalias usb:v1234p* bad\n")
    device(tmp_path, "pci0/0000:00:02.0", "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00")
    return tmp_path


def device(root: Path, place: str, alias: str) -> None:
    path = root / "devices" / place
    path.mkdir(parents=True, exist_ok=True)
    (path / "modalias").write_text(f"{alias}\n")


def test_drivers_come_with_what_they_need_and_bring_new_devices(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load(path: Path, options: str = "") -> None:
        loaded.append(path.name)
        if path.name == "virtio-pci.ko":
            device(machine, "pci0/0000:00:02.0/virtio0", "virtio:d00000001v00001AF4")

    monkeypatch.setattr(devices, "load_module", load)
    drivers = Drivers(machine / "modules", machine / "devices")
    assert drivers.load_all() == ["virtio", "virtio-pci", "failover", "virtio_net"]
    assert loaded == ["virtio.ko", "virtio-pci.ko", "failover.ko", "virtio_net.ko"]
    assert drivers.load_all() == []


def test_a_driver_that_fails_is_a_warning(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path, options: str = "") -> None:
        raise StorageError(f"the kernel module {path.name} cannot be loaded: Invalid argument")

    device(machine, "usb1", "usb:v1234p5678")
    monkeypatch.setattr(devices, "load_module", load)
    told: list[Event] = []
    assert Drivers(machine / "modules", machine / "devices", told.append).load_all() == []
    assert "the kernel module bad.ko cannot be loaded: Invalid argument" in [event.data["text"] for event in told]


def test_a_kernel_without_modules_needs_none(tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    assert Drivers(tmp_path / "nowhere", tmp_path / "devices").load_all() == []
