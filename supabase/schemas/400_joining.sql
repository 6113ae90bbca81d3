-- Founding and joining: where membership and money begin together (RULES 2.1, 2.2).

create table private.join_codes (
  community_id uuid not null,
  code text not null,
  is_open boolean not null default true,
  expires_at timestamptz,
  constraint join_codes_pkey primary key (community_id),
  constraint join_codes_community_id_fkey foreign key (community_id) references private.communities (id),
  constraint join_codes_code_length check (char_length(code) >= 12)
);
comment on table private.join_codes is
'The code a community is joined by; apart from communities, for only moderators see it.';
-- By its hash, so that how long a search takes tells nothing of how much of a guess was right.
create unique index join_codes_code_unique on private.join_codes (extensions.digest(code, 'sha256'));
alter table private.join_codes enable row level security;
grant select on private.join_codes to authenticated;

create policy moderators_read_join_codes on private.join_codes for select to authenticated
using (community_id = any(array(select private.my_moderated_communities())));

create table private.bans (
  community_id uuid not null,
  user_id uuid not null,
  id bigint generated always as identity,
  banned_by uuid not null,
  reason_id bigint not null,
  created_at timestamptz not null default private.clock(),
  constraint bans_pkey primary key (community_id, user_id),
  constraint bans_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint bans_banned_by_fkey foreign key (community_id, banned_by)
  references private.community_members (community_id, user_id),
  constraint bans_reason_fkey foreign key (community_id, reason_id) references private.words (community_id, id)
);
comment on table private.bans is 'Who may not come back to a community, who said so and why.';
create index bans_community_id_id_idx on private.bans (community_id, id);
create index bans_community_id_banned_by_idx on private.bans (community_id, banned_by);
create index bans_community_id_reason_id_idx on private.bans (community_id, reason_id);
alter table private.bans enable row level security;
create policy nobody_reads_bans on private.bans for select to authenticated using (false);

create function private.found_community(
  p_founder_id uuid, p_name text, p_description text, p_timezone text, p_daily_cc_budget integer
)
returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  v_id uuid;
begin
  if (select count(*) from private.communities as c where c.created_by = p_founder_id) >= 10 then
    perform private.refuse('CONFLICT', 'One person may found ten communities.', jsonb_build_object('most', 10));
  end if;
  insert into private.communities (name, description, timezone, daily_cc_budget, created_by)
  values (p_name, p_description, p_timezone, p_daily_cc_budget, p_founder_id)
  returning id into v_id;
  insert into private.join_codes (community_id, code) values (v_id, lower(private.make_code(12)));
  insert into private.community_members (community_id, user_id, roles)
  values (v_id, p_founder_id, '{member,moderator}');
  return v_id;
end;
$$;
comment on function private.found_community is
'Makes a community with its join code and its founder as first member and moderator, and returns its id. Only under
private.lock_me, the queue in which one person''s communities are counted.

Refuses: CONFLICT {most} (the eleventh of one person, left ones counted).';

create function private.require_join_code(p_code text)
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_id uuid;
begin
  -- By hash: how long the search takes tells nothing of how much of a guess was right.
  select j.community_id into v_id
  from private.join_codes as j
  where extensions.digest(j.code, 'sha256') = extensions.digest(private.plain_code(p_code), 'sha256')
    and j.is_open and (j.expires_at is null or j.expires_at > private.clock());
  if not found then
    perform private.refuse('NOT_FOUND', 'No community has this code.');
  end if;
  return v_id;
end;
$$;
comment on function private.require_join_code is
'The community a join code opens now: an exact match of what private.plain_code leaves. Refuses: NOT_FOUND.';

