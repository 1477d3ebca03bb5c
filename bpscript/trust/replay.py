"""Doing a recorded run again, and where it goes another way.

Nothing is changed: disks and folders are those of a plan (`rehearsal.py`). Without the disk images the disks are empty but for the
table and the first sectors of each file system, as recorded. What needs an image that is not at hand is passed over where the record
says that it succeeded, and fails with the error of the record where it says that this was its end; from then on, and where passwords are
masked, tests are answered as in the record.
"""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from lzma import LZMAError
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..api import NewDisk, RunOptions, execute
from ..base.clock import Clock
from ..base.errors import BpscriptError, FormatError, ScriptError, UsageError
from ..base.sources import FileSource
from ..base.temporary import temporary_folder
from ..base.units import GIB, KIB, MIB
from ..filesystems.filesystem import clean_path
from ..language.places import PlacedError
from ..screen.keyboard import Key, Keyboard
from .fingerprints import fingerprint
from .record import END, FORMAT, VERSION
from .rehearsal import Rehearsal

if TYPE_CHECKING:
    from ..machine.machine import Machine

_MOST_BYTES = 64 * MIB      # of a bundle, and of a file in it
# What zipfile, its unpackers and json raise for a bundle that is damaged, or none.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, LZMAError, OSError, EOFError, struct.error, KeyError, ValueError, RecursionError, NotImplementedError, RuntimeError,
)  # fmt: skip


