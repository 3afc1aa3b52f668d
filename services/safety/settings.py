"""What safety is told about webhooks, in variables that begin with `TRIAL_WEBHOOK_`."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Network = IPv4Network | IPv6Network
Seconds = Annotated[float, Field(gt=0)]


def _networks(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


class WebhookSettings(BaseSettings):
    """Where webhooks may lead, how long one attempt may take, and when to give up."""

    model_config = SettingsConfigDict(env_prefix="TRIAL_WEBHOOK_", extra="ignore")

    allowed_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = ()
    ca_file: Path | None = None
    timeout_seconds: Seconds = 10
    first_retry_seconds: Seconds = 10
    longest_retry_seconds: Seconds = 21_600
    give_up_after_seconds: Seconds = 432_000
    secret_overlap_seconds: Annotated[float, Field(ge=0)] = 86_400
