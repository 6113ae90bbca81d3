-- A community's settings and its join code, as its moderators keep them (RULES 2.2, 2.4).

create function private.hold_community(p_community_id uuid)
returns public.communities
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.hold_day(p_community_id);
  return private.lock_community(p_community_id);
end;
$$;
comment on function private.hold_community is
'Settles what is overdue, holds the day, then locks the community and returns it: the queue in which settings change.

Whoever stood in it asks again afterwards who they are.';
revoke all on function private.hold_community from public, anon, authenticated, service_role;

create function private.string_in(p_value jsonb)
returns text
language sql immutable set search_path = ''
begin atomic
  select case when jsonb_typeof(p_value) = 'string' then p_value #>> '{}' end;
end;
comment on function private.string_in is 'The text of a JSON string; null for any other JSON.';
revoke all on function private.string_in from public, anon, authenticated, service_role;

create function private.integer_in(p_value jsonb)
returns integer
language sql immutable set search_path = ''
begin atomic
  -- One case within the other: 1e400 is a JSON number, and no integer.
  select case
    when jsonb_typeof(p_value) = 'number'
      then case
        when p_value::numeric between -2147483648 and 2147483647 and p_value::numeric = trunc(p_value::numeric)
          then p_value::integer
      end
  end;
end;
comment on function private.integer_in is 'The whole number a JSON number is; null for any other JSON.';
revoke all on function private.integer_in from public, anon, authenticated, service_role;

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
      when 'name' then to_jsonb(private.require_text('name', private.string_in(v_value), 50))
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
revoke all on function private.require_patch from public, anon, authenticated, service_role;

create function private.list_settings(p_settings jsonb)
returns text
language sql immutable set search_path = ''
begin atomic
  select string_agg(s.words, ', ' order by s.words)
  from (
    select format('%s %s', replace(e.key, '_', ' '), coalesce(nullif(e.value, ''), 'none')) as words
    from jsonb_each_text(p_settings) as e
  ) as s;
end;
comment on function private.list_settings is 'Settings in words, for the Chamber; null if there are none.';
revoke all on function private.list_settings from public, anon, authenticated, service_role;

create function private.tell_settings(
  p_before public.communities, p_user_id uuid, p_changed jsonb, p_pending jsonb
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.record_act(p_before.id, p_user_id, 'settings_changed', null,
    jsonb_build_object('changed', p_changed, 'pending', p_pending));
  perform private.announce(
    p_before.id, 'settings_changed',
    concat_ws(
      ' ',
      format('%s changed the settings.', private.name_of(p_user_id)),
      'From now on: ' || private.list_settings(p_changed) || '.',
      case
        when p_pending = p_before.pending then null
        when p_pending = '{}' then 'Nothing else changes at the next Dawn.'
        else format('From the next Dawn: %s.', private.list_settings(p_pending))
      end
    ),
    jsonb_build_object(
      'user_id', p_user_id, 'changed', p_changed, 'pending', p_pending,
      'next_dawn_at', (select d.dawn_at from public.community_days as d where d.community_id = p_before.id)
    )
  );
end;
$$;
comment on function private.tell_settings is 'Tells the Chamber and the audit log what changed and what now pends.';
revoke all on function private.tell_settings from public, anon, authenticated, service_role;

create function private.update_community(p_community_id uuid, p_patch jsonb)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_moderator(p_community_id);
  v_patch jsonb := private.require_patch(p_patch);
  v_community public.communities := private.hold_community(p_community_id);
  v_in_force jsonb := to_jsonb(v_community);
  v_changed jsonb;
  v_pending jsonb;
begin
  perform private.require_moderator(p_community_id);
  select
    coalesce(jsonb_object_agg(s.key, s.value) filter (where s.key in ('name', 'description')), '{}'),
    coalesce(jsonb_object_agg(s.key, s.value) filter (where s.key not in ('name', 'description')), '{}')
  into v_changed, v_pending
  from jsonb_each(v_community.pending || v_patch) as s
  where v_in_force -> s.key <> s.value;

  if v_changed <> '{}' or v_pending <> v_community.pending then
    perform private.change_community(p_community_id, v_changed ->> 'name', v_changed ->> 'description', v_pending);
    perform private.tell_settings(v_community, v_me.user_id, v_changed, v_pending);
  end if;
  return jsonb_build_object('community', private.show_community(p_community_id), 'pending', v_pending);
end;
$$;
comment on function private.update_community is
'What update_community does. What comes to be as it is in force pends no more; a patch that changes nothing is told
to nobody.';
revoke all on function private.update_community from public, anon, authenticated, service_role;

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
{community, pending}. Refuses: FORBIDDEN, INVALID_INPUT {field}, NOT_FOUND.';
revoke all on function public.update_community from public, anon, authenticated, service_role;
grant execute on function public.update_community, private.update_community to authenticated;

create function public.get_rules(community_id uuid)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  perform private.enter_day(get_rules.community_id);
  return (
    select jsonb_build_object(
      'in_force', jsonb_build_object(
        'name', c.name, 'description', c.description, 'daily_cc_budget', c.daily_cc_budget, 'timezone', c.timezone,
        'electorate', c.electorate
      ),
      'pending', c.pending
    )
    from public.communities as c
    where c.id = get_rules.community_id
  );
end;
$$;
comment on function public.get_rules is
'What is in force in a community and what will be from the next Dawn; an overdue Dawn is settled first.

Returns {in_force, pending}, each {name, description, daily_cc_budget, timezone, electorate}; in pending only what
will change. Refuses: NOT_FOUND.';
revoke all on function public.get_rules from public, anon, authenticated, service_role;
grant execute on function public.get_rules to authenticated;

create function private.set_join_code(
  p_community_id uuid, p_rotate boolean, p_open boolean, p_expires_at timestamptz
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_moderator(p_community_id);
  v_code public.join_codes;
begin
  if p_rotate or p_open is not null or p_expires_at is not null then
    perform private.change_join_code(p_community_id, coalesce(p_rotate, false), p_open, p_expires_at);
    perform private.record_act(p_community_id, v_me.user_id, 'join_code_changed', null, jsonb_strip_nulls(
      jsonb_build_object('rotated', coalesce(p_rotate, false), 'open', p_open, 'expires_at', p_expires_at)
    ));
  end if;
  select j.* into v_code from public.join_codes as j where j.community_id = p_community_id;
  return jsonb_build_object('invite_code', v_code.code, 'open', v_code.is_open, 'expires_at', v_code.expires_at);
end;
$$;
comment on function private.set_join_code is
'What set_join_code does. The audit log keeps what was done, never the code; the Chamber is not told.';
revoke all on function private.set_join_code from public, anon, authenticated, service_role;

create function public.set_join_code(
  community_id uuid, rotate boolean default false, open boolean default null, expires_at timestamptz default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.set_join_code(
    set_join_code.community_id, set_join_code.rotate, set_join_code.open, set_join_code.expires_at
  );
end;
comment on function public.set_join_code is
'Shows the join code to a moderator, and changes it: rotate makes a new one, open pauses (false) or resumes it.

What is left out stays; a new code starts open and without expiry unless told otherwise. expires_at may be past,
which ends the code at once, and infinity takes an expiry away. Returns {invite_code, open, expires_at}. Refuses:
FORBIDDEN, NOT_FOUND.';
revoke all on function public.set_join_code from public, anon, authenticated, service_role;
grant execute on function public.set_join_code, private.set_join_code to authenticated;
