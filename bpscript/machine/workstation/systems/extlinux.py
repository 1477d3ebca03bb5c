"""extlinux, syslinux and isolinux: `DEFAULT`, `LABEL`, `KERNEL`, `APPEND`, `INITRD`, `INCLUDE`. Source: doc/syslinux.txt and menu.txt.

What starts is the label of DEFAULT, else the one with MENU DEFAULT, else the first.
"""

from dataclasses import dataclass

from .entry import Entry, Texts, beside, lines

PLACES = (
    "boot/extlinux/extlinux.conf", "extlinux/extlinux.conf", "extlinux.conf", "boot/syslinux/syslinux.cfg", "syslinux/syslinux.cfg",
    "boot/syslinux/extlinux.conf", "syslinux.cfg",
)  # fmt: skip
_DEEPEST = 8        # files that include each other


@dataclass
class _Label:
    name: str
    kernel: str = ""
    append: str | None = None
    ramdisks: tuple[str, ...] = ()


class _Configuration:
    def __init__(self, texts: Texts, folder: str) -> None:
        self.texts = texts
        self.folder = folder
        self.labels: list[_Label] = []
        self.default = ""
        self.menu_default = ""
        self.append = ""

    def read(self, text: str, depth: int = 0) -> None:
        for word, rest in lines(text):
            label = self.labels[-1] if self.labels else None
            match word:
                case "default":
                    self.default = rest
                case "include" if depth < _DEEPEST:
                    self.read(self.texts.read(beside(self.folder, rest)) or "", depth + 1)
                case "label":
                    self.labels.append(_Label(rest))
                case "menu" if label is not None and rest.lower().startswith("default"):
                    self.menu_default = label.name
                case "menu" if rest.lower().startswith("include ") and depth < _DEEPEST:
                    self.read(self.texts.read(beside(self.folder, rest.split()[1])) or "", depth + 1)
                case "kernel" | "linux" if label is not None:
                    label.kernel = rest
                case "append" if label is None:
                    self.append = rest
                case "append" if label is not None:
                    label.append = "" if rest == "-" else rest
                case "initrd" if label is not None:
                    label.ramdisks = tuple(filter(None, rest.split(",")))

    def chosen(self) -> _Label | None:
        for name in (self.default, self.menu_default):
            found = next((each for each in self.labels if name and each.name.lower() == name.lower()), None)
            if found is not None:
                return found
        if self.default and not self.labels:        # a kernel and its command line
            kernel, _, append = self.default.partition(" ")
            return _Label(kernel, kernel, append.strip() or None)
        return self.labels[0] if self.labels else None


def find(texts: Texts) -> Entry | None:
    """What the first configuration file found says."""
    for path in PLACES:
        text = texts.read(path)
        if text is None:
            continue
        folder = path.rpartition("/")[0]
        configuration = _Configuration(texts, folder)
        configuration.read(text)
        label = configuration.chosen()
        if label is None:
            continue
        words = (configuration.append if label.append is None else label.append).split()
        named = [word.removeprefix("initrd=") for word in words if word.startswith("initrd=")]
        ramdisks = label.ramdisks or tuple(each for word in named for each in word.split(",") if each)
        # `initrd=` is the loader's own; what stays is the kernel's.
        command_line = " ".join(word for word in words if not word.startswith("initrd="))
        kernel = beside(folder, label.kernel or label.name)
        return Entry(label.name, kernel, tuple(beside(folder, each) for each in ramdisks), command_line, path)
    return None
