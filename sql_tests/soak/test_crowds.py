"""Many places, and a place of many: three zones, fifty communities, two thousand members."""


def test_a_member_lives_three_days_at_once(asha, clock, books):
    """At half past ten in UTC it is tomorrow in Kiritimati and yesterday in Pago Pago."""
    clock.at("2026-03-02 10:30+00")
    zones = {
        "UTC": "2026-03-02",
        "Pacific/Kiritimati": "2026-03-03",
        "Pacific/Pago_Pago": "2026-03-01",
    }
    homes = {
        zone: asha.create_community(name=zone, timezone=zone)["community"]["id"] for zone in zones
    }
    for cost, home in enumerate(homes.values(), start=10):
        asha.declare_joy(community_id=home, title="Here", cc_spent=cost)

    def balances():
        found = asha.list_my_communities()["communities"]
        return {one["timezone"]: one["balance"] for one in found}

    assert {zone: one["day"] for zone, one in balances().items()} == zones
    assert [balances()[zone]["remaining"] for zone in zones] == [90, 89, 88]

    # Pago Pago's midnight comes at eleven; it is nobody else's.
    clock.at("2026-03-02 11:00+00")
    for home in homes.values():
        asha.get_balance(community_id=home)
    assert [balances()[zone]["remaining"] for zone in zones] == [90, 89, 100]
    assert balances()["Pacific/Pago_Pago"]["day"] == "2026-03-02"
    for home in homes.values():
        books(home)


def test_a_person_in_fifty_communities(asha, bram, sign_up, admit, clock):
    founders = [admit(sign_up(f"founder{n}@chas.test")) for n in range(5)]
    for n, founder in enumerate(founders):
        # Twenty joinings an hour are enough for anybody.
        clock.forward(minutes=61)
        for m in range(10):
            made = founder.create_community(name=f"Home {n}{m}")["community"]
            bram.join_community(invite_code=made["invite_code"])
            founder.send_message(community_id=made["id"], content="Welcome")

    mine = bram.list_my_communities()["communities"]
    homes = [one for one in mine if one["name"].startswith("Home ")]
    assert len(homes) == 50
    assert {one["unread"] for one in homes} == {1}
    assert {one["member_count"] for one in homes} == {2}
    assert {one["balance"]["remaining"] for one in homes} == {100}
    assert len(bram.read("communities")) == len(mine)
    assert len(asha.read("communities")) == 1


SIGN_UP_A_CROWD = """
insert into auth.users (id, aud, role, email, email_confirmed_at, raw_user_meta_data)
select
  gen_random_uuid(), 'authenticated', 'authenticated', format('crowd%s@chas.test', n), now(), '{}'
from generate_series(1, 1999) as n
returning jsonb_build_object('sub', id)::text
"""


def join_all(door, crowd, code, now):
    door.execute(
        "select set_config('role', 'authenticated', true), set_config('chas.now', %s, true)",
        [now.isoformat()],
    )
    for claims in crowd:
        door.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        door.execute("select public.join_community(invite_code => %s)", [code])


def test_a_proposal_among_two_thousand_calls_everyone_to_vote(house, rain, asha, books):
    house.service.initialize_settings(enforce_invites=False)
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    with house.connection("supabase_auth_admin") as auth:
        crowd = [row["jsonb_build_object"] for row in auth.execute(SIGN_UP_A_CROWD).fetchall()]
    with house.connection("authenticator") as door:
        door.read_only = False
        with door.transaction():
            join_all(door, crowd, code, house.clock.now)

    tip = asha.propose_tip_to_tip(community_id=rain, title="A feast", stake_amount=5)["proposal"]

    assert (tip["electors"], tip["awaiting"]) == (2000, 1999)
    called = house.owner.sql(
        "select count(*) as notices, count(distinct user_id) as people"
        " from private.notifications where type = 'tip_to_tip'"
    )
    assert called == [{"notices": 1999, "people": 1999}]
    assert len(asha.list_members(community_id=rain)["members"]) == 2000
    assert books(rain)["minted"] == 200_000
