-- The sealed box: candidates, roll and ballots of an election (RULES 9.2). Nothing outside this room looks inside: what
-- is to be known of a box is asked here, and no client may call anything that answers. Whoever calls has read the
-- election and asked for membership.

create table private.ballot_boxes (
  community_id uuid not null,
  election_id uuid not null,
  constraint ballot_boxes_pkey primary key (community_id, election_id),
  constraint ballot_boxes_election_fkey foreign key (community_id, election_id)
  references private.elections (community_id, id)
);
comment on table private.ballot_boxes is
'What a vote and a close lock, one row an election: a lock on private.elections would show its readers when somebody
voted.';
alter table private.ballot_boxes enable row level security;
create policy nobody_reads_ballot_boxes on private.ballot_boxes for select to authenticated using (false);

create table private.election_candidates (
  community_id uuid not null,
  election_id uuid not null,
  user_id uuid not null,
  roles text[] not null,
  stands boolean not null default true,
  votes integer,
  place integer,
  constraint election_candidates_pkey primary key (community_id, election_id, user_id),
  constraint election_candidates_box_fkey foreign key (community_id, election_id)
  references private.ballot_boxes (community_id, election_id),
  constraint election_candidates_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint election_candidates_counted_in_full check ((votes is null) = (place is null))
);
comment on table private.election_candidates is
'Who stands in an election, with the roles held at its opening; stands is false once they have left the community.
votes and place are what the close counted, null before it, for who stood no more and where it was called off.';
create index election_candidates_community_id_user_id_idx on private.election_candidates (community_id, user_id);
alter table private.election_candidates enable row level security;
create policy nobody_reads_election_candidates on private.election_candidates for select to authenticated using (false);

create table private.election_electors (
  community_id uuid not null,
  election_id uuid not null,
  user_id uuid not null,
  constraint election_electors_pkey primary key (community_id, election_id, user_id),
  constraint election_electors_box_fkey foreign key (community_id, election_id)
  references private.ballot_boxes (community_id, election_id),
  constraint election_electors_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id)
);
comment on table private.election_electors is
'The roll of an election, fixed at its opening; who leaves before the close is struck.';
create index election_electors_community_id_user_id_idx on private.election_electors (community_id, user_id);
alter table private.election_electors enable row level security;
create policy nobody_reads_election_electors on private.election_electors for select to authenticated using (false);

create table private.ballots (
  community_id uuid not null,
  election_id uuid not null,
  user_id uuid not null,
  candidate_id uuid not null,
  number bigint generated always as identity,
  cast_at timestamptz not null,
  constraint ballots_pkey primary key (community_id, election_id, user_id),
  constraint ballots_elector_fkey foreign key (community_id, election_id, user_id)
  references private.election_electors (community_id, election_id, user_id),
  constraint ballots_candidate_fkey foreign key (community_id, election_id, candidate_id)
  references private.election_candidates (community_id, election_id, user_id)
);
comment on table private.ballots is
'The sealed ballots, one an elector; cast_at and number, the order of casting, are those of the choice that stands.
No role of the API reads it and it is in no publication. number counts the votes of the whole house and is shown to
nobody.';
create index ballots_community_id_election_id_candidate_id_idx on private.ballots (
  community_id, election_id, candidate_id
);
alter table private.ballots enable row level security;
create policy nobody_reads_ballots on private.ballots for select to authenticated using (false);

create function private.open_box(p_election private.elections)
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_electorate text := (select c.electorate from private.communities as c where c.id = p_election.community_id);
  v_able uuid[] := private.present_able_ids(p_election.community_id);
  v_electors uuid[];
