-- Communities whose rolls are long and short: -1 has 2,000 members, -2 to -17 have five each. Their people are those
-- of the other communities, so that each can propose once.

set session_replication_role = replica;

create temporary table rolls as
select -1 as c, i from generate_series(51, 2050) as i
union all
select -2 - n, 51 + 5 * n + m from generate_series(0, 15) as n, generate_series(0, 4) as m;

insert into private.communities (id, name, created_by)
select distinct bench.community(r.c), 'Roll ' || r.c, bench.person(51) from rolls as r;
insert into private.community_members (community_id, user_id, joined_at, joined_day)
select bench.community(r.c), bench.person(r.i), now() - interval '1 year', current_date - 365 from rolls as r;
insert into private.community_days (community_id, day, sunset_at, dawn_at, jashn_look_at, daily_budget)
select distinct bench.community(r.c), current_date, current_date + interval '1 day' - interval '1 minute',
  current_date + interval '1 day', now() + interval '1 day', 100
from rolls as r;
insert into private.purses (community_id, user_id, remaining, day, granted_at)
select bench.community(r.c), bench.person(r.i), 100, current_date, current_date from rolls as r;
analyze private.community_members, private.purses;
