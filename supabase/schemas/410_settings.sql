-- A community's settings, as its moderators keep them (RULES 2.4).

create function private.require_patch(p_patch jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_settings constant text [] := array['name', 'description', 'daily_cc_budget', 'timezone', 'electorate'];
  v_key text;
  v_value jsonb;
  v_patch jsonb := '{}'::jsonb;
begin
  if jsonb_typeof(p_patch) is distinct from 'object' then
    perform private.refuse('INVALID_INPUT', 'patch must be an object of settings.', '{"field": "patch"}');
  end if;
  for v_key, v_value in select e.key, e.value from jsonb_each(p_patch) as e loop
    if v_key <> all (v_settings) then
      perform private.refuse('INVALID_INPUT', format('%s is no setting.', left(v_key, 50)),
        jsonb_build_object('field', v_key, 'choices', v_settings));
    end if;
    v_patch := v_patch || jsonb_build_object(v_key, case v_key
      when 'name' then to_jsonb(private.require_name('name', private.string_in(v_value), 50))
      when 'description' then to_jsonb(private.require_text('description', private.string_in(v_value), 200, 0))
      when 'timezone' then to_jsonb(private.require_timezone(private.string_in(v_value)))
      when 'electorate' then to_jsonb(
        private.require_choice('electorate', private.string_in(v_value), array['council', 'members'])
      )
      when 'daily_cc_budget' then to_jsonb(
        private.require_number('daily_cc_budget', private.integer_in(v_value), 10, 1000)
      )
    end);
  end loop;
  return v_patch;
end;
$$;
comment on function private.require_patch is
'Returns a patch of settings, each in the type it is kept in, or refuses it.

Refuses: INVALID_INPUT {field}: an unknown setting, a wrong JSON type (null is one) or a value out of range.';

create function private.note_settings(
  p_before private.communities, p_user_id uuid, p_changed jsonb, p_pending jsonb, p_next_dawn_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_facts jsonb := jsonb_build_object(
    'changed', array(select k.key from jsonb_object_keys(p_changed) as k (key) order by k.key),
    'pending', case when p_pending <> p_before.pending then p_pending else '{}' end
  );
begin
  perform private.record_act(p_before.id, p_user_id, 'settings_changed', null, v_facts);
  perform private.announce(
    p_before.id, 'settings_changed',
    v_facts || jsonb_build_object('user_id', p_user_id, 'next_dawn_at', p_next_dawn_at)
  );
end;
$$;
comment on function private.note_settings is
'Tells the Chamber and the audit log what changed and what now pends. A new name or description is told of, not quoted:
what they are is read where they stand.';

create function private.require_not_willed(p_community private.communities, p_patch jsonb, p_dawn_at timestamptz)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_field text := (
    select w.key from unnest(p_community.willed) as w (key)
    where p_patch ? w.key
    order by w.key
    limit 1
  );
begin
  if v_field is not null then
    perform private.refuse(
      'CONFLICT', 'That has just been willed by all; until it is in force it stands.',
      jsonb_build_object('field', v_field, 'possible_at', p_dawn_at)
    );
  end if;
end;
$$;
comment on function private.require_not_willed is
'Asks that a patch sets nothing that all have willed and that waits for its Dawn (RULES 16.1). Refuses: CONFLICT {field,
possible_at}.';

create function private.require_amendment(p_amendment jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  if jsonb_typeof(p_amendment) is distinct from 'object' or p_amendment = '{}'
    or p_amendment - array['daily_cc_budget', 'timezone', 'electorate'] <> '{}'
  then
    perform private.refuse('INVALID_INPUT', 'An amendment changes the daily budget, the zone or the electorate.',
      '{"field": "amendment", "choices": ["daily_cc_budget", "timezone", "electorate"]}');
  end if;
  return private.require_patch(p_amendment);
end;
$$;
comment on function private.require_amendment is
'Returns an amendment, each setting in the type it is kept in, or refuses it.

Refuses: INVALID_INPUT {field}: amendment, or the setting whose value will not do.';

create function private.require_change(p_community_id uuid, p_amendment jsonb)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_field text := (
    select a.key
    from jsonb_each(p_amendment) as a
    join private.communities as c on c.id = p_community_id and to_jsonb(c) -> a.key = a.value
    order by a.key
    limit 1
  );
begin
  if v_field is not null then
    perform private.refuse('INVALID_INPUT', format('%s is in force as it is.', replace(v_field, '_', ' ')),
      jsonb_build_object('field', v_field));
  end if;
end;
$$;
comment on function private.require_change is
'Asks that an amendment would change everything it names. Refuses: INVALID_INPUT {field}.';

create function private.will_settings(
  p_community_id uuid, p_amendment jsonb, p_proposal_id uuid, p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.day_of(p_community_id);
  v_community private.communities := private.lock_community(p_community_id);
  v_pending jsonb := (
    select coalesce(jsonb_object_agg(s.key, s.value), '{}')
    from jsonb_each(v_community.pending || p_amendment) as s
    where to_jsonb(v_community) -> s.key <> s.value
  );
  v_facts jsonb := jsonb_build_object('proposal_id', p_proposal_id, 'pending', p_amendment);
begin
  perform private.change_community(
    p_community_id, null, null, v_pending, array(
      select a.key from jsonb_object_keys(p_amendment) as a (key)
      where a.key <> all(v_community.willed)
      order by a.key
    )
  );
  if v_pending ->> 'timezone' is distinct from v_community.pending ->> 'timezone' then
    v_day := private.await_zone(
      v_day, v_community.timezone, coalesce(v_pending ->> 'timezone', v_community.timezone)
    );
  end if;
  perform private.record_act(p_community_id, null, 'settings_willed', null, v_facts, p_at);
  perform private.announce(
    p_community_id, 'settings_willed', v_facts || jsonb_build_object('next_dawn_at', v_day.dawn_at), p_at
  );
end;
$$;
comment on function private.will_settings is
'Makes an amendment that all have accepted pending, in place of what was pending for the same things, on a day that is
held, alone where it moves the zone. No moderator sets these until they are in force, even where one of them is what was
in force all along; a later unanimity may.';

create function private.update_community(p_community_id uuid, p_patch jsonb)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_moderator(p_community_id);
  v_patch jsonb := private.require_patch(p_patch);
  -- Another zone moves the next Dawn: nobody else holds the day then.
  v_day private.community_days := case
    when v_patch ? 'timezone' then private.hold_day_alone(p_community_id) else private.hold_day(p_community_id)
  end;
  v_community private.communities := private.lock_community(p_community_id);
  v_in_force jsonb := to_jsonb(v_community);
  v_changed jsonb;
  v_pending jsonb;
begin
  -- Asked again, now that nobody changes beside this and an election that is over is written down.
  perform private.settle_elections(p_community_id);
  perform private.require_moderator(p_community_id);
  select
    coalesce(jsonb_object_agg(s.key, s.value) filter (where s.key in ('name', 'description')), '{}'),
    coalesce(jsonb_object_agg(s.key, s.value) filter (where s.key not in ('name', 'description')), '{}')
  into v_changed, v_pending
  from jsonb_each(v_community.pending || v_patch) as s
  where v_in_force -> s.key <> s.value;

  perform private.require_not_willed(v_community, v_patch, v_day.dawn_at);
  if v_changed <> '{}' or v_pending <> v_community.pending then
    perform private.change_community(p_community_id, v_changed ->> 'name', v_changed ->> 'description', v_pending);
    if v_pending ->> 'timezone' is distinct from v_community.pending ->> 'timezone' then
      v_day := private.await_zone(
        v_day, v_community.timezone, coalesce(v_pending ->> 'timezone', v_community.timezone)
      );
    end if;
    perform private.note_settings(v_community, v_me.user_id, v_changed, v_pending, v_day.dawn_at);
  end if;
  return jsonb_build_object('community', private.show_community(p_community_id), 'pending', v_pending);
end;
$$;
comment on function private.update_community is
'What comes to be as it is in force pends no more; a patch that changes nothing is told
to nobody.';
create function public.update_community(community_id uuid, patch jsonb)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.update_community(update_community.community_id, update_community.patch);
end;
comment on function public.update_community is
'Changes settings of a community its caller moderates; patch holds only those to change.

At once: name (1 to 50 characters), description (up to 200). At the next Dawn, announced now: daily_cc_budget (10 to
1000), timezone (an IANA name), electorate (council or members); set to what is in force, it pends no more. Returns
{community, pending}. Refuses: FORBIDDEN, CONFLICT {field, possible_at} (all have willed
it, and it waits for Dawn), INVALID_INPUT {field}, NOT_FOUND.';
grant execute on function public.update_community, private.update_community to authenticated;

create function public.get_rules(community_id uuid)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  perform private.require_member_today(get_rules.community_id);
  return (
    select jsonb_build_object(
      'in_force', jsonb_build_object(
        'name', c.name, 'description', c.description, 'daily_cc_budget', c.daily_cc_budget, 'timezone', c.timezone,
        'electorate', c.electorate
      ),
      'pending', c.pending, 'willed', c.willed
    )
    from private.communities as c
    where c.id = get_rules.community_id
  );
end;
$$;
comment on function public.get_rules is
'What is in force in a community and what will be from the next Dawn; an overdue Dawn is settled first.

Returns {in_force, pending, willed}, the first two {name, description, daily_cc_budget, timezone, electorate}; in
pending only what will change. Refuses: NOT_FOUND.';
grant execute on function public.get_rules to authenticated;
