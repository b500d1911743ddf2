"""`python -m service`: serve until told to stop; `storage` and `set-up` are for operators.

Exit 1: `storage check` found problems; 2: bad settings or usage; 3: no model, or the store could not be reached.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from service.errors import Busy, ConfigError
from service.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        settings = Settings.from_env(os.environ)
        match arguments.command:
            case "storage":
                return _storage(settings, arguments)
            case "set-up":
                return _set_up(settings)
        from service.serving import serve  # noqa: PLC0415  after the settings: torch takes seconds, a misspelt name should not

        return serve(settings, _announce)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Busy as error:
        print(f"error: {error}", file=sys.stderr)
        return 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m service", description="The recognition service. Settings are SERVICE_* variables."
    )
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="serve until told to stop (the default)")
    commands.add_parser("set-up", help="print a one-time token for making the first admin")
    storage = commands.add_parser("storage", help="look after the store that the settings name")
    actions = storage.add_subparsers(dest="action", required=True)
    actions.add_parser("init", help="make table and bucket, or file and folder; what is there stays")
    check = actions.add_parser("check", help="say what does not fit together; exit 1 if anything")
    check.add_argument("--mend", action="store_true", help="mend what can be mended")
    for action, about in (
        ("export", "write everything to FILE, while the service runs"),
        ("import", "fill an empty store from FILE"),
    ):
        actions.add_parser(action, help=about).add_argument("file", type=Path)
    return parser


def _storage(settings: Settings, arguments: argparse.Namespace) -> int:
    from service.storage.opening import create_storage, open_storage  # noqa: PLC0415  serving does not need it
    from service.storage.transfer import export, restore  # noqa: PLC0415

    if arguments.action == "init":
        create_storage(settings)
        print("the store is ready")
        return 0
    storage = open_storage(settings)
    try:
        if arguments.action == "check":
            problems = list(storage.problems(mend=arguments.mend))
            print("\n".join(problems) if problems else "everything fits together")
            return 1 if problems and not arguments.mend else 0
        done = export(storage, arguments.file, _say) if arguments.action == "export" else restore(storage, arguments.file, _say)
        print(f"{arguments.action}ed {done:,} records")
        return 0
    except OSError as error:
        print(f"error: {arguments.file} cannot be used: {error.strerror}", file=sys.stderr)
        return 2
    finally:
        storage.close()


def _say(number: int) -> None:
    if number % 1000 == 0:
        print(f"{number:,} records", file=sys.stderr)


def _set_up(settings: Settings) -> int:
    from service.administration import offer_set_up  # noqa: PLC0415
    from service.storage.opening import open_storage  # noqa: PLC0415

    storage = open_storage(settings)
    try:
        token = offer_set_up(storage, now=datetime.now(UTC), renew=True)
    finally:
        storage.close()
    if token is None:
        print("there is an admin already; admins make others at /users")
        return 1
    _announce(token)
    return 0


def _announce(token: str) -> None:
    print(f"no admin yet: within 15 minutes, open /set-up?token={token} on this service to make the first one", flush=True)


if __name__ == "__main__":
    sys.exit(main())
