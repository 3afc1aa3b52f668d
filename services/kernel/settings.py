"""What a process is told by its environment, in variables that begin with `TRIAL_`."""

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Issuer(BaseModel):
    """One OpenID Connect issuer whose tokens are believed.

    `jwks` is the path of a key set file or its address; without it, the address is read from
    the issuer's discovery document. `allow_http` believes keys that came unprotected.
    """

    issuer: str
    audience: str
    jwks: str | None = None
    allow_http: bool = False

    @model_validator(mode="after")
    def _keys_come_protected(self) -> Self:
        source = self.issuer if self.jwks is None else self.jwks
        is_address = source.startswith(("http://", "https://"))
        if self.jwks is None and not is_address:
            raise ValueError("an issuer without jwks must be an address with a discovery document")
        if is_address and not is_safe_source(source, allow_http=self.allow_http):
            raise ValueError("keys are fetched by https, or from this machine")
        return self


def is_safe_source(address: str, *, allow_http: bool) -> bool:
    """Tell whether keys may be fetched there: by https, or from this machine."""
    place = urlsplit(address)
    if place.scheme == "https":
        return True
    return place.scheme == "http" and (allow_http or _is_this_machine(place.hostname or ""))


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _folders(value: object) -> object:
    if isinstance(value, str):
        return [part for part in value.split(os.pathsep) if part]
    return value


class ProcessSettings(BaseSettings):
    """The settings of one service process; a missing one stops it at the start."""

    model_config = SettingsConfigDict(env_prefix="TRIAL_", extra="ignore")

    database_url: SecretStr
    issuers: list[Issuer]
    studies_dir: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_folders)] = ()
    service_token: SecretStr = SecretStr("")
    enrolment_url: str = "http://127.0.0.1:8081"
    scoring_url: str = "http://127.0.0.1:8082"
    safety_url: str = "http://127.0.0.1:8083"
    log_level: str = "INFO"
    release: str = "development"
    longest_queue: Annotated[int, Field(gt=0)] = 2000
    largest_batch: Annotated[int, Field(gt=0)] = 256
