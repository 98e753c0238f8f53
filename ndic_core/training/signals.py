"""Ctrl-C as a wish: work ends at the next good moment, a second Ctrl-C ends it at once."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ECHO = 2.0  # seconds within which a signal is taken for the first one, passed on by a launcher


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Within the block, SIGINT and SIGTERM are only noted; a second SIGINT, later, raises `KeyboardInterrupt`.

    Yields:
        A function that tells whether one has come. Outside the main thread, where no signal arrives, it never does.

    Example:
        >>> with interrupts() as interrupted:
        ...     signal.raise_signal(signal.SIGINT)
        ...     print(interrupted())
        True
    """
    noted = []

    def note(number, frame):
        if noted and number == signal.SIGINT and time.monotonic() - noted[0] > ECHO:
            raise KeyboardInterrupt
        noted.append(time.monotonic())

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(noted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
