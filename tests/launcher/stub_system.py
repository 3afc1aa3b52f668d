"""Runs the launcher with stub applications: `DATA PORT [FACTORY]`."""

import sys
from pathlib import Path

from launcher.__main__ import exit_code_of
from launcher.plan import Plan
from launcher.system import run


def main() -> int:
    factory = sys.argv[3] if len(sys.argv) > 3 else "create_app"
    application = f"tests.launcher.stub_application:{factory}"
    names = ("enrolment", "scoring", "safety", "gateway")
    plan = Plan(
        data=Path(sys.argv[1]),
        port=int(sys.argv[2]),
        applications=dict.fromkeys(names, application),
        migrate=lambda _service, _dsn: None,
        with_demonstration=False,
    )
    return exit_code_of(lambda: run(plan))


if __name__ == "__main__":
    sys.exit(main())
