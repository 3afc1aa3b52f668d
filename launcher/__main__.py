"""The command line of `./run`: the whole system, or one token."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from launcher import issuer
from launcher.data_folder import Held

DEFAULT_DATA: Final = Path(__file__).resolve().parent.parent / ".data"
FAILED: Final = 1
IN_USE: Final = 4
PORT_TAKEN: Final = 5
_EXITS: Final = (
    "exit codes: 0 stopped, 1 did not start, 2 wrong usage, 3 no environment, "
    f"{IN_USE} the data folder is in use, {PORT_TAKEN} the port is taken"
)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says, and return the exit code."""
    chosen = _parser().parse_args(arguments)
    if chosen.command == "token":
        print(_token(chosen))
        return 0
    return _run(chosen)


def _run(chosen: argparse.Namespace) -> int:
    # Imported here: a token is printed without loading the whole system.
    from launcher import system  # noqa: PLC0415
    from launcher.plan import Plan  # noqa: PLC0415

    plan = Plan(
        data=chosen.data.absolute(),
        port=chosen.port,
        studies=[folder.absolute() for folder in chosen.studies],
        with_demonstration=not chosen.empty,
    )
    return exit_code_of(lambda: system.run(plan))


def exit_code_of(run: Callable[[], None]) -> int:
    """Run, say in words what went wrong if anything did, and return the exit code."""
    from launcher.embedded_postgres import DidNotStart  # noqa: PLC0415
    from launcher.processes import ProcessFailed  # noqa: PLC0415
    from launcher.system import PortTaken  # noqa: PLC0415
    from launcher.unprivileged import Unreachable  # noqa: PLC0415
    from services.protocol.loading import WrongStudyFile  # noqa: PLC0415

    try:
        run()
    except KeyboardInterrupt:
        return 0
    except Held as fault:
        return _say(fault, IN_USE)
    except PortTaken as fault:
        return _say(fault, PORT_TAKEN)
    except (DidNotStart, ProcessFailed, Unreachable, WrongStudyFile, OSError) as fault:
        return _say(fault, FAILED)
    return 0


def _token(chosen: argparse.Namespace) -> str:
    return issuer.mint_token(
        chosen.data,
        roles=chosen.role,
        studies=chosen.study,
        sites=chosen.site,
        participant=chosen.participant,
        subject=chosen.subject,
        expires_in=chosen.expires_in,
        audience=chosen.audience,
        issuer=chosen.issuer,
    )


def _say(fault: Exception, code: int) -> int:
    print(fault, file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./run", description="Run the whole system on this machine.", epilog=_EXITS
    )
    _add_data(parser, default=DEFAULT_DATA)
    parser.add_argument("--port", type=_port, default=8080, help="of the gateway (%(default)s)")
    parser.add_argument("--empty", action="store_true", help="play no demonstration")
    parser.add_argument(
        "--studies",
        type=_folder,
        action="append",
        default=[],
        metavar="DIR",
        help="folder of further study files; may be repeated",
    )
    commands = parser.add_subparsers(dest="command", metavar="token")
    _add_token(commands.add_parser("token", help="print a token of the development issuer"))
    return parser


def _add_token(token: argparse.ArgumentParser) -> None:
    _add_data(token, default=argparse.SUPPRESS)
    token.add_argument("--role", action="append", required=True, help="may be repeated")
    token.add_argument("--study", action="append", default=[], help="may be repeated")
    token.add_argument("--site", action="append", help="may be repeated; without it, all sites")
    token.add_argument("--participant", metavar="ID", help="whose token this is")
    token.add_argument("--subject", metavar="TEXT", help="who (demo-ROLE)")
    token.add_argument(
        "--expires-in",
        type=int,
        default=issuer.WORKDAY_SECONDS,
        metavar="SECONDS",
        help="may be negative (%(default)s)",
    )
    token.add_argument("--audience", default=issuer.AUDIENCE, metavar="TEXT")
    token.add_argument("--issuer", default=issuer.ISSUER, metavar="TEXT")


def _add_data(parser: argparse.ArgumentParser, *, default: object) -> None:
    # The second parser must not undo what the first one read.
    parser.add_argument(
        "--data",
        type=Path,
        default=default,
        metavar="DIR",
        help="what is kept between starts (.data)",
    )


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 2**16:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return port


def _folder(text: str) -> Path:
    folder = Path(text)
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return folder


if __name__ == "__main__":
    sys.exit(main())
