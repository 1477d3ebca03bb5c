'''Every rule of the checker in one place: code, severity, title, why, and an example of each kind.

The examples run as tests: the wrong one gives exactly one finding with this code, the right one gives none. What an example needs
around it is in `disks` (sizes in MB, as with --disk) and `files` (below --root; an archive is described as "full FAT16 64", or "full FAT16 64 30" with 30 MB
of files in it).

An error is something the run will stop at, if it comes to that line; a warning may be meant.
'''

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Severity(StrEnum):
    """How sure it is that something is wrong."""

    ERROR = "error"
    WARNING = "warning"


class Rule(NamedTuple):
    """One rule and its page."""

    code: str
    severity: Severity
    title: str
    why: str
    wrong: str
    right: str
    disks: tuple[int, ...] = ()
    files: Mapping[str, str] = MappingProxyType({})
    script: str = "example.bpb"

    def page(self) -> str:
        """What `bpscript explain` prints."""
        lines = [f"{self.code}: {self.title} ({self.severity})", "", self.why, "", "Wrong:", *_shown(self.wrong), "", "Right:", *_shown(self.right)]
        return "\n".join([*lines, "", f"To silence it on one line, write before it:  # check: ignore {self.code}"])


def _shown(script: str) -> list[str]:
    return [f"  {line}" for line in script.splitlines()]


_E, _W = Severity.ERROR, Severity.WARNING

