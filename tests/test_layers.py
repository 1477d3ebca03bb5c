"""Imports point down only, and neighbours do not import each other: the picture of the house, kept by a test."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bpscript"

# From the top to the ground floor; names on one line are strangers to each other.
HOUSE = (
    {"cli"},
    {"lsp"},
    {"cases", "testing", "trust", "workstation"},
    {"api"},
    {"commands", "server", "initramfs"},
    {"interpreter"},
    {"machine", "language"},
    {"archive"},
    {"filesystems", "partitions", "network", "screen"},
    {"blocks", "crypto"},
    {"base"},
)
FLOOR = {name: height for height, names in enumerate(reversed(HOUSE)) for name in names}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in FLOOR)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level part of every import of our own package, also of late ones."""
    here = ("bpscript", *path.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = list(here[: len(here) - node.level]) if node.level else []
            parts = base + (node.module.split(".") if node.module else [])
            if parts[:1] != ["bpscript"]:
                continue
            names = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
            for name in names:
                if name != "__version__":
                    yield node.lineno, name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("bpscript."):
                    yield node.lineno, alias.name.split(".")[1]


def trespasses(path: Path) -> list[str]:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    found = []
    for line, other in imported(path):
        if other not in FLOOR:
            found.append(f"{path.name}:{line} imports bpscript.{other}, which has no place in the house")
        elif other != own and FLOOR[other] >= FLOOR[own]:
            found.append(f"{path.name}:{line} in {own} imports {other}, which is not below it")
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    assert trespasses(path) == []


def test_an_import_upwards_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base").mkdir()
    wrong = tmp_path / "base" / "wrong.py"
    wrong.write_text("def late():\n    from ..cli import main\n")
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    assert trespasses(wrong) == ["wrong.py:2 in base imports cli, which is not below it"]


def test_nothing_imports_the_dead_fs_package() -> None:
    """pyfatfs's PyFatFS needs `fs`, which needs the removed pkg_resources: only the codecs may be used."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            assert not any(name == "fs" or name.startswith(("fs.", "pyfatfs.PyFatFS", "pyfatfs.FatIO")) for name in names), path
