import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.safety.settings import WebhookSettings
from services.safety.webhooks.subscriptions import secrets_in_force
from tests.safety.receivers import Receiver, listening, until
from tests.safety.safety_calls import STUDY, Safety, adverse_event, earlier, faults, kind, susar

PATH = "/webhooks"
REASON = {"reason": "test"}


async def subscribe(desk: Safety, receiver: Receiver, *events: str) -> dict[str, Any]:
    """Return a new subscription, with its secret."""
    body = {"url": receiver.url, **({"events": list(events)} if events else {})}
    answer = await desk.post(PATH, body, role="admin")
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def end(desk: Safety, webhook: dict[str, Any]) -> None:
    path = f"{PATH}/{webhook['id']}"
    tag = (await desk.get(path, role="admin")).headers["etag"]
    answer = await desk.post(f"{path}/end", REASON, role="admin", If_Match=tag)
    assert answer.json()["status"] == "ended"


async def deliveries(
    desk: Safety, webhook: dict[str, Any], participant: str
) -> list[dict[str, Any]]:
    answer = await desk.get(f"{PATH}/{webhook['id']}/deliveries?limit=500", role="admin")
    items = answer.json()["items"]
    return [one for one in items if one["event"]["data"].get("participant") == participant]


async def settled(
    desk: Safety, webhook: dict[str, Any], participant: str, status: str
) -> list[dict[str, Any]]:
    """Return a participant's deliveries, once there are some and all have this status."""
    async with asyncio.timeout(60):
        while True:
            found = await deliveries(desk, webhook, participant)
            if found and {one["status"] for one in found} == {status}:
                return found
            await asyncio.sleep(0.05)


async def until_tried(desk: Safety, webhook: dict[str, Any], participant: str) -> None:
    async with asyncio.timeout(60):
        while True:
            if any(one["attempts"] for one in await deliveries(desk, webhook, participant)):
                return
            await asyncio.sleep(0.05)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [one["type"].removeprefix("trial-events.safety.") for one in events]


async def test_a_serious_event_its_clocks_and_its_signal_are_told(desk: Safety) -> None:
    async with listening(Receiver()) as receiver:
        webhook = await subscribe(desk, receiver)
        participant = await desk.participant()
        aware = earlier(hours=1)
        taken = await desk.report(
            participant, **susar(onset=aware, investigator_aware_at=aware, sponsor_aware_at=aware)
        )
        await until(lambda: len(receiver.about(taken["id"])) == 4)
        told = receiver.about(taken["id"])
        assert kinds(told) == ["serious_event", "clock_started", "clock_started", "clock_due_soon"]
        serious, reported, initial, soon = told
        assert serious["data"]["participant"] == str(participant)
        assert (serious["data"]["site"], serious["data"]["version"]) == ("GDTCM", 1)
        assert serious["data"]["classification"] == "SUSAR"
        assert [one["clock"] for one in serious["data"]["clocks"]] == [
            "SAE_TO_SPONSOR_24H",
            "SUSAR_INITIAL",
        ]
        clocks = {one["clock"]: one["id"] for one in taken["clocks"]}
        assert reported["data"]["clock"]["id"] == clocks["SAE_TO_SPONSOR_24H"]
        assert initial["data"]["clock"]["id"] == clocks["SUSAR_INITIAL"]
        assert initial["data"]["clock"]["basis_days"] == 15
        assert soon["data"]["clock"]["id"] == clocks["SAE_TO_SPONSOR_24H"]
        signal = await until(
            lambda: [
                one.event
                for one in receiver.received
                if one.event["type"].endswith("signal_raised")
                and one.event["data"]["rule"] == "PARTICIPANT_SUSAR"
                and one.event["data"]["facts"][0]["participant"] == str(participant)
            ]
        )
        assert signal[0]["data"]["proposal"] == "pause_for_review"
        await end(desk, webhook)


async def test_what_is_sent_is_a_signed_cloud_event_without_personal_data(desk: Safety) -> None:
    async with listening(Receiver()) as receiver:
        webhook = await subscribe(desk, receiver, "serious_event")
        participant = await desk.participant()
        mark = "collapse in Room 7"
        taken = await desk.report(participant, **susar(term=mark, narrative=mark))
        await until(lambda: receiver.about(taken["id"]))
        (one,) = [one for one in receiver.received if one.event["subject"] == taken["id"]]
        event = one.event
        assert one.headers["content-type"] == "application/cloudevents+json"
        assert (event["specversion"], event["source"]) == ("1.0", "/v1/studies/NCT03745417")
        assert event["time"] == taken["recorded_at"]
        assert one.headers["webhook-id"] == event["id"]
        sent_at = datetime.fromtimestamp(int(one.headers["webhook-timestamp"]), UTC)
        assert abs((datetime.now(UTC) - sent_at).total_seconds()) < 60
        assert mark.encode() not in one.body
        assert one.is_signed_with(webhook["secret"])
        assert not one.is_signed_with("whsec_" + "A" * 43 + "=")
        await end(desk, webhook)


