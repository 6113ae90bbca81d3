-- Opening, voting, closing, reading: the acts of an election (RULES 9).

create view private.shown_elections with (security_invoker = on) as
select
  e.community_id,
  e.id,
  e.number,
  jsonb_build_object(
    'id', e.id, 'community_id', e.community_id,
    'title', coalesce(private.read_words(e.community_id, e.title_id), ''),
    'status', private.election_status(e.status, e.ends_at), 'seat_rule', e.seat_rule, 'created_at', e.created_at,
    'ends_at', e.ends_at, 'closed_at', coalesce(e.closed_at, case when e.ends_at <= private.clock() then e.ends_at end)
  ) || private.show_poll(e) as election
from private.elections as e;
comment on view private.shown_elections is
'The shape election, as the caller sees it. Only for the kernel, which has asked for membership: no client may look
into a box, not even through this.';

create function private.show_election(p_community_id uuid, p_election_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object('election', (
    select s.election from private.shown_elections as s
    where s.community_id = p_community_id and s.id = p_election_id
  ));
end;
$$;
comment on function private.show_election is 'What acts on an election answer: {election}.';

create function private.create_election(p_community_id uuid, p_title text, p_ends_at timestamptz, p_seat_rule text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_election private.elections;
  v_electors uuid[];
begin
  -- A new electorate in force since a Dawn, a new moderator since an end: neither waits for its job.
  perform private.settle_day(p_community_id);
  perform private.settle_elections(p_community_id);
  perform private.hold_roll(p_community_id);
  perform private.require_acting_member(p_community_id);
  perform private.require_moderator(p_community_id);
  perform private.require_title('title', p_title);
  perform private.require_end(p_ends_at);
  perform private.require_choice('seat_rule', p_seat_rule, array['add', 'renew']);

  v_election := private.begin_election(p_community_id, p_title, p_ends_at, p_seat_rule, v_me.user_id);
  if v_election.id is null then
    perform private.refuse('CONFLICT', 'An election is open already.', (
      select jsonb_build_object('election_id', e.id, 'ends_at', e.ends_at) from private.elections as e
      where e.community_id = p_community_id and e.status = 'active'
    ));
  end if;
  v_electors := private.open_box(v_election);

  perform private.post_message(p_community_id, v_me.user_id, 'election', '', v_election.id);
  perform private.record_act(
    p_community_id, v_me.user_id, 'election_opened', null,
    jsonb_build_object(
      'election_id', v_election.id, 'title_id', v_election.title_id, 'seat_rule', p_seat_rule, 'ends_at', p_ends_at
    )
  );
  perform private.notify(
    array_remove(v_electors, v_me.user_id), p_community_id, 'election', 'election_opened', 'election', v_election.id,
    p_by => v_me.user_id, p_is_ask => true
  );
  return private.show_election(p_community_id, v_election.id);
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

title one line of 1 to 120 characters, ends_at 1 hour to 14 days ahead; seat_rule add (the winner joins the
moderators) or renew (becomes the only one). Everyone on the roll is called to vote. Returns {election}. Refuses:
NOT_FOUND, FORBIDDEN, INVALID_INPUT, CONFLICT {election_id, ends_at} (one is open), NO_ELECTORS {electors, least,
electorate}.';
grant execute on function public.create_election, private.create_election to authenticated;

create function private.vote_election(p_election_id uuid, p_candidate_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections := private.require_election(p_election_id);
begin
  v_election := private.lock_box(v_election.community_id, p_election_id);
  perform private.require_open_election(v_election);
  perform private.cast_ballot(v_election, private.caller_id(), p_candidate_id);
  return private.show_election(v_election.community_id, p_election_id);
end;
$$;
comment on function private.vote_election is
'It writes the ballot and nothing else: no line, no notice, no broadcast says when somebody voted.';

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

create function private.lock_open_election(p_election_id uuid)
returns private.elections
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  select e.* into v_election from private.elections as e where e.id = p_election_id;
  -- One that is over is closed first, with the seats it gives; then the roll is held, and only then it is asked who calls:
  -- who waited here may moderate no more.
  perform private.settle_elections(v_election.community_id);
  perform private.hold_roll(v_election.community_id);
  perform private.require_moderator_of(v_election);
  v_election := private.lock_box(v_election.community_id, p_election_id);
  perform private.require_open_election(v_election);
  return v_election;
end;
$$;
comment on function private.lock_open_election is
'Locks an open election of a community the caller moderates, its box and its roll until the transaction ends.

Refuses: NOT_FOUND, FORBIDDEN, ELECTION_CLOSED {status, closed_at}.';

create function private.close_election(p_election_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections := private.lock_open_election(p_election_id);
begin
  perform private.require_full_box(v_election);
  perform private.decide_election(v_election, private.clock(), private.caller_id());
  return private.show_election(v_election.community_id, p_election_id);
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

create function private.note_cancellation(p_election private.elections, p_by_id uuid, p_reason text)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_facts jsonb := jsonb_build_object(
    'election_id', p_election.id, 'title_id', p_election.title_id, 'user_id', p_by_id,
    'reason_id', private.keep_words(p_election.community_id, p_by_id, p_reason)
  );
begin
  perform private.record_act(p_election.community_id, p_by_id, 'election_cancelled', null, v_facts);
  perform private.announce(p_election.community_id, 'election_cancelled', v_facts);
  perform private.notify(
    array_remove(private.member_ids(p_election.community_id), p_by_id), p_election.community_id,
    'election', 'election_cancelled', 'election', p_election.id, v_facts, p_by => p_by_id
  );
end;
$$;
comment on function private.note_cancellation is
'Tells that an election was called off, and why, to the audit log, the Chamber and every other member.';

create function private.cancel_election(p_election_id uuid, p_reason text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections := private.lock_open_election(p_election_id);
begin
  perform private.require_text('reason', p_reason, 280);
  perform private.end_election(v_election, 'cancelled', null, private.clock());
  perform private.note_cancellation(v_election, private.caller_id(), p_reason);
  return private.show_election(v_election.community_id, p_election_id);
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

create function private.get_active_election(p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.require_member(p_community_id);
  return private.show_election(p_community_id, (
    select e.id from private.elections as e
    where e.community_id = p_community_id and e.status = 'active' and e.ends_at > private.clock()
  ));
end;
$$;

create function public.get_active_election(community_id uuid)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_active_election(get_active_election.community_id);
end;
comment on function public.get_active_election is
'The election open in a community now.

Returns {election}, null if none is: one whose end has come is over, though the job may not have been there yet.
Refuses: NOT_FOUND.';
grant execute on function public.get_active_election, private.get_active_election to authenticated;

create function private.get_election(p_election_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return private.show_election((private.require_election(p_election_id)).community_id, p_election_id);
end;
$$;

create function public.get_election(election_id uuid)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_election(get_election.election_id);
end;
comment on function public.get_election is
'One election: candidates, turnout and the caller''s own ballot while it is open, tallies and winner after the close.

Returns {election + {can_vote, closed_at}}. Refuses: NOT_FOUND.';
grant execute on function public.get_election, private.get_election to authenticated;

create function private.list_elections(p_community_id uuid, p_page_size integer, p_before_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_before bigint;
  v_page uuid[];
begin
  perform private.require_member(p_community_id);
  perform private.require_page_size(p_page_size);
  if p_before_id is not null then
    select e.number into v_before from private.elections as e
    where e.community_id = p_community_id and e.id = p_before_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such election.');
    end if;
  end if;
  v_page := array(
    select e.id from private.elections as e
    where e.community_id = p_community_id and e.number < coalesce(v_before, 9223372036854775807)
    order by e.number desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'elections', (
      select coalesce(jsonb_agg(s.election order by s.number desc), '[]')
      from private.shown_elections as s
      where s.community_id = p_community_id and s.id = any(v_page[:p_page_size])
    ),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;

create function public.list_elections(community_id uuid, page_size integer default 50, before_id uuid default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_elections(list_elections.community_id, list_elections.page_size, list_elections.before_id);
end;
comment on function public.list_elections is
'A community''s elections, newest first; before_id pages on from an election.

Returns {elections: [election], has_more}. Refuses: NOT_FOUND, INVALID_INPUT.';
grant execute on function public.list_elections, private.list_elections to authenticated;
