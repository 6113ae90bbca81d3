-- Being away: declaring it, and coming back before it is over (RULES 16.2).

create function private.declare_absence(p_community_id uuid, p_from_day date, p_to_day date)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_day private.community_days;
  v_absence private.absences;
begin
  perform private.require_quiet_rate(p_community_id, v_me.user_id);
  -- Rolls of today are beside the point: no absence begins or ends before tomorrow.
  v_day := private.hold_day(p_community_id);
  v_me := private.require_acting_member(p_community_id);
  if p_from_day is null or p_from_day not between v_day.day + 1 and v_day.day + 60 then
    perform private.refuse(
      'INVALID_INPUT', 'An absence begins tomorrow at the earliest and within 60 days.',
      jsonb_build_object('field', 'from_day', 'earliest', v_day.day + 1, 'latest', v_day.day + 60)
    );
  elsif p_to_day is null or p_to_day not between p_from_day and p_from_day + 13 then
    perform private.refuse(
      'INVALID_INPUT', 'An absence lasts 1 to 14 days.',
      jsonb_build_object('field', 'to_day', 'earliest', p_from_day, 'latest', p_from_day + 13)
    );
  end if;
  -- Of two that one member declares at once one comes first: they are counted one after the other.
  perform private.count_quiet_act(
    p_community_id, v_me.user_id, case when p_from_day = v_day.day + 1 then v_day.dawn_at else 'infinity' end
  );
  v_absence := private.absence_of(p_community_id, v_me.user_id, v_day.day);
  if v_absence.user_id is not null then
    perform private.refuse(
      'CONFLICT', 'You have declared an absence already.',
      jsonb_build_object('from', v_absence.from_day, 'to', v_absence.to_day)
    );
  end if;
  perform private.write_absence(p_community_id, v_me.user_id, p_from_day, p_to_day);
  perform private.tell_community(p_community_id, 'absence', jsonb_build_object('user_id', v_me.user_id));
  return jsonb_build_object('member', private.show_member(p_community_id, v_me.user_id));
end;
$$;

create function public.declare_absence(community_id uuid, from_day date, to_day date)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.declare_absence(declare_absence.community_id, declare_absence.from_day, declare_absence.to_day);
end;
comment on function public.declare_absence is
'Declares that the caller will be away, from one day to another, both included.

1 to 14 days, beginning tomorrow at the earliest and within 60 days, in days of the community; one at a time. Away,
one is granted nothing, is on no roll and no candidate, and is not weighed by the Jashn; a streak neither grows nor
breaks; debts wait on both sides. Talk, witness and votes on older rolls stay open. Leaving the community ends it.
Returns {member}, whose away is {from, to} until it is over. Refuses: INVALID_INPUT {field, earliest, latest},
CONFLICT {from, to}, RATE_LIMITED {most, possible_at, retry_after} (thirty a minute, with those taken back), NOT_FOUND.';
grant execute on function public.declare_absence, private.declare_absence to authenticated;

create function private.end_absence(p_community_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_day private.community_days := private.hold_day(p_community_id);
begin
  v_me := private.require_acting_member(p_community_id);
  perform private.count_quiet_act(p_community_id, v_me.user_id, v_day.dawn_at);
  if not private.cut_absence(p_community_id, v_me.user_id, v_day.day) then
    perform private.refuse('CONFLICT', 'You have declared no absence.', '{"away": null}');
  end if;
  perform private.tell_community(p_community_id, 'absence', jsonb_build_object('user_id', v_me.user_id));
  return jsonb_build_object('member', private.show_member(p_community_id, v_me.user_id));
end;
$$;

create function public.end_absence(community_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.end_absence(end_absence.community_id);
end;
comment on function public.end_absence is
'Takes back the caller''s absence if it has not begun; one that has ends with today.

Returns {member}. Refuses: CONFLICT {away} (there is none), RATE_LIMITED {most, possible_at, retry_after}, NOT_FOUND.';
grant execute on function public.end_absence, private.end_absence to authenticated;
