"""Plays the trial of the registry record over HTTP, and shows what came of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from launcher import trial_story as story
from launcher.issuer import mint_token

_ROLES = ("coordinator", "investigator", "edc", "statistician", "safety_officer", "auditor")


class DemonstrationRefused(Exception):  # noqa: N818 - states a fact
    """The system refused a request of the demonstration."""


class Actors:
    """Speaks to the gateway as the people of a trial do, each with a token of their own."""

    def __init__(self, base_url: str, data: Path) -> None:
        self._tokens = {
            role: mint_token(data, roles=[role], studies=[story.STUDY]) for role in _ROLES
        }
        self._client = httpx.AsyncClient(
            base_url=f"{base_url}/v1/studies/{story.STUDY}", timeout=60
        )

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def ask(self, role: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Return the answer to a request of this role; raises DemonstrationRefused."""
        headers = {"Authorization": f"Bearer {self._tokens[role]}"}
        answer = await self._client.request(method, path, json=body, headers=headers)
        if not answer.is_success:
            problem = answer.json()
            raise DemonstrationRefused(f"{method} {path}: {problem['title']} {problem['detail']}")
        document: dict[str, Any] = answer.json()
        return document


async def play(base_url: str, data: Path) -> None:
    """Play the trial on an empty system, and print the registered outcomes."""
    console = Console()
    actors = Actors(base_url, data)
    people = story.people()
    try:
        with Progress(console=console) as progress:
            steps = sum(len(person.visits) for person in people)
            task = progress.add_task("Playing the trial", total=steps)
            participants = [
                await _take_part(actors, person, lambda: progress.advance(task))
                for person in people
            ]
        await _show(console, actors)
        _show_tokens(console, base_url, data, participants[0])
    finally:
        await actors.close()


async def _take_part(actors: Actors, person: story.Person, advance: Any) -> str:
    registration = {
        "site": story.SITE,
        "external_id": person.external_id,
        "birth_date": person.birth_date,
        "sex": person.sex,
    }
    registered = await actors.ask("coordinator", "POST", "/participants", registration)
    path = f"/participants/{registered['id']}"
    await actors.ask("coordinator", "POST", f"{path}/consents", story.consent(person))
    await actors.ask("investigator", "PUT", f"{path}/screening", story.screening(person))
    for code in person.visits:
        await actors.ask("edc", "POST", f"{path}/visits", story.visit(person, code))
        advance()
        if code == "SCR":
            await _enrol(actors, person, path)
    if person.treatment_stopped_at is not None:
        stop = {
            "status": "treatment_stopped",
            "date": person.held_on(person.treatment_stopped_at).isoformat(),
            "reason": "Serious adverse event",
        }
        await actors.ask("investigator", "POST", f"{path}/status", stop)
    completed = {"status": "completed", "date": person.held_on(person.last_visit).isoformat()}
    await actors.ask("coordinator", "POST", f"{path}/status", completed)
    identity: str = registered["id"]
    return identity


async def _enrol(actors: Actors, person: story.Person, path: str) -> None:
    decision = {"decision": "enrol", "decided_at": person.at("SCR", 16), "signed_by": "Dr Li"}
    await actors.ask("investigator", "POST", f"{path}/enrolment", decision)


async def _show(console: Console, actors: Actors) -> None:
    outcomes = await actors.ask("statistician", "GET", "/outcomes")
    table = Table(title="Registered outcome measures", title_justify="left")
    for column in ("measure", "time frame", "n", "estimate"):
        table.add_column(column)
    for measure in outcomes["measures"]:
        table.add_row(
            f"{measure['title']} ({measure['type']})", measure["time_frame"], *_estimate(measure)
        )
    console.print(table)
    deadlines = await actors.ask("safety_officer", "GET", "/safety/deadlines")
    clocks = Table(title="Deadlines of serious adverse events", title_justify="left")
    for column in ("clock", "due", "status"):
        clocks.add_column(column)
    for clock in deadlines["items"]:
        clocks.add_row(clock["clock"], clock.get("due") or clock["due_date"], clock["status"])
    console.print(clocks)
    verified = await actors.ask("auditor", "GET", "/audit/verification")
    holds = "holds" if verified["verified"] else "is broken"
    console.print(f"Audit trail: {verified['events']} events; every chain {holds}.")


def _estimate(measure: Mapping[str, Any]) -> tuple[str, str]:
    if "proportion" in measure:
        found = measure["proportion"]
        if found["percent"] is None:
            return str(found["n"]), "none at risk"
        lower, upper = (f"{100 * limit:.1f}" for limit in found["clopper_pearson_95"])
        share = f"{found['k']}/{found['n']} = {found['percent']:.1f} %"
        return str(found["n"]), f"{share} (95 % limits {lower} to {upper})"
    found = measure["summary"]
    if not found["n"]:
        return "0", "no values"
    spread = "" if found["sd"] is None else f", SD {found['sd']:.1f}"
    return str(found["n"]), f"mean {found['mean']:.1f}{spread}, median {found['median']:.1f}"


def _show_tokens(console: Console, base_url: str, data: Path, participant: str) -> None:
    console.print(f"\nThe contract: {base_url}/docs", soft_wrap=True)
    console.print(f"The document: {base_url}/openapi.json", soft_wrap=True)
    console.print("Tokens to try (each for 12 hours):")
    for role in ("coordinator", "statistician", "auditor"):
        token = mint_token(data, roles=[role], studies=[story.STUDY])
        console.print(f"  {role}: {token}", soft_wrap=True, highlight=False)
    own = mint_token(data, roles=["participant"], studies=[story.STUDY], participant=participant)
    console.print(f"  participant: {own}", soft_wrap=True, highlight=False)
    path = f"{base_url}/v1/studies/{story.STUDY}/outcomes"
    console.print(
        f'\n  curl -H "Authorization: Bearer $TOKEN" {path}\n', soft_wrap=True, highlight=False
    )
