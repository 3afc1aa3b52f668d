"""What a run of the system is asked for, and which processes it has."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from launcher.databases import SERVICES

ROOT: Final = Path(__file__).resolve().parent.parent
GATEWAY: Final = "gateway"
APPLICATIONS: Final = {
    **{service: f"services.{service}.app:create_app" for service in SERVICES},
    GATEWAY: "gateway.app:create_app",
}
# The gateway must drop an idle connection before the service does, or a request is lost.
# It stops first, so that the services have then nothing open but each other's long polls.
SERVICE_OPTIONS: Final = ("--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "1")
GATEWAY_OPTIONS: Final = ("--timeout-keep-alive", "30", "--timeout-graceful-shutdown", "5")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run; `applications` and `migrate` are other ones only in tests."""

    data: Path
    port: int = 8080
    studies: Sequence[Path] = ()
    with_demonstration: bool = True
    applications: Mapping[str, str] = field(default_factory=lambda: APPLICATIONS)
    migrate: Callable[[str, str], None] | None = None