async def test_only_the_events_asked_for_are_sent(desk: Safety) -> None:
    async with listening(Receiver()) as receiver:
        webhook = await subscribe(desk, receiver, "clock_started", "serious_event")
        participant = await desk.participant()
        body = adverse_event()
        taken = await desk.report(participant)
        path = f"/participants/{participant}/adverse-events/{taken['id']}"
        await desk.put(path, {**body, **susar(), "change_reason": "worse"}, If_Match='"1"')
        more = {**body, **susar(ctcae_grade=4), "change_reason": "worse"}
        await desk.put(path, more, If_Match='"2"')
        other = await desk.report(participant, **susar(term="rash"))
        await until(lambda: len(receiver.about(other["id"])) == 3)
        assert kinds(receiver.about(taken["id"])) == [
            "serious_event",
            "clock_started",
            "clock_started",
        ]
        assert receiver.about(taken["id"])[0]["data"]["version"] == 2
        await end(desk, webhook)


async def test_a_receiver_that_is_down_gets_all_in_order_later(desk: Safety) -> None:
    receiver = Receiver()
    async with listening(receiver):
        webhook = await subscribe(desk, receiver, "clock_started")
    participant = await desk.participant()
    first = await desk.report(participant, **susar())
    second = await desk.report(participant, **susar(term="rash"))
    path = f"{PATH}/{webhook['id']}/deliveries"
    await until_tried(desk, webhook, str(participant))
    waiting = (await desk.get(f"{path}?status=pending&limit=1", role="auditor")).json()
    assert (waiting["items"][0]["last_fault"], waiting["items"][0]["last_status"]) == (
        "connection",
        None,
    )
    async with listening(receiver):
        done = await settled(desk, webhook, str(participant), "delivered")
        assert [one["subject"] for one in receiver.about(str(participant))] == [
            *[first["id"]] * 2,
            *[second["id"]] * 2,
        ]
        assert [one["event"]["id"] for one in done] == [
            one["id"] for one in receiver.about(str(participant))
        ]
        assert (done[0]["attempts"] > 1, done[0]["last_status"]) == (True, 204)
        assert done[0]["next_attempt_at"] is None
    await end(desk, webhook)
    bearer = {"Authorization": f"Bearer {desk.tokens.sign('admin', None)}"}
    metrics = (await desk.client.get("/metrics", headers=bearer)).text
    for status in ("pending", "delivered"):
        assert f'webhook_attempts_total{{status="{status}"}}' in metrics


@pytest.mark.parametrize(
    ("answer", "fault", "status"),
    [
        ("500 Internal Server Error", "status", 500),
        (None, "timeout", None),
        ("307 Temporary Redirect\r\nLocation: http://127.0.0.2:9/", "redirect", 307),
    ],
)
async def test_what_is_not_taken_is_given_up_in_the_end_and_can_be_replayed(
    desk: Safety,
    hurried: pytest.MonkeyPatch,
    answer: str | None,
    fault: str,
    status: int | None,
) -> None:
    receiver = Receiver(answer=lambda _: answer)
    async with listening(receiver):
        webhook = await subscribe(desk, receiver, "serious_event")
        participant = await desk.participant()
        taken = await desk.report(participant, **susar())
        (dead,) = await settled(desk, webhook, str(participant), "dead")
        assert (dead["last_fault"], dead["last_status"]) == (fault, status)
        path = f"{PATH}/{webhook['id']}/deliveries"
        assert (await desk.get(f"{path}/{dead['id']}", role="safety_officer")).json() == dead
        hurried.undo()
        receiver.answer = lambda _: "200 OK"
        before = len(receiver.about(taken["id"]))
        answered = await desk.post(f"{path}/{dead['id']}/replay", REASON, role="safety_officer")
        assert answered.status_code == 201
        assert answered.json()["deliveries"] == [dead["id"]]
        (done,) = await settled(desk, webhook, str(participant), "delivered")
        assert (done["attempts"], done["event"]) == (1, dead["event"])
        assert len(receiver.about(taken["id"])) == before + 1
        assert {one["id"] for one in receiver.about(taken["id"])} == {dead["event"]["id"]}
        await end(desk, webhook)


