-- Elections for moderator: a fixed roll, sealed ballots, tallies after the close (RULES 9).

create table public.elections (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  title text not null,
  status text not null default 'active',
  seat_rule text not null,
  created_by uuid not null,
  winner_id uuid,
  created_at timestamptz not null default private.clock(),
  ends_at timestamptz not null,
  closed_at timestamptz,
  struck_at timestamptz,
  constraint elections_pkey primary key (id),
  constraint elections_opener_fkey foreign key (community_id, created_by)
  references public.community_members (community_id, user_id),
  constraint elections_winner_fkey foreign key (community_id, winner_id)
  references public.community_members (community_id, user_id),
  constraint elections_title_length check (char_length(title) between 1 and 120 or struck_at is not null),
  constraint elections_status_known check (status in ('active', 'completed', 'cancelled')),
  constraint elections_seat_rule_known check (seat_rule in ('add', 'renew')),
  constraint elections_winner_only_when_completed check (winner_id is null or status = 'completed'),
  constraint elections_closed_unless_active check ((status = 'active') = (closed_at is null))
);
comment on table public.elections is
'The elections, as every member reads them. Nothing here changes between the opening and the close: a vote leaves no
trace in this table, not even a lock. One that is active past ends_at has closed whether or not the status says so
yet.';
create unique index elections_one_active_per_community on public.elections (community_id) where status = 'active';
create index elections_community_id_number_idx on public.elections (community_id, number);
create index elections_community_id_created_by_idx on public.elections (community_id, created_by);
create index elections_community_id_winner_id_idx on public.elections (community_id, winner_id);
create index elections_ends_at_idx on public.elections (ends_at) where status = 'active';
alter table public.elections enable row level security;
create policy members_read_elections on public.elections for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on public.elections to authenticated;

create table private.election_candidates (
  election_id uuid not null,
  user_id uuid not null,
  community_id uuid not null,
  roles text[] not null,
  stands boolean not null default true,
  constraint election_candidates_pkey primary key (election_id, user_id),
  constraint election_candidates_election_id_fkey foreign key (election_id) references public.elections (id),
  constraint election_candidates_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id)
);
comment on table private.election_candidates is
'Who stands in an election, with the roles held at its opening; stands is false once they have left the community.';
create index election_candidates_community_id_user_id_idx on private.election_candidates (community_id, user_id);
alter table private.election_candidates enable row level security;
create policy nobody_reads_election_candidates on private.election_candidates for select to authenticated using (false);

create table private.election_electors (
  election_id uuid not null,
  user_id uuid not null,
  community_id uuid not null,
  constraint election_electors_pkey primary key (election_id, user_id),
  constraint election_electors_election_id_fkey foreign key (election_id) references public.elections (id),
  constraint election_electors_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id)
);
comment on table private.election_electors is
'The roll of an election, fixed at its opening; who leaves before the close is struck.';
create index election_electors_community_id_user_id_idx on private.election_electors (community_id, user_id);
alter table private.election_electors enable row level security;
create policy nobody_reads_election_electors on private.election_electors for select to authenticated using (false);

create table private.ballots (
  election_id uuid not null,
  user_id uuid not null,
  community_id uuid not null,
  candidate_id uuid not null,
  number bigint generated always as identity,
  cast_at timestamptz not null,
  constraint ballots_pkey primary key (election_id, user_id),
  constraint ballots_elector_fkey foreign key (election_id, user_id)
  references private.election_electors (election_id, user_id),
  constraint ballots_candidate_fkey foreign key (election_id, candidate_id)
  references private.election_candidates (election_id, user_id)
);
comment on table private.ballots is
'The sealed ballots, one an elector; cast_at and number, the order of casting, are those of the choice that stands.
No role of the API reads it, it is in no publication, and nothing but private.tally and private.show_poll looks
inside.';
create index ballots_election_id_candidate_id_idx on private.ballots (election_id, candidate_id);
alter table private.ballots enable row level security;
create policy nobody_reads_ballots on private.ballots for select to authenticated using (false);

create table private.ballot_boxes (
  election_id uuid not null,
  community_id uuid not null,
  constraint ballot_boxes_pkey primary key (election_id),
  constraint ballot_boxes_election_id_fkey foreign key (election_id) references public.elections (id)
);
comment on table private.ballot_boxes is
'What a vote and a close lock, one row an election: a lock on public.elections would show its readers when somebody
voted.';
alter table private.ballot_boxes enable row level security;
create policy nobody_reads_ballot_boxes on private.ballot_boxes for select to authenticated using (false);

