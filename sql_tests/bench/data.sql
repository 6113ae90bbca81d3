-- A house full of people, laid in whole tables at once: what a benchmark and the plans' test read and write.
--
-- psql variables: communities and members (of each), history (joys and messages of each community, 7 a day),
-- busy (joys of the one busy community of 50 over 60 days, with twice as many lines and nearly as many witnesses),
-- purse (what everybody has).
-- Person i is md5('person' || i), community c md5('community' || c); the busy one is 0, its people are 1 to 50.

set session_replication_role = replica;
set statement_timeout = 0;
set synchronous_commit = off;

create schema if not exists bench;
grant usage on schema bench to postgres, authenticated;
-- With `i::text` every part is immutable, so that a call becomes the expression itself.
create or replace function bench.person(i bigint) returns uuid
language sql immutable parallel safe return md5('person' || i::text)::uuid;
create or replace function bench.community(c bigint) returns uuid
language sql immutable parallel safe return md5('community' || c::text)::uuid;

create table bench.people as
select i, bench.person(i) as id, case when i <= 50 then 0 else (i - 51) / :members + 1 end as c
from generate_series(1, 50 + :communities * :members) as i;

insert into auth.users (id, email, email_confirmed_at, aud, role, raw_app_meta_data, raw_user_meta_data, created_at)
select p.id, format('person%s@example.org', p.i), now(), 'authenticated', 'authenticated', '{}', '{}', now()
from bench.people as p;
insert into private.users (id, display_name) select p.id, 'Person ' || p.i from bench.people as p;
insert into private.admissions (user_id) select p.id from bench.people as p;
insert into private.communities (id, name, created_by, created_at)
select bench.community(c), 'Community ' || c, bench.person(case c when 0 then 1 else (c - 1) * :members + 51 end),
  now() - interval '3 years'
from generate_series(0, :communities) as c;
insert into private.community_members (community_id, user_id, roles, joined_at, joined_day)
select bench.community(p.c), p.id,
  case when p.i = 1 or (p.i > 50 and (p.i - 51) % :members = 0) then '{member,moderator}' else '{member}' end::text[],
  now() - interval '3 years', current_date - 1096
from bench.people as p;
insert into private.community_days (community_id, day, sunset_at, dawn_at, jashn_look_at, days_lived, daily_budget, last_closed_day)
select c.id, current_date, current_date + interval '1 day' - interval '1 minute', current_date + interval '1 day',
  now() + interval '1 day', 1096, c.daily_cc_budget, current_date - 1
from private.communities as c;
-- Deep purses: a benchmark that ran out of coins would measure refusals.
insert into private.purses (community_id, user_id, remaining, day, granted_at)
select m.community_id, m.user_id, :purse, current_date, current_date from private.community_members as m;

create table bench.joys as
select
  gen_random_uuid() as id, 0 as c, bench.person(1 + n % 50) as user_id, n,
  now() - (:busy + 1 - n) * interval '60 days' / (:busy + 1) as at
from generate_series(1, :busy) as n
union all
select
  gen_random_uuid(), c, bench.person(50 + (c - 1) * :members + 1 + n % :members), n,
  now() - (:history + 1 - n) * interval '1 day' / 7
from generate_series(1, :history) as n, generate_series(1, :communities) as c;

insert into private.declarations (id, community_id, user_id, title, description, cc_spent, witnessed_count, day, created_at)
select
  j.id, bench.community(j.c), j.user_id, 'A joy, and a good one: number ' || j.n, repeat('word ', j.n % 20),
  1 + j.n % 9, (j.c = 0 and j.n % 21 < 20)::integer, j.at::date, j.at
from bench.joys as j
order by j.at;
update private.purses as b set streak = r.days, longest_streak = r.longest, last_lived = 1096 - (current_date - r.last_day)
from (
  select distinct on (s.community_id, s.user_id) s.community_id, s.user_id, s.days, s.last_day,
    max(s.days) over (partition by s.community_id, s.user_id) as longest
  from (
    select d.community_id, d.user_id, count(*)::integer as days, max(d.day) as last_day
    from (
      select o.community_id, o.user_id, o.day,
        o.day - (row_number() over (partition by o.community_id, o.user_id order by o.day))::integer as island
      from (select distinct j.community_id, j.user_id, j.day from private.declarations as j) as o
    ) as d
    group by d.community_id, d.user_id, d.island
  ) as s
  order by s.community_id, s.user_id, s.last_day desc
) as r
where b.community_id = r.community_id and b.user_id = r.user_id;
insert into private.chat_messages (community_id, user_id, type, content, reference_id, created_at)
select l.community_id, l.user_id, l.type, l.content, l.reference_id, l.at
from (
  select bench.community(j.c) as community_id, j.user_id, 'declaration' as type, '' as content, j.id as reference_id, j.at
  from bench.joys as j
  union all
  select bench.community(j.c), j.user_id, 'message', 'What a day: ' || repeat('word ', j.n % 12), null, j.at + interval '1 s'
  from bench.joys as j
  where j.c > 0 or j.n % 21 < 19
) as l
order by l.at;
insert into private.chamber_marks (community_id, user_id, last_read_id)
select p.community_id, p.user_id, l.last_id
from private.community_members as p
join (select m.community_id, max(m.id) - 20 as last_id from private.chat_messages as m group by m.community_id) as l
  on l.community_id = p.community_id;
insert into private.witnesses (declaration_id, user_id, community_id, created_at)
select j.id, bench.person(1 + (j.n + 7) % 50), bench.community(0), j.at + interval '1 minute'
from bench.joys as j where j.c = 0 and j.n % 21 < 20;
insert into private.ledger_entries (
  community_id, user_id, type, amount, moved, balance_after, reference_id, day, created_at
)
select bench.community(j.c), j.user_id, 'declaration', -(1 + j.n % 9), 1 + j.n % 9, 50, j.id, j.at::date, j.at
from bench.joys as j
order by j.at;
insert into private.ledger_entries (community_id, user_id, type, amount, moved, balance_after, day, created_at)
select m.community_id, m.user_id, 'daily_reset', :purse, :purse, :purse, current_date, current_date
from private.community_members as m;
insert into private.sunset_entries (community_id, day, user_id, unspent_cc)
select bench.community(0), current_date - d, bench.person(1 + i), 10 + i
from generate_series(1, 60) as d, generate_series(0, 49) as i;
insert into private.notifications (
  community_id, user_id, type, event, facts, people, ref_kind, ref_id, position, created_at, updated_at, read_at
)
select bench.community(j.c), j.user_id, 'witnessed', 'joy_witnessed', '{}', array[bench.person(1 + (j.n + 7) % 50)],
  'declaration', j.id, nextval('private.notifications_position_seq'), j.at, j.at, j.at
from bench.joys as j where j.at > now() - interval '90 days';

drop table bench.joys;
set session_replication_role = origin;