create function private.keep_join_code(p_community_id uuid, p_code text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform from private.join_codes as j where j.community_id = p_community_id for share;
  if private.require_join_code(p_code) <> p_community_id then
    perform private.refuse('NOT_FOUND', 'No community has this code.');
  end if;
end;
$$;
comment on function private.keep_join_code is
'Asks once more, with the community''s day in hand, whether a code opens it, and keeps the code as it is until the
transaction ends: whoever waited for the last member''s leaving, or for the code to be paused, comes too late (RULES
2.2). Refuses: NOT_FOUND.';

create function private.add_member(p_community_id uuid, p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  v_is_first boolean := not exists (
    select from private.community_members as m where m.community_id = p_community_id and m.user_id = p_user_id
  );
begin
  insert into private.community_members as m (community_id, user_id) values (p_community_id, p_user_id)
  on conflict (community_id, user_id) do update
  set roles = '{member}', joined_at = private.clock(), left_at = null
  where m.left_at is not null;
  if not found then
    perform private.refuse('CONFLICT', 'You are already in this community.');
  end if;
  -- Asked last, with the row in hand: a removal under way has been waited for.
  if exists (select from private.bans as b where b.community_id = p_community_id and b.user_id = p_user_id) then
    perform private.refuse('FORBIDDEN', 'You may not come back to this community.');
  end if;
  return v_is_first;
end;
$$;
comment on function private.add_member is
'Makes a person a member, with no other role; returns whether it is their first time.

Refuses: CONFLICT (already in), FORBIDDEN (banned).';

create function private.change_join_code(
  p_community_id uuid, p_rotate boolean, p_open boolean, p_expires_at timestamptz
)
returns void
language sql security definer set search_path = ''
begin atomic
  update private.join_codes as j
  set
    code = case when p_rotate then lower(private.make_code(12)) else j.code end,
    is_open = coalesce(p_open, p_rotate or j.is_open),
    expires_at = nullif(coalesce(p_expires_at, case when not p_rotate then j.expires_at end), 'infinity')
  where j.community_id = p_community_id;
end;
comment on function private.change_join_code is
'Changes a join code: what is null stays, or where the code is made anew starts open and without expiry.';

create function private.ban(p_community_id uuid, p_user_id uuid, p_by_id uuid, p_reason_id bigint)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.bans (community_id, user_id, banned_by, reason_id)
  values (p_community_id, p_user_id, p_by_id, p_reason_id)
  on conflict (community_id, user_id) do nothing;
end;
$$;
comment on function private.ban is 'Keeps somebody from coming back to a community; who is banned already stays so.';

create function private.give_purse(p_day private.community_days, p_user_id uuid, p_is_first boolean)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.open_purse(p_day.community_id, p_user_id, p_day.day);
  if p_is_first and p_day.is_open then
    perform private.post_first_grant(p_day.community_id, p_user_id, (
      select c.daily_cc_budget from private.communities as c where c.id = p_day.community_id
    ));
  end if;
  perform private.wake_loans(p_day.community_id, p_user_id);
end;
$$;
comment on function private.give_purse is
'Opens a member''s purse on a day that is held: with its budget the first time ever and while the day is open, else
empty until Dawn.';

create function private.show_arrival(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'community', private.show_community(p_community_id),
    'member', private.show_member(p_community_id, p_user_id),
    'balance', private.show_balance_of(p_community_id, p_user_id)
  );
end;
$$;
comment on function private.show_arrival is 'What founding and joining answer.';

create function private.show_arrival_again(p_made jsonb)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member_today((p_made ->> 'community_id')::uuid);
begin
  return private.show_arrival(v_me.community_id, v_me.user_id);
end;
$$;
comment on function private.show_arrival_again is
'What a founding or a joining made is shown as it stands now, to who is still in. Refuses: NOT_FOUND.';

create function private.create_community(
  p_name text, p_description text, p_timezone text, p_daily_cc_budget integer, p_request_id uuid
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := (private.lock_me()).id;
  v_arguments jsonb := jsonb_build_array(p_name, p_description, p_timezone, p_daily_cc_budget);
  v_made jsonb := private.recall(v_me, 'create_community', p_request_id, v_arguments);
  v_id uuid;
begin
  if v_made is not null then
    return private.show_arrival_again(v_made);
  end if;
  perform private.require_name('name', p_name, 50);
  perform private.require_text('description', p_description, 200, 0);
  perform private.require_timezone(p_timezone);
  perform private.require_number('daily_cc_budget', p_daily_cc_budget, 10, 1000);

  v_id := private.found_community(v_me, p_name, p_description, p_timezone, p_daily_cc_budget);
  perform private.begin_calendar(v_id, p_timezone);
  perform private.give_purse(private.hold_day(v_id), v_me, true);
  perform private.record_act(v_id, v_me, 'community_founded');
  perform private.announce(v_id, 'community_founded', jsonb_build_object('user_id', v_me));
  perform private.note_item(v_id, 'joined', v_me, jsonb_build_object('user_id', v_me, 'how', 'founded'));
  perform private.begin_reading(v_id, v_me);
  perform private.remember(
    v_me, 'create_community', p_request_id, v_arguments, jsonb_build_object('community_id', v_id)
  );
  return private.show_arrival(v_id, v_me);
end;
$$;

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
{most} (the eleventh of one person), CONFLICT (request_id), INVALID_INPUT; a repeat NOT_FOUND, once the founder has
left.';
grant execute on function public.create_community, private.create_community to authenticated;

create function private.join_community(p_invite_code text, p_request_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := (private.lock_me()).id;
  v_arguments jsonb := jsonb_build_array(p_invite_code);
  v_made jsonb := private.recall(v_me, 'join_community', p_request_id, v_arguments);
  v_id uuid;
  v_day private.community_days;
  v_is_first boolean;
begin
  if v_made is not null then
    return private.show_arrival_again(v_made);
  end if;
  v_id := private.require_join_code(p_invite_code);
  v_day := private.hold_day(v_id);
  perform private.keep_join_code(v_id, p_invite_code);

  v_is_first := private.add_member(v_id, v_me);
  perform private.give_purse(v_day, v_me, v_is_first);
  perform private.begin_reading(v_id, v_me);
  perform private.announce(
    v_id, case when v_is_first then 'member_joined' else 'member_returned' end, jsonb_build_object('user_id', v_me)
  );
  perform private.note_item(v_id, 'joined', v_me, jsonb_build_object(
    'user_id', v_me, 'how', case when v_is_first then 'joined' else 'returned' end
  ));
  perform private.remember(
    v_me, 'join_community', p_request_id, v_arguments, jsonb_build_object('community_id', v_id)
  );
  return private.show_arrival(v_id, v_me);
end;
$$;

create function public.join_community(invite_code text, request_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.join_community(join_community.invite_code, join_community.request_id);
end;
comment on function public.join_community is
'Joins the community a join code opens, matched without regard to case, blanks, hyphens and invisible characters.

Only the first ever join grants the day''s budget at once; whoever returns, or joins while the day is closed, waits
for Dawn with an empty purse. A code that is paused or expired answers as one that never was. Returns {community,
member, balance}. Refuses: NOT_FOUND, CONFLICT (already in; request_id), FORBIDDEN (banned); a repeat NOT_FOUND, once
who joined has left.';
grant execute on function public.join_community, private.join_community to authenticated;

create function private.set_join_code(
  p_community_id uuid, p_rotate boolean, p_open boolean, p_expires_at timestamptz
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_moderator(p_community_id);
  v_code private.join_codes;
begin
  if p_rotate or p_open is not null or p_expires_at is not null then
    perform private.change_join_code(p_community_id, coalesce(p_rotate, false), p_open, p_expires_at);
    perform private.record_act(p_community_id, v_me.user_id, 'join_code_changed', null, jsonb_strip_nulls(
      jsonb_build_object('rotated', coalesce(p_rotate, false), 'open', p_open, 'expires_at', p_expires_at)
    ));
  end if;
  select j.* into v_code from private.join_codes as j where j.community_id = p_community_id;
  return jsonb_build_object('invite_code', v_code.code, 'open', v_code.is_open, 'expires_at', v_code.expires_at);
end;
$$;
comment on function private.set_join_code is
'The audit log keeps what was done, never the code; the Chamber is not told.';

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
grant execute on function public.set_join_code, private.set_join_code to authenticated;
