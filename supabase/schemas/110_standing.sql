-- Where everybody stands with the Bureau, and who is calling (RULES 1.2).

create table private.admissions (
  user_id uuid not null,
  invite_id uuid,
  admitted_at timestamptz default private.clock(),
  suspended_at timestamptz,
  constraint admissions_pkey primary key (user_id),
  constraint admissions_user_id_fkey foreign key (user_id) references private.users (id),
  constraint admissions_admitted_or_suspended check (admitted_at is not null or suspended_at is not null)
);
comment on table private.admissions is
'Who has been let in, with which invite; suspended_at takes it back, and keeps out somebody never let in (whose
admitted_at is null). No client role can read or write it.';
alter table private.admissions enable row level security;
create policy nobody_reads_admissions on private.admissions for select to authenticated using (false);

create function private.caller_id()
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_sub text := coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  );
begin
  -- auth.uid() raises on a sub that is no uuid; here such a caller is simply nobody.
  if v_sub ~ '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$' then
    return v_sub::uuid;
  end if;
  return null;
end;
$$;
comment on function private.caller_id is 'The id in the caller''s token, or null; says nothing about admission.';
grant execute on function private.caller_id to authenticated, service_role;

create view private.standings with (security_invoker = on) as
select
  u.id as user_id,
  case
    when a.banned_until > now() then 'banned'
    when a.is_anonymous then 'anonymous'
    when d.suspended_at is not null then 'suspended'
    when d.user_id is not null or not private.invites_enforced() then 'admitted'
    else 'waiting'
  end as standing
from private.users as u
inner join auth.users as a on u.id = a.id
left join private.admissions as d on u.id = d.user_id
where u.erased_at is null and a.deleted_at is null;
comment on view private.standings is
'Where everybody known stands with the Bureau: banned (by Auth), anonymous, suspended (by a steward), waiting (for an
invite) or admitted.

Asked afresh by every call and every policy, so taking an admission back bites at once (RULES 1.2). A suspension
holds even where nobody needs an invite. Only the kernel reads it.';

create function private.standing_of(p_user_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((select s.standing from private.standings as s where s.user_id = p_user_id), 'unknown');
end;
$$;
comment on function private.standing_of is 'Where one person stands, as private.standings says, or unknown.';

create function private.my_id()
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select s.user_id from private.standings as s
    where s.user_id = private.caller_id() and s.standing = 'admitted'
  );
end;
$$;
comment on function private.my_id is
'The caller''s id if they are admitted, else null; what policies on one''s own rows ask.';
grant execute on function private.my_id to authenticated;

create function private.require_signed_in()
returns private.users
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.users;
begin
  case private.standing_of(private.caller_id())
    when 'unknown' then perform private.refuse('UNAUTHORIZED', 'Sign in first.');
    when 'banned' then perform private.refuse('FORBIDDEN', 'This account is suspended.');
    when 'anonymous' then perform private.refuse('FORBIDDEN', 'Sign in with an account of your own first.');
    else null;
  end case;
  select u.* into v_me from private.users as u
  where u.id = private.caller_id();
  return v_me;
end;
$$;
comment on function private.require_signed_in is
'Returns the caller''s profile, admitted or not.

Refuses: UNAUTHORIZED (no such person), FORBIDDEN (banned by Auth, or an anonymous sign-in).';

create function private.require_admitted()
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.my_id();
begin
  if v_me is null then
    perform private.require_signed_in();
    perform private.refuse('INVITE_REQUIRED', case private.standing_of(private.caller_id())
      when 'suspended' then 'A steward has suspended this account.'
      else 'CHAS is by invitation: redeem an invite first.'
    end);
  end if;
  return v_me;
end;
$$;
comment on function private.require_admitted is
'Returns the caller''s id if they are signed in and admitted.

Refuses: UNAUTHORIZED, FORBIDDEN, INVITE_REQUIRED.';
grant execute on function private.require_admitted to authenticated;

create function private.require_user()
returns private.users
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_id uuid := private.require_admitted();
  v_me private.users;
begin
  select u.* into v_me from private.users as u
  where u.id = v_id;
  return v_me;
end;
$$;
comment on function private.require_user is
'Returns the caller''s profile if they are signed in and admitted.

Refuses: UNAUTHORIZED, FORBIDDEN, INVITE_REQUIRED.';
grant execute on function private.require_user to authenticated;

create function private.is_steward()
returns boolean
language sql stable security definer set search_path = ''
begin atomic
  -- app_metadata is written by the server alone; user_metadata is the person's own and proves nothing.
  select coalesce(
    nullif(current_setting('request.jwt.claims', true), '')::jsonb -> 'app_metadata' ->> 'chas_role' = 'steward', false
  );
end;
comment on function private.is_steward is
'Whether the caller''s token names them a steward, an operator of the whole Bureau.';

create function private.admit(p_user_id uuid, p_invite_id uuid default null)
returns void
language sql security definer set search_path = ''
begin atomic
  insert into private.admissions (user_id, invite_id) values (p_user_id, p_invite_id)
  on conflict (user_id) do nothing;