create function private.election_status(p_status text, p_ends_at timestamptz)
returns text
language sql stable security definer set search_path = ''
begin atomic
  select case when p_status = 'active' and p_ends_at <= private.clock() then 'completed' else p_status end;
end;
comment on function private.election_status is
'An election''s status as it is now: the close at ends_at is a fact of reading.';
revoke all on function private.election_status from public, anon, authenticated, service_role;
grant execute on function private.election_status to authenticated;

create function private.tally(p_election_id uuid, out user_id uuid, out votes integer, out place integer)
returns setof record
language sql stable security definer set search_path = ''
begin atomic
  select
    c.user_id,
    count(b.user_id)::integer,
    row_number() over (
      order by
        count(b.user_id) desc, min(b.cast_at), (array_agg(b.number order by b.cast_at, b.number))[1], c.user_id
    )::integer
  from private.election_candidates as c
  left join private.ballots as b on c.election_id = b.election_id and c.user_id = b.candidate_id
  where c.election_id = p_election_id and c.stands
  group by c.user_id;
end;
comment on function private.tally is
'Counts the box of an election: each candidate who still stands, their votes, and their place. A tie goes to the
candidate whose earliest standing ballot is oldest, by time, then by order of casting (RULES 9.3).

It opens the seal: only for a close, or for an election that is over.';
revoke all on function private.tally from public, anon, authenticated, service_role;

