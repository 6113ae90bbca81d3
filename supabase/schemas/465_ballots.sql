-- The sealed box: candidates, roll and ballots of an election (RULES 9.2). Nothing outside this room looks inside.

create table private.election_candidates (
  election_id uuid not null,
  user_id uuid not null,
  community_id uuid not null,
  roles text[] not null,
  stands boolean not null default true,
  constraint election_candidates_pkey primary key (election_id, user_id),
  constraint election_candidates_election_id_fkey foreign key (election_id) references private.elections (id),
  constraint election_candidates_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id)
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
  constraint election_electors_election_id_fkey foreign key (election_id) references private.elections (id),
  constraint election_electors_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id)
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
  constraint ballot_boxes_election_id_fkey foreign key (election_id) references private.elections (id)
);
comment on table private.ballot_boxes is
'What a vote and a close lock, one row an election: a lock on private.elections would show its readers when somebody
voted.';
alter table private.ballot_boxes enable row level security;
create policy nobody_reads_ballot_boxes on private.ballot_boxes for select to authenticated using (false);

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

create function private.show_poll(p_election_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.caller_id();
  v_status text := (
    select private.election_status(e.status, e.ends_at) from private.elections as e
    where e.id = p_election_id and private.is_member(e.community_id, v_me)
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
grant execute on function private.show_poll to authenticated;

create function private.elections_awaiting(p_community_id uuid, p_user_id uuid)
returns integer
language sql stable security definer set search_path = ''
begin atomic
  select count(*)::integer
  from private.elections as e
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

create function private.lock_box(p_election_id uuid)
returns private.elections
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  perform from private.ballot_boxes as b where b.election_id = p_election_id for update;
  select e.* into v_election from private.elections as e where e.id = p_election_id;
  return v_election;
end;
$$;
comment on function private.lock_box is
'Locks the box of an election until the transaction ends, and returns the election as it is then: a vote is either in
the box before the close counts it, or finds it closed. Whoever also holds the community''s row takes that first.';
