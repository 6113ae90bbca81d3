-- Elections, the Chamber as members see it, members, honours, privacy.

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

-- Days, weeks and streaks: counting by the community's own days (RULES 10.1).

create table private.joy_runs (
  community_id uuid not null,
  user_id uuid not null,
  first_day date not null,
  last_day date not null,
  constraint joy_runs_pkey primary key (community_id, user_id, first_day),
  constraint joy_runs_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id),
  constraint joy_runs_forward check (first_day <= last_day)
)
with (fillfactor = 80);
comment on table private.joy_runs is
'Each member''s unbroken runs of days with a joy, kept by private.keep_run: counted from the joys themselves a streak
would cost every board and profile the whole history.';
alter table private.joy_runs enable row level security;
create policy nobody_reads_joy_runs on private.joy_runs for select to authenticated using (false);

create function private.keep_run()
returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_run private.joy_runs;
  v_next private.joy_runs;
begin
  select r.* into v_run from private.joy_runs as r
  where r.community_id = new.community_id and r.user_id = new.user_id and r.first_day <= new.day
  order by r.first_day desc
  limit 1;
  if v_run.last_day >= new.day then
    return null;
  end if;
  delete from private.joy_runs as r
  where r.community_id = new.community_id and r.user_id = new.user_id and r.first_day = new.day + 1
  returning r.* into v_next;
  if v_run.last_day = new.day - 1 then
    update private.joy_runs as r set last_day = coalesce(v_next.last_day, new.day)
    where r.community_id = new.community_id and r.user_id = new.user_id and r.first_day = v_run.first_day;
  else
    insert into private.joy_runs (community_id, user_id, first_day, last_day)
    values (new.community_id, new.user_id, new.day, coalesce(v_next.last_day, new.day));
  end if;
  return null;
end;
$$;
comment on function private.keep_run is
'Enters the day of a new joy into its author''s runs: most joys find it there, the first of a day begins a run,
lengthens one or joins two. Joys of one member take turns at their purse.';
revoke all on function private.keep_run from public, anon, authenticated, service_role;
create trigger declarations_keep_runs
after insert on public.declarations
for each row execute function private.keep_run();

create function private.day_at(p_community_id uuid, p_at timestamptz, out timezone text, out day date)
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_dawn_at timestamptz;
begin
  select
    d.day,
    d.dawn_at,
    case when d.dawn_at <= p_at then coalesce(c.pending ->> 'timezone', c.timezone) else c.timezone end
  into day, v_dawn_at, timezone
  from public.community_days as d
  join public.communities as c on c.id = d.community_id
  where d.community_id = p_community_id;
  if v_dawn_at <= p_at then
    day := greatest(day, (p_at at time zone timezone)::date);
  end if;
end;
$$;
comment on function private.day_at is
'The day a community lives at a moment, and the zone it lives it in, whether or not its Dawn has been settled: what a
read, which settles nothing, must go by.';
revoke all on function private.day_at from public, anon, authenticated, service_role;

create function private.week_of(p_day date)
returns date
language plpgsql immutable set search_path = ''
as $$
begin
  return p_day - extract(dow from p_day)::integer;
end;
$$;
comment on function private.week_of is 'The Sunday a day''s week begins with.';
revoke all on function private.week_of from public, anon, authenticated, service_role;
grant execute on function private.week_of to authenticated;

create function private.current_streak(p_community_id uuid, p_user_id uuid, p_today date)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((
    select r.last_day + 1 - r.first_day from private.joy_runs as r
    where r.community_id = p_community_id and r.user_id = p_user_id and r.first_day <= p_today
      and r.last_day >= p_today - 1
    order by r.first_day desc
    limit 1
  ), 0);
end;
$$;
comment on function private.current_streak is
'How many consecutive local days up to p_today a member declared a joy on; alive, and not 0, if the last was p_today
or the day before. A day the community never lived (a date its zone skipped) breaks it like any other without a joy.';
revoke all on function private.current_streak from public, anon, authenticated, service_role;

create function private.longest_streak(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((
    select max(r.last_day + 1 - r.first_day) from private.joy_runs as r
    where r.community_id = p_community_id and r.user_id = p_user_id
  ), 0);
end;
$$;
comment on function private.longest_streak is 'A member''s longest streak ever in a community, in days.';
revoke all on function private.longest_streak from public, anon, authenticated, service_role;

-- The Chamber as members see it: the talk, every act told in full (RULES 3).

create function private.show_lines(p_message_ids bigint[])
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_types text[];
  v_ids uuid[];
  v_cards jsonb := jsonb_build_object();
begin
  select array_agg(distinct m.type), array_agg(m.reference_id) into v_types, v_ids
  from public.chat_messages as m
  where m.id = any(p_message_ids) and m.reference_id is not null;
  -- One question for each kind of card there is: one view of all kinds costs a page of talk the setting up of them all.
  if 'declaration' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(d.id, d.declaration), '{}') into v_cards
    from private.shown_declarations as d where d.id = any(v_ids);
  end if;
  if 'borrow_request' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(b.id, b.borrow_request), '{}') into v_cards
    from private.shown_borrow_requests as b where b.id = any(v_ids);
  end if;
  if 'tip_to_tip' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(t.id, t.proposal), '{}') into v_cards
    from private.shown_proposals as t where t.id = any(v_ids);
  end if;
  if 'election' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(e.id, e.election), '{}') into v_cards
    from private.shown_elections as e where e.id = any(v_ids);
  end if;
  return (
    select coalesce(
      jsonb_agg(
        case
          when s.type in ('message', 'system') then s.message
          else s.message || jsonb_build_object(s.type, v_cards -> s.reference_id::text)
        end
        order by s.id
      ),
      '[]'
    )
    from private.shown_messages as s where s.id = any(p_message_ids)
  );
end;
$$;
comment on function private.show_lines is
'The shape message of each of these lines, with its card filled in, oldest first: those the caller may see.';
revoke all on function private.show_lines from public, anon, authenticated, service_role;
grant execute on function private.show_lines to authenticated;

