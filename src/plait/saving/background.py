"""Work beside training: one job at a time, whose error is raised where somebody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Runs jobs in a thread, one at a time.

    Example:
        >>> background, done = Background(), []
        >>> background.start(lambda: done.append("written"))
        >>> background.wait()
        >>> done
        ['written']
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, job: Callable[[], object]) -> None:
        """Run a job, as soon as the one before it is done.

        Raises:
            Exception: what the job before it raised.
        """
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(job,), name="plait-writer")
        self._thread.start()

    def check(self) -> None:
        """Raise what the last job raised, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def wait(self) -> None:
        """Return when the last job is done.

        Raises:
            Exception: what it raised.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def _run(self, job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:
            self._error = error
