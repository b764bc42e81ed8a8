"""How a service tells what it is doing, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """A piece of work that is counted."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Count `amount` units as done; `note` is a short figure to show beside the bar."""

    def skip(self, amount: float, note: str = "") -> None:
        """Count `amount` units as done before; they have no part in the rate and the time left."""


class Reporter(Protocol):
    """Where a service sends progress and remarks; never results."""

    def task(self, title: str, total: float | None, unit: str) -> AbstractContextManager[Task]:
        """Open a counted task; `total` is None where the end is not known."""

    def info(self, message: str) -> None:
        """Say something worth knowing."""

    def warn(self, message: str) -> None:
        """Say something that the user may want to act on."""


class _SilentTask:
    def advance(self, amount: float = 1, note: str = "") -> None:
        return None

    def skip(self, amount: float, note: str = "") -> None:
        return None


class SilentReporter:
    """A reporter that says nothing, for use from Python and in tests."""

    @contextmanager
    def task(self, title: str, total: float | None, unit: str) -> Iterator[Task]:
        """Open a task that nobody sees."""
        yield _SilentTask()

    def info(self, message: str) -> None:
        """Say nothing."""

    def warn(self, message: str) -> None:
        """Say nothing."""