begin
  insert into private.ballot_boxes (community_id, election_id) values (p_election.community_id, p_election.id);
  insert into private.election_candidates (community_id, election_id, user_id, roles)
  select m.community_id, p_election.id, m.user_id, m.roles
  from private.community_members as m
  where m.community_id = p_election.community_id and m.user_id = any(v_able)
    and m.roles && array['moderator', 'council'];

  with roll as (
    insert into private.election_electors (community_id, election_id, user_id)
    select m.community_id, p_election.id, m.user_id
    from private.community_members as m
    where m.community_id = p_election.community_id and m.user_id = any(v_able)
      and (v_electorate = 'members' or m.roles && array['moderator', 'council'])
    returning user_id
  )
  select coalesce(array_agg(r.user_id order by r.user_id), '{}') into v_electors from roll as r;
  if cardinality(v_electors) < 2 then
    perform private.refuse(
      'NO_ELECTORS', 'An election needs at least two voters.',
      jsonb_build_object('electors', cardinality(v_electors), 'least', 2, 'electorate', v_electorate)
    );
  end if;
  return v_electors;
end;
$$;
comment on function private.open_box is
'Fixes candidates and roll as they are at the opening, and returns the roll: candidates are the council and the
moderators, voters the same or, where the electorate says so, all members; able people all of them, and not away. Who
is appointed later is neither; who loses a role stays both.

Only while private.hold_roll keeps everyone from leaving. Refuses: NO_ELECTORS {electors, least, electorate}.';

create function private.lock_box(p_community_id uuid, p_election_id uuid)
returns private.elections
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  perform from private.ballot_boxes as b
  where b.community_id = p_community_id and b.election_id = p_election_id for update;
  select e.* into v_election from private.elections as e where e.community_id = p_community_id and e.id = p_election_id;
  return v_election;
end;
$$;
comment on function private.lock_box is
'Locks the box of an election until the transaction ends, and returns the election as it is then: a vote is either in
the box before the close counts it, or finds it closed. Whoever also holds the community''s row takes that first.';