async def test_a_receiver_that_hangs_holds_up_nobody_else(desk: Safety) -> None:
    hanging, quick = Receiver(answer=lambda _: None), Receiver()
    async with listening(hanging), listening(quick):
        first = await subscribe(desk, hanging, "serious_event")
        second = await subscribe(desk, quick, "serious_event")
        taken = [await desk.report(await desk.participant(), **susar()) for _ in range(12)]
        await until(lambda: all(quick.about(one["id"]) for one in taken))
        await end(desk, first)
        await end(desk, second)


async def test_all_dead_letters_are_replayed_together_in_order(
    desk: Safety, hurried: pytest.MonkeyPatch
) -> None:
    receiver = Receiver(answer=lambda _: "500 Internal Server Error")
    async with listening(receiver):
        webhook = await subscribe(desk, receiver, "clock_started")
        participant = await desk.participant()
        await desk.report(participant, **susar())
        nothing = await desk.post(f"{PATH}/{webhook['id']}/replay", REASON, role="admin")
        assert kind(nothing) == (409, "nothing-to-replay")
        dead = await settled(desk, webhook, str(participant), "dead")
        hurried.undo()
        receiver.answer = lambda _: "204 No Content"
        receiver.received.clear()
        answer = await desk.post(f"{PATH}/{webhook['id']}/replay", REASON, role="admin")
        assert set(answer.json()["deliveries"]) >= {one["id"] for one in dead}
        await settled(desk, webhook, str(participant), "delivered")
        assert [one["id"] for one in receiver.about(str(participant))] == [
            one["event"]["id"] for one in dead
        ]
        await end(desk, webhook)


async def test_a_secret_is_shown_once_and_rotated_with_overlap(desk: Safety) -> None:
    async with listening(Receiver()) as receiver:
        key = uuid4().hex
        body = {"url": receiver.url, "events": ["serious_event"]}
        first = await desk.post(PATH, body, role="admin", Idempotency_Key=key)
        again = await desk.post(PATH, body, role="admin", Idempotency_Key=key)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        webhook = first.json()
        path = f"{PATH}/{webhook['id']}"
        rotated = await desk.post(f"{path}/secret", REASON, role="admin")
        assert (rotated.status_code, rotated.json()["secret_number"]) == (200, 2)
        new = rotated.json()["secret"]
        assert new != webhook["secret"]
        for shown in (path, PATH, f"{path}/versions"):
            text = (await desk.get(shown, role="admin")).text
            assert "whsec_" not in text
        trail = await desk.get("/audit?resource=webhook&limit=500", role="auditor")
        assert webhook["id"] in trail.text
        assert webhook["secret"].removeprefix("whsec_") not in trail.text
        taken = await desk.report(await desk.participant(), **susar())
        await until(lambda: receiver.about(taken["id"]))
        (sent,) = [one for one in receiver.received if one.event["subject"] == taken["id"]]
        assert sent.is_signed_with(new)
        assert sent.is_signed_with(webhook["secret"])
        await end(desk, webhook)
        ended = await desk.post(f"{path}/secret", REASON, role="admin")
        assert kind(ended) == (409, "webhook-ended")


async def test_an_ended_subscription_gets_nothing_more(desk: Safety) -> None:
    receiver = Receiver(answer=lambda _: "500 Internal Server Error")
    async with listening(receiver):
        webhook = await subscribe(desk, receiver, "serious_event")
        participant = await desk.participant()
        await desk.report(participant, **susar())
        await until(lambda: receiver.received)
        await end(desk, webhook)
        (dead,) = await settled(desk, webhook, str(participant), "dead")
        assert dead["last_fault"] == "webhook_ended"
        before = len(receiver.received)
        await desk.report(participant, **susar(term="rash"))
        path = f"{PATH}/{webhook['id']}"
        replay = await desk.post(f"{path}/replay", REASON, role="admin")
        assert kind(replay) == (409, "webhook-ended")
        await asyncio.sleep(0.3)
        assert len(receiver.received) == before
        again = await desk.post(f"{path}/end", REASON, role="admin", If_Match='"2"')
        assert again.json()["write"] == "unchanged"


