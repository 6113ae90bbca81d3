-- Elections for moderator, as everyone reads them (RULES 9).

create table private.elections (
  community_id uuid not null,
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  title_id bigint not null,
  status text not null default 'active',
  seat_rule text not null,
  created_by uuid not null,
  winner_id uuid,
  created_at timestamptz not null default private.clock(),
  ends_at timestamptz not null,
  closed_at timestamptz,
  constraint elections_pkey primary key (community_id, id),
  constraint elections_title_fkey foreign key (community_id, title_id) references private.words (community_id, id),
  constraint elections_opener_fkey foreign key (community_id, created_by)
  references private.community_members (community_id, user_id),
  constraint elections_winner_fkey foreign key (community_id, winner_id)
  references private.community_members (community_id, user_id),
  constraint elections_status_known check (status in ('active', 'completed', 'cancelled')),
  constraint elections_seat_rule_known check (seat_rule in ('add', 'renew')),
  constraint elections_winner_only_when_completed check (winner_id is null or status = 'completed'),
  constraint elections_closed_unless_active check ((status = 'active') = (closed_at is null))
);
comment on table private.elections is
'The elections, as every member reads them; a title is words somebody gave. Nothing here changes between the opening
and the close: a vote leaves no trace in this table, not even a lock. One that is active past ends_at has closed
whether or not the status says so yet.';
create index elections_id_idx on private.elections (id);
create unique index elections_one_active_per_community on private.elections (community_id) where status = 'active';
create index elections_community_id_number_idx on private.elections (community_id, number);
create index elections_community_id_title_id_idx on private.elections (community_id, title_id);
create index elections_community_id_created_by_idx on private.elections (community_id, created_by);
create index elections_community_id_winner_id_idx on private.elections (community_id, winner_id);
create index elections_ends_at_idx on private.elections (ends_at) where status = 'active';
alter table private.elections enable row level security;
create policy members_read_elections on private.elections for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.elections to authenticated;

create function private.election_status(p_status text, p_ends_at timestamptz)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return case when p_status = 'active' and p_ends_at <= private.clock() then 'completed' else p_status end;
end;
$$;
comment on function private.election_status is
'An election''s status as it is now: the close at ends_at is a fact of reading.';

create function private.begin_election(
  p_community_id uuid, p_title text, p_ends_at timestamptz, p_seat_rule text, p_opener_id uuid
)
returns private.elections
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  insert into private.elections as e (community_id, title_id, ends_at, seat_rule, created_by)
  values (
    p_community_id, private.keep_words(p_community_id, p_opener_id, p_title), p_ends_at, p_seat_rule, p_opener_id
  )
  on conflict (community_id) where status = 'active' do nothing
  returning e.* into v_election;
  return v_election;
end;
$$;
comment on function private.begin_election is
'Writes down an election that opens, and returns it; nulls where one is open already.';

create function private.end_election(
  p_election private.elections, p_status text, p_winner_id uuid, p_closed_at timestamptz
)
returns private.elections
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  update private.elections as e set status = p_status, closed_at = p_closed_at, winner_id = p_winner_id
  where e.community_id = p_election.community_id and e.id = p_election.id
  returning e.* into v_election;
  perform private.note_item(
    v_election.community_id, 'election', v_election.id, jsonb_build_object(
      'election_id', v_election.id, 'author_id', v_election.created_by, 'seat_rule', v_election.seat_rule,
      'title', coalesce(private.read_words(v_election.community_id, v_election.title_id), ''),
      'outcome', v_election.status, 'winner_id', v_election.winner_id
    ),
    v_election.created_by, v_election.closed_at
  );
  return v_election;
end;
$$;
comment on function private.end_election is
'Writes down how a locked, active election ended, and returns it; it stands in the edition of its day.';

create function private.strike_election(p_community_id uuid, p_election_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.strike_words(p_community_id, (
    select e.title_id from private.elections as e where e.community_id = p_community_id and e.id = p_election_id
  ));
  perform private.strike_item(p_community_id, p_election_id);
end;
$$;
comment on function private.strike_election is
'Takes an election''s words away, in every line and notice that says them too; the election goes on.';

create function private.require_election(p_election_id uuid)
returns private.elections
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  select e.* into v_election from private.elections as e where e.id = p_election_id;
  perform private.require_seen(v_election.community_id, 'election');
  return v_election;
end;
$$;
comment on function private.require_election is
'Returns an election of a community the caller is in. Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND.';

create function private.require_moderator_of(p_election private.elections)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_roles text[];
begin
  -- Held before it is asked who the caller is: their erasure either waits for this act or is found to have come first.
  select m.roles into v_roles from private.community_members as m
  where m.community_id = p_election.community_id and m.user_id = private.caller_id() and m.left_at is null
  for key share;
  perform private.require_seen(p_election.community_id, 'election');
  if 'moderator' <> all(v_roles) then
    perform private.refuse('FORBIDDEN', 'Only moderators may do this.');
  end if;
end;
$$;
comment on function private.require_moderator_of is
'Asks that the caller moderates the community of an election that was looked up by its id, and keeps their membership
from ending until the transaction ends.

Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND, FORBIDDEN.';

create function private.require_open_election(p_election private.elections)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_status text := private.election_status(p_election.status, p_election.ends_at);
begin
  if v_status <> 'active' then
    perform private.refuse(
      'ELECTION_CLOSED',
      case v_status when 'cancelled' then 'This election was called off.' else 'This election is over.' end,
      jsonb_build_object('status', v_status, 'closed_at', coalesce(p_election.closed_at, p_election.ends_at))
    );
  end if;
end;
$$;
comment on function private.require_open_election is
'Asks that an election is open by the clock, whether or not the job has closed it. Refuses: ELECTION_CLOSED {status,
closed_at}.';

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
