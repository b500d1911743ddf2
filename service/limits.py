"""How much one user, or one address, may ask of this process: token buckets in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from service.errors import RateExceeded

KNOWN_AT_MOST = 10_000  # whoever has been quiet longest is forgotten first, which only fills a bucket


class RateLimit:
    """At most `per_minute` for each key, of which all may come at once; `clock` counts seconds."""

    def __init__(self, per_minute: int, what: str, clock: Callable[[], float]) -> None:
        self._full = float(per_minute)
        self._what = what
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str, number: int = 1) -> None:
        """Take `number` from the key's bucket. Raises RateExceeded, and then takes nothing."""
        with self._lock:
            now = self._clock()
            left, at = self._left.pop(key, (self._full, now))
            left = min(self._full, left + (now - at) * self._full / 60)
            enough = left >= number
            self._left[key] = (left - number if enough else left, now)
            if len(self._left) > KNOWN_AT_MOST:
                self._left.popitem(last=False)
        if not enough:
            wait = (min(number, self._full) - left) * 60 / self._full
            raise RateExceeded(f"at most {self._full:.0f} {self._what} a minute", retry_after=max(1.0, wait))