class Record(NamedTuple):
    """A bundle that was read: its facts, and the files in it."""

    facts: dict[str, Any]
    files: dict[str, bytes]

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Raises UsageError when there is none, FormatError for anything else than a record of this version."""
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise FormatError(f"{path} is no record: it has more than {_MOST_BYTES} bytes")
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if sum(each.file_size for each in archive.infolist()) > _MOST_BYTES:
                    raise FormatError(f"{path} is no record: it would be larger than {_MOST_BYTES} bytes")
                files = {name: archive.read(name) for name in archive.namelist()}
            facts = json.loads(files["record.json"])
        except _DAMAGED as error:
            raise FormatError(f"{path} is no record, or it is damaged", hint="bpscript run SCRIPT --record F makes one") from error
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise FormatError(f"{path} is no record", hint="bpscript run SCRIPT --record F makes one")
        if facts.get("version") != VERSION:
            raise FormatError(f"{path} is a record of version {facts.get('version')}; this program knows version {VERSION}")
        return cls(facts, files)


class Replayed(NamedTuple):
    """How a replay went.

    `ends_as_recorded`: at the same line with the same error, or with the same boot; `same_line`: the error may be another. `taken_over`: the
    line was reached, but what fails there is not at hand, and the error is the one of the record.
    """

    ends_as_recorded: bool
    same_line: bool
    taken_over: bool
    error: ScriptError | None
    boot: str | None
    differences: list[str]
    notes: list[str]


class _Keys:
    """The keys of the record."""

    live = False

    def __init__(self, keys: list[Any]) -> None:
        self._keys = [Key(str(character), bool(alt)) for character, alt, _ in keys]

    @property
    def ended(self) -> bool:
        """Whether all are used up."""
        return not self._keys

    def peek(self, timeout_s: float | None = 0) -> Key | None:
        """The next key."""
        return self._keys[0] if self._keys else None

    def take(self) -> Key | None:
        """Remove the next key."""
        return self._keys.pop(0) if self._keys else None


class _Replay(Rehearsal):
    """The stage of a replay."""

    watches = True

    def __init__(self, record: Record, folder: Path, keys: str | None) -> None:
        super().__init__(lambda stage, machine, error, booted: None)
        self._record = record
        self._below = folder
        self._own_keys = keys
        self._step = self._decision = 0
        self._masked = bool(record.facts["masked"])
        self._passed_over = False
        self.differences: list[str] = []
        self.notes: list[str] = []
        self._stand_ins: dict[str, int] = {}    # sizes, by name
        self._without_disks = False
        self.taken_over = False

    def clock(self, clock: Clock) -> Clock:
        """The time of the record."""
        facts = self._record.facts
        self.time.fixed_ns = facts.get("fixed_ns")
        if self.time.fixed_ns is None:
            self.time.begin_at(int(facts["started_ns"]))
        return self.time

    def keyboard(self, keyboard: Keyboard) -> Keyboard:
        """The keys of the record, or those that were given."""
        return keyboard if self._own_keys is not None else _Keys(self._record.facts["keys"])

    def source(self, source: FileSource, stack: ExitStack) -> FileSource:
        """The folder, with the files of the record in it."""
        shadowed = super().source(source, stack)
        self._put_files(host=False)
        return shadowed

    def host(self, source: FileSource, stack: ExitStack) -> FileSource:
        """The operating system, with the files of the record in it."""
        shadowed = super().host(source, stack)
        self._put_files(host=True)
        return shadowed

    def ready(self, machine: "Machine", script: Path, variables: Mapping[str, str]) -> None:
        """Fill disks that were not given."""
        super().ready(machine, script, variables)
        for number, (facts, stack) in enumerate(zip(self._record.facts["disks"], self.stacks, strict=False)):
            if stack.is_new and not facts["new"]:
                for offset, name in facts["pieces"]:
                    stack.top.write(int(offset), self._record.files[name])
                self.notes.append(f"disk {number} is empty but for its table: {facts['name']} was not given (--disk)")
                self._without_disks = self._without_disks or bool(facts["pieces"])
        self._passed_over = self._without_disks

    def perform(self, name: str, file: str, line: int, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - what commands return
        """A command: where the record has another one, that is a difference."""
        steps = self._record.facts["steps"]
        step = steps[self._step] if self._step < len(steps) else None
        self._step += 1
        if step is not None and [_base(file), line, name] != [_base(step[0]), *step[1:3]]:
            self._differs(f"command {self._step}: {file}:{line} {name}, but in the record {step[0]}:{step[1]} {step[2]}")
            step = None
        elif step is None and steps and len(steps) < _MOST_COMPARED:
            self._differs(f"{file}:{line} {name} runs, where the record has ended")
        recorded = None if step is None or step[3] else self._end_of_record(file, line)
        try:
            done = work()
            if recorded is not None and self._lacks_what_fails():
                self._take_over(f"{file}:{line} {name}", "succeed")
                raise recorded
            return done
        except BpscriptError as error:
            if recorded is not None and not self.taken_over and _words(error.message, self._below) != _words(recorded.message, self._below) and self._lacks_what_fails():
                self._take_over(f"{file}:{line} {name}", f'fail otherwise ("{error.message}")')
                raise recorded from error
            if step is None or not step[3] or not (self._passed_over or self._lacks_files()):
                raise
            self._passed_over = True
            self.notes.append(f"{file}:{line} {name} is passed over, it succeeded in the record: {error.message}")
            return None

    def _end_of_record(self, file: str, line: int) -> PlacedError | None:
        """The error that ended the record, when the command that is about to run is its last one."""
        wanted = self._record.facts["result"]["error"]
        steps = self._record.facts["steps"]
        if wanted is None or self._step != len(steps) or len(steps) >= _MOST_COMPARED or [_base(wanted["file"]), wanted["line"]] != [_base(file), line]:
            return None
        return PlacedError(str(wanted["text"]), int(wanted["column"]), hint=wanted["hint"])

    def _lacks_what_fails(self) -> bool:
        """Whether a disk or file of the record is not here at all. One that is here, but another one, is what the developer wants to try."""
        return not self.differences and (self._without_disks or bool(self._stand_ins) or any(self._is_absent(facts) for facts in self._record.facts["files"]))

    def _is_absent(self, facts: dict[str, Any]) -> bool:
        return facts["content"] is None and facts["size"] is not None and self._source_of(facts).stat(facts["name"]) is None

    def _take_over(self, where: str, instead: str) -> None:
        self.taken_over = True
        self.notes.append(f"{where} fails as in the record: here it would {instead}, without what is not at hand")

    def decide(self, holds: bool) -> bool:
        """The answer of a test, as in the record where things are missing here."""
        decisions = self._record.facts["decisions"]
        recorded = decisions[self._decision] == "1" if self._decision < len(decisions) and not self.differences else holds
        self._decision += 1
        if recorded == holds:
            return holds
        where = f"{self.watch.spot.file}:{self.watch.spot.line}"
        if self._passed_over or self._masked:
            self.notes.append(f"{where} If is answered as in the record: {str(recorded).lower()}")
            return recorded
        self._differs(f"{where} If is {str(holds).lower()}, in the record it was {str(recorded).lower()}")
        return holds

    def _differs(self, words: str) -> None:
        if not self.differences:        # what follows from the first says nothing
            self.differences.append(words)

    def _lacks_files(self) -> bool:
        return any(name for name in self.missing)

    @property
    def missing(self) -> list[str]:
        """Files that the recorded run had and this one has not, or has otherwise."""
        found = []
        for facts in self._record.facts["files"]:
            if facts["name"] in self._stand_ins:
                found.append(facts["name"])
            elif facts["content"] is None:
                now = fingerprint(self._source_of(facts), facts["name"])
                if now.size != facts["size"] or (facts["hash"] and now.hash != facts["hash"]):
                    found.append(facts["name"])
        return found

    def _source_of(self, facts: dict[str, Any]) -> FileSource:
        return self.folders[1 if facts["host"] and len(self.folders) > 1 else 0]

    def about_missing(self, name: str) -> str:
        """What is there instead of a file that is not at hand."""
        instead = self._stand_ins.get(name)
        if instead is None:
            return f'the file "{name}" is not at hand, or another one'
        return f'the file "{name}" is not at hand: a file of its size ({instead} bytes) with the first and last {END // KIB} KiB of it stands in for it'

    def _put_files(self, *, host: bool) -> None:
        """The files of the record, and where the root does not have a larger one, a stand-in of which the ends are known."""
        source = self.folders[-1]
        for facts in self._record.facts["files"]:
            if facts["host"] is not host or (facts["content"] is None and (not facts.get("ends") or source.stat(facts["name"]) is not None)):
                continue
            with suppress(BpscriptError):
                folder = facts["name"].rpartition("/")[0]
                if folder:
                    source.make_dir(folder)
                if facts["content"] is not None:
                    source.store(facts["name"], [self._record.files[facts["content"]]])
                    continue
                head, tail = (self._record.files[name] for name in facts["ends"])
                if len(head) + len(tail) <= facts["size"] <= _MOST_STAND_IN:
                    source.stand_in(facts["name"], facts["size"], [(0, head), (facts["size"] - len(tail), tail)])
                    self._stand_ins[facts["name"]] = facts["size"]


_MOST_COMPARED = 20_000
_MOST_STAND_IN = 4 * GIB        # an image of a whole partition would be restored, hole for hole


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def replay(path: Path, *, disks: list[Path] | None = None, root: Path | None = None, keys: str | None = None) -> Replayed:
    """Run a record again. `disks` and `root` are what the developer has of the disks and images; `keys` are used instead of the recorded ones.

    Raises UsageError, FormatError when there is no record.
    """
    record = Record.load(path)
    try:
        with temporary_folder() as name:
            return _replay(record, Path(name), disks or [], root, keys)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise FormatError(f"{path} is damaged: {error!r}") from error


def _replay(record: Record, folder: Path, disks: list[Path], root: Path | None, keys: str | None) -> Replayed:
    facts = record.facts
    script = folder / (_base(clean_path(str(facts["script"]))) or "script.bpb")
    script.write_bytes(record.files["script"])
    below = folder / "root"
    below.mkdir()
    given = [NewDisk(folder / f"disk{number}", int(each["size"])) if number >= len(disks) else disks[number] for number, each in enumerate(facts["disks"])]
    stage = _Replay(record, folder, keys)
    options = RunOptions(
        script=script, disks=given, root=root or below, variables=facts["variables"], keys=keys, switches=str(facts["switches"]),
        seed=facts["seed"], program=str(facts["program"]), log=lambda text: None,
    )
    result = execute(options, stage)
    ending, error = facts["result"], result.error
    wanted = ending["error"]
    missing = stage.missing
    notes = [*map(stage.about_missing, missing), *stage.notes]
    differences = stage.differences
    if error is not None:
        error.file = error.file.removeprefix(f"{folder}/")
    same = same_line = False
    if wanted is None:
        same = error is None and result.booted == ending["boot"]
        if not same:
            here = f"an error: {error}" if error is not None else result.booted or "the last line"
            differences.append(f"the end of the record is {ending['boot'] or ending['ended']}, here it is {here}")
    elif error is None:
        differences.append(f"the record ended with an error at {wanted['file']}:{wanted['line']}: {wanted['text']}; here it ended {result.booted or 'at its last line'}")
    else:
        place = (_base(error.file), error.line, error.column)
        if place != (_base(wanted["file"]), wanted["line"], wanted["column"]):
            differences.append(f"the error is at {error.file}:{error.line}:{error.column}, in the record at {wanted['file']}:{wanted['line']}:{wanted['column']}")
        elif _words(error.message, folder) != _words(wanted["text"], folder):
            same_line = True
            because = f": that needs {_listed(missing)}, which --root does not have" if missing else ""
            differences.append(f'the error at {error.file}:{error.line} is "{error.message}", in the record "{wanted["text"]}"{because}')
        else:
            same = same_line = True
    plain = [[each.replace(f"{folder}/", "") for each in words] for words in (differences, notes)]
    return Replayed(same, same_line, stage.taken_over, error, result.booted, plain[0], plain[1])


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{each}"' for each in names[:3]) + (" or others" if len(names) > 3 else "")


def _words(text: str, folder: Path) -> str:
    """A message without the folders that it names: the one of the record is another."""
    import re  # noqa: PLC0415 - only here

    return re.sub(r"(?<![\w\"])/[^\s\":;,]*/", "", text.replace(str(folder), ""))