create function private.show_line(p_message_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object('message', private.show_lines(array[p_message_id]) -> 0);
end;
$$;
comment on function private.show_line is 'What acts on one line answer: {message}, card and all.';
revoke all on function private.show_line from public, anon, authenticated, service_role;

create function public.list_messages(
  community_id uuid, page_size integer default 50, before_id bigint default null, after_id bigint default null
)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_page bigint[];
  v_settled bigint;
begin
  perform private.require_member(list_messages.community_id);
  perform private.require_page_size(list_messages.page_size);
  if before_id is not null and after_id is not null then
    perform private.refuse('INVALID_INPUT', 'Page before a message or after one, not both.',
      '{"field": "after_id"}');
  elsif after_id is not null then
    -- Asked before the page is read: this function is volatile so that the page has a later snapshot.
    v_settled := private.settled_position();
    v_page := array(
      select m.id from public.chat_messages as m
      where m.community_id = list_messages.community_id and m.id > after_id and m.id <= v_settled
      order by m.id
      limit page_size + 1
    );
  else
    v_page := array(
      select m.id from public.chat_messages as m
      where m.community_id = list_messages.community_id and m.id < coalesce(before_id, 9223372036854775807)
      order by m.id desc
      limit page_size + 1
    );
  end if;
  return jsonb_build_object(
    'messages', private.show_lines(v_page[:page_size]),
    'has_more', cardinality(v_page) > page_size
  );
end;
$$;
comment on function public.list_messages is
'A page of the Chamber, oldest first within it.

The newest page by default, or the one before or after a message''s id. has_more tells whether more lie in the
direction paged. Paging forward (after_id) holds back what is newer than an act still under way, so a line may come
late but is never skipped. Returns {messages: [message], has_more}. Refuses: NOT_FOUND, INVALID_INPUT (both anchors;
page_size).';
revoke all on function public.list_messages from public, anon, authenticated, service_role;
grant execute on function public.list_messages to authenticated;

create function private.require_line(p_message_id bigint)
returns public.chat_messages
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_line public.chat_messages;
begin
  select m.* into v_line from public.chat_messages as m where m.id = p_message_id;
  if not found or not private.is_standing_member(v_line.community_id, v_me.id) then
    perform private.refuse('NOT_FOUND', 'There is no such message.');
  end if;
  return v_line;
end;
$$;
comment on function private.require_line is
'Returns a line of a Chamber the caller is in. Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND.';
revoke all on function private.require_line from public, anon, authenticated, service_role;
grant execute on function private.require_line to authenticated;

create function public.get_message(message_id bigint)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform private.require_line(get_message.message_id);
  return jsonb_build_object('message', private.show_lines(array[get_message.message_id]) -> 0);
end;
$$;
comment on function public.get_message is
'One line of a Chamber.

Returns {message}. Refuses: NOT_FOUND.';
revoke all on function public.get_message from public, anon, authenticated, service_role;
grant execute on function public.get_message to authenticated;

create function private.require_calm(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_earliest timestamptz;
begin
  -- Messages of one member take turns, or twenty at once would each count nineteen.
  perform pg_advisory_xact_lock(hashtextextended('calm' || p_community_id::text || p_user_id::text, 0));
  select min(latest.created_at) into v_earliest
  from (
    select m.created_at from public.chat_messages as m
    where m.community_id = p_community_id and m.user_id = p_user_id and m.type = 'message'
      and m.created_at > private.clock() - interval '1 minute'
    order by m.created_at desc
    limit 20
  ) as latest
  having count(*) = 20;
  if v_earliest is not null then
    perform private.refuse('RATE_LIMITED', 'Twenty messages a minute are enough.',
      jsonb_build_object('most', 20, 'possible_at', v_earliest + interval '1 minute'));
  end if;
end;
$$;
comment on function private.require_calm is
'Asks that a member has posted fewer than 20 plain messages in the last minute (RULES 3.2); deleted ones count.

Refuses: RATE_LIMITED {most, possible_at}.';
revoke all on function private.require_calm from public, anon, authenticated, service_role;

create function private.send_message(p_community_id uuid, p_content text, p_request_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
  v_arguments jsonb := jsonb_build_array(p_community_id, p_content);
  v_answer jsonb := private.recall(v_me.user_id, 'send_message', p_request_id, v_arguments);
  v_id bigint;
begin
  if v_answer is not null then
    return v_answer;
  end if;
  perform private.require_text('content', p_content, 2000);
  perform private.require_calm(p_community_id, v_me.user_id);
  v_id := private.post_message(p_community_id, v_me.user_id, 'message', p_content);
  return private.remember(
    v_me.user_id, 'send_message', p_request_id, v_arguments,
    jsonb_build_object('message', private.show_message(v_id))
  );
end;
$$;
comment on function private.send_message is 'What send_message does.';
revoke all on function private.send_message from public, anon, authenticated, service_role;

create function public.send_message(community_id uuid, content text, request_id uuid default null)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.send_message(send_message.community_id, send_message.content, send_message.request_id);
end;
$$;
comment on function public.send_message is
'Says something in the Chamber: 1 to 2000 characters, at most 20 messages a minute; day or night.

Returns {message}. Refuses: RATE_LIMITED {most, possible_at}, INVALID_INPUT, NOT_FOUND, CONFLICT (request_id).';
revoke all on function public.send_message from public, anon, authenticated, service_role;
grant execute on function public.send_message, private.send_message to authenticated;

create function private.lock_own_message(p_message_id bigint)
returns public.chat_messages
language plpgsql security definer set search_path = ''
as $$
declare
  v_line public.chat_messages := private.require_line(p_message_id);
begin
  if v_line.user_id is distinct from private.caller_id() then
    perform private.refuse('FORBIDDEN', 'Only its author may change a message.');
  elsif v_line.type <> 'message' then
    perform private.refuse('FORBIDDEN', 'A card stands as it was posted.');
  end if;
  return private.lock_line(p_message_id);
end;
$$;
comment on function private.lock_own_message is
'Locks a plain message of the caller''s own. Refuses: FORBIDDEN (another''s, or a card), NOT_FOUND.';
revoke all on function private.lock_own_message from public, anon, authenticated, service_role;

create function private.edit_message(p_message_id bigint, p_content text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_line public.chat_messages := private.lock_own_message(p_message_id);
begin
  perform private.require_text('content', p_content, 2000);
  if v_line.deleted_at is not null then
    perform private.refuse('CONFLICT', 'This message is deleted.');
  elsif v_line.created_at + interval '15 minutes' <= private.clock() then
    perform private.refuse('EDIT_WINDOW_PASSED', 'A message may be edited for 15 minutes.',
      jsonb_build_object('passed_at', v_line.created_at + interval '15 minutes'));
  end if;
  perform private.rewrite_line(p_message_id, p_content);
  return private.show_line(p_message_id);
end;
$$;
comment on function private.edit_message is 'What edit_message does.';
revoke all on function private.edit_message from public, anon, authenticated, service_role;

create function public.edit_message(message_id bigint, content text)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.edit_message(edit_message.message_id, edit_message.content);
end;
comment on function public.edit_message is
'The author rewrites a plain message within 15 minutes of posting it.

Returns {message}. Refuses: EDIT_WINDOW_PASSED {passed_at}, FORBIDDEN (another''s, or a card), CONFLICT (deleted),
INVALID_INPUT, NOT_FOUND.';
revoke all on function public.edit_message from public, anon, authenticated, service_role;
grant execute on function public.edit_message, private.edit_message to authenticated;

create function private.delete_message(p_message_id bigint)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_line public.chat_messages := private.lock_own_message(p_message_id);
begin
  if v_line.deleted_at is null then
    perform private.blank_line(p_message_id, null);
  end if;
  return private.show_line(p_message_id);
end;
$$;
comment on function private.delete_message is 'What delete_message does.';
revoke all on function private.delete_message from public, anon, authenticated, service_role;

create function public.delete_message(message_id bigint)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.delete_message(delete_message.message_id);
end;
comment on function public.delete_message is
'Deletes a plain message of the caller''s own, at any time.

Its words are gone for good, an empty line stays; doing it again changes nothing. Returns {message}. Refuses:
FORBIDDEN (another''s, or a card), NOT_FOUND.';
revoke all on function public.delete_message from public, anon, authenticated, service_role;
grant execute on function public.delete_message, private.delete_message to authenticated;

create function private.strike_card(p_line public.chat_messages)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  case p_line.type
    when 'declaration' then perform private.strike_declaration(p_line.reference_id);
    when 'borrow_request' then perform private.strike_borrow_request(p_line.reference_id);
    when 'tip_to_tip' then perform private.strike_proposal(p_line.reference_id);
    when 'election' then perform private.strike_election(p_line.reference_id);
    else return;
  end case;
  perform private.blank_notices(p_line.community_id, p_line.reference_id);
end;
$$;
comment on function private.strike_card is
'Takes away the words of the thing a card shows, in the notices about it too.';
revoke all on function private.strike_card from public, anon, authenticated, service_role;

create function private.strike_message(p_message_id bigint, p_reason text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_line public.chat_messages := private.require_line(p_message_id);
  v_me public.community_members := private.require_moderator(v_line.community_id);
begin
  perform private.require_text('reason', p_reason, 280);
  v_line := private.lock_line(p_message_id);
  perform private.strike_card(v_line);
  perform private.blank_line(p_message_id, p_reason);
  perform private.record_act(
    v_line.community_id, v_me.user_id, 'message_struck', v_line.user_id,
    jsonb_build_object('message_id', p_message_id, 'type', v_line.type, 'reason', p_reason)
  );
  return private.show_line(p_message_id);
end;
$$;
comment on function private.strike_message is 'What strike_message does.';
revoke all on function private.strike_message from public, anon, authenticated, service_role;

create function public.strike_message(message_id bigint, reason text)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.strike_message(strike_message.message_id, strike_message.reason);
end;
comment on function public.strike_message is
'A moderator strikes any line, with a reason of 1 to 280 characters that stays beside it.

Its words vanish, a card''s in every list too; its money stays. Kept in the audit log. Returns {message}. Refuses:
FORBIDDEN, INVALID_INPUT, NOT_FOUND.';
revoke all on function public.strike_message from public, anon, authenticated, service_role;
grant execute on function public.strike_message, private.strike_message to authenticated;

create function private.mark_chamber_read(p_community_id uuid, p_message_id bigint)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
begin
  if not exists (
    select from public.chat_messages as m where m.id = p_message_id and m.community_id = p_community_id
  ) then
    perform private.refuse('NOT_FOUND', 'There is no such message here.');
  end if;
  perform private.move_mark(p_community_id, v_me.user_id, p_message_id);
  return jsonb_build_object('unread', private.count_unread(p_community_id, v_me.user_id));
end;
$$;
comment on function private.mark_chamber_read is 'What mark_chamber_read does.';
revoke all on function private.mark_chamber_read from public, anon, authenticated, service_role;

create function public.mark_chamber_read(community_id uuid, message_id bigint)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.mark_chamber_read(mark_chamber_read.community_id, mark_chamber_read.message_id);
end;
comment on function public.mark_chamber_read is
'Sets the caller''s mark at a message; it moves forward only.

A line that is committed late, by an act under way while the mark was set past it, counts as read. Returns {unread}:
what others wrote since, at most 1000. Refuses: NOT_FOUND.';
revoke all on function public.mark_chamber_read from public, anon, authenticated, service_role;
grant execute on function public.mark_chamber_read, private.mark_chamber_read to authenticated;

-- Members: their profiles, the council, stepping down, leaving and being removed (RULES 2.3, 2.5, 2.6).

create function private.hold_house(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.hold_day_alone(p_community_id);
  perform private.lock_community(p_community_id);
  -- An election whose end has come may change who moderates, job or no job.
  perform private.settle_elections(p_community_id);
end;
$$;
comment on function private.hold_house is
'The queue in which roles change and members go: the day held alone, the community locked, overdue elections closed.
Whoever has waited in it asks only then who moderates.';
revoke all on function private.hold_house from public, anon, authenticated, service_role;

create function private.require_fellow(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if not private.is_standing_member(p_community_id, p_user_id) then
    perform private.refuse('NOT_FOUND', 'There is no such member.');
  end if;
end;
$$;
comment on function private.require_fellow is 'Asks that a person is in a community now. Refuses: NOT_FOUND.';
revoke all on function private.require_fellow from public, anon, authenticated, service_role;

create function private.tell_role(
  p_community_id uuid, p_event text, p_user_id uuid, p_by_id uuid, p_words text, p_notice text
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.record_act(p_community_id, p_by_id, p_event, p_user_id);
  perform private.announce(
    p_community_id, p_event, format(p_words, private.name_of(p_user_id), private.name_of(p_by_id)),
    jsonb_build_object('user_id', p_user_id, 'by_id', p_by_id)
  );
  if p_user_id <> p_by_id then
    perform private.notify(
      array[p_user_id], p_community_id, 'system', p_event, p_community_id,
      p_notice, format('By %s.', private.name_of(p_by_id))
    );
  end if;
end;
$$;
comment on function private.tell_role is
'Tells of a changed role the Chamber (p_words name the member, then who did it), the audit log and the member.';
revoke all on function private.tell_role from public, anon, authenticated, service_role;

create function private.set_council(p_community_id uuid, p_user_id uuid, p_granted boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
begin
  if p_granted is null then
    perform private.refuse('INVALID_INPUT', 'granted must be true or false.', '{"field": "granted"}');
  end if;
  perform private.hold_house(p_community_id);
  perform private.require_moderator(p_community_id);
  perform private.require_fellow(p_community_id, p_user_id);

  if private.set_role(p_community_id, p_user_id, 'council', p_granted) then
    perform private.tell_role(
      p_community_id, case when p_granted then 'council_appointed' else 'council_released' end,
      p_user_id, v_me.user_id,
      case when p_granted then '%s was called to the council by %s.' else '%s was released from the council by %s.' end,
      case when p_granted then 'You are on the council now' else 'You are no longer on the council' end
    );
  end if;
  return jsonb_build_object('member', private.show_member(p_community_id, p_user_id));
end;
$$;
comment on function private.set_council is 'What set_council does. What is so already is told to nobody again.';
revoke all on function private.set_council from public, anon, authenticated, service_role;

create function public.set_council(community_id uuid, user_id uuid, granted boolean)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.set_council(set_council.community_id, set_council.user_id, set_council.granted);
end;
comment on function public.set_council is
'A moderator calls a member to the council, or releases them from it; themselves too.

It is told in the Chamber, to the member and to the audit log. Returns {member}. Refuses: FORBIDDEN, NOT_FOUND (the
member too), INVALID_INPUT.';
revoke all on function public.set_council from public, anon, authenticated, service_role;
grant execute on function public.set_council, private.set_council to authenticated;

create function private.pass_seat(p_community_id uuid, p_user_id uuid, p_successor_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if not private.is_last_moderator(p_community_id, p_user_id)
    or private.heir_of(p_community_id, p_user_id) is null
  then
    return;
  elsif p_successor_id is null then
    perform private.refuse('LAST_MODERATOR', 'You are the last moderator: name a successor.',
      '{"needs": "successor_id"}');
  elsif p_successor_id = p_user_id then
    perform private.refuse('INVALID_INPUT', 'Nobody succeeds themselves.', '{"field": "successor_id"}');
  end if;
  perform private.require_fellow(p_community_id, p_successor_id);
  perform private.set_role(p_community_id, p_successor_id, 'moderator', true);
  perform private.tell_role(
    p_community_id, 'moderator_appointed', p_successor_id, p_user_id, '%s is moderator now, in the place of %s.',
    'You are moderator now'
  );
end;
$$;
comment on function private.pass_seat is
'Makes a successor moderator before the last moderator goes. Where another moderator stays, or nobody at all, there
is no seat to pass and whoever is named as successor is left as they are: moderators otherwise come from elections.

Refuses: LAST_MODERATOR {needs: successor_id}, NOT_FOUND (no such member), INVALID_INPUT (oneself).';
revoke all on function private.pass_seat from public, anon, authenticated, service_role;

create function private.step_down(p_community_id uuid, p_successor_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
begin
  perform private.hold_house(p_community_id);
  perform private.require_moderator(p_community_id);
  if private.heir_of(p_community_id, v_me.user_id) is null then
    perform private.refuse('LAST_MODERATOR', 'There is nobody else to moderate.', '{"needs": "successor_id"}');
  end if;
  perform private.pass_seat(p_community_id, v_me.user_id, p_successor_id);
  perform private.set_role(p_community_id, v_me.user_id, 'moderator', false);
  perform private.tell_role(
    p_community_id, 'moderator_stepped_down', v_me.user_id, v_me.user_id, '%s stepped down as moderator.', ''
  );
  return jsonb_build_object('member', private.show_member(p_community_id, v_me.user_id));
end;
$$;
comment on function private.step_down is 'What step_down does. A seat on the council stays.';
revoke all on function private.step_down from public, anon, authenticated, service_role;

create function public.step_down(community_id uuid, successor_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.step_down(step_down.community_id, step_down.successor_id);
end;
comment on function public.step_down is
'A moderator steps down and stays a member; the last one names another member as successor.

A successor counts only where one is needed. Returns {member}. Refuses: LAST_MODERATOR {needs}, FORBIDDEN (no
moderator), NOT_FOUND (the successor too), INVALID_INPUT.';
revoke all on function public.step_down from public, anon, authenticated, service_role;
grant execute on function public.step_down, private.step_down to authenticated;

create function private.part(
  p_community_id uuid, p_user_id uuid, p_is_removal boolean, out expired integer, out forfeited integer
)
language plpgsql security definer set search_path = ''
as $$
begin
  forfeited := 0;
  perform private.end_membership(p_community_id, p_user_id);
  perform private.cancel_borrows_of(p_community_id, p_user_id);
  perform private.part_with_loans(p_community_id, p_user_id);
  if p_is_removal then
    perform private.void_tip_of(p_community_id, p_user_id);
  else
    forfeited := private.withdraw_tip(p_community_id, p_user_id);
  end if;
  perform private.leave_tip_rolls(p_community_id, p_user_id, p_is_removal);
  perform private.leave_elections(p_community_id, p_user_id);
  -- What waited for Dawn comes too late for them: it is booked now, and expires with the purse.
  perform private.pay_stakes_due(p_community_id, private.clock(), p_user_id);
  expired := private.expire_balance(p_community_id, p_user_id);
end;
$$;
comment on function private.part is
'Ends a membership with all that hangs on it (RULES 2.5, 2.6): roles, requests, loans, own stake, rolls, ballots,
purse.

Returns what expired with the purse and what was forfeited of a stake, in CC. The caller has held the house.';
revoke all on function private.part from public, anon, authenticated, service_role;

create function private.take_leave(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_parted record;
begin
  v_parted := private.part(p_community_id, p_user_id, false);
  if cardinality(private.standing_members(p_community_id)) = 0 then
    perform private.change_join_code(p_community_id, false, false, null);
  end if;
  perform private.record_act(p_community_id, p_user_id, 'member_left', p_user_id);
  perform private.announce(
    p_community_id, 'member_left', format('%s left.', private.name_of(p_user_id)),
    jsonb_build_object('user_id', p_user_id)
  );
  return jsonb_build_object('left', true, 'expired', v_parted.expired, 'forfeited', v_parted.forfeited);
end;
$$;
comment on function private.take_leave is
'A member goes of their own will. With the very last one the join code is paused: nobody should come into a house
without a moderator.';
revoke all on function private.take_leave from public, anon, authenticated, service_role;

create function private.leave_community(p_community_id uuid, p_successor_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
begin
  perform private.hold_house(p_community_id);
  perform private.require_member(p_community_id);
  perform private.pass_seat(p_community_id, v_me.user_id, p_successor_id);
  return private.take_leave(p_community_id, v_me.user_id);
end;
$$;
comment on function private.leave_community is 'What leave_community does.';
revoke all on function private.leave_community from public, anon, authenticated, service_role;

create function public.leave_community(community_id uuid, successor_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.leave_community(leave_community.community_id, leave_community.successor_id);
end;
comment on function public.leave_community is
'Leaves a community; the last moderator names another member as successor, unless nobody else is left.

The purse expires, an active tip-to-tip is withdrawn and its stake forfeited, open requests are cancelled, loans
owed to the leaver are released, loans they owe sleep until they return. A successor counts only where one is
needed. Returns {left: true, expired, forfeited} in CC. Refuses: LAST_MODERATOR {needs}, NOT_FOUND (the successor
too), INVALID_INPUT.';
revoke all on function public.leave_community from public, anon, authenticated, service_role;
grant execute on function public.leave_community, private.leave_community to authenticated;

create function private.refuse_removing_oneself(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if private.is_last_moderator(p_community_id, p_user_id) then
    perform private.refuse('LAST_MODERATOR', 'You are the last moderator: leave, and name a successor.',
      '{"needs": "successor_id"}');
  end if;
  perform private.refuse('FORBIDDEN', 'Nobody removes themselves: leave instead.');
end;
$$;
comment on function private.refuse_removing_oneself is 'Refuses: LAST_MODERATOR {needs}, FORBIDDEN.';
revoke all on function private.refuse_removing_oneself from public, anon, authenticated, service_role;

create function private.remove_member(p_community_id uuid, p_user_id uuid, p_reason text, p_ban boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
  v_ban boolean := coalesce(p_ban, false);
begin
  perform private.hold_house(p_community_id);
  perform private.require_moderator(p_community_id);
  perform private.require_text('reason', p_reason, 280);
  if p_user_id = v_me.user_id then
    perform private.refuse_removing_oneself(p_community_id, p_user_id);
  end if;
  perform private.require_fellow(p_community_id, p_user_id);

  perform private.part(p_community_id, p_user_id, true);
  if v_ban then
    perform private.ban(p_community_id, p_user_id);
  end if;
  perform private.record_act(p_community_id, v_me.user_id, 'member_removed', p_user_id,
    jsonb_build_object('reason', p_reason, 'ban', v_ban));
  perform private.announce(
    p_community_id, 'member_removed',
    format('%s was removed by %s.', private.name_of(p_user_id), private.name_of(v_me.user_id)),
    jsonb_build_object('user_id', p_user_id, 'by_id', v_me.user_id, 'ban', v_ban)
  );
  -- No mute silences it: a member who is one no more has no other way to learn of it.
  perform private.notify(
    array[p_user_id], p_community_id, 'system', 'member_removed', p_community_id,
    (select format('You were removed from %s', c.name) from public.communities as c where c.id = p_community_id),
    p_reason, p_is_ask => true
  );
  return jsonb_build_object('removed', true);
end;
$$;
comment on function private.remove_member is
'What remove_member does. Moderators may be removed like anyone else; of two who remove each other at once, one is
too late.

The reason is for the person removed and for the audit log: the Chamber hears who removed whom.';
revoke all on function private.remove_member from public, anon, authenticated, service_role;

create function public.remove_member(community_id uuid, user_id uuid, reason text, ban boolean default false)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.remove_member(
    remove_member.community_id, remove_member.user_id, remove_member.reason, remove_member.ban
  );
end;
comment on function public.remove_member is
'A moderator removes a member, another moderator too.

reason is 1 to 280 characters; ban keeps them from returning. Everything happens as on leaving, except: proposals
still awaiting the removed member are void with their stakes refunded, and the stake of their own proposal comes
back before their purse expires. Returns {removed: true}. Refuses: FORBIDDEN (no moderator; oneself), LAST_MODERATOR
{needs} (oneself, as the last), NOT_FOUND (the member too), INVALID_INPUT.';
revoke all on function public.remove_member from public, anon, authenticated, service_role;
grant execute on function public.remove_member, private.remove_member to authenticated;

create function private.get_member_profile(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
  v_today date := (private.day_at(p_community_id, private.clock())).day;
  v_profile jsonb;
begin
  select jsonb_build_object(
    'user', s.member -> 'user',
    'communities_shared', (
      select count(*) from public.community_members as m
      where m.user_id = p_user_id and m.left_at is null
        and private.is_standing_member(m.community_id, v_me.user_id)
    ),
    'total_declarations', d.declarations,
    'total_cc_spent', d.spent,
    'avg_cc_per_declaration', case when d.declarations = 0 then 0 else round(d.spent::numeric / d.declarations, 2) end,
    'most_expensive_declaration', private.show_declaration(d.dearest),
    'current_streak', private.current_streak(p_community_id, p_user_id, v_today),
    'longest_streak', private.longest_streak(p_community_id, p_user_id),
    'witnessed_given', (
      select count(*) from public.witnesses as w
      where w.community_id = p_community_id and w.user_id = p_user_id
    ),
    'witnessed_received', d.witnessed,
    'joined_at', s.joined_at,
    'left_at', s.left_at
  )
  into v_profile
  from private.shown_members as s
  cross join (
    select
      count(*) as declarations,
      coalesce(sum(o.cc_spent), 0) as spent,
      coalesce(sum(o.witnessed_count), 0) as witnessed,
      (array_agg(o.id order by o.cc_spent desc, o.number))[1] as dearest
    from public.declarations as o
    where o.community_id = p_community_id and o.user_id = p_user_id
  ) as d
  where s.community_id = p_community_id and s.user_id = p_user_id;
  if v_profile is null then
    perform private.refuse('NOT_FOUND', 'There is no such member.');
  end if;
  return v_profile;
end;
$$;
comment on function private.get_member_profile is
'What get_member_profile answers. It asks for membership once and reads with its owner''s rights: row by row, row
level security would double its cost.';
revoke all on function private.get_member_profile from public, anon, authenticated, service_role;

create function public.get_member_profile(community_id uuid, user_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.get_member_profile(get_member_profile.community_id, get_member_profile.user_id);
end;
$$;
comment on function public.get_member_profile is
'What a member, present or former, has declared and witnessed in a community the caller is in.

Returns {user, communities_shared (how many), total_declarations, total_cc_spent, avg_cc_per_declaration,
most_expensive_declaration (a declaration or null; the earliest of equals), current_streak, longest_streak (days),
witnessed_given, witnessed_received, joined_at, left_at}. Refuses: NOT_FOUND.';
revoke all on function public.get_member_profile from public, anon, authenticated, service_role;
grant execute on function public.get_member_profile, private.get_member_profile to authenticated;

-- The leaderboard, and Jashn-e-Chas, the weekly honouring of joyful restraint (RULES 10).

create table public.jashns (
  id uuid not null default gen_random_uuid(),
  community_id uuid not null,
  week_start date not null,
  honored_user_id uuid,
  decided_by text,
  held_at timestamptz not null,
  constraint jashns_pkey primary key (id),
  constraint jashns_honored_fkey foreign key (community_id, honored_user_id)
  references public.community_members (community_id, user_id),
  constraint jashns_community_id_fkey foreign key (community_id) references public.communities (id),
  constraint jashns_week_starts_on_sunday check (extract(dow from week_start) = 0),
  constraint jashns_decided_by_known check (
    decided_by in (
      'only_one', 'total_cc_spent', 'total_declarations', 'witnessed_received', 'joined_at', 'user_id'
    )
  ),
  constraint jashns_decided_if_honored check ((honored_user_id is null) = (decided_by is null))
);
comment on table public.jashns is
'Every Jashn held, one a community and week; nobody honoured is a null. decided_by is the figure in which the
honoured one differed from the next, only_one where nobody else was eligible.';
create unique index jashns_one_a_week on public.jashns (community_id, week_start);
create index jashns_community_id_honored_user_id_idx on public.jashns (community_id, honored_user_id);
alter table public.jashns enable row level security;
create policy members_read_jashns on public.jashns for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on public.jashns to authenticated;

create table public.jashn_entries (
  jashn_id uuid not null,
  user_id uuid not null,
  community_id uuid not null,
  eligible boolean not null,
  total_cc_spent integer not null,
  total_declarations integer not null,
  witnessed_received integer not null,
  joined_at timestamptz not null,
  place integer,
  constraint jashn_entries_pkey primary key (jashn_id, user_id),
  constraint jashn_entries_jashn_id_fkey foreign key (jashn_id) references public.jashns (id),
  constraint jashn_entries_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id),
  constraint jashn_entries_place_if_eligible check ((place is not null) = eligible)
);
comment on table public.jashn_entries is
'The reckoning of each Jashn: everyone who was a member when it was held, each figure of their week, the place of the
eligible.';
create index jashn_entries_community_id_user_id_idx on public.jashn_entries (community_id, user_id);
alter table public.jashn_entries enable row level security;
create policy members_read_jashn_entries on public.jashn_entries for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on public.jashn_entries to authenticated;

create table public.jashn_celebrations (
  jashn_id uuid not null,
  user_id uuid not null,
  community_id uuid not null,
  message text not null,
  created_at timestamptz not null default private.clock(),
  edited_at timestamptz,
  constraint jashn_celebrations_pkey primary key (jashn_id, user_id),
  constraint jashn_celebrations_jashn_id_fkey foreign key (jashn_id) references public.jashns (id),
  constraint jashn_celebrations_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id),
  constraint jashn_celebrations_message_length check (char_length(message) between 1 and 280)
);
comment on table public.jashn_celebrations is 'What members wrote to the honoured one, one message each.';
create index jashn_celebrations_community_id_user_id_idx on public.jashn_celebrations (community_id, user_id);
alter table public.jashn_celebrations enable row level security;
create policy members_read_jashn_celebrations on public.jashn_celebrations for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on public.jashn_celebrations to authenticated;

create table private.jashn_calendar (
  community_id uuid not null,
  look_at timestamptz not null,
  constraint jashn_calendar_pkey primary key (community_id),
  constraint jashn_calendar_community_id_fkey foreign key (community_id) references public.communities (id)
)
with (fillfactor = 80);
comment on table private.jashn_calendar is
'When to look next whether a community''s Jashn is due: five minutes after each of its Dawns, and not only on
Sundays, for a Dawn may have brought another zone, where Sunday comes sooner or later.';
create index jashn_calendar_look_at_idx on private.jashn_calendar (look_at);
alter table private.jashn_calendar enable row level security;
create policy nobody_reads_jashn_calendar on private.jashn_calendar for select to authenticated using (false);

create function private.require_week(p_day date)
returns date
language plpgsql immutable security definer set search_path = ''
as $$
begin
  -- So far from either end of the calendar that no arithmetic on days can fall off it.
  if p_day not between '0001-01-07' and '9999-12-24' then
    perform private.refuse('INVALID_INPUT', 'week_start must be a date of our calendar.',
      jsonb_build_object('field', 'week_start'));
  end if;
  return private.week_of(p_day);
end;
$$;
comment on function private.require_week is
'The Sunday of the week a day names, null for null. Refuses: INVALID_INPUT {field}, far out of any calendar.';
revoke all on function private.require_week from public, anon, authenticated, service_role;
grant execute on function private.require_week to authenticated;

create function private.reckon(
  p_community_id uuid, p_week_start date, p_timezone text,
  out user_id uuid, out eligible boolean, out total_cc_spent integer, out total_declarations integer,
  out witnessed_received integer, out joined_at timestamptz, out place integer, out active_days integer
)
returns setof record
language plpgsql stable security definer set search_path = '' rows 50
as $$
begin
  return query
  with sums as (
    select
      d.user_id,
      sum(d.cc_spent)::integer as spent,
      count(*)::integer as declarations,
      sum(d.witnessed_count)::integer as witnessed,
      bit_count(bit_or(1 << (d.day - p_week_start))::bit(8))::integer as days
    from public.declarations as d
    where d.community_id = p_community_id and d.day between p_week_start and p_week_start + 6
    group by d.user_id
  ), weeks as (
    select
      m.user_id,
      m.joined_at,
      coalesce(s.spent, 0) as spent,
      coalesce(s.declarations, 0) as declarations,
      coalesce(s.witnessed, 0) as witnessed,
      coalesce(s.days, 0) as days,
      s.user_id is not null and (m.joined_at at time zone p_timezone)::date <= p_week_start as eligible
    from public.community_members as m
    left join sums as s on s.user_id = m.user_id
    where m.community_id = p_community_id and m.left_at is null
  )
  select
    w.user_id, w.eligible, w.spent, w.declarations, w.witnessed, w.joined_at,
    case
      when w.eligible then row_number() over (
        partition by w.eligible order by w.spent, w.declarations desc, w.witnessed desc, w.joined_at, w.user_id
      )::integer
    end,
    w.days
  from weeks as w;
end;
$$;
comment on function private.reckon is
'The reckoning of a week (RULES 10.2): every standing member''s figures, and the place of those who are eligible.
Eligible are members since the week''s Sunday or before who declared a joy in it; of them the one who spent least
comes first; ties: more joys, more witnesses received, earlier joined, and last the id, so that there is always one
answer. Who came back in the week was not there all of it.';
revoke all on function private.reckon from public, anon, authenticated, service_role;

create function private.hold_jashn(p_community_id uuid, p_week_start date, p_timezone text, p_now timestamptz)
returns public.jashns
language sql security definer set search_path = ''
begin atomic
  with reckoning as materialized (
    select r.* from private.reckon(p_community_id, p_week_start, p_timezone) as r
  ),

  verdict as (
    select
      a.user_id,
      case
        when b.user_id is null then 'only_one'
        when a.total_cc_spent <> b.total_cc_spent then 'total_cc_spent'
        when a.total_declarations <> b.total_declarations then 'total_declarations'
        when a.witnessed_received <> b.witnessed_received then 'witnessed_received'
        when a.joined_at <> b.joined_at then 'joined_at'
        else 'user_id'
      end as decided_by
    from reckoning as a
    left join reckoning as b on b.place = 2
    where a.place = 1
  ),

  held as (
    insert into public.jashns (community_id, week_start, honored_user_id, decided_by, held_at)
    select
      p_community_id,
      p_week_start,
      (select v.user_id from verdict as v),
      (select v.decided_by from verdict as v),
      p_now
    on conflict (community_id, week_start) do nothing
    returning *
  ),

  kept as (
    insert into public.jashn_entries (
      jashn_id, community_id, user_id, eligible, total_cc_spent, total_declarations, witnessed_received, joined_at,
      place
    )
    select
      h.id,
      p_community_id,
      r.user_id,
      r.eligible,
      r.total_cc_spent,
      r.total_declarations,
      r.witnessed_received,
      r.joined_at,
      r.place
    from held as h
    cross join reckoning as r
  )

  select h.* from held as h;
end;
comment on function private.hold_jashn is
'Holds the Jashn of a week with its reckoning, in one statement, so of one moment; null if it was held before.';
revoke all on function private.hold_jashn from public, anon, authenticated, service_role;

create function private.find_jashn_due(
  p_community_id uuid, p_now timestamptz, out week_start date, out zone text, out look_at timestamptz
)
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_today record := private.day_at(p_community_id, p_now);
  v_sunday date := private.week_of(v_today.day);
  v_hour timestamptz := private.dawn_of(v_today.timezone, v_sunday) + interval '5 minutes';
begin
  zone := v_today.timezone;
  if p_now < v_hour then
    look_at := v_hour;
    return;
  end if;
  look_at := private.dawn_of(zone, v_today.day + 1) + interval '5 minutes';
  select v_sunday - 7 into week_start
  from public.communities as c
  where c.id = p_community_id and (c.created_at at time zone zone)::date < v_sunday
    and not exists (
      select from public.jashns as j where j.community_id = p_community_id and j.week_start = v_sunday - 7
    );
end;
$$;
comment on function private.find_jashn_due is
'The week whose Jashn is to be held in a community now, null if none is, and when to look again. Only the last ended
week, from its Sunday 00:05 on, and not one that ended before the community was founded (RULES 10.3).';
revoke all on function private.find_jashn_due from public, anon, authenticated, service_role;

create function private.crown_week(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_due record := private.find_jashn_due(p_community_id, p_now);
  v_jashn public.jashns;
  v_entry public.jashn_entries;
begin
  update private.jashn_calendar as k set look_at = v_due.look_at where k.community_id = p_community_id;
  if v_due.week_start is null then
    return 0;
  end if;
  v_jashn := private.hold_jashn(p_community_id, v_due.week_start, v_due.zone, p_now);
  if v_jashn.honored_user_id is not null then
    select e.* into v_entry from public.jashn_entries as e
    where e.jashn_id = v_jashn.id and e.user_id = v_jashn.honored_user_id;
    perform private.announce(
      p_community_id, 'jashn_held',
      format(
        'Jashn-e-Chas honours %s: %s joys for %s CC in the week of %s.', private.name_of(v_jashn.honored_user_id),
        v_entry.total_declarations, v_entry.total_cc_spent, v_jashn.week_start
      ),
      jsonb_build_object(
        'jashn_id', v_jashn.id, 'user_id', v_jashn.honored_user_id, 'week_start', v_jashn.week_start
      ),
      p_now
    );
    perform private.notify(
      array[v_jashn.honored_user_id], p_community_id, 'jashn_e_chas', 'jashn', v_jashn.id,
      'Jashn-e-Chas honours you', format('For joyful restraint in the week of %s.', v_jashn.week_start), false, p_now
    );
  end if;
  return (v_jashn.id is not null)::integer;
end;
$$;
comment on function private.crown_week is
'Holds a community''s Jashn if one is due, and tells the honoured one and the Chamber; returns how many it held, 0 or
1. A week in which nobody was eligible is recorded, and told to nobody.';
revoke all on function private.crown_week from public, anon, authenticated, service_role;

create function private.jashns_due(p_now timestamptz, p_limit integer, p_except uuid[])
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_community_id uuid;
  v_found record;
  v_due uuid [] := array[]::uuid [];
begin
  -- Founding is a room below and knows nothing of honours: whoever is new is entered here.
  insert into private.jashn_calendar (community_id, look_at)
  select d.community_id, p_now from public.community_days as d
  where not exists (select from private.jashn_calendar as k where k.community_id = d.community_id)
  on conflict do nothing;

  for v_community_id in
    select k.community_id from private.jashn_calendar as k
    where k.look_at <= p_now and k.community_id <> all (p_except)
    order by k.look_at
    limit 1000
    for no key update skip locked
  loop
    exit when cardinality(v_due) = p_limit;
    begin
      v_found := private.find_jashn_due(v_community_id, p_now);
      if v_found.week_start is null then
        update private.jashn_calendar as k set look_at = v_found.look_at where k.community_id = v_community_id;
      else
        v_due := v_due || v_community_id;
      end if;
    exception when others then
      -- Whatever is wrong there will be met again, and recorded, when the job serves it alone.
      v_due := v_due || v_community_id;
    end;
  end loop;
  return v_due;
end;
$$;
comment on function private.jashns_due is
'Up to p_limit communities whose Jashn is to be held now, but for those in p_except. It looks at up to 1000 calendars
a call and turns those with nothing due to their next look.';
revoke all on function private.jashns_due from public, anon, authenticated, service_role;

create function private.get_leaderboard(p_community_id uuid, p_week_start date)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_today record;
  v_week date;
begin
  perform private.require_member(p_community_id);
  v_today := private.day_at(p_community_id, private.clock());
  v_week := private.require_week(coalesce(p_week_start, v_today.day));
  return (
    with reckoning as materialized (
      select r.* from private.reckon(p_community_id, v_week, v_today.timezone) as r
    ), board as (
      select
        r.*, p.person, rank() over (order by r.total_cc_spent desc, r.total_declarations desc) as rank
      from reckoning as r
      join private.shown_people as p on p.id = r.user_id
      where r.total_declarations > 0
    ), honoured as (
      -- Whom the Jashn of the week honoured or, where none was held yet, would honour as things stand.
      select j.honored_user_id as user_id from public.jashns as j
      where j.community_id = p_community_id and j.week_start = v_week
      union all
      select r.user_id from reckoning as r
      where r.place = 1 and not exists (
        select from public.jashns as j where j.community_id = p_community_id and j.week_start = v_week
      )
    )
    select jsonb_build_object(
      'week_start', v_week,
      'week_end', v_week + 6,
      'entries', coalesce(
        jsonb_agg(
          jsonb_build_object(
            'rank', b.rank, 'user', b.person, 'total_declarations', b.total_declarations,
            'total_cc_spent', b.total_cc_spent,
            'avg_cc_per_declaration', round(b.total_cc_spent::numeric / b.total_declarations, 2),
            'witnessed_received', b.witnessed_received,
            'streak_days', private.current_streak(p_community_id, b.user_id, v_today.day),
            'active_days', b.active_days
          )
          order by b.rank, b.person ->> 'display_name', b.user_id
        ),
        '[]'
      ),
      'most_restrained', (
        select p.person from private.shown_people as p where p.id = (select h.user_id from honoured as h)
      )
    )
    from board as b
  );
end;
$$;
comment on function private.get_leaderboard is
'What get_leaderboard answers, out of one reckoning of the week. It asks for membership once and reads with its
owner''s rights: row by row, row level security would double its cost.';
revoke all on function private.get_leaderboard from public, anon, authenticated, service_role;

create function public.get_leaderboard(community_id uuid, week_start date default null)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.get_leaderboard(get_leaderboard.community_id, get_leaderboard.week_start);
end;
$$;
comment on function public.get_leaderboard is
'The board of one week, Sunday to Saturday.

week_start, any of its days, names the week; by default the one the community lives. Ranks the members who declared
a joy in it by CC declared, then number of joys; equal figures share a rank, in order of name. Those who have left
are not on it. avg_cc_per_declaration has two decimals, streak_days is the streak alive today whatever the week,
most_restrained is whom its Jashn honoured, or would as things stand. Returns {week_start, week_end, entries:
[{rank, user, total_declarations, total_cc_spent, avg_cc_per_declaration, witnessed_received, streak_days,
active_days}], most_restrained}. Refuses: NOT_FOUND, INVALID_INPUT.';
revoke all on function public.get_leaderboard from public, anon, authenticated, service_role;
grant execute on function public.get_leaderboard, private.get_leaderboard to authenticated;

create view private.shown_celebrations with (security_invoker = on) as
select
  c.jashn_id,
  c.user_id,
  c.created_at,
  jsonb_build_object(
    'user', p.person, 'message', c.message, 'created_at', c.created_at, 'edited_at', c.edited_at
  ) as celebration
from public.jashn_celebrations as c
inner join private.shown_people as p on c.user_id = p.id;
comment on view private.shown_celebrations is 'What get_jashn and celebrate_jashn show of a celebration.';
grant select on private.shown_celebrations to authenticated;

create view private.shown_jashns with (security_invoker = on) as
select
  j.id,
  j.community_id,
  j.week_start,
  jsonb_build_object(
    'id', j.id, 'community_id', j.community_id, 'week_start', j.week_start, 'week_end', j.week_start + 6,
    'honored_user', p.person,
    'total_declarations', coalesce(h.total_declarations, 0), 'total_cc_spent', coalesce(h.total_cc_spent, 0),
    'reckoning', jsonb_build_object(
      'entries', (
        select
          coalesce(
            jsonb_agg(
              jsonb_build_object(
                'user', w.person, 'eligible', e.eligible, 'total_cc_spent', e.total_cc_spent,
                'total_declarations', e.total_declarations, 'witnessed_received', e.witnessed_received,
                'joined_at', e.joined_at
              )
              order by e.place, w.person ->> 'display_name', e.user_id
            ),
            '[]'
          )
        from public.jashn_entries as e
        inner join private.shown_people as w on e.user_id = w.id
        where e.jashn_id = j.id
      ),
      'decided_by', j.decided_by
    ),
    'celebrations', (
      select coalesce(jsonb_agg(c.celebration order by c.created_at, c.user_id), '[]')
      from private.shown_celebrations as c
      where c.jashn_id = j.id
    ),
    'held_at', j.held_at
  ) as jashn
from public.jashns as j
left join public.jashn_entries as h on j.id = h.jashn_id and j.honored_user_id = h.user_id
left join private.shown_people as p on j.honored_user_id = p.id;
comment on view private.shown_jashns is
'The shape jashn; its figures are the honoured one''s, 0 where nobody was. The reckoning shows the eligible first, in
the order that decided.';
grant select on private.shown_jashns to authenticated;

create function public.get_jashn(community_id uuid, week_start date default null)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_week date;
begin
  perform private.require_member(get_jashn.community_id);
  v_week := coalesce(
    private.require_week(get_jashn.week_start),
    (select max(j.week_start) from public.jashns as j where j.community_id = get_jashn.community_id)
  );
  return jsonb_build_object('jashn', (
    select s.jashn from private.shown_jashns as s
    where s.community_id = get_jashn.community_id and s.week_start = v_week
  ));
end;
$$;
comment on function public.get_jashn is
'The Jashn of one week, the last one held by default.

week_start, any of its days, names the week; reading never holds one. Returns {jashn}: {id, community_id,
week_start, week_end, honored_user, total_declarations, total_cc_spent, reckoning: {entries: [{user, eligible,
total_cc_spent, total_declarations, witnessed_received, joined_at}], decided_by}, celebrations: [{user, message,
created_at, edited_at}], held_at}, or null if none was held. decided_by: only_one, total_cc_spent,
total_declarations, witnessed_received, joined_at, user_id; null, like honored_user, where nobody was eligible.
Refuses: NOT_FOUND, INVALID_INPUT.';
revoke all on function public.get_jashn from public, anon, authenticated, service_role;
grant execute on function public.get_jashn to authenticated;

create function private.require_jashn(p_jashn_id uuid)
returns public.jashns
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_jashn public.jashns;
begin
  select j.* into v_jashn from public.jashns as j where j.id = p_jashn_id;
  if not found or not private.is_standing_member(v_jashn.community_id, v_me.id) then
    perform private.refuse('NOT_FOUND', 'There is no such Jashn.');
  end if;
  return v_jashn;
end;
$$;
comment on function private.require_jashn is
'Returns a Jashn of a community the caller is in. Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND.';
revoke all on function private.require_jashn from public, anon, authenticated, service_role;

create function private.require_celebrable(p_jashn public.jashns, p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_next timestamptz := (
    select min(j.held_at) from public.jashns as j
    where j.community_id = p_jashn.community_id and j.week_start > p_jashn.week_start
  );
begin
  if v_next is not null then
    perform private.refuse('FORBIDDEN', 'The next Jashn has been held: this one is celebrated no more.',
      jsonb_build_object('closed_at', v_next));
  elsif p_jashn.honored_user_id is null then
    perform private.refuse('FORBIDDEN', 'Nobody was honoured in that week.', '{"honored_user": null}');
  elsif p_jashn.honored_user_id = p_user_id then
    perform private.refuse('FORBIDDEN', 'The others celebrate you.', jsonb_build_object('honored_user', p_user_id));
  end if;
end;
$$;
comment on function private.require_celebrable is
'Asks that a Jashn honours somebody else and is still the last one held. Refuses: FORBIDDEN {closed_at} or
{honored_user}.';
revoke all on function private.require_celebrable from public, anon, authenticated, service_role;

create function private.celebrate_jashn(p_jashn_id uuid, p_message text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_jashn public.jashns := private.require_jashn(p_jashn_id);
  v_me uuid := private.caller_id();
  v_is_new boolean;
begin
  perform private.require_celebrable(v_jashn, v_me);
  perform private.require_text('message', p_message, 280);
  insert into public.jashn_celebrations as c (jashn_id, user_id, community_id, message)
  values (p_jashn_id, v_me, v_jashn.community_id, p_message)
  on conflict (jashn_id, user_id) do update
  set message = excluded.message, edited_at = private.clock()
  returning c.edited_at is null into v_is_new;

  if v_is_new and private.is_standing_member(v_jashn.community_id, v_jashn.honored_user_id) then
    perform private.notify(
      array[v_jashn.honored_user_id], v_jashn.community_id, 'jashn_e_chas', 'jashn', p_jashn_id,
      format('%s celebrates you', private.name_of(v_me)), p_message
    );
  end if;
  return jsonb_build_object('celebration', (
    select s.celebration from private.shown_celebrations as s where s.jashn_id = p_jashn_id and s.user_id = v_me
  ));
end;
$$;
comment on function private.celebrate_jashn is 'What celebrate_jashn does. An edited message is not told again.';
revoke all on function private.celebrate_jashn from public, anon, authenticated, service_role;

create function public.celebrate_jashn(jashn_id uuid, message text)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.celebrate_jashn(celebrate_jashn.jashn_id, celebrate_jashn.message);
end;
comment on function public.celebrate_jashn is
'Celebrates the honoured one with the caller''s one message (1 to 280 characters); again, it replaces the first.

Any member may but the honoured one, until the next Jashn is held. Returns {celebration}: {user, message,
created_at, edited_at}. Refuses: NOT_FOUND, FORBIDDEN {closed_at} (the next one was held) or {honored_user} (nobody,
or the caller), INVALID_INPUT.';
revoke all on function public.celebrate_jashn from public, anon, authenticated, service_role;
grant execute on function public.celebrate_jashn, private.celebrate_jashn to authenticated;

create function private.forget_celebrations(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from public.jashn_celebrations as c where c.user_id = p_user_id;
end;
$$;
comment on function private.forget_celebrations is
'Takes away what a person wrote to honoured ones, with their account.';
revoke all on function private.forget_celebrations from public, anon, authenticated, service_role;

-- What belongs to a person alone: taking it along, and leaving for good (RULES 13).

create function private.export_account(p_user_id uuid)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'profile', (
      select to_jsonb(u) from public.users as u
      where u.id = p_user_id
    ),
    'former_names', (
      select coalesce(jsonb_agg(f.name order by f.name), '[]') from private.former_names as f
      where f.user_id = p_user_id
    ),
    'account', (
      select
        jsonb_build_object(
          'email', a.email, 'phone', a.phone, 'created_at', a.created_at, 'last_sign_in_at', a.last_sign_in_at,
          'user_metadata', a.raw_user_meta_data, 'app_metadata', a.raw_app_meta_data
        )
      from auth.users as a
      where a.id = p_user_id
    ),
    'admission', (
      select to_jsonb(a) from private.admissions as a
      where a.user_id = p_user_id
    ),
    'audit', (
      select coalesce(jsonb_agg(to_jsonb(e) order by e.id), '[]') from public.audit_entries as e
      where e.community_id is null and (e.actor_id = p_user_id or e.subject_id = p_user_id)
    ),
    'invite_misses', (
      select coalesce(jsonb_agg(m.missed_at order by m.id), '[]') from private.invite_misses as m
      where m.user_id = p_user_id
    ),
    'requests', (
      select coalesce(jsonb_agg(to_jsonb(r) - 'arguments_hash' order by r.created_at), '[]')
      from private.requests as r
      where r.user_id = p_user_id
    )
  );
end;
comment on function private.export_account is 'What the house knows of a person outside any community.';
revoke all on function private.export_account from public, anon, authenticated, service_role;

create function private.export_talk(p_user_id uuid, p_community_id uuid)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'messages', (
      select coalesce(jsonb_agg(to_jsonb(m) order by m.id), '[]') from public.chat_messages as m
      where m.community_id = p_community_id and m.user_id = p_user_id
    ),
    'told_of_me', (
      select coalesce(jsonb_agg(to_jsonb(m) order by m.id), '[]') from public.chat_messages as m
      where m.community_id = p_community_id and m.type = 'system' and strpos(m.facts::text, p_user_id::text) > 0
    ),
    'read_up_to', (
      select c.last_read_id from public.chamber_marks as c
      where c.community_id = p_community_id and c.user_id = p_user_id
    ),
    'notifications', (
      select coalesce(jsonb_agg(to_jsonb(n) order by n.id), '[]') from public.notifications as n
      where n.community_id = p_community_id and n.user_id = p_user_id
    ),
    'muted', (
      select coalesce(jsonb_agg(s.type order by s.type), '[]') from public.notification_mutes as s
      where s.community_id = p_community_id and s.user_id = p_user_id
    ),
    'audit', (
      select coalesce(jsonb_agg(to_jsonb(e) order by e.id), '[]') from public.audit_entries as e
      where e.community_id = p_community_id and (e.actor_id = p_user_id or e.subject_id = p_user_id)
    )
  );
end;
comment on function private.export_talk is
'What a person said in a community, was told there, and what was told of them.';
revoke all on function private.export_talk from public, anon, authenticated, service_role;

create function private.export_money(p_user_id uuid, p_community_id uuid)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'purse', (
      select to_jsonb(b) from public.cc_balances as b
      where b.community_id = p_community_id and b.user_id = p_user_id
    ),
    'ledger', (
      select coalesce(jsonb_agg(to_jsonb(e) order by e.id), '[]') from public.ledger_entries as e
      where e.community_id = p_community_id and e.user_id = p_user_id
    ),
    'sunsets', (
      select coalesce(jsonb_agg(to_jsonb(s) order by s.day), '[]') from public.sunset_entries as s
      where s.community_id = p_community_id and s.user_id = p_user_id
    ),
    'stakes', (
      select coalesce(jsonb_agg(to_jsonb(s) order by s.day, s.proposal_id), '[]') from public.stakes as s
      where s.community_id = p_community_id and s.user_id = p_user_id
    ),
    'borrow_requests', (
      select coalesce(jsonb_agg(to_jsonb(r) order by r.number), '[]') from public.borrow_requests as r
      where r.community_id = p_community_id and (r.borrower_id = p_user_id or r.lender_id = p_user_id)
    ),
    'loans', (
      select coalesce(jsonb_agg(to_jsonb(l) order by l.number), '[]') from public.loans as l
      where l.community_id = p_community_id and (l.borrower_id = p_user_id or l.lender_id = p_user_id)
    )
  );
end;
comment on function private.export_money is 'Every coin of a person in a community: purse, movements, stakes, loans.';
revoke all on function private.export_money from public, anon, authenticated, service_role;

create function private.export_deeds(p_user_id uuid, p_community_id uuid)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'declarations', (
      select coalesce(jsonb_agg(to_jsonb(d) order by d.number), '[]') from public.declarations as d
      where d.community_id = p_community_id and d.user_id = p_user_id
    ),
    'joy_runs', (
      select coalesce(jsonb_agg(to_jsonb(r) order by r.first_day), '[]') from private.joy_runs as r
      where r.community_id = p_community_id and r.user_id = p_user_id
    ),
    'witnessed', (
      select coalesce(jsonb_agg(to_jsonb(w) order by w.created_at, w.declaration_id), '[]') from public.witnesses as w
      where w.community_id = p_community_id and w.user_id = p_user_id
    ),
    'tip_to_tips', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.number), '[]') from public.tip_to_tip_proposals as t
      where t.community_id = p_community_id and t.proposer_id = p_user_id
    ),
    'tip_to_tip_rolls', (
      select coalesce(jsonb_agg(r.proposal_id order by r.proposal_id), '[]') from public.tip_to_tip_rolls as r
      where r.community_id = p_community_id and r.user_id = p_user_id
    ),
    'tip_to_tip_votes', (
      select coalesce(jsonb_agg(to_jsonb(v) order by v.created_at, v.proposal_id), '[]')
      from public.tip_to_tip_votes as v
      where v.community_id = p_community_id and v.user_id = p_user_id
    ),
    'elections', (
      select coalesce(jsonb_agg(to_jsonb(e) order by e.number), '[]') from public.elections as e
      where e.community_id = p_community_id and (e.created_by = p_user_id or e.winner_id = p_user_id)
    ),
    'candidacies', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.election_id), '[]') from private.election_candidates as c
      where c.community_id = p_community_id and c.user_id = p_user_id
    ),
    'election_rolls', (
      select coalesce(jsonb_agg(r.election_id order by r.election_id), '[]') from private.election_electors as r
      where r.community_id = p_community_id and r.user_id = p_user_id
    ),
    -- Their own ballots only: one cast for them is another's secret.
    'ballots', (
      select coalesce(jsonb_agg(to_jsonb(b) order by b.number), '[]')
      from private.election_electors as r
      inner join private.ballots as b on r.election_id = b.election_id and r.user_id = b.user_id
      where r.community_id = p_community_id and r.user_id = p_user_id
    ),
    'jashns_honoured', (
      select coalesce(jsonb_agg(to_jsonb(j) order by j.week_start), '[]') from public.jashns as j
      where j.community_id = p_community_id and j.honored_user_id = p_user_id
    ),
    'jashn_reckonings', (
      select coalesce(jsonb_agg(to_jsonb(e) order by e.jashn_id), '[]') from public.jashn_entries as e
      where e.community_id = p_community_id and e.user_id = p_user_id
    ),
    'jashn_celebrations', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.created_at), '[]') from public.jashn_celebrations as c
      where c.community_id = p_community_id and c.user_id = p_user_id
    )
  );
end;
comment on function private.export_deeds is
'What a person declared, witnessed, proposed, voted and celebrated in a community.';
revoke all on function private.export_deeds from public, anon, authenticated, service_role;

create function private.export_my_data()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
begin
  return private.export_account(v_me.id) || jsonb_build_object(
    'exported_at', private.clock(),
    'communities', (
      select coalesce(jsonb_agg(
        jsonb_build_object(
          'community', jsonb_build_object('id', c.id, 'name', c.name, 'founded_by_me', c.created_by = v_me.id),
          'membership', to_jsonb(m),
          'ban', (
            select to_jsonb(b) from private.bans as b where b.community_id = m.community_id and b.user_id = v_me.id
          )
        )
        || private.export_talk(v_me.id, c.id)
        || private.export_money(v_me.id, c.id)
        || private.export_deeds(v_me.id, c.id)
        order by m.joined_at, c.id
      ), '[]')
      from public.community_members as m
      join public.communities as c on c.id = m.community_id
      where m.user_id = v_me.id
    )
  );
end;
$$;
comment on function private.export_my_data is
'What export_my_data answers: rows as they are stored, others in them by their ids.';
revoke all on function private.export_my_data from public, anon, authenticated, service_role;

create function public.export_my_data()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.export_my_data();
end;
comment on function public.export_my_data is
'Everything the house keeps about the caller, as one document.

Returns {exported_at, profile, former_names, account, admission, audit, invite_misses, requests, communities:
[{community, membership, ban, messages, told_of_me, read_up_to, notifications, muted, audit, purse, ledger, sunsets,
stakes, borrow_requests, loans, declarations, joy_runs, witnessed, tip_to_tips, tip_to_tip_rolls, tip_to_tip_votes,
elections, candidacies, election_rolls, ballots, jashns_honoured, jashn_reckonings, jashn_celebrations}]}, of
communities they have left too. Refuses: INVITE_REQUIRED.';
revoke all on function public.export_my_data from public, anon, authenticated, service_role;
grant execute on function public.export_my_data, private.export_my_data to authenticated;

create function private.leave_everything(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_community_id uuid;
begin
  -- In id order, so that two who are erased at once never wait for each other in a ring.
  for v_community_id in
    select m.community_id from public.community_members as m
    where m.user_id = p_user_id and m.left_at is null
    order by m.community_id
  loop
    perform private.hold_house(v_community_id);
    if private.is_standing_member(v_community_id, p_user_id) then
      perform private.pass_seat(v_community_id, p_user_id, private.heir_of(v_community_id, p_user_id));
      perform private.take_leave(v_community_id, p_user_id);
    end if;
  end loop;
end;
$$;
comment on function private.leave_everything is
'A person who is erased leaves every community as if of their own will; the last moderator''s seat passes to the
longest-serving council member, else to the longest-standing member (RULES 13).';
revoke all on function private.leave_everything from public, anon, authenticated, service_role;

create function private.own_things(p_user_id uuid)
returns uuid[]
language sql stable security definer set search_path = ''
begin atomic
  select array(
    select d.id from public.community_members as m
    inner join public.declarations as d on m.community_id = d.community_id and m.user_id = d.user_id
    where m.user_id = p_user_id
    union all
    select r.id from public.community_members as m
    inner join public.borrow_requests as r on m.community_id = r.community_id and m.user_id = r.borrower_id
    where m.user_id = p_user_id
    union all
    select t.id from public.community_members as m
    inner join public.tip_to_tip_proposals as t on m.community_id = t.community_id and m.user_id = t.proposer_id
    where m.user_id = p_user_id
    union all
    select c.jashn_id from public.community_members as m
    inner join public.jashn_celebrations as c on m.community_id = c.community_id and m.user_id = c.user_id
    where m.user_id = p_user_id
  );
end;
comment on function private.own_things is
'What a person gave words to: joys, requests, proposals, the Jashns they celebrated.';
revoke all on function private.own_things from public, anon, authenticated, service_role;

create function private.shared_things(p_user_id uuid)
returns uuid[]
language sql stable security definer set search_path = ''
begin atomic
  select array(
    select m.community_id from public.community_members as m
    where m.user_id = p_user_id
    union all
    select w.declaration_id from public.community_members as m
    inner join public.witnesses as w on m.community_id = w.community_id and m.user_id = w.user_id
    where m.user_id = p_user_id
    union all
    select r.id from public.community_members as m
    inner join public.borrow_requests as r on m.community_id = r.community_id and m.user_id = r.lender_id
    where m.user_id = p_user_id
    union all
    select l.id from public.community_members as m
    inner join public.loans as l on m.community_id = l.community_id and m.user_id in (l.borrower_id, l.lender_id)
    where m.user_id = p_user_id
    union all
    select e.id from public.community_members as m
    inner join public.elections as e on m.community_id = e.community_id
    where m.user_id = p_user_id
  );
end;
comment on function private.shared_things is
'Things of others in which a person had a part, so that notices about them may name them.';
revoke all on function private.shared_things from public, anon, authenticated, service_role;

create function private.forget_words_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_communities uuid [] := array(
    select m.community_id from public.community_members as m where m.user_id = p_user_id order by m.community_id
  );
  v_names text [] := private.names_of(p_user_id);
  v_own uuid [] := private.own_things(p_user_id);
begin
  perform private.strike_declaration(d.id) from public.declarations as d
  where d.id = any (v_own) and d.struck_at is null;
  perform private.strike_borrow_request(r.id) from public.borrow_requests as r
  where r.id = any (v_own) and r.struck_at is null;
  perform private.strike_proposal(t.id) from public.tip_to_tip_proposals as t
  where t.id = any (v_own) and t.struck_at is null;
  perform private.forget_celebrations(p_user_id);
  perform private.forget_lines_of(p_user_id);
  if cardinality(v_names) > 0 then
    perform private.forget_in_lines(p_user_id, v_communities, v_names);
    perform private.forget_in_notifications(v_communities, v_names, private.shared_things(p_user_id), v_own);
  end if;
end;
$$;
comment on function private.forget_words_of is
'Takes away what an erased person wrote (messages, and the words of their joys, requests, proposals and celebrations)
and their names wherever the house itself said them.';
revoke all on function private.forget_words_of from public, anon, authenticated, service_role;

create function private.erase(p_user_id uuid, p_email text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  -- Two erasures of one person take turns.
  perform from public.users as u where u.id = p_user_id for no key update;
  if not found then
    return;
  end if;
  perform private.forget_invites_of(p_user_id, p_email);
  perform private.forget_profile(p_user_id);
  perform private.leave_everything(p_user_id);
  perform private.forget_words_of(p_user_id);
  perform private.forget_notifications_of(p_user_id);
  perform private.forget_requests_of(p_user_id);
  perform private.forget_names_of(p_user_id);
end;
$$;
comment on function private.erase is
'Erases a person (RULES 13); somebody erased, or never known, changes nothing more.

What goes: name, avatar, former names, admission, the address and texts of their invites, notices to them, mutes,
marks, request ids, and every word they wrote, in whatever room; they leave every community. What stays, under "a
former member": the numbers (ledger, joys, loans, stakes, votes, ballots, Jashns), that they were there, and what
others wrote, even about them, such as the reason of a removal in the audit log or of an election called off. Titles
of elections stay as the community''s. Answers kept for others'' request ids may say their name until they go by
themselves, within 7 days.';
revoke all on function private.erase from public, anon, authenticated, service_role;

create function private.erase_user(p_user_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  if p_user_id is null then
    perform private.refuse('INVALID_INPUT', 'user_id is missing.', '{"field": "user_id"}');
  end if;
  perform private.erase(p_user_id, (select a.email from auth.users as a where a.id = p_user_id));
  return jsonb_build_object('erased', true);
end;
$$;
comment on function private.erase_user is 'What erase_user does.';
revoke all on function private.erase_user from public, anon, authenticated, service_role;

create function public.erase_user(user_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.erase_user(erase_user.user_id);
end;
comment on function public.erase_user is
'Erases a person for good: personal data goes, numbers stay under "a former member". For the service role alone.

They leave every community as by leave_community; the last moderator''s seat passes to the longest-serving council
member, else the longest-standing member. Their sign-in is deleted apart, by Supabase Auth. Again, or for somebody
unknown, it changes nothing. Returns {erased: true}. Refuses: INVALID_INPUT.';
revoke all on function public.erase_user from public, anon, authenticated, service_role;
grant execute on function public.erase_user, private.erase_user to service_role;

create function private.erase_deleted_user()
returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '3s'
as $$
begin
  perform private.erase(old.id, old.email);
  return null;
exception when others or query_canceled then
  raise warning 'a deleted person will be erased later: %', sqlstate;
  begin
    perform private.forget_invites_of(old.id, old.email);
    perform private.forget_profile(old.id);
  exception when others then
    raise warning 'a deleted person was not erased: %', sqlstate;
  end;
  return null;
end;
$$;
comment on function private.erase_deleted_user is
'Erases a person whose sign-in was deleted, from the dashboard too; never fails, for it runs inside Supabase Auth. If
a community is busy or broken, at least name, avatar, admission and address go at once, and private.finish_erasures
does the rest.';
revoke all on function private.erase_deleted_user from public, anon, authenticated, service_role;
create or replace trigger on_auth_user_deleted
after delete on auth.users
for each row execute function private.erase_deleted_user();

create function private.finish_erasures(p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_user_id uuid;
  v_done integer := 0;
begin
  foreach v_user_id in array private.erasures_begun(p_limit) loop
    begin
      perform private.erase(v_user_id, null);
      v_done := v_done + 1;
    exception when others then
      raise warning 'the erasure of % is not finished: % %', v_user_id, sqlstate, sqlerrm;
    end;
  end loop;
  return v_done;
end;
$$;
comment on function private.finish_erasures is
'Finishes up to p_limit erasures that could not be completed when the sign-in was deleted; returns how many, 0 when
none is left or none can be finished now.';
revoke all on function private.finish_erasures from public, anon, authenticated, service_role;

-- The caller's communities at a glance.

create function private.list_my_communities()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
begin
  return jsonb_build_object('communities', (
    select coalesce(jsonb_agg(
      private.show_community(m.community_id) || jsonb_build_object(
        'balance', private.show_balance(m.community_id, v_me.id),
        'roles', m.roles,
        'unread', private.count_unread(m.community_id, v_me.id),
        'last_activity', (
          select c.created_at from public.chat_messages as c
          where c.community_id = m.community_id
          order by c.id desc
          limit 1
        ),
        'awaiting_my_vote',
        private.tips_awaiting(m.community_id, v_me.id) + private.elections_awaiting(m.community_id, v_me.id)
      )
      order by m.joined_at, m.community_id
    ), '[]')
    from public.community_members as m
    where m.user_id = v_me.id and m.left_at is null
  ));
end;
$$;
comment on function private.list_my_communities is 'What list_my_communities answers.';
revoke all on function private.list_my_communities from public, anon, authenticated, service_role;

create function public.list_my_communities()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_my_communities();
end;
comment on function public.list_my_communities is
'The caller''s communities, first joined first. It settles no day: balance.day says which day it shows.

Returns {communities: [community + {balance, roles, unread, last_activity, awaiting_my_vote}]}: the time of the
latest line of the Chamber, and how many proposals and elections await the caller''s vote.';
revoke all on function public.list_my_communities from public, anon, authenticated, service_role;
grant execute on function public.list_my_communities, private.list_my_communities to authenticated;
