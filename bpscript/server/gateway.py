"""`bpscript gateway`: the login gateway as a TFTP server that has three files: hello/..., check/... (GATEWAY.md) and gettime.

    tftp            a thread: looks names up, which never waits
    workers         four threads at most for each domain, so that a dead user base makes only its own users wait
    run             counts the time, until an exception (of a signal) ends it
"""

import os
import queue
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from time import monotonic

from ..base.errors import BpscriptError, FormatError, NetworkError, NotFoundError, StorageError, UsageError
from ..base.events import Event
from ..crypto.signatures import PrivateKey, new_private_key, parse_private_key
from ..network.gateway.core import Ask, Gateway, Limits, Outcome, Told, plain_name
from ..network.gateway.protocol import CHECK, HELLO, Question
from ..network.tftp.server import TftpServer
from .gateway_config import UNIX, Config, read_config
from .lines import stamped
from .user_bases import Checker, open_user_base

GETTIME = "gettime"
_WORKERS = 4                    # threads of a domain
_TICK_S = 0.5
_LONGEST = 200                  # characters of a name in the log

Reply = Callable[[int, Outcome, str], None]


class Workers:
    """The threads that ask one user base; they start when they are needed, and end with the program."""

    def __init__(self, domain: str, checker: Checker, reply: Reply) -> None:
        self._domain = domain
        self._checker = checker
        self._reply = reply
        self._queue: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        self._threads = 0
        self._idle = threading.Semaphore(0)

    def ask(self, ask: Ask) -> None:
        """Answered by a call of `reply`, in another thread."""
        self._queue.put(ask)
        if not self._idle.acquire(blocking=False) and self._threads < _WORKERS:
            self._threads += 1
            threading.Thread(target=self._work, name=f"domain {self._domain}", daemon=True).start()

    def _work(self) -> None:
        while True:
            ask = self._queue.get()
            outcome, reason = self._check(ask.question)
            self._reply(ask.number, outcome, reason)
            self._idle.release()

    def _check(self, question: Question) -> tuple[Outcome, str]:
        try:
            passed = self._checker.check(question.user, question.password)
        except BpscriptError as error:
            return Outcome.UNKNOWN, error.message if error.hint is None else f"{error.message}; {error.hint}"
        except Exception as error:
            return Outcome.UNKNOWN, f"a mistake of the program: {type(error).__name__}"
        return (Outcome.PASSED, "") if passed else (Outcome.FAILED, "")


class GatewayService:
    """A gateway. Use it in a `with`; `run` returns never, but raises what ends it."""

    def __init__(self, config: Path, address: str, port: int, log: Callable[[str], None], limits: Limits | None = None) -> None:
        """Binds its port. Raises UsageError, NetworkError, StorageError."""
        self._config: Config = read_config(config)
        self._log = log
        self._lock = threading.Lock()
        self._core = Gateway(load_key(self._config.key), os.urandom, limits)
        self._workers = self._open_domains()
        self._ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._stack = ExitStack()
        with ExitStack() as failing:
            failing.callback(self._stack.close)
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bpscript-gateway-")))
            self._tftp = TftpServer(folder, address=address, port=port, lookup=self._lookup, events=self._transfer, multicast=None)
            self._stack.callback(self._tftp.close)
            failing.pop_all()
        self.port = self._tftp.port
        names = ", ".join("Unix" if name == UNIX else name for name in self._workers)
        self._say(f"login gateway for {names}: tftp {address} port {self.port}, key {self._core.key.public.hex()}")

    def __enter__(self) -> "GatewayService":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def run(self) -> None:
        """Serve until an exception ends it."""
        thread = threading.Thread(target=self._serve, name="tftp", daemon=True)
        thread.start()
        try:
            while True:
                try:
                    error = self._ended.get(timeout=_TICK_S)
                except queue.Empty:
                    with self._lock:
                        self._core.expire(monotonic())
                        self._act()
                else:
                    raise error or NetworkError("the login gateway has ended")
        finally:
            self._tftp.stop()
            thread.join()

    def _open_domains(self) -> dict[str, Workers]:
        workers = {}
        for name, base in self._config.domains.items():
            try:
                workers[name] = Workers(name, open_user_base(base), self._reply)
            except StorageError as error:
                if name != UNIX or self._config.unix_is_meant:
                    raise
                self._say(f"no domain Unix: {error.message}; {error.hint}")
        return workers

    def _serve(self) -> None:
        try:
            self._tftp.run()
        except BaseException as error:
            self._ended.put(error)
        else:
            self._ended.put(None)

    def _lookup(self, path: str, client: str) -> bytes:
        """A file, in the thread of the TFTP server."""
        name = path.lstrip("/")
        if name == GETTIME:
            return clock_script(datetime.now())
        if name.startswith((HELLO, CHECK)):
            with self._lock:
                answer = self._core.read(name, client, monotonic())
                self._act()
            if answer is not None:
                return answer
        raise NotFoundError("no such file")

    def _reply(self, number: int, outcome: Outcome, reason: str) -> None:
        with self._lock:
            self._core.answer(number, outcome, reason, monotonic())
            self._act()

    def _act(self) -> None:
        """Do what the core asks for; what follows from that too."""
        while actions := self._core.take():
            for action in actions:
                match action:
                    case Ask():
                        self._ask(action)
                    case Told():
                        self._say(log_line(action))

    def _ask(self, ask: Ask) -> None:
        question = ask.question
        workers = self._workers.get(question.domain.lower())
        if workers is None:
            self._core.answer(ask.number, Outcome.FAILED, "no such domain", monotonic())
        elif plain_name(question.user) in self._config.denied:
            self._core.answer(ask.number, Outcome.FAILED, "denied", monotonic())
        else:
            workers.ask(ask)

    def _transfer(self, event: Event) -> None:
        """Transfers are no news: every answer has a line of its own."""

    def _say(self, text: str) -> None:
        self._log(stamped(text))


def log_line(told: Told) -> str:
    """`machine user domain verdict (reason)`; a name that cannot be is shown as ?."""
    user, domain = (_shown(text) for text in (told.user, told.domain))
    return f"login {told.machine} {user} {domain} {'PASSED' if told.passed else 'FAILED'}" + (f" ({told.reason})" if told.reason else "")


def _shown(text: str) -> str:
    """A name as one word, so that nobody can write into the log what looks like something else."""
    return "".join(each if each.isprintable() and not each.isspace() else "?" for each in text[:_LONGEST]) or "-"


def clock_script(now: datetime) -> bytes:
    """The script `gettime` (language.md 8.2); the year has two digits, as BpBatch wants it."""
    return f'SetDate "{now:%y/%m/%d}"\r\nSetTime "{now:%H:%M:%S}"\r\n'.encode("ascii")


def load_key(path: Path) -> PrivateKey:
    """The gateway's own key; a new one when there is none. Raises UsageError, StorageError."""
    try:
        return parse_private_key(path.read_bytes())
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except FormatError as error:
        raise UsageError(f"{path}: {error.message}", hint=error.hint) from error
    key = new_private_key()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key.to_pem())
    except OSError as error:
        raise StorageError(f"{path}: the gateway's key cannot be written: {error.strerror}", hint='a line "key FILE" names another place') from error
    return key
