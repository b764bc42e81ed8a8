"""The errors a user can meet: what failed, the way out, and the exit code."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

EXIT_OK = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_MISSING = 4
EXIT_CONFLICT = 5
EXIT_FINDINGS = 6
EXIT_NETWORK = 7
EXIT_INTERRUPTED = 130


class VidbenchError(Exception):
    """A failure that the user can mend.

    Args:
        message: What failed, in one line.
        remedy: What to do about it, best a command to type; may be empty.
    """

    exit_code = EXIT_BUG

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # some kinds build their message from other arguments; workers send errors to their parent
        return _restored, (type(self), self.message, self.remedy)


def _restored(kind: type[VidbenchError], message: str, remedy: str) -> VidbenchError:
    error = kind.__new__(kind)
    VidbenchError.__init__(error, message, remedy)
    return error


class UsageError(VidbenchError):
    """Options that contradict each other or lie outside their range."""

    exit_code = EXIT_USAGE


class InputError(VidbenchError):
    """A file, list or value that cannot be used; names `file:line` where there is one."""

    exit_code = EXIT_INPUT


class UnknownNameError(InputError):
    """A name that no catalogue holds; offers the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], remedy: str = "") -> None:
        near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"unknown {kind} {name!r}", " ".join(part for part in (hint, remedy) if part))


class MissingError(VidbenchError):
    """A missing extra, tool, weight, device or disk space; the remedy brings it."""

    exit_code = EXIT_MISSING


class RunConflictError(VidbenchError):
    """A run folder that belongs to other settings or to another process."""

    exit_code = EXIT_CONFLICT


class FindingsError(VidbenchError):
    """The work is done, but items failed or the findings are bad news."""

    exit_code = EXIT_FINDINGS


class NetworkError(VidbenchError):
    """A download that failed or whose bytes are not the expected ones."""

    exit_code = EXIT_NETWORK


class ProcessLostError(VidbenchError):
    """A process that others worked with was killed: interrupted, and the same command resumes."""

    exit_code = EXIT_INTERRUPTED


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a forbidden folder under `path` into an error with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MissingError(
                f"no space left on the disk of {path}",
                "Free some space or choose another folder, then run the same command again: it resumes.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(f"cannot write {path}: {error.strerror}", "Choose another folder.") from error
        if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
            raise InputError(f"cannot write {path}: {error.strerror}", "Choose another name or folder.") from error
        raise
