"""`python -m service`: serve on one port until told to stop. Exit 2: bad settings; 3: the model could not be loaded."""

from __future__ import annotations

import logging
import os
import sys

import uvicorn

from service.errors import ConfigError
from service.settings import Settings

# Longer than any proxy in front keeps an idle connection, so that it is never our side that closes one just as it is reused.
KEEP_ALIVE_SECONDS = 120
DRAIN_SECONDS = 30


def main() -> int:
    """Serve until SIGTERM; requests under way are finished first."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    failures: list[int] = []
    try:
        settings = Settings.from_env(os.environ)
        from service.app import build_app  # noqa: PLC0415  after the settings: torch takes seconds, a misspelt name should not

        app = build_app(settings, on_fatal=lambda: stop(3))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            log_config=None,
        )
    )

    def stop(code: int) -> None:
        failures.append(code)
        server.should_exit = True

    server.run()
    return failures[0] if failures else 0


if __name__ == "__main__":
    sys.exit(main())