create function private.show_poll(p_election_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.caller_id();
  v_status text := (
    select private.election_status(e.status, e.ends_at) from public.elections as e
    where e.id = p_election_id and private.is_standing_member(e.community_id, v_me)
  );
  v_shown jsonb;
  v_winner jsonb;
begin
  if v_status is null then
    return '{}'::jsonb;
  end if;
  -- While it is open, and if it was called off, the count is not even made.
  if v_status = 'completed' then
    select
      jsonb_agg(jsonb_build_object('user', p.person, 'roles', c.roles, 'votes', t.votes) order by t.place),
      (array_agg(p.person) filter (where t.place = 1 and t.votes > 0))[1]
    into v_shown, v_winner
    from private.tally(p_election_id) as t
    join private.election_candidates as c on c.election_id = p_election_id and c.user_id = t.user_id
    join private.shown_people as p on p.id = t.user_id;
  else
    select jsonb_agg(
      jsonb_build_object('user', p.person, 'roles', c.roles, 'votes', null) order by p.person ->> 'display_name', p.id
    )
    into v_shown
    from private.election_candidates as c
    join private.shown_people as p on p.id = c.user_id
    where c.election_id = p_election_id and c.stands;
  end if;
  return jsonb_build_object(
    'candidates', coalesce(v_shown, '[]'),
    'winner', v_winner,
    'electors', (select count(*) from private.election_electors as e where e.election_id = p_election_id),
    'turnout', (select count(*) from private.ballots as b where b.election_id = p_election_id),
    'my_vote', (
      select b.candidate_id
      from private.ballots as b
      join private.election_candidates as c on c.election_id = b.election_id and c.user_id = b.candidate_id
      where b.election_id = p_election_id and b.user_id = v_me and c.stands
    ),
    'can_vote', v_status = 'active' and exists (
      select from private.election_electors as e where e.election_id = p_election_id and e.user_id = v_me
    )
  );
end;
$$;
comment on function private.show_poll is
'What may be seen of an election''s box: candidates, electors, turnout and the caller''s own ballot; votes and winner
after the close, never of an election that was called off (or else calling one off would be a way to peep).

A ballot for somebody who has left is null to its owner, who may choose again, but stays in the turnout: were it to
leave it, the turnout would tell how many votes the leaver had.';
revoke all on function private.show_poll from public, anon, authenticated, service_role;
grant execute on function private.show_poll to authenticated;

create view private.shown_elections with (security_invoker = on) as
select
  e.id,
  e.community_id,
  e.number,
  jsonb_build_object(
    'id', e.id, 'community_id', e.community_id, 'title', e.title,
    'status', private.election_status(e.status, e.ends_at), 'seat_rule', e.seat_rule, 'created_at', e.created_at,
    'ends_at', e.ends_at, 'closed_at', coalesce(e.closed_at, case when e.ends_at <= private.clock() then e.ends_at end)
  ) || private.show_poll(e.id) as election
from public.elections as e;
comment on view private.shown_elections is 'The shape election, as the caller sees it.';
grant select on private.shown_elections to authenticated;

create function private.show_election(p_election_id uuid)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select s.election from private.shown_elections as s
  where s.id = p_election_id;
end;
comment on function private.show_election is 'The shape election of one election.';
revoke all on function private.show_election from public, anon, authenticated, service_role;

create function private.elections_awaiting(p_community_id uuid, p_user_id uuid)
returns integer
language sql stable security definer set search_path = ''
begin atomic
  select count(*)::integer
  from public.elections as e
  inner join private.election_electors as r on e.id = r.election_id and r.user_id = p_user_id
  where
    e.community_id = p_community_id and e.status = 'active' and e.ends_at > private.clock()
    and not exists (
      select from private.ballots as b
      inner join private.election_candidates as c on b.election_id = c.election_id and b.candidate_id = c.user_id
      where b.election_id = e.id and b.user_id = p_user_id and c.stands
    );
end;
comment on function private.elections_awaiting is
'How many open elections of a community still await a person''s ballot; only for that person to see.';
revoke all on function private.elections_awaiting from public, anon, authenticated, service_role;

create function private.strike_election(p_election_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  update public.elections as e set title = '', struck_at = private.clock()
  where e.id = p_election_id;
end;
comment on function private.strike_election is 'Takes an election''s words away; the election goes on.';
revoke all on function private.strike_election from public, anon, authenticated, service_role;

create function private.require_election(p_election_id uuid)
returns public.elections
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_election public.elections;
begin
  select e.* into v_election from public.elections as e where e.id = p_election_id;
  if not found or not private.is_standing_member(v_election.community_id, v_me.id) then
    perform private.refuse('NOT_FOUND', 'There is no such election.');
  end if;
  return v_election;
end;
$$;
comment on function private.require_election is
'Returns an election of a community the caller is in.

Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND, the same for a stranger as for an election that never was.';
revoke all on function private.require_election from public, anon, authenticated, service_role;
grant execute on function private.require_election to authenticated;

create function private.lock_box(p_election_id uuid)
returns public.elections
language plpgsql security definer set search_path = ''
as $$
declare
  v_election public.elections;
begin
  perform from private.ballot_boxes as b where b.election_id = p_election_id for update;
  select e.* into v_election from public.elections as e where e.id = p_election_id;
  return v_election;
end;
$$;
comment on function private.lock_box is
'Locks the box of an election until the transaction ends, and returns the election as it is then: a vote is either in
the box before the close counts it, or finds it closed. Whoever also holds the community''s row takes that first.';
revoke all on function private.lock_box from public, anon, authenticated, service_role;

create function private.require_open_election(p_election public.elections)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if private.election_status(p_election.status, p_election.ends_at) <> 'active' then
    perform private.refuse(
      'ELECTION_CLOSED',
      case when p_election.status = 'cancelled' then 'This election was called off.' else 'This election is over.' end,
      jsonb_build_object(
        'status', private.election_status(p_election.status, p_election.ends_at),
        'closed_at', coalesce(p_election.closed_at, p_election.ends_at)
      )
    );
  end if;
end;
$$;
comment on function private.require_open_election is
'Asks that an election is open by the clock, whether or not the job has closed it. Refuses: ELECTION_CLOSED {status,
closed_at}.';
revoke all on function private.require_open_election from public, anon, authenticated, service_role;

create function private.seat_winner(p_election public.elections)
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_released uuid [] := array[]::uuid [];
  v_moderator uuid;
begin
  if p_election.seat_rule = 'renew' then
    for v_moderator in
      select m.user_id from public.community_members as m
      where m.community_id = p_election.community_id and m.left_at is null and 'moderator' = any (m.roles)
        and m.user_id <> p_election.winner_id
      order by m.user_id
    loop
      perform private.set_role(p_election.community_id, v_moderator, 'moderator', false);
      v_released := v_released || v_moderator;
    end loop;
  end if;
  perform private.set_role(p_election.community_id, p_election.winner_id, 'moderator', true);
  return v_released;
end;
$$;
comment on function private.seat_winner is
'Makes the winner of an election moderator, or by the seat rule renew the only one; returns who ceased to be one.
Other roles stay, and an election without a winner changes none (null is nobody''s id).';
revoke all on function private.seat_winner from public, anon, authenticated, service_role;

create function private.decide_election(p_election_id uuid, p_at timestamptz, p_actor_id uuid default null)
returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  v_election public.elections;
  v_facts jsonb;
  v_words text;
begin
  update public.elections as e
  set
    status = 'completed', closed_at = least(p_at, e.ends_at),
    winner_id = (select t.user_id from private.tally(p_election_id) as t where t.place = 1 and t.votes > 0)
  where e.id = p_election_id and e.status = 'active'
  returning e.* into v_election;
  if not found then
    return false;
  end if;

  v_facts := jsonb_build_object(
    'election_id', p_election_id, 'user_id', v_election.winner_id, 'seat_rule', v_election.seat_rule,
    'released', private.seat_winner(v_election)
  );
  v_words := case
    when v_election.winner_id is null then format('The election "%s" ended without a winner.', v_election.title)
    else format(
      '%s won the election "%s" and is now %s moderator.', private.name_of(v_election.winner_id), v_election.title,
      case v_election.seat_rule when 'renew' then 'the only' else 'a' end
    )
  end;
  perform private.record_act(
    v_election.community_id, p_actor_id, 'election_closed', v_election.winner_id, v_facts - 'user_id', p_at
  );
  perform private.announce(v_election.community_id, 'election_closed', v_words, v_facts, p_at);
  perform private.notify(
    private.standing_members(v_election.community_id), v_election.community_id, 'election', 'election', p_election_id,
    'An election is over', v_words, false, p_at
  );
  return true;
end;
$$;
comment on function private.decide_election is
'Closes an election: counts the box, seats the winner, tells everyone; false, and nothing, if it is not active any
more.

Only under the locks of the community''s row and of the box. closed_at is ends_at however late the close is written.';
revoke all on function private.decide_election from public, anon, authenticated, service_role;

create function private.close_elections(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_due uuid := (
    select e.id from public.elections as e
    where e.community_id = p_community_id and e.status = 'active' and e.ends_at <= p_now
  );
begin
  if v_due is null then
    return 0;
  end if;
  perform private.hold_roll(p_community_id);
  perform private.lock_box(v_due);
  return private.decide_election(v_due, p_now)::integer;
end;
$$;
comment on function private.close_elections is
'Closes a community''s election if its end has come; returns how many it closed, 0 or 1. Twice, or from two sides at
once, it changes nothing more.';
revoke all on function private.close_elections from public, anon, authenticated, service_role;

create function private.settle_elections(p_community_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  select private.close_elections(p_community_id, private.clock());
end;
comment on function private.settle_elections is
'Closes what the job has not come to yet. Acts that depend on who moderates or who is a member (an opening, a
leaving, a change of roles) call it first.';
revoke all on function private.settle_elections from public, anon, authenticated, service_role;

create function private.elections_due(p_now timestamptz, p_limit integer, p_except uuid[])
returns uuid[]
language sql volatile security definer set search_path = ''
begin atomic
  select array(
    select e.community_id
    from public.elections as e
    inner join public.communities as c on e.community_id = c.id
    where e.status = 'active' and e.ends_at <= p_now and e.community_id <> all(p_except)
    order by e.ends_at
    limit p_limit
    for share of c skip locked
  );
end;
comment on function private.elections_due is
'Up to p_limit communities whose election has ended and is not closed yet, but for those in p_except; their members
are held. One that somebody is just leaving is skipped: the next run finds it.';
revoke all on function private.elections_due from public, anon, authenticated, service_role;

create function private.leave_elections(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_open uuid;
begin
  perform private.settle_elections(p_community_id);
  select e.id into v_open from public.elections as e where e.community_id = p_community_id and e.status = 'active';
  if v_open is not null then
    perform private.lock_box(v_open);
    delete from private.ballots as b where b.election_id = v_open and b.user_id = p_user_id;
    delete from private.election_electors as r where r.election_id = v_open and r.user_id = p_user_id;
    update private.election_candidates as c set stands = false where c.election_id = v_open and c.user_id = p_user_id;
  end if;
end;
$$;
comment on function private.leave_elections is
'Takes someone who leaves out of the open election: struck from the roll with their ballot, no candidate any more,
and neither again if they come back. Elections that are over stay as they were decided (RULES 9.3).';
revoke all on function private.leave_elections from public, anon, authenticated, service_role;

create function private.require_end(p_ends_at timestamptz)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_earliest timestamptz := private.clock() + interval '1 hour';
  v_latest timestamptz := private.clock() + interval '14 days';
begin
  if p_ends_at is null or p_ends_at not between v_earliest and v_latest then
    perform private.refuse(
      'INVALID_INPUT', 'ends_at must be 1 hour to 14 days ahead.',
      jsonb_build_object('field', 'ends_at', 'earliest', v_earliest, 'latest', v_latest)
    );
  end if;
end;
$$;
comment on function private.require_end is
'Asks that an election ends 1 hour to 14 days from now. Refuses: INVALID_INPUT {field, earliest, latest}.';
revoke all on function private.require_end from public, anon, authenticated, service_role;

create function private.draw_up_election(p_election public.elections)
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_electors uuid [];
begin
  insert into private.election_candidates (election_id, user_id, community_id, roles)
  select p_election.id, m.user_id, m.community_id, m.roles
  from public.community_members as m
  where m.community_id = p_election.community_id and m.left_at is null and m.roles && array['moderator', 'council'];

  v_electors := array(
    select m.user_id from public.community_members as m
    join public.communities as c on c.id = m.community_id
    where m.community_id = p_election.community_id and m.left_at is null
      and (c.electorate = 'members' or m.roles && array['moderator', 'council'])
  );
  if cardinality(v_electors) < 2 then
    perform private.refuse(
      'NO_ELECTORS', 'An election needs at least two voters.',
      jsonb_build_object(
        'electors', cardinality(v_electors), 'least', 2,
        'electorate', (select c.electorate from public.communities as c where c.id = p_election.community_id)
      )
    );
  end if;
  insert into private.election_electors (election_id, user_id, community_id)
  select p_election.id, v.user_id, p_election.community_id from unnest(v_electors) as v (user_id);
  insert into private.ballot_boxes (election_id, community_id) values (p_election.id, p_election.community_id);
  return v_electors;
end;
$$;
comment on function private.draw_up_election is
'Fixes candidates and roll as they are at the opening, and returns the roll: candidates are the council and the
moderators, voters the same or, where the electorate says so, all members. Who is appointed later is neither; who
loses a role stays both.

Only while private.hold_roll keeps everyone from leaving. Refuses: NO_ELECTORS {electors, least, electorate}.';
revoke all on function private.draw_up_election from public, anon, authenticated, service_role;

create function private.create_election(p_community_id uuid, p_title text, p_ends_at timestamptz, p_seat_rule text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
  v_election public.elections;
  v_electors uuid [];
begin
  -- A new electorate in force since a Dawn, a new moderator since an end: neither waits for its job.
  perform private.settle(p_community_id);
  perform private.settle_elections(p_community_id);
  perform private.hold_roll(p_community_id);
  perform private.require_moderator(p_community_id);
  perform private.require_text('title', p_title, 120);
  perform private.require_end(p_ends_at);
  perform private.require_choice('seat_rule', p_seat_rule, array['add', 'renew']);

  insert into public.elections (community_id, title, ends_at, seat_rule, created_by)
  values (p_community_id, p_title, p_ends_at, p_seat_rule, v_me.user_id)
  on conflict (community_id) where status = 'active' do nothing
  returning * into v_election;
  if not found then
    perform private.refuse('CONFLICT', 'An election is open already.', (
      select jsonb_build_object('election_id', e.id, 'ends_at', e.ends_at) from public.elections as e
      where e.community_id = p_community_id and e.status = 'active'
    ));
  end if;
  v_electors := private.draw_up_election(v_election);

  perform private.post_message(p_community_id, v_me.user_id, 'election', '', v_election.id);
  perform private.record_act(
    p_community_id, v_me.user_id, 'election_opened', null,
    jsonb_build_object('election_id', v_election.id, 'seat_rule', p_seat_rule, 'ends_at', p_ends_at)
  );
  perform private.notify(
    array_remove(v_electors, v_me.user_id), p_community_id, 'election', 'election', v_election.id,
    format('%s opened an election', private.name_of(v_me.user_id)), p_title, true
  );
  return jsonb_build_object('election', private.show_election(v_election.id));
end;
$$;
comment on function private.create_election is 'What create_election does.';
revoke all on function private.create_election from public, anon, authenticated, service_role;

create function public.create_election(
  community_id uuid, title text, ends_at timestamptz, seat_rule text default 'add'
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.create_election(
    create_election.community_id, create_election.title, create_election.ends_at, create_election.seat_rule
  );
end;
comment on function public.create_election is
'Opens an election for moderator, for its moderators to call; candidates and roll are those of this moment.

title 1 to 120 characters, ends_at 1 hour to 14 days ahead; seat_rule add (the winner joins the moderators) or renew
(becomes the only one). Everyone on the roll is called to vote. Returns {election}. Refuses: NOT_FOUND, FORBIDDEN,
INVALID_INPUT, CONFLICT {election_id, ends_at} (one is open), NO_ELECTORS {electors, least, electorate}.';
revoke all on function public.create_election from public, anon, authenticated, service_role;
grant execute on function public.create_election, private.create_election to authenticated;

create function private.vote_election(p_election_id uuid, p_candidate_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_election public.elections := private.require_election(p_election_id);
  v_me uuid := private.caller_id();
begin
  v_election := private.lock_box(p_election_id);
  perform private.require_open_election(v_election);
  if not exists (
    select from private.election_electors as r where r.election_id = p_election_id and r.user_id = v_me
  ) then
    perform private.refuse('NOT_ELECTOR', 'You are not on the roll of this election.');
  end if;
  if not exists (
    select from private.election_candidates as c
    where c.election_id = p_election_id and c.user_id = p_candidate_id and c.stands
  ) then
    perform private.refuse('NOT_FOUND', 'There is no such candidate.', jsonb_build_object('field', 'candidate_id'));
  end if;

  insert into private.ballots as b (election_id, user_id, community_id, candidate_id, cast_at)
  values (p_election_id, v_me, v_election.community_id, p_candidate_id, private.clock())
  on conflict (election_id, user_id) do update
  set candidate_id = excluded.candidate_id, cast_at = excluded.cast_at, number = default
  where b.candidate_id <> excluded.candidate_id;
  return jsonb_build_object('election', private.show_election(p_election_id));
end;
$$;
comment on function private.vote_election is
'What vote_election does. It writes the ballot and nothing else: no line, no notice, no broadcast says when somebody
voted.';
revoke all on function private.vote_election from public, anon, authenticated, service_role;

create function public.vote_election(election_id uuid, candidate_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.vote_election(vote_election.election_id, vote_election.candidate_id);
end;
comment on function public.vote_election is
'Casts the caller''s one ballot, or changes it, until the close.

A changed ballot stands from the moment of the change; the same choice again changes nothing. Returns {election}: as
it may be seen while open. Refuses: NOT_FOUND (election, or {field: candidate_id}), NOT_ELECTOR, ELECTION_CLOSED
{status, closed_at}.';
revoke all on function public.vote_election from public, anon, authenticated, service_role;
grant execute on function public.vote_election, private.vote_election to authenticated;

create function private.close_election(p_election_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_election public.elections := private.require_election(p_election_id);
  v_electors integer;
  v_turnout integer;
begin
  perform private.hold_roll(v_election.community_id);
  perform private.require_moderator(v_election.community_id);
  v_election := private.lock_box(p_election_id);
  perform private.require_open_election(v_election);

  v_electors := (select count(*) from private.election_electors as r where r.election_id = p_election_id);
  v_turnout := (select count(*) from private.ballots as b where b.election_id = p_election_id);
  if v_turnout < v_electors then
    perform private.refuse(
      'CONFLICT', 'Not everyone on the roll has voted yet.',
      jsonb_build_object(
        'awaiting', v_electors - v_turnout, 'electors', v_electors, 'turnout', v_turnout,
        'possible_at', v_election.ends_at
      )
    );
  end if;
  perform private.decide_election(p_election_id, private.clock(), private.caller_id());
  return jsonb_build_object('election', private.show_election(p_election_id));
end;
$$;
comment on function private.close_election is 'What close_election does.';
revoke all on function private.close_election from public, anon, authenticated, service_role;

create function public.close_election(election_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.close_election(close_election.election_id);
end;
comment on function public.close_election is
'Closes an election before its end, for moderators, once everyone on the roll has voted.

Returns {election} with tallies and winner. Refuses: NOT_FOUND, FORBIDDEN, ELECTION_CLOSED {status, closed_at},
CONFLICT {awaiting, electors, turnout, possible_at: when it closes by itself}. A ballot cast for somebody who has
left since counts as voted here, though for nobody: to wait for its owner would tell whom it was for.';
revoke all on function public.close_election from public, anon, authenticated, service_role;
grant execute on function public.close_election, private.close_election to authenticated;

create function private.cancel_election(p_election_id uuid, p_reason text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_election public.elections := private.require_election(p_election_id);
  v_me uuid := private.caller_id();
  v_words text;
begin
  perform private.hold_roll(v_election.community_id);
  perform private.require_moderator(v_election.community_id);
  perform private.require_text('reason', p_reason, 280);
  v_election := private.lock_box(p_election_id);
  perform private.require_open_election(v_election);

  update public.elections as e set status = 'cancelled', closed_at = private.clock() where e.id = p_election_id;
  v_words := format('%s called off the election "%s": %s', private.name_of(v_me), v_election.title, p_reason);
  perform private.record_act(
    v_election.community_id, v_me, 'election_cancelled', null,
    jsonb_build_object('election_id', p_election_id, 'reason', p_reason)
  );
  perform private.announce(
    v_election.community_id, 'election_cancelled', v_words,
    jsonb_build_object('election_id', p_election_id, 'user_id', v_me, 'reason', p_reason)
  );
  perform private.notify(
    array_remove(private.standing_members(v_election.community_id), v_me), v_election.community_id, 'election',
    'election', p_election_id, 'An election was called off', v_words
  );
  return jsonb_build_object('election', private.show_election(p_election_id));
end;
$$;
comment on function private.cancel_election is 'What cancel_election does.';
revoke all on function private.cancel_election from public, anon, authenticated, service_role;

create function public.cancel_election(election_id uuid, reason text)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.cancel_election(cancel_election.election_id, cancel_election.reason);
end;
comment on function public.cancel_election is
'Calls an open election off, for moderators, with a reason (1 to 280 characters) that everyone is told.

Its ballots stay sealed for ever. Returns {election}. Refuses: NOT_FOUND, FORBIDDEN, INVALID_INPUT, ELECTION_CLOSED
{status, closed_at}.';
revoke all on function public.cancel_election from public, anon, authenticated, service_role;
grant execute on function public.cancel_election, private.cancel_election to authenticated;

create function public.get_active_election(community_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform private.require_member(get_active_election.community_id);
  return jsonb_build_object('election', (
    select s.election
    from public.elections as e
    join private.shown_elections as s on s.id = e.id
    where e.community_id = get_active_election.community_id and e.status = 'active' and e.ends_at > private.clock()
  ));
end;
$$;
comment on function public.get_active_election is
'The election open in a community now.

Returns {election}, null if none is: one whose end has come is over, though the job may not have been there yet.
Refuses: NOT_FOUND.';
revoke all on function public.get_active_election from public, anon, authenticated, service_role;
grant execute on function public.get_active_election to authenticated;

create function public.get_election(election_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform private.require_election(get_election.election_id);
  return jsonb_build_object('election', (
    select s.election from private.shown_elections as s where s.id = get_election.election_id
  ));
end;
$$;
comment on function public.get_election is
'One election: candidates, turnout and the caller''s own ballot while it is open, tallies and winner after the close.

Returns {election + {can_vote, closed_at}}. Refuses: NOT_FOUND.';
revoke all on function public.get_election from public, anon, authenticated, service_role;
grant execute on function public.get_election to authenticated;

create function public.list_elections(community_id uuid, page_size integer default 50, before_id uuid default null)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_before bigint;
  v_page uuid [];
begin
  perform private.require_member(list_elections.community_id);
  perform private.require_page_size(list_elections.page_size);
  if before_id is not null then
    select e.number into v_before from public.elections as e
    where e.id = before_id and e.community_id = list_elections.community_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such election.');
    end if;
  end if;
  v_page := array(
    select e.id from public.elections as e
    where e.community_id = list_elections.community_id and e.number < coalesce(v_before, 9223372036854775807)
    order by e.number desc
    limit page_size + 1
  );
  return jsonb_build_object(
    'elections', (
      select coalesce(jsonb_agg(s.election order by s.number desc), '[]')
      from private.shown_elections as s
      where s.id = any (v_page[:page_size])
    ),
    'has_more', cardinality(v_page) > page_size
  );
end;
$$;
comment on function public.list_elections is
'A community''s elections, newest first; before_id pages on from an election.

Returns {elections: [election], has_more}. Refuses: NOT_FOUND, INVALID_INPUT.';
revoke all on function public.list_elections from public, anon, authenticated, service_role;
grant execute on function public.list_elections to authenticated;
