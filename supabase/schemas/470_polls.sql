-- Opening, voting, closing: the acts of an election (RULES 9).

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
from private.elections as e;
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

create function private.seat_winner(p_election private.elections)
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_released uuid [] := array[]::uuid [];
  v_moderator uuid;
begin
  if p_election.seat_rule = 'renew' then
    for v_moderator in
      select m.user_id from private.community_members as m
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

create function private.decide_election(p_election_id uuid, p_at timestamptz, p_actor_id uuid default null)
returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections;
  v_facts jsonb;
  v_words text;
begin
  update private.elections as e
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
    private.member_ids(v_election.community_id), v_election.community_id, 'election', 'election', p_election_id,
    'An election is over', v_words, false, p_at
  );
  return true;
end;
$$;
comment on function private.decide_election is
'Closes an election: counts the box, seats the winner, tells everyone; false, and nothing, if it is not active any
more.

Only under the locks of the community''s row and of the box. closed_at is ends_at however late the close is written.';

create function private.close_elections(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_due uuid := (
    select e.id from private.elections as e
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

create function private.settle_elections(p_community_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  select private.close_elections(p_community_id, private.clock());
end;
comment on function private.settle_elections is
'Closes what the job has not come to yet. Acts that depend on who moderates or who is a member (an opening, a
leaving, a change of roles) call it first.';

create function private.elections_due(p_now timestamptz, p_limit integer, p_except uuid[])
returns uuid[]
language sql volatile security definer set search_path = ''
begin atomic
  select array(
    select e.community_id
    from private.elections as e
    inner join private.communities as c on e.community_id = c.id
    where e.status = 'active' and e.ends_at <= p_now and e.community_id <> all(p_except)
    order by e.ends_at
    limit p_limit
    for share of c skip locked
  );
end;
comment on function private.elections_due is
'Up to p_limit communities whose election has ended and is not closed yet, but for those in p_except; their members
are held. One that somebody is just leaving is skipped: the next run finds it.';

create function private.leave_elections(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_open uuid;
begin
  perform private.settle_elections(p_community_id);
  select e.id into v_open from private.elections as e where e.community_id = p_community_id and e.status = 'active';
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

create function private.draw_up_election(p_election private.elections)
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_electors uuid [];
begin
  insert into private.election_candidates (election_id, user_id, community_id, roles)
  select p_election.id, m.user_id, m.community_id, m.roles
  from private.community_members as m
  where m.community_id = p_election.community_id and m.left_at is null and m.roles && array['moderator', 'council'];

  v_electors := array(
    select m.user_id from private.community_members as m
    join private.communities as c on c.id = m.community_id
    where m.community_id = p_election.community_id and m.left_at is null
      and (c.electorate = 'members' or m.roles && array['moderator', 'council'])
  );
  if cardinality(v_electors) < 2 then
    perform private.refuse(
      'NO_ELECTORS', 'An election needs at least two voters.',
      jsonb_build_object(
        'electors', cardinality(v_electors), 'least', 2,
        'electorate', (select c.electorate from private.communities as c where c.id = p_election.community_id)
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

create function private.create_election(p_community_id uuid, p_title text, p_ends_at timestamptz, p_seat_rule text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_election private.elections;
  v_electors uuid [];
begin
  -- A new electorate in force since a Dawn, a new moderator since an end: neither waits for its job.
  perform private.settle_day(p_community_id);
  perform private.settle_elections(p_community_id);
  perform private.hold_roll(p_community_id);
  perform private.require_moderator(p_community_id);
  perform private.require_text('title', p_title, 120);
  perform private.require_end(p_ends_at);
  perform private.require_choice('seat_rule', p_seat_rule, array['add', 'renew']);

  insert into private.elections (community_id, title, ends_at, seat_rule, created_by)
  values (p_community_id, p_title, p_ends_at, p_seat_rule, v_me.user_id)
  on conflict (community_id) where status = 'active' do nothing
  returning * into v_election;
  if not found then
    perform private.refuse('CONFLICT', 'An election is open already.', (
      select jsonb_build_object('election_id', e.id, 'ends_at', e.ends_at) from private.elections as e
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
grant execute on function public.create_election, private.create_election to authenticated;

create function private.vote_election(p_election_id uuid, p_candidate_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections := private.require_election(p_election_id);
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
'It writes the ballot and nothing else: no line, no notice, no broadcast says when somebody
voted.';
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
grant execute on function public.vote_election, private.vote_election to authenticated;

create function private.close_election(p_election_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections := private.require_election(p_election_id);
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
grant execute on function public.close_election, private.close_election to authenticated;

create function private.cancel_election(p_election_id uuid, p_reason text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections := private.require_election(p_election_id);
  v_me uuid := private.caller_id();
  v_words text;
begin
  perform private.hold_roll(v_election.community_id);
  perform private.require_moderator(v_election.community_id);
  perform private.require_text('reason', p_reason, 280);
  v_election := private.lock_box(p_election_id);
  perform private.require_open_election(v_election);

  update private.elections as e set status = 'cancelled', closed_at = private.clock() where e.id = p_election_id;
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
    array_remove(private.member_ids(v_election.community_id), v_me), v_election.community_id, 'election',
    'election', p_election_id, 'An election was called off', v_words
  );
  return jsonb_build_object('election', private.show_election(p_election_id));
end;
$$;

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
grant execute on function public.cancel_election, private.cancel_election to authenticated;

create function public.get_active_election(community_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform private.require_member(get_active_election.community_id);
  return jsonb_build_object('election', (
    select s.election
    from private.elections as e
    join private.shown_elections as s on s.id = e.id
    where e.community_id = get_active_election.community_id and e.status = 'active' and e.ends_at > private.clock()
  ));
end;
$$;
comment on function public.get_active_election is
'The election open in a community now.

Returns {election}, null if none is: one whose end has come is over, though the job may not have been there yet.
Refuses: NOT_FOUND.';
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
    select e.number into v_before from private.elections as e
    where e.id = before_id and e.community_id = list_elections.community_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such election.');
    end if;
  end if;
  v_page := array(
    select e.id from private.elections as e
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
grant execute on function public.list_elections to authenticated;
