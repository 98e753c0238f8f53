"""Signal handling: SIGINT (Ctrl-C) and SIGTERM stop the training after the current step."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REPEATED = 2.0  # seconds within which a second signal counts as the first one, forwarded by a launcher


@contextmanager
def catch_stop_signals() -> Iterator[Callable[[], bool]]:
    """Within the block, SIGINT and SIGTERM are only recorded; a later second SIGINT raises `KeyboardInterrupt`.

    Yields:
        A function that returns whether a signal was received. It always returns False outside the main thread, where
        Python delivers no signals.

    Example:
        >>> with catch_stop_signals() as stop_requested:
        ...     signal.raise_signal(signal.SIGINT)
        ...     print(stop_requested())
        True
    """
    received = []

    def record(number, frame):
        if received and number == signal.SIGINT and time.monotonic() - received[0] > REPEATED:
            raise KeyboardInterrupt
        received.append(time.monotonic())

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, record) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
