-- Who moderates, and the seat that never stays empty (RULES 2.3).

create function private.my_moderated_communities()
returns setof uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.my_id();
begin
  return query
  select m.community_id
  from private.community_members as m
  left join private.elections as e
    on e.community_id = m.community_id and e.status = 'active' and e.ends_at <= private.clock()
  where m.user_id = v_me and m.left_at is null
    and 'moderator' = any(case when e.id is null then m.roles else private.roles_now(m) end);
end;
$$;
comment on function private.my_moderated_communities is
'The communities the caller moderates, by the clock: an election that is over counts, written down or not. For
policies.';
grant execute on function private.my_moderated_communities to authenticated;

create policy moderators_read_audit_entries on private.audit_entries for select to authenticated
using (community_id = any(array(select private.my_moderated_communities())));

create function private.require_moderator(p_community_id uuid)
returns private.community_members
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_member private.community_members := private.require_member(p_community_id);
begin
  v_member.roles := private.roles_now(v_member);
  if 'moderator' <> all(v_member.roles) then
    perform private.refuse('FORBIDDEN', 'Only moderators may do this.');
  end if;
  return v_member;
end;
$$;
comment on function private.require_moderator is
'Returns the caller''s membership if they moderate the community now: an election that is over counts, though nobody has
written it down yet (RULES 9.3). An act settles it first, as private.require_acting_moderator does.

Refuses: as require_member, FORBIDDEN.';
grant execute on function private.require_moderator to authenticated;

create function private.require_acting_moderator(p_community_id uuid)
returns private.community_members
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_member(p_community_id);
  perform private.settle_elections(p_community_id);
  perform private.hold_roll(p_community_id);
  perform private.require_acting_member(p_community_id);
  return private.require_moderator(p_community_id);
end;
$$;
comment on function private.require_acting_moderator is
'As private.require_moderator, for an act that locks nothing else before: an election that is over is closed first, and
until the transaction ends nobody leaves and no role changes hands. Refuses: as require_moderator.';

create function private.able_moderator_ids(p_community_id uuid)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return private.able_among(array(
    select m.user_id from private.community_members as m
    where m.community_id = p_community_id and m.left_at is null and 'moderator' = any(m.roles)
  ));
end;
$$;
comment on function private.able_moderator_ids is 'The moderators of a community who can act now, in id order.';

create function private.is_last_moderator(p_community_id uuid, p_user_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return private.able_moderator_ids(p_community_id) = array[p_user_id];
end;
$$;
comment on function private.is_last_moderator is 'Whether a person is the one moderator of a community who can act.';

create function private.find_heir(p_community_id uuid, p_except uuid default null)
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_id uuid;
begin
  -- Asked one after the other: nearly always the first who comes can act.
  for v_id in
    select m.user_id from private.community_members as m
    where m.community_id = p_community_id and m.left_at is null and m.user_id is distinct from p_except
    order by m.council_since asc nulls last, m.joined_at asc, m.user_id asc
  loop
    if private.is_able(v_id) then
      return v_id;
    end if;
  end loop;
  return null;
end;
$$;
comment on function private.find_heir is
'Who comes next for the moderator''s seat: of those who can act, the council member longest on the council, else the
member of longest standing (RULES 2.3); null if nobody else can act.';

create function private.hold_heir(p_community_id uuid)
returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  v_id uuid;
begin
  for v_id in
    select m.user_id from private.community_members as m
    where m.community_id = p_community_id and m.left_at is null
    order by m.council_since asc nulls last, m.joined_at asc, m.user_id asc
  loop
    -- Asked again once they are held: a suspension may have come just before.
    if private.is_able(v_id) and private.keep_person(v_id) and private.is_able(v_id) then
      return v_id;
    end if;
  end loop;
  return private.find_heir(p_community_id);
end;
$$;
comment on function private.hold_heir is
'As private.find_heir, and of the same order the first about whom nothing is just being decided: whoever suspends them
waits, and then finds them in the seat.';

create function private.fill_seat(p_community_id uuid, p_at timestamptz default private.clock())
returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  v_heir uuid;
begin
  -- A glance without a lock: nearly always somebody moderates.
  if cardinality(private.able_moderator_ids(p_community_id)) > 0 then
    return null;
  end if;
  perform private.lock_community(p_community_id);
  perform private.close_elections(p_community_id, p_at);
  if cardinality(private.able_moderator_ids(p_community_id)) > 0 then
    return null;
  end if;
  v_heir := private.hold_heir(p_community_id);
  if v_heir is not null then
    perform private.set_role(p_community_id, v_heir, 'moderator', true);
    perform private.record_act(p_community_id, null, 'moderator_seated', v_heir, '{}', p_at);
    perform private.announce(p_community_id, 'moderator_seated', jsonb_build_object('user_id', v_heir), p_at);
    perform private.notify(
      array[v_heir], p_community_id, 'system', 'moderator_seated', 'moderator_seated', p_community_id, p_at => p_at
    );
  end if;
  return v_heir;
end;
$$;
comment on function private.fill_seat is
'Seats the heir where no moderator can act any more, and tells of it (RULES 2.3); returns who was seated, null where
nobody had to be or nobody can act. Whoever held the seat keeps the role: they moderate again beside the heir once they
can.

When a seat falls vacant, and at each Dawn: so a seat that Auth emptied by a ban stays so until the next Dawn at most.
Only with the community''s day in hand.';

create type private.member as (
  "user" json,
  community_id uuid,
  roles text [],
  joined_at timestamptz,
  able boolean,
  away json
);
comment on type private.member is 'The shape member, key by attribute.';

create function private.shown_members(
  p_community_id uuid, p_user_ids uuid[], out user_id uuid, out joined_at timestamptz, out member private.member
)
returns setof record
-- As private.able_among: one plan for few and for many.
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  v_able uuid[] := private.able_among(p_user_ids);
  v_outcome record := private.unwritten_outcome(p_community_id);
  v_today date := (private.day_at(p_community_id, private.clock())).day;
begin
  return query
  select
    m.user_id,
    m.joined_at,
    row(
      p.person, m.community_id,
      case
        when v_outcome.winner_id is null then m.roles
        else private.roles_after(m, v_outcome.winner_id, v_outcome.seat_rule)
      end,
      m.joined_at, m.user_id in (select unnest(v_able)),
      (
        select json_build_object('from', a.from_day, 'to', a.to_day) from private.absences as a
        where a.community_id = m.community_id and a.user_id = m.user_id and a.to_day >= v_today
      )
    )::private.member
  from private.community_members as m
  join private.shown_people as p on p.id = m.user_id
  where m.community_id = p_community_id and m.user_id = any(p_user_ids);
end;
$$;
comment on function private.shown_members is
'The shape member of these people, with their roles as they are by the clock. Only for a door that has asked whose
community it is.';

create function private.show_member(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (select to_jsonb(s.member) from private.shown_members(p_community_id, array[p_user_id]) as s);
end;
$$;
comment on function private.show_member is 'The shape member of one person.';
