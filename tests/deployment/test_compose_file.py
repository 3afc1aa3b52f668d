from importlib.util import find_spec
from typing import Any, Final

import pytest

from launcher.plan import APPLICATIONS, GATEWAY_OPTIONS, SERVICE_OPTIONS
from launcher.ports import LOOPBACK
from launcher.processes import web_command
from services.kernel.settings import ProcessSettings
from tests.deployment.compose_file import NotSet, example_variables, read_compose

SERVICES: Final = ("enrolment", "scoring", "safety", "gateway")
OURS: Final = (*SERVICES, "prepare")
KNOWN: Final = {
    "build",
    "cap_drop",
    "command",
    "depends_on",
    "deploy",
    "environment",
    "healthcheck",
    "image",
    "init",
    "networks",
    "ports",
    "read_only",
    "restart",
    "security_opt",
    "shm_size",
    "stop_grace_period",
    "tmpfs",
    "user",
    "volumes",
}
CONDITIONS: Final = {"service_healthy", "service_completed_successfully"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    stated = {name: value or "word" for name, value in example_variables().items()}
    return read_compose(stated)


def test_the_example_names_every_variable_that_has_no_default() -> None:
    stated = {name: value or "word" for name, value in example_variables().items()}
    read_compose(stated)
    with pytest.raises(NotSet):
        read_compose({})


def test_only_known_members_are_used(compose: dict[str, Any]) -> None:
    top = {name for name in compose if not name.startswith("x-")}
    assert top == {"name", "services", "networks", "volumes"}
    assert set(compose["services"]) == {"postgres", *OURS}
    assert {name for service in compose["services"].values() for name in service} <= KNOWN


def test_what_is_referred_to_exists(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service["networks"]) <= set(compose["networks"])
        needs = service.get("depends_on", {})
        assert set(needs) <= set(compose["services"])
        assert {need["condition"] for need in needs.values()} <= CONDITIONS
        for needed, need in needs.items():
            if need["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][needed]


def test_no_container_can_become_root_or_change_its_files(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not service["user"].startswith("0")
    assert {compose["services"][name]["user"] for name in OURS} == {"10001:10001"}


def test_every_container_has_limits(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}


def test_only_the_gateway_is_published(compose: dict[str, Any]) -> None:
    published = {name: service.get("ports") for name, service in compose["services"].items()}
    assert {name: ports for name, ports in published.items() if ports} == {"gateway": ["8080:8080"]}
    assert compose["networks"]["data"] == {"internal": True}
    assert "data" not in compose["services"]["gateway"]["networks"]


def test_every_service_is_watched_on_its_own_port(compose: dict[str, Any]) -> None:
    for name in SERVICES:
        service = compose["services"][name]
        port = service["command"][service["command"].index("--port") + 1]
        assert f"http://127.0.0.1:{port}/health/" in service["healthcheck"]["test"][-1]
        if name != "gateway":
            url = compose["services"]["gateway"]["environment"][f"TRIAL_{name.upper()}_URL"]
            assert url == f"http://{name}:{port}"


@pytest.mark.parametrize("name", SERVICES[:3])
def test_a_service_is_told_only_what_it_knows(compose: dict[str, Any], name: str) -> None:
    known = {f"TRIAL_{field.upper()}" for field in ProcessSettings.model_fields}
    environment = compose["services"][name]["environment"]
    assert set(environment) <= known
    assert f"//{name}:" in environment["TRIAL_DATABASE_URL"]


def test_the_owner_of_the_schemas_is_known_to_the_preparation_only(
    compose: dict[str, Any],
) -> None:
    for name in SERVICES:
        assert "//postgres:" not in str(compose["services"][name]["environment"])


@pytest.mark.parametrize("name", SERVICES)
def test_containers_serve_as_the_launcher_does(compose: dict[str, Any], name: str) -> None:
    command = compose["services"][name]["command"]
    options = GATEWAY_OPTIONS if name == "gateway" else SERVICE_OPTIONS
    port = command[command.index("--port") + 1]
    launched = web_command(APPLICATIONS[name], int(port), options)
    begin = launched.index("uvicorn")
    assert [word.replace("0.0.0.0", LOOPBACK) for word in command] == launched[begin:]


def test_the_commands_exist(compose: dict[str, Any]) -> None:
    for name in SERVICES[:3]:
        program, target = compose["services"][name]["command"][:2]
        module, _, function = target.partition(":")
        assert (program, function) == ("uvicorn", "create_app")
        assert find_spec(module) is not None
    assert find_spec(compose["services"]["prepare"]["command"][2]) is not None