end;
comment on function private.admit is
'Lets a person in. One who is in, or whose admission was suspended, stays as they are.';

create function private.suspend(p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.admissions as a (user_id, admitted_at, suspended_at) values (p_user_id, null, private.clock())
  on conflict (user_id) do update set suspended_at = excluded.suspended_at where a.suspended_at is null;
  return found;
end;
$$;
comment on function private.suspend is
'Takes an admission back, or keeps out somebody who has none; returns whether that changed anything.';

create function private.restore(p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  -- Who was never let in waits for an invite again.
  delete from private.admissions as a where a.user_id = p_user_id and a.admitted_at is null;
  if found then
    return true;
  end if;
  update private.admissions as a set suspended_at = null
  where a.user_id = p_user_id and a.suspended_at is not null;
  return found;
end;
$$;
comment on function private.restore is
'Lifts a suspension: everything is as it was before; returns whether that changed anything.';

create function private.is_admitted(p_user_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select exists(
      select from private.admissions as a
      where a.user_id = p_user_id and a.suspended_at is null
    )
  );
end;
$$;
comment on function private.is_admitted is 'Whether a person holds an admission that is not suspended.';

create function private.get_access()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.users := private.require_signed_in();
begin
  return jsonb_build_object(
    'whitelisted', private.is_admitted(v_me.id),
    'whitelist_required', private.invites_enforced(),
    'is_steward', private.is_steward()
  );
end;
$$;
create function public.get_access()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_access();
end;
comment on function private.get_access is 'What get_access answers.';
comment on function public.get_access is
'Tells the caller whether they are admitted; works before admission.

Returns {whitelisted, whitelist_required, is_steward}. Refuses: UNAUTHORIZED, FORBIDDEN.';
grant execute on function public.get_access, private.get_access to authenticated;

create function private.get_me()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.users := private.require_user();
begin
  return (
    select p.person || jsonb_build_object('email', a.email, 'created_at', v_me.created_at)
    from private.shown_people as p
    join auth.users as a on a.id = p.id
    where p.id = v_me.id
  );
end;
$$;
create function public.get_me()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_me();
end;
comment on function private.get_me is
'What get_me answers; the e-mail address is read from auth.users and shown to its owner only.';
comment on function public.get_me is
'The caller''s own profile.

Returns person + {email, created_at}. Refuses: UNAUTHORIZED, INVITE_REQUIRED.';
grant execute on function public.get_me, private.get_me to authenticated;

create function private.update_me(p_display_name text, p_avatar_url text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.require_user();
begin
  if p_display_name is not null then
    perform private.require_name('display_name', p_display_name, 80);
  end if;
  perform private.require_link('avatar_url', nullif(p_avatar_url, ''));
  if p_display_name <> v_me.display_name then
    insert into private.former_names (user_id, name) values (v_me.id, v_me.display_name) on conflict do nothing;
  end if;
  update private.users as u
  set
    display_name = coalesce(p_display_name, u.display_name),
    avatar_url = case when p_avatar_url is null then u.avatar_url else nullif(p_avatar_url, '') end
  where u.id = v_me.id;
  return private.get_me();
end;
$$;
create function public.update_me(display_name text default null, avatar_url text default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.update_me(update_me.display_name, update_me.avatar_url);
end;
comment on function private.update_me is 'What update_me does.';
comment on function public.update_me is
'Changes the caller''s display name (1 to 80 characters) or avatar (a web address; an empty text removes it).

What is left out or null stays. Returns as get_me. Refuses: INVALID_INPUT.';
grant execute on function public.update_me, private.update_me to authenticated;

create function private.get_account(p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_account jsonb;
begin
  select jsonb_build_object(
    'id', u.id, 'email', a.email, 'email_confirmed', a.email_confirmed_at is not null,
    'display_name', u.display_name, 'avatar_url', u.avatar_url,
    'is_steward', coalesce(a.raw_app_meta_data ->> 'chas_role' = 'steward', false),
    'banned', coalesce(a.banned_until > now(), false),
    'whitelisted', private.is_admitted(u.id), 'whitelist_required', private.invites_enforced(),
    'created_at', u.created_at
  ) into v_account
  from private.users as u
  join auth.users as a on a.id = u.id
  where u.id = p_user_id and u.erased_at is null and a.deleted_at is null;
  if not found then
    perform private.refuse('NOT_FOUND', 'There is no such person.');
  end if;
  return v_account;
end;
$$;
comment on function private.get_account is 'What get_account answers.';
create function public.get_account(user_id uuid)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_account(get_account.user_id);
end;
comment on function public.get_account is
'A person as the edge needs to know them. For the service role alone.

Returns {id, email, email_confirmed, display_name, avatar_url, is_steward, banned, whitelisted, whitelist_required,
created_at}. Refuses: NOT_FOUND.';
grant execute on function public.get_account, private.get_account to service_role;
