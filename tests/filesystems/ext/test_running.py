"""Programs of e2fsprogs are run with their words, status and time; here other programs stand for them."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from bpscript.base.clock import Clock
from bpscript.base.errors import StorageError
from bpscript.filesystems.ext.running import run_program


def sh(script: str, clock: Clock | None = None, more: dict[str, str] | None = None) -> tuple[int, str, str]:
    done = run_program(["sh", "-c", script], clock, more)
    return done.returncode, done.stdout, done.stderr


def test_words_and_status_come_back() -> None:
    assert sh("echo said; echo failed >&2; exit 3") == (3, "said\n", "failed\n")
    assert sh("printf 'a\\377b'") == (0, "a\ufffdb", "")


def test_more_words_than_a_pipe_holds_come_back() -> None:
    status, said, failed = sh("yes | head -c 300000; yes n | head -c 300000 >&2")
    assert (status, len(said), len(failed)) == (0, 300_000, 300_000)


def test_nobody_answers_questions() -> None:
    assert sh("read answer || echo end") == (0, "end\n", "")


def test_the_language_is_english_and_the_time_is_ours() -> None:
    assert sh('echo "$LC_ALL $E2FSPROGS_FAKE_TIME $SOURCE_DATE_EPOCH $MORE"', Clock(5_999_999_999), {"MORE": "x"})[1] == "C 5 5 x\n"


def test_a_signal_is_a_negative_status() -> None:
    assert sh("kill -KILL $$")[0] == -signal.SIGKILL


def test_a_closed_pipe_ends_it_as_in_a_shell() -> None:
    assert sh("sh -c 'yes; exit 0' | head -n 1; kill -PIPE $$; echo still here")[:2] == (-signal.SIGPIPE, "y\n")


def test_it_is_found_where_only_root_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "mke2fs").mkdir()
    assert run_program(["mke2fs", "-V"]).stderr.startswith("mke2fs 1.")


def test_a_missing_program_is_one_sentence() -> None:
    with pytest.raises(StorageError, match="no-such-mke2fs is not installed") as caught:
        run_program(["no-such-mke2fs"])
    assert caught.value.hint == "apt install e2fsprogs"


def test_it_ends_when_we_are_interrupted(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    def interrupt() -> None:
        while not note.exists() or not note.read_text().endswith("\n"):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        sh(f"echo $$ > {note}; exec sleep 60")
    helper.join()
    assert not Path(f"/proc/{int(note.read_text())}").exists()
    with pytest.raises(ChildProcessError):
        os.waitpid(int(note.read_text()), 0)


def test_other_work_is_done_while_it_runs(tmp_path: Path) -> None:
    done = run_program(["sh", "-c", f"while [ ! -e {tmp_path}/made ]; do sleep 0.01; done; echo seen"], meanwhile=(tmp_path / "made").touch)
    assert (done.returncode, done.stdout) == (0, "seen\n")


def test_it_ends_when_the_other_work_is_interrupted(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    def interrupted() -> None:
        while not note.exists() or not note.read_text().endswith("\n"):
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_program(["sh", "-c", f"echo $$ > {note}; exec sleep 60"], meanwhile=interrupted)
    assert not Path(f"/proc/{int(note.read_text())}").exists()


@pytest.mark.parametrize("call", ["waitid", "waitpid"])
def test_an_interrupt_right_after_its_end_is_an_interrupt(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM came between the end of mke2fs and the next line: that the child was gone was taken for an error of `Clean`."""
    real = getattr(os, call)
    ended: list[object] = []

    def waits(*arguments: int) -> object:
        found = real(*arguments)
        if not ended:
            ended.append(found)
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(os, call, waits)
    with pytest.raises(KeyboardInterrupt):
        run_program(["true"])
