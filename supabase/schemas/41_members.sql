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
