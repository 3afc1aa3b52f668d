import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jwt
import pytest

from launcher.issuer import AUDIENCE, ISSUER, key_set, mint_token


def claims_of(token: str, data: Path) -> dict[str, Any]:
    [key] = json.loads(key_set(data).read_text())["keys"]
    assert jwt.get_unverified_header(token)["kid"] == key["kid"]
    decoded: dict[str, Any] = jwt.decode(
        token, jwt.PyJWK(key).key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER
    )
    return decoded


def test_token_says_who_may_do_what_and_where(tmp_path: Path) -> None:
    token = mint_token(tmp_path, roles=["edc"], studies=["NCT1"], sites=["GDTCM"])
    claims = claims_of(token, tmp_path)
    assert claims["roles"] == ["edc"]
    assert claims["studies"] == ["NCT1"]
    assert claims["sites"] == ["GDTCM"]
    assert claims["sub"] == "demo-edc"
    assert claims["exp"] > claims["iat"]
    assert "participant" not in claims


def test_token_without_sites_names_none(tmp_path: Path) -> None:
    token = mint_token(tmp_path, roles=["auditor"], studies=["NCT1"])
    assert "sites" not in claims_of(token, tmp_path)


def test_no_two_tokens_are_the_same(tmp_path: Path) -> None:
    first, second = (mint_token(tmp_path, roles=["edc"]) for _ in range(2))
    assert claims_of(first, tmp_path)["jti"] != claims_of(second, tmp_path)["jti"]


def test_key_is_made_once_and_the_private_one_is_private(tmp_path: Path) -> None:
    before = key_set(tmp_path).read_text()
    assert key_set(tmp_path).read_text() == before
    assert "d" not in json.loads(before)["keys"][0]
    assert (tmp_path / "issuer" / "private.json").stat().st_mode & 0o077 == 0


def test_token_of_another_issuer_is_told_apart(tmp_path: Path) -> None:
    token = mint_token(tmp_path / "other", roles=["edc"])
    [key] = json.loads(key_set(tmp_path).read_text())["keys"]
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, jwt.PyJWK(key).key, algorithms=["ES256"], audience=AUDIENCE)


def test_command_prints_the_token_that_was_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "launcher", "--data", str(tmp_path), "token"]
    command += ["--role", "participant", "--study", "A", "--study", "B", "--participant", "p-1"]
    command += ["--subject", "someone", "--expires-in", "-60", "--audience", "other"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    token = printed.split()[-1]
    with pytest.raises(jwt.ExpiredSignatureError):
        claims_of(token, tmp_path)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["studies"] == ["A", "B"]
    assert claims["participant"] == "p-1"
    assert claims["sub"] == "someone"
    assert claims["aud"] == "other"
