-- Seats: who is called to the council, and who hands on the moderator's seat (RULES 2.3).

create function private.lock_membership(p_community_id uuid)
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
comment on function private.lock_membership is
'The queue in which roles change and members go: the day held alone, the community locked, overdue elections closed.
Whoever has waited in it asks only then who moderates.';

create function private.require_present(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if not private.is_member(p_community_id, p_user_id) then
    perform private.refuse('NOT_FOUND', 'There is no such member.');
  end if;
end;
$$;
comment on function private.require_present is 'Asks that a person is in a community now. Refuses: NOT_FOUND.';

create function private.note_role(p_community_id uuid, p_event text, p_user_id uuid, p_by_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.record_act(p_community_id, p_by_id, p_event, p_user_id);
  perform private.announce(p_community_id, p_event, jsonb_build_object('user_id', p_user_id) || case
    when p_event = 'moderator_stepped_down' then '{}' else jsonb_build_object('by_id', p_by_id)
  end);
  if p_user_id <> p_by_id then
    perform private.notify(
      array[p_user_id], p_community_id, 'system', p_event, p_event, p_community_id, p_by => p_by_id
    );
  end if;
end;
$$;
comment on function private.note_role is
'Tells of a changed role the audit log, the Chamber and, unless it was their own doing, the member.';

create function private.set_council(p_community_id uuid, p_user_id uuid, p_granted boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
begin
  if p_granted is null then
    perform private.refuse('INVALID_INPUT', 'granted must be true or false.', '{"field": "granted"}');
  end if;
  -- Asked before the queue as well, so that nobody waits for who is refused or changes nothing.
  perform private.require_moderator(p_community_id);
  perform private.require_present(p_community_id, p_user_id);
  if p_granted = exists (
    select from private.community_members as m
    where m.community_id = p_community_id and m.user_id = p_user_id and 'council' = any(m.roles)
  ) then
    return jsonb_build_object('member', private.show_member(p_community_id, p_user_id));
  end if;
  perform private.lock_membership(p_community_id);
  perform private.require_moderator(p_community_id);
  perform private.require_present(p_community_id, p_user_id);

  if private.set_role(p_community_id, p_user_id, 'council', p_granted) then
    perform private.note_role(
      p_community_id, case when p_granted then 'council_appointed' else 'council_released' end,
      p_user_id, v_me.user_id
    );
  end if;
  return jsonb_build_object('member', private.show_member(p_community_id, p_user_id));
end;
$$;
comment on function private.set_council is 'What is so already is told to nobody again.';

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
grant execute on function public.set_council, private.set_council to authenticated;

create function private.needs_successor(p_community_id uuid, p_user_id uuid, p_successor_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  if not private.is_last_moderator(p_community_id, p_user_id)
    or private.find_heir(p_community_id, p_user_id) is null
  then
    return false;
  elsif p_successor_id is null then
    perform private.refuse('LAST_MODERATOR', 'You are the last moderator: name a successor.',
      '{"needs": "successor_id"}');
  elsif p_successor_id = p_user_id then
    perform private.refuse('INVALID_INPUT', 'Nobody succeeds themselves.', '{"field": "successor_id"}');
  end if;
  perform private.require_present(p_community_id, p_successor_id);
  if not private.is_able(p_successor_id) then
    perform private.refuse('LAST_MODERATOR', 'Whom you name cannot act now: name a successor who can.',
      '{"needs": "successor_id"}');
  end if;
  return true;
end;
$$;
comment on function private.needs_successor is
'Whether a moderator who goes must pass the seat to the successor they name: as the last able one, with somebody left
who could act.

Refuses: LAST_MODERATOR {needs: successor_id}, NOT_FOUND (no such member), INVALID_INPUT (oneself).';

create function private.foresee_seat(p_community_id uuid, p_user_id uuid, p_successor_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if (private.unwritten_outcome(p_community_id)).winner_id is null then
    perform private.needs_successor(p_community_id, p_user_id, p_successor_id);
  end if;
end;
$$;
comment on function private.foresee_seat is
'As private.needs_successor, asked before the queue so that nobody waits for who is refused. An election that is over
and not written down may seat another: then only the queue tells. Refuses: as needs_successor.';

create function private.pass_seat(p_community_id uuid, p_user_id uuid, p_successor_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if private.needs_successor(p_community_id, p_user_id, p_successor_id) then
    perform private.set_role(p_community_id, p_successor_id, 'moderator', true);
    perform private.note_role(p_community_id, 'moderator_appointed', p_successor_id, p_user_id);
  end if;
end;
$$;
comment on function private.pass_seat is
'Makes an able successor moderator before the last able moderator goes. Where another one stays, or nobody who could
act, there is no seat to pass and whoever is named as successor is left as they are: moderators otherwise come from
elections. Refuses: as needs_successor.';

create function private.step_down(p_community_id uuid, p_successor_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_moderator(p_community_id);
begin
  perform private.foresee_seat(p_community_id, v_me.user_id, p_successor_id);
  perform private.lock_membership(p_community_id);
  perform private.require_moderator(p_community_id);
  if private.find_heir(p_community_id, v_me.user_id) is null then
    perform private.refuse('LAST_MODERATOR', 'There is nobody else to moderate.', '{"needs": "successor_id"}');
  end if;
  perform private.pass_seat(p_community_id, v_me.user_id, p_successor_id);
  perform private.set_role(p_community_id, v_me.user_id, 'moderator', false);
  perform private.note_role(p_community_id, 'moderator_stepped_down', v_me.user_id, v_me.user_id);
  return jsonb_build_object('member', private.show_member(p_community_id, v_me.user_id));
end;
$$;
comment on function private.step_down is 'A seat on the council stays.';

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
grant execute on function public.step_down, private.step_down to authenticated;
