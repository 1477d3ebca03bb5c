"""Seeded mistakes: one at a time goes into an example script, and the checker finds it at its line. The originals have no errors.

Each row is the example, the line that is changed (as it begins), what it becomes, and the code of what is found there; `@` in front of the
code says that it is found on another line than the changed one: the line that begins with the text behind it.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpscript.api import CheckOptions, check_with
from bpscript.language.check.findings import Finding
from tests.language.check.surroundings import archive

EXAMPLES = Path(__file__).parents[2] / "spec" / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in {".bpb", ".mrz"})
MIB = 1 << 20

# Files that a site would supply, as far as the examples name them.
SUPPLIED = {
    "linux.imz": ("EXT2", 40, 5), "dos.imz": ("FAT16", 20, 3), "win98.imz": ("FAT32", 80, 3), "original.imz": ("EXT2", 40, 5),
}  # fmt: skip
TEXTS = ("logo.gif", "hosts.head", "hosts.tail", "lts/bzImage", "lts/zImage", "lts/initrd.gz", "dos.pxe", "no-such-file", "rescue.img")

MUTATIONS = [
    # commands, labels, types
    ("01-linux-lab.bpb", "fullunzip ", 'fulunzip "linux.imz" 1', "BP102"),
    ("01-linux-lab.bpb", "if $first", "if $first < $needed goto tosmall", "BP201"),
    ("01-linux-lab.bpb", "setpartitions", 'setpartitions "linux-ext:992 linux-swap:32"', "BP401"),
    ("03-menu-login.bpb", 'OnKey "2"', 'OnKey "2" goto window', "BP201"),
    ("16-old-menu.bpb", ".WLN 1", ".WLM 1  DOS", "BP102"),
    # arguments
    ("01-linux-lab.bpb", "setbootpart", 'setbootpart "1"', "BP104"),
    ("02-dos-deploy.bpb", "patch \"protocol", 'patch "protocol.ref"', "BP104"),
    ("03-menu-login.bpb", "TextAttr", "TextAttr Blak LightGray", "BP105"),
    ("03-menu-login.bpb", "At 15,20", 'At 15 20 Print "User name : "', "BP104"),
    ("03-menu-login.bpb", "DrawGif", 'DrawGif "logo.gif" 0 0 Best-Colours', "BP105"),
    ("09-extended.bpb", "if not valid :5", 'if not valid 5 Clean 5 "DATA"', "BP104"),
    ("12-diskless.bpb", "set gw", 'set gw = "$BOOTP-Routers"{0', "BP104"),
    ("12-diskless.bpb", "set kernel", "set kernel = bzImage", "BP104"),
    ("13-counter-and-tables.bpb", "set sq", "set sq = $i * $i", "BP109"),
    ("01-linux-lab.bpb", "log ", 'log "${BOOTP-Host-Name}\\n', "BP101"),
    ("14-cache-preload.bpb", "set PauseLog", 'set Disks = "OFF"', "BP107"),
    ("06-capture-windows.mrz", "incrdump", "incrdump hw-thismachine.imi", "BP104"),
    # ways
    ("13-counter-and-tables.bpb", "set i = ($i", "set k = ($i + 1)", "@BP205 goto square"),
    ("03-menu-login.bpb", 'if "$Security-Check"', "goto again", "@BP203 log"),
    ("15-first-boot.bpb", 'if "$release"', "goto boot", None),
    ("13-counter-and-tables.bpb", "if $i > 3", "# gone", "@BP204 goto square"),
    ("01-linux-lab.bpb", "capturelog", "# gone", "@BP207 endcapture"),
    ("09-extended.bpb", ":wrong", ":wring", "@BP201 if \"$found\""),
    # variables
    ("02-dos-deploy.bpb", "set MS-IPSubnet", 'set MS-IPSubnet = "$BOOTP-Subnetmask"/.= /', "BP303"),
    ("03-menu-login.bpb", "set tries = ($tries", "set tries = ($trys+1)", "BP301"),
    ("10-two-disks.bpb", "SetPartitions \"LINUX-EXT2:$size\"", 'SetPartitions "LINUX-EXT2:$sise" 1', "BP301"),
    ("02-dos-deploy.bpb", "set MS-IPRouter", 'set MS-Router = "$BOOTP-Routers"{0}/.= /', "@BP505 patch \"protocol"),
    ("11-onexit-cleanup.bpb", "OnExit", r'OnExit eval "Log \"script finished after step \$stp\\r\\n\""', "BP301"),
    ("14-cache-preload.bpb", "set ErrorMode", 'set ErrorMode = "GO ON"', "BP304"),
    # disks
    ("01-linux-lab.bpb", "setpartitions", 'setpartitions "linux-ext2:992 linux-swap:512"', "BP402"),
    ("01-linux-lab.bpb", "clean 2", "clean 3", "BP403"),
    ("01-linux-lab.bpb", "fullunzip", 'fullunzip "linux.imz" 2', "BP405"),
    ("04-overlay-by-hardware.bpb", "setpartitions", 'setpartitions "bigdos:2000 bigdos:100"', "@BP405 fullunzip"),
    ("02-dos-deploy.bpb", "setpartitions", 'setpartitions "bigdos:2"', "@BP406 fullunzip"),
    ("02-dos-deploy.bpb", "hdboot", "hdboot :2", "BP403"),
    ("10-two-disks.bpb", "Clean 1 1", 'Clean 1 2 "data"', "BP407"),
    ("09-extended.bpb", "if not valid :9", 'if not valid :8 Clean 9 "WORK"', "BP408"),
    # files
    ("02-dos-deploy.bpb", "fullunzip", 'fullunzip "doss.imz" 1', "BP501"),
    ("08-clock-and-site.bpb", 'Include "include/site', 'Include "includes/site.bpb"', "BP501"),
    ("04-overlay-by-hardware.bpb", "if not ci", 'if not ci "$class" in-file "include/hardwear.txt" set class = "generic"', "BP501"),
    ("01-linux-lab.bpb", "endcapture", 'endcapture "{:l}/etc/HOSTNAME"', "BP503"),
    ("02-dos-deploy.bpb", "setbootpart", "hidebootprom", "@BP504 fullunzip"),
    ("02-dos-deploy.bpb", "fullunzip", 'incrunzip "dos.imz" 1', "BP502"),
    ("16-old-menu.bpb", ".KEY 2", ".KEY 2 01-linux-lap.bpb", "BP501"),
    # passwords
    ("03-menu-login.bpb", "CheckUser", 'CheckUser "smith" "justdoit" "Unix"', "BP601"),
    ("03-menu-login.bpb", "set pass", 'log "$user $pass"', "BP602"),
]  # fmt: skip


def site(folder: Path) -> Path:
    """The examples with the files that a site would supply."""
    root = folder / "root"
    shutil.copytree(EXAMPLES, root)
    for name, made in SUPPLIED.items():
        (root / name).write_bytes(archive(*made))
    for name in TEXTS:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    return root


def found_in(root: Path, name: str) -> list[Finding]:
    sizes = [2200, 4000] if name.startswith("10") else [2200] if not name.startswith("01") else [1300]
    return list(check_with(root / name, CheckOptions(disks=[size * MIB for size in sizes])).findings)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_original_has_no_errors_and_only_warnings_that_are_true(root: Path, name: str) -> None:
    wanted = ["BP301"] if name.startswith("11") else []       # $Fail is given to the run, or not
    assert [finding.code for finding in found_in(root, name)] == wanted


@pytest.mark.parametrize("name", SCRIPTS)
def test_without_the_site_only_files_are_missing(name: str) -> None:
    found = check_with(EXAMPLES / name, CheckOptions())
    assert found.errors == 0
    assert {finding.code for finding in found.findings} <= {"BP501", "BP301"}


def test_there_are_enough_mutations() -> None:
    assert len([row for row in MUTATIONS if row[3]]) >= 30
    assert len({row[0] for row in MUTATIONS}) >= 12
    assert len({str(row[3]).split(" ")[0].lstrip("@") for row in MUTATIONS}) >= 20


def mutated(script: Path, begins: str, becomes: str) -> Iterator[str]:
    changed = 0
    for line in script.read_text().splitlines():
        if not changed and line.startswith(begins):
            changed += 1
            yield becomes
        else:
            yield line
    assert changed == 1, f"no line of {script.name} begins with {begins}"


@pytest.mark.parametrize(("name", "begins", "becomes", "code"), MUTATIONS, ids=lambda value: str(value)[:40])
def test_a_seeded_mistake_is_found_at_its_line(root: Path, tmp_path: Path, name: str, begins: str, becomes: str, code: str | None) -> None:
    before = {(finding.code, finding.source) for finding in found_in(root, name)}
    lines = list(mutated(root / name, begins, becomes))
    folder = tmp_path / "root"
    shutil.copytree(root, folder, copy_function=lambda source, target: Path(target).symlink_to(source) if str(source).endswith(".imz") else shutil.copy(source, target))
    (folder / name).write_text("\n".join(lines) + "\n")
    for link in folder.glob("*.imz"):
        target = link.resolve()
        link.unlink()
        link.hardlink_to(target)      # a symbolic link would lead out of the root
    new = [finding for finding in found_in(folder, name) if (finding.code, finding.source) not in before]
    if code is None:
        assert new == []        # it is another script, and no mistake can be seen
        return
    code, _, elsewhere = code.partition(" ")
    place = next(number for number, line in enumerate(lines, start=1) if line.startswith(elsewhere or becomes))
    assert (code.lstrip("@"), place) in [(finding.code, finding.line) for finding in new], [finding.explain() for finding in new]
