"""Checkpoints: a signed root over all chain heads that an auditor keeps, and proofs for it.

A checkpoint is a compact JWS (ES256) whose payload names the study, the time, how many
events each service had, and the root of the tree over the heads of all chains then. Who
keeps one can show later that nothing up to it was changed, removed or cut off.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from pydantic import SecretStr

from gateway.forwarding import SERVICES
from gateway.tree import tree_hash
from services.kernel.exact_json import NotJson, canonical_json, parse_json, stamp
from services.kernel.problems import Unavailable
from services.kernel.refusals import Fault, Impossible

TYPE: Final = "trial-events-checkpoint"
_ALGORITHM: Final = "ES256"


class NoCheckpointKey(Unavailable):
    """The gateway was given no key to sign checkpoints with.

    Whoever runs the system sets TRIAL_CHECKPOINT_KEY.
    """


class WrongCheckpoint(Impossible):
    """The checkpoint is none that this system signed for the study.

    Send the `jws` of a checkpoint of this study as it was given.
    """


def load_key(setting: SecretStr | None) -> ECKey | None:
    """Return the private key that the setting holds, or that stands in the file it names."""
    if setting is None:
        return None
    text = setting.get_secret_value()
    if not text.lstrip().startswith("{"):
        text = Path(text).read_text(encoding="utf-8")
    key = ECKey.import_key(json.loads(text))
    key.ensure_kid()
    return key


def leaves_of(heads: Mapping[str, Mapping[str, Any]]) -> list[tuple[tuple[str, str], bytes]]:
    """Return the tree's leaves in their order, each beside its (service, participant)."""
    return [
        (
            (service, participant),
            canonical_json({"service": service, "participant": participant, **head}),
        )
        for service in sorted(heads)
        for participant, head in sorted(heads[service].items())
    ]


def root_of(heads: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the tree's root over the heads of all chains."""
    return tree_hash([leaf for _, leaf in leaves_of(heads)])


def checkpoint_of(study: str, said: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the checkpoint over what each service said of its heads."""
    heads = {one["service"]: one["heads"] for one in said}
    return {
        "study": study,
        "issued_at": stamp(datetime.now(UTC)),
        "events": {one["service"]: one["events"] for one in said},
        "chains": sum(len(one) for one in heads.values()),
        "root": root_of(heads).hex(),
    }


class Signer:
    """Signs checkpoints, and knows its own again."""

    def __init__(self, key: ECKey | None) -> None:
        self._key = key

    @property
    def key(self) -> ECKey:
        """The private key; raises NoCheckpointKey."""
        if self._key is None:
            raise NoCheckpointKey("Set TRIAL_CHECKPOINT_KEY to a P-256 key.")
        return self._key

    @property
    def key_set(self) -> dict[str, Any]:
        """The public key as a JWK Set."""
        return {"keys": [self.key.as_dict(private=False, use="sig", alg=_ALGORITHM)]}

    def sign(self, checkpoint: Mapping[str, Any]) -> str:
        """Return the checkpoint as a compact JWS."""
        header = {"alg": _ALGORITHM, "kid": self.key.kid, "typ": TYPE}
        return jws.serialize_compact(header, canonical_json(checkpoint), self.key)

    def read(self, compact: str, study: str) -> dict[str, Any]:
        """Return the checkpoint that was signed here for the study; raises WrongCheckpoint."""
        try:
            signed = jws.deserialize_compact(compact, self.key, algorithms=[_ALGORITHM])
            checkpoint = parse_json(signed.payload)
        except (JoseError, ValueError, NotJson):
            checkpoint = None
        is_whole = isinstance(checkpoint, dict) and set(checkpoint.get("events", ())) == {*SERVICES}
        if not is_whole or checkpoint["study"] != study:
            fault = Fault("?checkpoint", "checkpoint", "Send a `jws` that a checkpoint held.")
            raise WrongCheckpoint(faults=[fault])
        return dict(checkpoint)