async def test_a_subscription_is_changed_for_a_reason(desk: Safety) -> None:
    async with listening(Receiver()) as receiver:
        webhook = await subscribe(desk, receiver)
        assert webhook["events"] == [
            "serious_event",
            "clock_started",
            "clock_due_soon",
            "signal_raised",
        ]
        path = f"{PATH}/{webhook['id']}"
        body = {"url": receiver.url, "events": ["signal_raised"], "description": "desk"}
        assert kind(await desk.put(path, body, role="admin")) == (428, "version-required")
        unexplained = await desk.put(path, body, role="admin", If_Match='"1"')
        assert kind(unexplained) == (422, "change-reason-required")
        explained = {**body, "change_reason": "less noise"}
        changed = await desk.put(path, explained, role="admin", If_Match='"1"')
        assert (changed.status_code, changed.json()["events"]) == (200, ["signal_raised"])
        again = await desk.put(path, explained, role="admin", If_Match='"2"')
        assert again.json()["write"] == "unchanged"
        versions = (await desk.get(f"{path}/versions", role="auditor")).json()["items"]
        assert [one["version"] for one in versions] == [1, 2]
        listed = (await desk.get(f"{PATH}?limit=500", role="safety_officer")).json()["items"]
        assert webhook["id"] in {one["id"] for one in listed}
        await end(desk, webhook)
        late = await desk.put(path, {**explained, "description": "x"}, role="admin", If_Match='"3"')
        assert kind(late) == (409, "webhook-ended")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://127.0.0.2/desk", "address_refused"),
        ("https://[::1]/desk", "address_refused"),
        ("https://[::ffff:10.0.0.1]/desk", "address_refused"),
        ("https://[64:ff9b::a00:1]/desk", "address_refused"),
        ("https://[2002:a00:1::]/desk", "address_refused"),
        ("https://169.254.169.254/latest/meta-data", "address_refused"),
        ("https://0.0.0.0/", "address_refused"),
        ("https://100.64.0.1/", "address_refused"),
        ("https://224.0.0.1/", "address_refused"),
        ("https://2130706434/", "address_refused"),
        ("http://8.8.8.8/", "address_refused"),
        ("ftp://example.org/", "url"),
        ("https://user:word@example.org/", "url"),
        ("https://example.org/#part", "url"),
        ("/desk", "url"),
        ("https://", "url"),
        ("https://[::1", "url"),
    ],
)
async def test_a_private_address_is_refused(desk: Safety, url: str, code: str) -> None:
    answer = await desk.post(PATH, {"url": url}, role="admin")
    assert answer.status_code == 422
    assert faults(answer) == {("/url", code)}


