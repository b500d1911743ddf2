"""How many users are at work when: handed to Locust beside locustfile.py for every load that is not steady.

`--shape ramp` climbs for half of the time and stays; `--shape spike` doubles for the middle third and falls back. `--users` is the
most, `--run-time` the length in seconds.
"""

from __future__ import annotations

import math

from locust import LoadTestShape

SHAPES = {
    "ramp": lambda at: min(at / 0.5, 1.0),
    "spike": lambda at: 1.0 if 1 / 3 <= at < 2 / 3 else 0.5,
}


def users_at(shape: str, at: float, most: int) -> int:
    """How many of `most` users work when the share `at` (0 to 1) of the time has passed; never none."""
    return max(1, math.ceil(most * SHAPES[shape](at)))


class Shaped(LoadTestShape):  # type: ignore[misc]
    """Asked every second; ends the run itself, because Locust leaves `--run-time` to the shape."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        options = self.runner.environment.parsed_options
        passed = self.get_run_time() / options.run_time
        return None if passed >= 1 else (users_at(options.shape, passed, options.num_users), float(options.num_users))
