"""What the gateway is told by its environment, in variables that begin with `TRIAL_`."""

from typing import Annotated

from limits import parse
from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.kernel.settings import Issuer


def _rate(text: str) -> str:
    parse(text)
    return text


Rate = Annotated[str, AfterValidator(_rate)]
"""Such as `240000/minute`."""


class GatewaySettings(BaseSettings):
    """Where the services are, whose tokens are believed, and how much is too much.

    `checkpoint_key` is the private P-256 key (a JWK) that signs checkpoints, or its file.
    """

    model_config = SettingsConfigDict(env_prefix="TRIAL_", extra="ignore")

    issuers: list[Issuer]
    enrolment_url: str = "http://127.0.0.1:8081"
    scoring_url: str = "http://127.0.0.1:8082"
    safety_url: str = "http://127.0.0.1:8083"
    checkpoint_key: SecretStr | None = None
    log_level: str = "INFO"
    release: str = "development"
    caller_rate: Rate = "240000/minute"
    address_rate: Rate = "30000/minute"
    most_requests_at_once: Annotated[int, Field(gt=0)] = 1024
    most_large_at_once: Annotated[int, Field(gt=0)] = 16

    @property
    def url_by_service(self) -> dict[str, str]:
        """The services' addresses."""
        return {
            "enrolment": self.enrolment_url,
            "scoring": self.scoring_url,
            "safety": self.safety_url,
        }
