"""Which system of a partition starts, in this order:

1. entries of the Boot Loader Specification         loader/entries/*.conf
2. extlinux, syslinux                               boot/extlinux/extlinux.conf ...
3. GRUB                                             boot/grub/grub.cfg ...
4. no configuration: the newest kernel with its ramdisk, `root=UUID=... ro`     vmlinuz, boot/vmlinuz-*

An entry counts only when its kernel is there; so a configuration for another partition is passed over.
"""

from dataclasses import replace

from ....filesystems.filesystem import Family, Filesystem
from . import extlinux, grub, loader
from .entry import Entry, Texts
from .loader import natural

_RAMDISKS = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}", "initrd-{}.img", "initramfs-{}")
_FIXED = (("vmlinuz", "initrd.img"), ("vmlinuz", "initrd"), ("boot/vmlinuz", "boot/initrd.img"), ("boot/vmlinuz-linux", "boot/initramfs-linux.img"), ("vmlinuz-linux", "initramfs-linux.img"), ("boot/bzImage", "boot/initrd"))


def find_system(volume: Filesystem) -> Entry | None:
    """The Linux that a partition starts, its paths with links followed; None when there is none."""
    texts = Texts(volume)
    for find in (loader.find, extlinux.find, grub.find, _without_configuration):
        found = find(texts)
        if found is None:
            continue
        kernel = texts.resolved(found.kernel)
        ramdisks = tuple(texts.resolved(each) for each in found.ramdisks)
        if kernel and all(ramdisks):
            return replace(found, kernel=kernel, ramdisks=ramdisks)
    return None


def _without_configuration(texts: Texts) -> Entry | None:
    """Kernels as distributions name them; only where the root file system is known, which is the volume itself."""
    if texts.volume.family is not Family.LINUX or not texts.volume.ident:
        return None
    command_line = f"root=UUID={texts.volume.ident} ro"
    for kernel, ramdisk in _FIXED:
        if texts.resolved(kernel):
            return Entry(kernel, kernel, (ramdisk,) if texts.resolved(ramdisk) else (), command_line, kernel)
    for folder in ("boot", ""):
        names = set(texts.names(folder))
        versions = sorted((name.removeprefix("vmlinuz-") for name in names if name.startswith("vmlinuz-") and "rescue" not in name), key=natural)
        if versions:
            version = versions[-1]
            start = f"{folder}/" if folder else ""
            ramdisks = tuple(f"{start}{form.format(version)}" for form in _RAMDISKS if form.format(version) in names)[:1]
            return Entry(version, f"{start}vmlinuz-{version}", ramdisks, command_line, f"{start}vmlinuz-{version}")
    return None