async def test_a_name_that_turns_private_is_not_sent_to(
    desk: Safety, hurried: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the name is checked when something is sent, and the address is pinned."""
    addresses = ["93.184.216.34"]
    real = asyncio.get_running_loop().getaddrinfo

    async def resolve(host: str, port: Any, **options: Any) -> Any:
        if host == "desk.test":
            return [(2, 1, 6, "", (address, port)) for address in addresses]
        return await real(host, port, **options)

    hurried.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    answer = await desk.post(
        PATH, {"url": "https://desk.test/", "events": ["serious_event"]}, role="admin"
    )
    assert answer.status_code == 201
    addresses[:] = ["93.184.216.34", "10.0.0.1"]
    participant = await desk.participant()
    await desk.report(participant, **susar())
    (dead,) = await settled(desk, answer.json(), str(participant), "dead")
    assert (dead["last_fault"], dead["last_status"]) == ("address_refused", None)
    await end(desk, answer.json())


async def test_a_name_that_does_not_resolve_yet_may_be_subscribed(
    desk: Safety, hurried: pytest.MonkeyPatch
) -> None:
    async def unknown(host: str, port: Any, **options: Any) -> Any:
        raise OSError(host, port, options)

    hurried.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    body = {"url": "https://desk.test/", "events": ["serious_event"]}
    answer = await desk.post(PATH, body, role="admin")
    assert answer.status_code == 201
    participant = await desk.participant()
    await desk.report(participant, **susar())
    (dead,) = await settled(desk, answer.json(), str(participant), "dead")
    assert dead["last_fault"] == "name_unknown"
    await end(desk, answer.json())


@pytest.mark.parametrize(
    "role", ["edc", "coordinator", "investigator", "safety_officer", "auditor", "statistician"]
)
async def test_only_an_admin_subscribes(desk: Safety, role: str) -> None:
    answer = await desk.post(PATH, {"url": "https://example.org/"}, role=role)
    assert kind(answer) == (403, "not-permitted")


async def test_an_admin_of_some_sites_does_not_see_all(desk: Safety) -> None:
    for path in (PATH, f"{PATH}/{uuid4()}/deliveries"):
        answer = await desk.get(path, role="admin", sites=["GDTCM"])
        assert kind(answer) == (403, "not-permitted")


async def test_an_unknown_subscription_or_delivery_is_not_found(desk: Safety) -> None:
    unknown = f"{PATH}/{uuid4()}"
    async with listening(Receiver()) as receiver:
        webhook = await subscribe(desk, receiver)
        own = f"{PATH}/{webhook['id']}/deliveries/{uuid4()}"
        for answer in (
            await desk.get(unknown, role="admin"),
            await desk.get(f"{unknown}/deliveries", role="admin"),
            await desk.get(f"{unknown}/versions", role="admin"),
            await desk.get(own, role="admin"),
            await desk.post(f"{unknown}/end", REASON, role="admin", If_Match='"1"'),
            await desk.post(f"{unknown}/replay", REASON, role="admin"),
            await desk.post(f"{own}/replay", REASON, role="admin"),
        ):
            assert kind(answer) == (404, "not-found")
        await end(desk, webhook)


async def test_a_closed_clock_is_not_called_due_soon(desk: Safety) -> None:
    async with listening(Receiver()) as receiver:
        webhook = await subscribe(desk, receiver, "clock_due_soon")
        participant = await desk.participant()
        old = await desk.report(participant, **susar())
        await until(lambda: len(receiver.about(old["id"])) == 2)
        assert {one["data"]["clock"]["clock"] for one in receiver.about(old["id"])} == {
            "SAE_TO_SPONSOR_24H",
            "SUSAR_INITIAL",
        }
        await end(desk, webhook)


async def test_two_replicas_tell_everything_once(desk: Safety, second_desk: Safety) -> None:
    async with listening(Receiver()) as receiver:
        webhook = await subscribe(desk, receiver, "serious_event")
        taken = [
            await on.report(await on.participant(), **susar())
            for on in (desk, second_desk, desk, second_desk)
        ]
        await until(lambda: all(receiver.about(one["id"]) for one in taken))
        assert [len(receiver.about(one["id"])) for one in taken] == [1, 1, 1, 1]
        await end(desk, webhook)


async def test_an_infusion_told_later_can_make_a_signal(desk: Safety) -> None:
    async with listening(Receiver()) as receiver:
        webhook = await subscribe(desk, receiver, "signal_raised")
        participant = await desk.participant()
        taken = await desk.report(participant, ctcae_grade=3)

        def raised() -> list[str]:
            return [
                one.event["data"]["rule"]
                for one in receiver.received
                if one.event["data"]["facts"][-1]["adverse_event"] == taken["id"]
            ]

        await asyncio.sleep(0.3)
        assert "PARTICIPANT_INFUSION_REACTION" not in raised()
        await desk.infuse(participant, "2021-10-03T19:00:00+08:00")
        await until(lambda: "PARTICIPANT_INFUSION_REACTION" in raised())
        await end(desk, webhook)


async def test_the_ticker_outlives_a_lost_connection(desk: Safety) -> None:
    async with listening(Receiver()) as receiver:
        webhook = await subscribe(desk, receiver, "serious_event")
        async with desk.database.pooled() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d "
                "ON d.oid = database WHERE locktype = 'advisory' AND datname = current_database()"
            )
        taken = await desk.report(await desk.participant(), **susar())
        await until(lambda: receiver.about(taken["id"]))
        await end(desk, webhook)


async def test_a_replaced_secret_stops_signing_after_a_while(desk: Safety) -> None:
    async with listening(Receiver()) as receiver:
        webhook = await subscribe(desk, receiver)
        for _ in range(2):
            await desk.post(f"{PATH}/{webhook['id']}/secret", REASON, role="admin")
        now, overlap = datetime.now(UTC), timedelta(hours=24)
        async with desk.database.pooled() as connection:
            counts = [
                len(await secrets_in_force(connection, STUDY, UUID(webhook["id"]), at, overlap))
                for at in (now, now + timedelta(hours=25))
            ]
        assert counts == [3, 1]
        await end(desk, webhook)


def test_allowed_networks_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAL_WEBHOOK_ALLOWED_NETWORKS", "10.1.0.0/16, fd00::/8,")
    networks = WebhookSettings().allowed_networks
    assert [str(one) for one in networks] == ["10.1.0.0/16", "fd00::/8"]
