from tests.enrolment.enrolment_calls import Enrolment, decision, infusion, screening


async def test_participants_are_counted_by_site_criterion_and_time(enrolment: Enrolment) -> None:
    site = enrolment.site()
    treated = await enrolment.enrolled(site)
    await enrolment.made(f"{treated}/infusions", infusion())
    left = await enrolment.enrolled(site)
    body = {"status": "withdrawn", "date": "2021-09-20", "reason": "moved"}
    await enrolment.made(f"{left}/status", body)
    await enrolment.screened(site)
    failed = await enrolment.screened(site)
    changed = screening(change_reason="seen again")
    changed["diagnosis"]["guttate"] = True
    await enrolment.put(f"{failed}/screening", changed, If_Match='"1"')
    reason = decision(decision="screen_fail", reason="guttate")
    await enrolment.made(f"{failed}/enrolment", reason)

    found = (await enrolment.get("/enrolment/summary", sites=[site])).json()
    expected = {
        "screened": 4,
        "in_screening": 1,
        "screen_failed": 1,
        "left_before_enrolment": 0,
        "enrolled": 2,
        "treated": 1,
        "awaiting_treatment": 0,
        "on_treatment": 0,
        "follow_up": 1,
        "completed": 0,
        "withdrawn": 1,
        "lost_to_follow_up": 0,
        "died": 0,
        "failed_by_criterion": {"E1a": 1},
    }
    assert expected.items() <= found.items()
    assert expected.items() <= found["by_site"][site].items()
    assert found["by_site"][site]["over_time"] == found["over_time"]
    days = [one["date"] for one in found["over_time"]]
    assert days == sorted(days)
    reached = {"screened": 4, "screen_failed": 1, "enrolled": 2, "treated": 1, "withdrawn": 1}
    assert found["over_time"][-1].items() >= reached.items()


async def test_the_summary_is_read_as_it_stood(enrolment: Enrolment) -> None:
    site = enrolment.site()
    path = await enrolment.screened(site)
    before = (await enrolment.get(path)).json()["recorded_at"].replace("+", "%2B")
    await enrolment.made(f"{path}/enrolment", decision())
    now = (await enrolment.get("/enrolment/summary", sites=[site])).json()
    then = await enrolment.get(f"/enrolment/summary?as_of={before}", sites=[site])
    assert (now["enrolled"], then.json()["enrolled"]) == (1, 0)
