"""Files of a folder as answers. No address leads out of the folder, whatever it looks like and whatever links lie in it.

A file is looked up without being opened (O_PATH), then the kernel is asked where that led; only a regular file inside the folder is
opened, by what was found and not by its name again. So there is no moment in which a link could be put in between, and no pipe or
device is ever opened.
"""

import errno
import os
import stat
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from time import time

from .conditions import FAILED, NOT_MODIFIED, UNSATISFIABLE, FileState, wanted
from .message import Answer, FilePart, RefusedError, Request, text_answer

_TYPES = {
    b".html": "text/html; charset=utf-8", b".txt": "text/plain; charset=utf-8", b".bpb": "text/plain; charset=utf-8", b".mrz": "text/plain; charset=utf-8",
    b".ipxe": "text/plain; charset=utf-8", b".json": "application/json", b".png": "image/png", b".gif": "image/gif", b".svg": "image/svg+xml",
}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EINVAL}


class Folder:
    """The files below `root`, for GET and HEAD. `clock` gives seconds since 1970."""

    def __init__(self, root: Path, clock: Callable[[], float] = time) -> None:
        self._root = os.fsencode(root.resolve())
        self._inside = self._root.rstrip(b"/") + b"/"
        self._clock = clock

    def answer(self, request: Request) -> Answer:
        """The answer; the descriptor in it belongs to the caller. Raises RefusedError."""
        if request.method not in {"GET", "HEAD"}:
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "files can be read only")
        descriptor, facts = self._open(request.path)
        try:
            answer = self._answer(request, descriptor, FileState(facts.st_size, facts.st_mtime_ns, facts.st_ino))
        except BaseException:
            os.close(descriptor)
            raise
        if not isinstance(answer.body, FilePart):
            os.close(descriptor)
        return answer

    def _answer(self, request: Request, descriptor: int, state: FileState) -> Answer:
        fields = {"Last-Modified": state.modified, "ETag": state.etag, "Accept-Ranges": "bytes"}
        part = wanted(request.method, request.fields, state, self._clock())
        if part == NOT_MODIFIED:
            return Answer(HTTPStatus.NOT_MODIFIED, fields)
        if part == FAILED:
            return text_answer(HTTPStatus.PRECONDITION_FAILED, "the file is another one now", fields)
        if part == UNSATISFIABLE or isinstance(part, str):
            return text_answer(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"the file has {state.size} bytes", {**fields, "Content-Range": f"bytes */{state.size}"}
            )
        fields["Content-Type"] = _TYPES.get(os.path.splitext(request.path)[1].lower(), "application/octet-stream")
        fields["Content-Length"] = str(part.end - part.start)
        if not part.whole:
            fields["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{state.size}"
        status = HTTPStatus.OK if part.whole else HTTPStatus.PARTIAL_CONTENT
        if request.method == "HEAD" or part.start == part.end:
            return Answer(status, fields)
        return Answer(status, fields, FilePart(descriptor, part.start, part.end - part.start))

    def _open(self, path: bytes) -> tuple[int, os.stat_result]:
        """A descriptor to read from. Raises RefusedError."""
        parts = path.split(b"/")
        if b".." in parts or b"\0" in path:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "an address does not go up with ..")
        try:
            found = os.open(self._inside + path.lstrip(b"/"), os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            raise _refusal(error) from error
        try:
            link = b"/proc/self/fd/%d" % found
            if not (os.readlink(link) + b"/").startswith(self._inside):
                raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such file")
            facts = os.fstat(found)
            if not stat.S_ISREG(facts.st_mode) or path.endswith(b"/"):
                raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such file")
            return os.open(link, os.O_RDONLY | os.O_CLOEXEC), facts
        except OSError as error:
            raise _refusal(error) from error
        finally:
            os.close(found)


def _refusal(error: OSError) -> RefusedError:
    if error.errno in _MISSING:
        return RefusedError(HTTPStatus.NOT_FOUND, "there is no such file")
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "too many files are open")
    return RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "the file cannot be read")
