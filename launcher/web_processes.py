"""The services and the gateway as processes, and what their environment tells them."""

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

from launcher.databases import SERVICES, Addresses
from launcher.issuer import AUDIENCE, ISSUER, key_set, mint_token, private_key
from launcher.plan import GATEWAY, GATEWAY_OPTIONS, ROOT, SERVICE_OPTIONS, Plan
from launcher.ports import LOOPBACK, free_port
from launcher.processes import WebProcess

_YEAR_SECONDS: Final = 366 * 24 * 3600


def web_processes(
    plan: Plan, addresses: Mapping[str, Addresses], studies: Sequence[str]
) -> list[WebProcess]:
    """Return the services and the gateway, each with its own token and nobody else's secrets."""
    ports = {name: free_port() for name in plan.applications} | {GATEWAY: plan.port}
    shared = _shared_environment(plan, ports)
    processes = []
    for name, application in plan.applications.items():
        token = mint_token(
            plan.data,
            roles=["service"],
            studies=studies,
            subject=f"service-{name}",
            expires_in=_YEAR_SECONDS,
        )
        own = {"TRIAL_SERVICE_TOKEN": token}
        if name in addresses:
            own["TRIAL_DATABASE_URL"] = addresses[name].service
        if name == GATEWAY:
            made = str(private_key(plan.data / "checkpoints"))
            own["TRIAL_CHECKPOINT_KEY"] = os.environ.get("TRIAL_CHECKPOINT_KEY", made)
        processes.append(
            WebProcess(
                name=name,
                application=application,
                port=ports[name],
                environment=shared | own,
                folder=ROOT,
                log=plan.data / "logs" / f"{name}.log",
                options=GATEWAY_OPTIONS if name == GATEWAY else SERVICE_OPTIONS,
            )
        )
    return processes


def _shared_environment(plan: Plan, ports: Mapping[str, int]) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")
    }
    issuers: list[Any] = json.loads(inherited.get("TRIAL_ISSUERS", "[]"))
    ours = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": str(key_set(plan.data))}
    return {
        "TRIAL_RELEASE": _release(),
        **inherited,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *_python_path(inherited)]),
        "TRIAL_ISSUERS": json.dumps([*issuers, ours]),
        "TRIAL_STUDIES_DIR": os.pathsep.join(str(folder) for folder in plan.studies),
        **{
            f"TRIAL_{service.upper()}_URL": f"http://{LOOPBACK}:{ports[service]}"
            for service in SERVICES
        },
    }


def _python_path(environment: Mapping[str, str]) -> list[str]:
    return [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]


def _release() -> str:
    with contextlib.suppress(OSError):
        found = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],  # noqa: S607
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode == 0:
            return found.stdout.strip()
    return "development"
