"""Ctrl-C as a wish: work ends at the next good moment, a second Ctrl-C ends it at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Within the block, the first SIGINT or SIGTERM is only noted; the second raises `KeyboardInterrupt`.

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
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(noted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