create function private.cast_ballot(p_election private.elections, p_user_id uuid, p_candidate_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if not exists (
    select from private.election_electors as r
    where r.community_id = p_election.community_id and r.election_id = p_election.id and r.user_id = p_user_id
  ) then
    perform private.refuse('NOT_ELECTOR', 'You are not on the roll of this election.');
  end if;
  if not exists (
    select from private.election_candidates as c
    where c.community_id = p_election.community_id and c.election_id = p_election.id and c.user_id = p_candidate_id
      and c.stands
  ) then
    perform private.refuse('NOT_FOUND', 'There is no such candidate.', jsonb_build_object('field', 'candidate_id'));
  end if;
  insert into private.ballots as b (community_id, election_id, user_id, candidate_id, cast_at)
  values (p_election.community_id, p_election.id, p_user_id, p_candidate_id, private.clock())
  on conflict (community_id, election_id, user_id) do update
  set candidate_id = excluded.candidate_id, cast_at = excluded.cast_at, number = default
  where b.candidate_id <> excluded.candidate_id;
end;
$$;
comment on function private.cast_ballot is
'Puts an elector''s ballot into a locked box, or changes it; the same choice again keeps its age.

Refuses: NOT_ELECTOR, NOT_FOUND {field: candidate_id}.';

create function private.require_full_box(p_election private.elections)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_electors integer;
  v_turnout integer;
  v_awaiting integer;
begin
  select count(*), count(b.user_id), count(*) filter (where b.user_id is null and private.is_able(r.user_id))
  into v_electors, v_turnout, v_awaiting
  from private.election_electors as r
  left join private.ballots as b
    on b.community_id = r.community_id and b.election_id = r.election_id and b.user_id = r.user_id
  where r.community_id = p_election.community_id and r.election_id = p_election.id;
  if v_awaiting > 0 then
    perform private.refuse(
      'CONFLICT', 'Not everyone on the roll has voted yet.',
      jsonb_build_object(
        'awaiting', v_awaiting, 'electors', v_electors, 'turnout', v_turnout, 'possible_at', p_election.ends_at
      )
    );
  end if;
end;
$$;
comment on function private.require_full_box is
'Asks that everyone on the roll who can act has voted. A ballot for somebody who has left since counts as cast here,
though for nobody: to wait for its owner would tell whom it was for.

Refuses: CONFLICT {awaiting, electors, turnout, possible_at: when it closes by itself}.';

create function private.tally(p_election private.elections, out user_id uuid, out votes integer, out place integer)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select
    c.user_id,
    count(b.user_id)::integer,
    row_number() over (
      order by
        count(b.user_id) desc, min(b.cast_at), (array_agg(b.number order by b.cast_at, b.number))[1], c.user_id
    )::integer
  from private.election_candidates as c
  left join private.ballots as b
    on b.community_id = c.community_id and b.election_id = c.election_id and b.candidate_id = c.user_id
    and private.is_able(b.user_id)
  where c.community_id = p_election.community_id and c.election_id = p_election.id and c.stands
    and private.is_able(c.user_id)
  group by c.user_id;
end;
$$;
comment on function private.tally is
'Counts the box of an election: each candidate who still stands and can act, their votes by people who can act, and
their place. A tie goes to the candidate whose earliest standing ballot is oldest, by time, then by order of casting
(RULES 9.3). Who can act is asked now: a ballot of or for somebody suspended counts if they are restored before the
close.

It opens the seal: only for an election that is over, or for the close.';

create function private.winner_of(p_election private.elections)
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (select t.user_id from private.tally(p_election) as t where t.place = 1 and t.votes > 0);
end;
$$;
comment on function private.winner_of is
'Who won an election that is over, as the close would count it now; null without ballots that count. It opens the seal,
as private.tally does.';

create function private.count_box(p_election private.elections)
returns uuid
language plpgsql security definer set search_path = ''
as $$
begin
  update private.election_candidates as c set votes = t.votes, place = t.place
  from private.tally(p_election) as t
  where c.community_id = p_election.community_id and c.election_id = p_election.id and c.user_id = t.user_id;
  return (
    select c.user_id from private.election_candidates as c
    where c.community_id = p_election.community_id and c.election_id = p_election.id and c.place = 1 and c.votes > 0
  );
end;
$$;
comment on function private.count_box is
'Counts a locked box for good and returns the winner, null without ballots: what becomes of people later changes no
tally. Only private.decide_election calls it.';

create function private.result_of(p_election private.elections, out user_id uuid, out votes integer, out place integer)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
begin
  if p_election.status = 'completed' then
    return query
    select c.user_id, c.votes, c.place from private.election_candidates as c
    where c.community_id = p_election.community_id and c.election_id = p_election.id and c.place is not null;
  elsif private.election_status(p_election.status, p_election.ends_at) = 'completed' then
    return query select t.user_id, t.votes, t.place from private.tally(p_election) as t;
  end if;
end;
$$;
comment on function private.result_of is
'What the close counted or, where it is due and not written yet, would count. While an election is open, and if it was
called off, nothing: the count is not even made.';

create function private.show_poll(p_election private.elections)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.caller_id();
  v_status text := private.election_status(p_election.status, p_election.ends_at);
  v_candidates jsonb;
  v_winner jsonb;
begin
  select
    jsonb_agg(
      jsonb_build_object('user', p.person, 'roles', c.roles, 'votes', t.votes)
      order by t.place, p.display_name, p.id
    ),
    to_jsonb((array_agg(p.person) filter (where t.place = 1 and t.votes > 0))[1])
  into v_candidates, v_winner
  from private.election_candidates as c
  left join private.result_of(p_election) as t on t.user_id = c.user_id
  join private.shown_people as p on p.id = c.user_id
  where c.community_id = p_election.community_id and c.election_id = p_election.id and c.stands;
  return jsonb_build_object(
    'candidates', coalesce(v_candidates, '[]'),
    'winner', v_winner,
    'electors', (
      select count(*) from private.election_electors as r
      where r.community_id = p_election.community_id and r.election_id = p_election.id
    ),
    'turnout', (
      select count(*) from private.ballots as b
      where b.community_id = p_election.community_id and b.election_id = p_election.id
    ),
    'my_vote', (
      select b.candidate_id
      from private.ballots as b
      join private.election_candidates as c
        on c.community_id = b.community_id and c.election_id = b.election_id and c.user_id = b.candidate_id
      where b.community_id = p_election.community_id and b.election_id = p_election.id and b.user_id = v_me and c.stands
    ),
    'can_vote', v_status = 'active' and exists (
      select from private.election_electors as r
      where r.community_id = p_election.community_id and r.election_id = p_election.id and r.user_id = v_me
    )
  );
end;
$$;
comment on function private.show_poll is
'What may be seen of an election''s box: candidates, electors, turnout and the caller''s own ballot; votes and winner
after the close, never of an election that was called off (or else calling one off would be a way to peep).

A ballot for somebody who has left is null to its owner, who may choose again, but stays in the turnout: were it to
leave it, the turnout would tell how many votes the leaver had.';

create function private.elections_awaiting(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select count(*)
    from private.elections as e
    join private.election_electors as r
      on r.community_id = e.community_id and r.election_id = e.id and r.user_id = p_user_id
    where e.community_id = p_community_id and e.status = 'active' and e.ends_at > private.clock()
      and not exists (
        select from private.ballots as b
        join private.election_candidates as c
          on c.community_id = b.community_id and c.election_id = b.election_id and c.user_id = b.candidate_id
        where b.community_id = e.community_id and b.election_id = e.id and b.user_id = p_user_id and c.stands
      )
  );
end;
$$;
comment on function private.elections_awaiting is
'How many open elections of a community still await a person''s ballot; only for that person to see.';

create function private.strike_from_boxes(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_open uuid := (
    select e.id from private.elections as e where e.community_id = p_community_id and e.status = 'active'
  );
begin
  if v_open is null then
    return;
  end if;
  perform private.lock_box(p_community_id, v_open);
  delete from private.ballots as b
  where b.community_id = p_community_id and b.election_id = v_open and b.user_id = p_user_id;
  delete from private.election_electors as r
  where r.community_id = p_community_id and r.election_id = v_open and r.user_id = p_user_id;
  update private.election_candidates as c set stands = false
  where c.community_id = p_community_id and c.election_id = v_open and c.user_id = p_user_id;
end;
$$;
comment on function private.strike_from_boxes is
'Takes someone who leaves out of the open election: struck from the roll with their ballot, no candidate any more,
and neither again if they come back. Elections that are over stay as they were decided (RULES 9.3): the caller has
settled those.';

create function private.export_ballots(p_user_id uuid, p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'candidacies', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object('election_id', c.election_id, 'roles', c.roles, 'stands', c.stands)
            order by c.election_id
          ), '[]'
        )
      from private.election_candidates as c
      where c.community_id = p_community_id and c.user_id = p_user_id
    ),
    'election_rolls', (
      select coalesce(jsonb_agg(r.election_id order by r.election_id), '[]')
      from private.election_electors as r
      where r.community_id = p_community_id and r.user_id = p_user_id
    ),
    'ballots', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object('election_id', b.election_id, 'candidate_id', b.candidate_id, 'cast_at', b.cast_at)
            order by b.cast_at, b.election_id
          ), '[]'
        )
      from private.election_electors as r
      join private.ballots as b
        on b.community_id = r.community_id and b.election_id = r.election_id and b.user_id = r.user_id
      where r.community_id = p_community_id and r.user_id = p_user_id
    )
  );
end;
$$;
comment on function private.export_ballots is
'What a person has in the boxes of a community: where they stood, whose roll they were on, and their own ballots, each
as the choice and when it was cast. No counter: it would step when others vote (RULES 13.1).';