_RULES = (
    # Lines
    Rule("BP101", _E, "the line cannot be read",
         "A quote, a brace or an operator is not complete, or ${...} holds no name. The run stops here, even where the line is the\n"
         "command of an If whose test fails.",
         'Echo "Hello', 'Echo "Hello"'),
    Rule("BP102", _E, "unknown command",
         "No command has this name. `bpscript help` lists them.",
         'Ecko "hello"', 'Echo "hello"'),
    Rule("BP103", _E, "the command is not available here",
         "Archive-building commands run in MrZip only, which is what scripts that end in .mrz run as; Quit and Exit belong to the\n"
         "interactive prompt.",
         "Quit", "Goto end\n:end"),
    Rule("BP104", _E, "wrong arguments",
         "An argument is missing, is one too many, or is of another kind: a number where a string belongs, a word where a number belongs.\n"
         "`bpscript help COMMAND` shows what the command takes.",
         'SetBootPart "one"', "SetBootPart 1"),
    Rule("BP105", _E, "the command does not take this value",
         "The argument is of the right kind, but not one of the values that mean something: a colour, a keyword, a negative duration.",
         "TextAttr Yelow Blue", "TextAttr Yellow Blue"),
    Rule("BP106", _E, "the calculation fails",
         "A division by zero, a number beyond 32 bits, or a negative index into a string.",
         "Set n = 0\nSet m = (10 / $n)\nEcho $m", "Set n = 2\nSet m = (10 / $n)\nEcho $m"),
    Rule("BP107", _E, "the variable is read-only",
         "$Disks, $APM and $Keypressed say what the machine is; a script cannot set them.",
         'Set Disks = "2000"', 'Set wanted = "2000"'),
    Rule("BP108", _E, "a value outside quotes is no string",
         "A macro outside quotes becomes words and numbers; a quote in its value never begins a string. Where a string belongs, write the\n"
         "macro between quotes.",
         'Set image = "linux.imz"\nLogFile $image', 'Set image = "linux.imz"\nLogFile "$image"', files={"linux.imz": "text"}),
    Rule("BP109", _W, "no usual value makes sense here",
         "A macro outside quotes is read as if its value were typed. With a number, a word or several of them in its place the line is wrong; only a\n"
         "value that brings brackets or operators of its own could make it right. Every operation needs parentheses of its own.",
         "Input n\nSet square = $n * $n\nEcho $square", "Input n\nSet square = ($n * $n)\nEcho $square"),
    # Ways through the script
    Rule("BP201", _E, "no such label",
         "Goto looks for labels in its own file only, not in a file that includes it or that it includes.",
         "Goto instal\n:install", "Goto install\n:install"),
    Rule("BP202", _W, "the label stands twice",
         "The first label of a name counts; the second one is never found by Goto.",
         "Goto menu\n:menu\nEcho \"1\"\n:menu\nEcho \"2\"", "Goto menu\n:menu\nEcho \"1\"\n:menu-2\nEcho \"2\""),
    Rule("BP203", _W, "the line is never reached",
         "No way through the script leads here: the line before always goes elsewhere, and nothing jumps to a label in between. What is wrong with the line itself is not told.",
         'PowerOff\nEcho "done"', 'Echo "done"\nPowerOff'),
    Rule("BP204", _E, "a loop without exit or wait",
         "Once in this loop the script never leaves it, and it waits for nothing: no key, no time, no file.",
         ":again\nEcho \"working\"\nGoto again", ":again\nEcho \"working\"\nDelay 5\nGoto again"),
    Rule("BP205", _W, "the loop's condition never changes",
         "The loop can only be left by a test, and nothing in the loop changes what is tested.",
         "Set n = 0\n:again\nIf $n > 3 Goto out\nEcho $n\nGoto again\n:out",
         "Set n = 0\n:again\nIf $n > 3 Goto out\nEcho $n\nSet n = ($n + 1)\nGoto again\n:out"),
    Rule("BP206", _W, "the file includes itself",
         "Files may be nested 64 deep; a file that includes itself, also by way of another one, comes to an end only where a test leads\n"
         "around the Include.",
         'Include "example.bpb"', 'Include "other.bpb"', files={"example.bpb": 'Include "example.bpb"', "other.bpb": 'Echo "other"'}),
    Rule("BP207", _E, "captures do not match",
         "CaptureLog begins a record and EndCapture ends it, in the same file; there is one at a time.",
         'Echo "x"\nEndCapture "x.txt"', 'CaptureLog\nEcho "x"\nEndCapture "x.txt"'),
    Rule("BP208", _E, "the archive operation is not complete",
         "CopyArchive needs a Source and a Dest before it; an exception (Filter +) belongs to the Filter - before it.",
         'Filter +"var/log/wtmp"', 'Filter -"var/log/*"\nFilter +"var/log/wtmp"', script="example.mrz"),
    # Variables
    Rule("BP301", _W, "the variable is never set",
         "A variable that was never set is an empty string, without any error. It is not set here, not in an included file, and it is\n"
         "neither a special variable nor one of the BOOTP or DHCP reply. `--set NAME` says that the run will set it.",
         'Set gateway = "10.0.0.1"\nEcho "$gatway"', 'Set gateway = "10.0.0.1"\nEcho "$gateway"'),
    Rule("BP302", _W, "the variable is used before it is set",
         "On every way to this line the variable is still unset, so it is an empty string here.",
         'Echo "$n"\nSet n = 1', 'Set n = 1\nEcho "$n"'),
    Rule("BP303", _W, "no such variable in a BOOTP or DHCP reply",
         "Names that begin with BOOTP- or DHCP- are those of `bpscript`'s table of options; another one is never set by a reply.",
         'Echo "${BOOTP-Hostname}"', 'Echo "${BOOTP-Host-Name}"'),
    Rule("BP304", _W, "the special variable does not take this value",
         "The interpreter looks at this variable, and the value means nothing to it.",
         'Set ErrorMode = "CONTINU"', 'Set ErrorMode = "CONTINUE"'),
    # Disks
    Rule("BP401", _E, "the partition list is wrong",
         "SetPartitions refuses the list on any disk: an unknown type, a missing size, two extended partitions in one table.",
         'SetPartitions "FAT32:500 LINUX-EXT:300"', 'SetPartitions "FAT32:500 LINUX-EXT2:300"'),
    Rule("BP402", _E, "the partitions do not fit on the disk",
         "With the disk size that --disk gives, SetPartitions refuses the list before it writes anything.",
         'SetPartitions "FAT32:300 LINUX-EXT2:300"', 'SetPartitions "FAT32:300 LINUX-EXT2:*"', disks=(500,)),
    Rule("BP403", _E, "there is no such partition",
         "SetPartitions, before this line, made a table without this partition.",
         'SetPartitions "BIGDOS:500"\nClean 2', 'SetPartitions "BIGDOS:500 LINUX-SWAP:64"\nClean 2'),
    Rule("BP404", _E, "the partition cannot be used like this",
         "Clean formats FAT, Linux and swap partitions; there are no files on a swap partition or an extended one.",
         'SetPartitions "NTFS:500"\nClean 1', 'SetPartitions "FAT32:500"\nClean 1'),
    Rule("BP405", _E, "the archive does not belong on this partition",
         "The file system in the archive is of another family than the partition's type, so FullUnzip refuses it before it writes.",
         'SetPartitions "LINUX-EXT2:64"\nFullUnzip "dos.imz" 1', 'SetPartitions "BIGDOS:64"\nFullUnzip "dos.imz" 1',
         files={"dos.imz": "full FAT16 40"}),
    Rule("BP406", _E, "the image is larger than the partition",
         "By its header the archive does not fit: its files need more than the partition has, or it is of a file system that cannot be\n"
         "made smaller.",
         'SetPartitions "BIGDOS:20"\nFullUnzip "dos.imz" 1', 'SetPartitions "BIGDOS:100"\nFullUnzip "dos.imz" 1', files={"dos.imz": "full FAT16 60 30"}),
    Rule("BP407", _E, "there is no such disk",
         "--disk says how many disks the machine has; disks are counted from 0.",
         "Clean 1 1", "Clean 1 0", disks=(500,)),
    Rule("BP408", _W, "a test of a partition that is not there",
         "SetPartitions, before this line, made a table without this partition: `valid` and `exist` always say no.",
         'SetPartitions "BIGDOS:500"\nIf valid :2 Beep', 'SetPartitions "BIGDOS:500"\nIf valid :1 Beep'),
    # Files
    Rule("BP501", _W, "the file is not there",
         "No file of this name is below --root (the script's folder, if it is not given), and the script does not make it before.",
         'Copy "autoexec.ba" "{:1}/autoexec.bat"', 'Copy "autoexec.bat" "{:1}/autoexec.bat"', files={"autoexec.bat": "text"}),
    Rule("BP502", _E, "the file is of another kind",
         "FullUnzip takes full archives and images of partitions, IncrUnzip incremental archives, tar and zip.",
         'FullUnzip "hw.imi" 1', 'IncrUnzip "hw.imi" 1', files={"hw.imi": "incremental"}),
    Rule("BP503", _E, "not a file reference",
         "A file on a disk is {disk:partition}/path; a name of a server cannot lead out of its folder.",
         'MkDir "{0,1}/etc"', 'MkDir "{0:1}/etc"'),
    Rule("BP504", _E, "the network is gone",
         "HideBootProm, FloppyBoot and LoadRamDisk give the boot ROM's memory back: after that no file of a server can be reached.",
         'HideBootProm\nCopy "a.txt" "{:1}/a.txt"', 'Copy "a.txt" "{:1}/a.txt"\nHideBootProm', files={"a.txt": "text"}),
    Rule("BP505", _W, "the patched file names a variable that is never set",
         "Patch replaces the name by nothing when the variable was never set.",
         'Patch "hosts.ref" "{:1}/hosts"', 'Set site = "lab"\nPatch "hosts.ref" "{:1}/hosts"', files={"hosts.ref": "site ${site}\n"}),
    # Secrets
    Rule("BP601", _W, "a password in the script",
         "Everyone who can fetch the script can read it. Compare with what Crypt made (Match-Passwd), or ask a login gateway (CheckUser).",
         'CheckUser "admin" "letmein" "Unix"', 'GetPasswd typed\nCheckUser "admin" "$typed" "Unix"'),
    Rule("BP602", _W, "a password in the log",
         "The log is on the screen, in log files and in the reports to a server.",
         'GetPasswd typed\nEcho "you typed $typed"', 'GetPasswd typed\nEcho "thank you"\nCheckUser "joe" "$typed" "Unix"'),
    Rule("BP603", _W, "a password crosses the network in clear",
         "A file name, a kernel command line or a file on a server shows what was typed to everyone on the network, unless --root is\n"
         "an https:// address. CheckUser encrypts the password.",
         'GetPasswd typed\nInclude "10.0.0.1@89:getpasswd/$typed"', 'GetPasswd typed\nCheckUser "joe" "$typed" "Unix"'),
    # The checker itself
    Rule("BP901", _W, "a comment silences nothing",
         "`# check: ignore CODE` names the rules that do not count on the next line.",
         '# check: ignore BP999\nEcho "x"', '# check: ignore BP301\nEcho "$Colour"'),
)  # fmt: skip

RULES: Mapping[str, Rule] = MappingProxyType({rule.code: rule for rule in _RULES})


def rule_of(code: str) -> Rule:
    """The rule of a code."""
    return RULES[code]
