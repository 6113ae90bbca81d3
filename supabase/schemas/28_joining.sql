-- Founding and joining: where membership and money begin together (RULES 2.1, 2.2).

create function private.enter(p_community_id uuid, p_user_id uuid, p_is_first boolean)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_day public.community_days := private.hold_day(p_community_id);
  v_budget integer := (select c.daily_cc_budget from public.communities as c where c.id = p_community_id);
begin
  perform private.open_balance(p_community_id, p_user_id, v_day.day);
  if p_is_first and v_day.is_open then
    perform private.post_first_grant(p_community_id, p_user_id, v_budget);
  end if;
  perform private.wake_loans(p_community_id, p_user_id);
end;
$$;
comment on function private.enter is
'Opens a member''s purse: with the day''s budget the first time ever and while the day is open, else empty until
Dawn.';
revoke all on function private.enter from public, anon, authenticated, service_role;

create function private.show_entry(p_community_id uuid, p_user_id uuid)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'community', private.show_community(p_community_id),
    'member', private.show_member(p_community_id, p_user_id),
    'balance', private.show_balance(p_community_id, p_user_id)
  );
end;
comment on function private.show_entry is 'What founding and joining answer.';
revoke all on function private.show_entry from public, anon, authenticated, service_role;

create function private.create_community(
  p_name text, p_description text, p_timezone text, p_daily_cc_budget integer, p_request_id uuid
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_arguments jsonb := jsonb_build_array(p_name, p_description, p_timezone, p_daily_cc_budget);
  v_answer jsonb := private.recall(v_me.id, 'create_community', p_request_id, v_arguments);
  v_community public.communities;
begin
  if v_answer is not null then
    return v_answer;
  end if;
  perform private.require_name('name', p_name, 50);
  perform private.require_text('description', p_description, 200, 0);
  perform private.require_timezone(p_timezone);
  perform private.require_number('daily_cc_budget', p_daily_cc_budget, 10, 1000);

  v_community := private.found_community(v_me.id, p_name, p_description, p_timezone, p_daily_cc_budget);
  perform private.begin_calendar(v_community.id, p_timezone);
  perform private.enter(v_community.id, v_me.id, true);
  perform private.record_act(v_community.id, v_me.id, 'community_founded');
  perform private.announce(
    v_community.id, 'community_founded', format('%s founded the community.', v_me.display_name),
    jsonb_build_object('user_id', v_me.id)
  );
  perform private.begin_reading(v_community.id, v_me.id);
  return private.remember(
    v_me.id, 'create_community', p_request_id, v_arguments, private.show_entry(v_community.id, v_me.id)
  );
end;
$$;
comment on function private.create_community is 'What create_community does.';
revoke all on function private.create_community from public, anon, authenticated, service_role;

create function public.create_community(
  name text,
  description text default '',
  timezone text default 'UTC',
  daily_cc_budget integer default 100,
  request_id uuid default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.create_community(
    create_community.name, create_community.description, create_community.timezone,
    create_community.daily_cc_budget, create_community.request_id
  );
end;
comment on function public.create_community is
'Founds a community, with the caller as its first member and moderator.

name 1 to 50 characters, description up to 200, daily budget 10 to 1000 CC. The founder gets the day''s budget at
once; one who founds between Sunset and Dawn waits for Dawn. Returns {community, member, balance}. Refuses: CONFLICT
{most} (the eleventh of one person), INVALID_INPUT.';
revoke all on function public.create_community from public, anon, authenticated, service_role;
grant execute on function public.create_community, private.create_community to authenticated;

create function private.join_community(p_invite_code text, p_request_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_arguments jsonb := jsonb_build_array(p_invite_code);
  v_answer jsonb := private.recall(v_me.id, 'join_community', p_request_id, v_arguments);
  v_community_id uuid;
  v_is_first boolean;
begin
  if v_answer is not null then
    return v_answer;
  end if;
  v_community_id := private.find_by_join_code(p_invite_code);
  if v_community_id is null then
    perform private.refuse('NOT_FOUND', 'No community has this code.');
  end if;
  perform private.hold_day(v_community_id);
  v_is_first := private.add_member(v_community_id, v_me.id);
  perform private.enter(v_community_id, v_me.id, v_is_first);
  perform private.begin_reading(v_community_id, v_me.id);
  perform private.announce(
    v_community_id, case when v_is_first then 'member_joined' else 'member_returned' end,
    format(case when v_is_first then '%s joined.' else '%s came back.' end, v_me.display_name),
    jsonb_build_object('user_id', v_me.id)
  );
  return private.remember(
    v_me.id, 'join_community', p_request_id, v_arguments, private.show_entry(v_community_id, v_me.id)
  );
end;
$$;
comment on function private.join_community is 'What join_community does.';
revoke all on function private.join_community from public, anon, authenticated, service_role;

create function public.join_community(invite_code text, request_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.join_community(join_community.invite_code, join_community.request_id);
end;
comment on function public.join_community is
'Joins the community a join code opens (trimmed and lower-cased, then exact).

Only the first ever join grants the day''s budget at once; whoever returns, or joins while the day is closed, waits
for Dawn with an empty purse. A code that is paused or expired answers as one that never was. Returns {community,
member, balance}. Refuses: NOT_FOUND, CONFLICT (already in), FORBIDDEN (banned).';
revoke all on function public.join_community from public, anon, authenticated, service_role;
grant execute on function public.join_community, private.join_community to authenticated;
