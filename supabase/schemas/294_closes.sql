-- The close of an election: a fact of the clock, whoever writes it down (RULES 9.3).

create function private.seat_winner(p_election private.elections)
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_released uuid[] := array[]::uuid[];
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

create function private.note_close(p_election private.elections, p_released uuid[], p_actor_id uuid, p_at timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_facts jsonb := jsonb_build_object(
    'election_id', p_election.id, 'title_id', p_election.title_id, 'winner_id', p_election.winner_id,
    'seat_rule', p_election.seat_rule, 'released', p_released
  );
begin
  perform private.record_act(
    p_election.community_id, p_actor_id, 'election_closed', p_election.winner_id, v_facts, p_at
  );
  perform private.announce(p_election.community_id, 'election_closed', v_facts, p_at);
  perform private.notify(
    private.member_ids(p_election.community_id), p_election.community_id, 'election', 'election_closed',
    'election', p_election.id, v_facts, p_at => p_at
  );
end;
$$;
comment on function private.note_close is
'Tells of a close the audit log (p_actor_id is null where the clock closed it), the Chamber and every member.';

create function private.decide_election(p_election private.elections, p_at timestamptz, p_actor_id uuid default null)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_winner uuid := private.count_box(p_election);
  v_election private.elections;
begin
  v_election := private.end_election(p_election, 'completed', v_winner, least(p_at, p_election.ends_at));
  perform private.note_close(v_election, private.seat_winner(v_election), p_actor_id, p_at);
end;
$$;
comment on function private.decide_election is
'Closes an active election: counts the box, seats the winner, tells everyone.

Only under the locks of the community''s row and of the box. closed_at is ends_at however late the close is written.';

create function private.close_elections(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  select e.* into v_election from private.elections as e
  where e.community_id = p_community_id and e.status = 'active' and e.ends_at <= p_now;
  if not found then
    return 0;
  end if;
  perform private.lock_community(p_community_id);
  v_election := private.lock_box(p_community_id, v_election.id);
  if v_election.status <> 'active' then
    return 0;
  end if;
  perform private.decide_election(v_election, p_now);
  return 1;
end;
$$;
comment on function private.close_elections is
'Closes a community''s election if its end has come; returns how many it closed, 0 or 1. Twice, or from two sides at
once, it changes nothing more.';

create function private.settle_elections(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.close_elections(p_community_id, private.clock());
end;
$$;
comment on function private.settle_elections is
'Closes what the job has not come to yet. Acts that depend on who moderates or who is a member (an opening, a
leaving, a change of roles) call it first; the community''s row, if they lock it, they lock before.';

create function private.elections_due(p_now timestamptz, p_limit integer, p_except uuid[])
returns uuid[]
language plpgsql volatile security definer set search_path = ''
as $$
begin
  return array(
    select e.community_id
    from private.elections as e
    join private.communities as c on c.id = e.community_id
    where e.status = 'active' and e.ends_at <= p_now and e.community_id <> all(p_except)
    order by e.ends_at
    limit p_limit
    for no key update of c skip locked
  );
end;
$$;
comment on function private.elections_due is
'Up to p_limit communities whose election has ended and is not closed yet, but for those in p_except; they are locked.
One that somebody is just leaving is skipped: the next run finds it.';

create function private.unwritten_outcome(p_community_id uuid, out winner_id uuid, out seat_rule text)
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  select e.* into v_election from private.elections as e
  where e.community_id = p_community_id and e.status = 'active' and e.ends_at <= private.clock();
  if found then
    winner_id := private.winner_of(v_election);
    seat_rule := v_election.seat_rule;
  end if;
end;
$$;
comment on function private.unwritten_outcome is
'How an election ended that is over and not written down as closed; nulls if there is none, or nobody won it.';

create function private.roles_after(p_member private.community_members, p_winner_id uuid, p_seat_rule text)
returns text[]
language plpgsql immutable set search_path = ''
as $$
begin
  return case
    when p_winner_id is null then p_member.roles
    when p_member.user_id = p_winner_id then private.with_role(p_member.roles, 'moderator', true)
    when p_seat_rule = 'renew' then private.with_role(p_member.roles, 'moderator', false)
    else p_member.roles
  end;
end;
$$;
comment on function private.roles_after is
'A member''s roles once an election is closed as private.unwritten_outcome says: what private.seat_winner will write.';

create function private.roles_now(p_member private.community_members)
returns text[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select private.roles_after(p_member, o.winner_id, o.seat_rule)
    from private.unwritten_outcome(p_member.community_id) as o
  );
end;
$$;
comment on function private.roles_now is
'A member''s roles as they are now: an election whose end has come counts, written down or not. For what only reads;
whatever may write settles it first.';
