"""The people and systems of a trial as callers of the running system."""

from pathlib import Path
from typing import Any

import httpx

from launcher.issuer import mint_token
from tests.running_system import STUDY, RunningSystem


class Callers:
    """Speaks to the gateway in several roles; keeps every token that was used."""

    def __init__(self, system: RunningSystem) -> None:
        self.client = httpx.Client(base_url=system.url, timeout=60)
        self.data: Path = system.data
        self.tokens: dict[str, str] = {}

    def send(
        self, role: str, method: str, path: str, body: Any = None, *, key: str = "", **claims: Any
    ) -> httpx.Response:
        """Return the answer to a request of this role; a path is below the study's."""
        mark = f"{role} {claims}"
        if mark not in self.tokens:
            self.tokens[mark] = mint_token(self.data, roles=[role], studies=[STUDY], **claims)
        where = path if path.startswith("/v1") else f"/v1/studies/{STUDY}{path}"
        headers = {"Authorization": f"Bearer {self.tokens[mark]}"}
        if key:
            headers["Idempotency-Key"] = key
        return self.client.request(method, where, json=body, headers=headers)

    def ask(self, role: str, method: str, path: str, body: Any = None, **said: Any) -> Any:
        """Return the document of a good answer."""
        answer = self.send(role, method, path, body, **said)
        assert answer.is_success, (method, path, answer.text)
        return answer.json()
