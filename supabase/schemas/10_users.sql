-- People, their sign-up and their admission (RULES 1.1, 1.2).

create table public.users (
  id uuid not null,
  display_name text not null,
  avatar_url text,
  created_at timestamptz not null default private.clock(),
  erased_at timestamptz,
  constraint users_pkey primary key (id),
  constraint users_display_name_length check (char_length(display_name) between 1 and 80)
);
comment on table public.users is
'The public profile of everyone who ever signed up. No e-mail address, and no foreign key to auth.users: an erased
person stays here as "a former member" (RULES 13).';
create index users_created_at_id_idx on public.users (created_at, id);
alter table public.users enable row level security;
grant select on public.users to authenticated;
-- Its policy stands in 12_communities: whom one may see depends on whom one shares a community with.

create table private.former_names (
  user_id uuid not null,
  name text not null,
  constraint former_names_pkey primary key (user_id, name),
  constraint former_names_user_id_fkey foreign key (user_id) references public.users (id)
);
comment on table private.former_names is
'Names people have had: the house''s own sentences still say them, and an erasure must find them there. It takes
these too.';
alter table private.former_names enable row level security;
create policy nobody_reads_former_names on private.former_names for select to authenticated using (false);

create table private.admissions (
  user_id uuid not null,
  invite_id uuid,
  admitted_at timestamptz default private.clock(),
  suspended_at timestamptz,
  constraint admissions_pkey primary key (user_id),
  constraint admissions_user_id_fkey foreign key (user_id) references public.users (id),
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
revoke all on function private.caller_id from public, anon, authenticated, service_role;
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
from public.users as u
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
revoke all on function private.standing_of from public, anon, authenticated, service_role;

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
revoke all on function private.my_id from public, anon, authenticated, service_role;
grant execute on function private.my_id to authenticated;

create function private.require_signed_in()
returns public.users
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.users;
begin
  case private.standing_of(private.caller_id())
    when 'unknown' then perform private.refuse('UNAUTHORIZED', 'Sign in first.');
    when 'banned' then perform private.refuse('FORBIDDEN', 'This account is suspended.');
    when 'anonymous' then perform private.refuse('FORBIDDEN', 'Sign in with an account of your own first.');
    else null;
  end case;
  select u.* into v_me from public.users as u
  where u.id = private.caller_id();
  return v_me;
end;
$$;
comment on function private.require_signed_in is
'Returns the caller''s profile, admitted or not.

Refuses: UNAUTHORIZED (no such person), FORBIDDEN (banned by Auth, or an anonymous sign-in).';
revoke all on function private.require_signed_in from public, anon, authenticated, service_role;

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
revoke all on function private.require_admitted from public, anon, authenticated, service_role;
grant execute on function private.require_admitted to authenticated;

create function private.require_user()
returns public.users
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_id uuid := private.require_admitted();
  v_me public.users;
begin
  select u.* into v_me from public.users as u
  where u.id = v_id;
  return v_me;
end;
$$;
comment on function private.require_user is
'Returns the caller''s profile if they are signed in and admitted.

Refuses: UNAUTHORIZED, FORBIDDEN, INVITE_REQUIRED.';
revoke all on function private.require_user from public, anon, authenticated, service_role;
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
revoke all on function private.is_steward from public, anon, authenticated, service_role;

create function private.admit(p_user_id uuid, p_invite_id uuid default null)
returns void
language sql security definer set search_path = ''
begin atomic
  insert into private.admissions (user_id, invite_id) values (p_user_id, p_invite_id)
  on conflict (user_id) do nothing;
end;
comment on function private.admit is
'Lets a person in. One who is in, or whose admission was suspended, stays as they are.';
revoke all on function private.admit from public, anon, authenticated, service_role;

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
revoke all on function private.suspend from public, anon, authenticated, service_role;

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
revoke all on function private.restore from public, anon, authenticated, service_role;

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
revoke all on function private.is_admitted from public, anon, authenticated, service_role;

create function private.profile_name(p_email text, p_meta jsonb)
returns text
language sql immutable set search_path = ''
begin atomic
  select coalesce(
    (
      select left(n.name, 80)
      from (
        values
        (1, case when jsonb_typeof(p_meta -> 'full_name') = 'string' then p_meta ->> 'full_name' end),
        (2, split_part(p_email, '@', 1))
      ) as o (turn, given)
      cross join lateral (select btrim(private.without_tricks(o.given)) as name) as n
      where not private.is_blank(n.name)
      order by o.turn asc
      limit 1
    ),
    'Somebody'
  );
end;
comment on function private.profile_name is
'The display name a sign-up starts with: full_name, else the part of the e-mail before @ (RULES 1.1), else Somebody.';
revoke all on function private.profile_name from public, anon, authenticated, service_role;

create function private.profile_avatar(p_meta jsonb)
returns text
language sql immutable set search_path = ''
begin atomic
  select case
    when p_meta ->> 'avatar_url' ~* '^https?://[^[:space:][:cntrl:]]+$' and char_length(p_meta ->> 'avatar_url') <= 2048
      then p_meta ->> 'avatar_url'
  end;
end;
comment on function private.profile_avatar is
'The avatar a sign-up starts with: avatar_url if it is a web address, else none.';
revoke all on function private.profile_avatar from public, anon, authenticated, service_role;

create function private.welcome_user()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into public.users (id, display_name, avatar_url)
  values (new.id, private.profile_name(new.email, new.raw_user_meta_data), private.profile_avatar(new.raw_user_meta_data))
  on conflict (id) do nothing;
  return null;
exception when others then
  -- A failure here would break signing up itself.
  raise warning 'no profile was made for a new sign-up: %', sqlstate;
  return null;
end;
$$;
comment on function private.welcome_user is
'Makes the profile of a new sign-up; never fails, for it runs inside Supabase Auth.';
revoke all on function private.welcome_user from public, anon, authenticated, service_role;
create or replace trigger on_auth_user_created
after insert on auth.users
for each row execute function private.welcome_user();

create function private.names_of(p_user_id uuid)
returns text[]
language sql stable security definer set search_path = ''
begin atomic
  select array(
    select u.display_name from public.users as u
    where u.id = p_user_id and u.erased_at is null
    union
    select f.name from private.former_names as f
    where f.user_id = p_user_id
  );
end;
comment on function private.names_of is 'Every name a person has or had; none for one who is erased.';
revoke all on function private.names_of from public, anon, authenticated, service_role;

create function private.without_names(p_text text, p_names text[])
returns text
language plpgsql immutable security definer set search_path = ''
as $$
declare
  v_names text := (
    select
      string_agg(regexp_replace(n.name, '([^[:alnum:][:space:]])', '\\\1', 'g'), '|' order by char_length(n.name) desc)
    from unnest(p_names) as n (name)
  );
begin
  -- Whole words only, the longest name first: Ann must neither be found in Annual nor hide in Ann Lee.
  return coalesce(
    regexp_replace(p_text, '(^|[^[:alnum:]])(?:' || v_names || ')(?![[:alnum:]])', '\1a former member', 'g'), p_text
  );
end;
$$;
comment on function private.without_names is
'A text in which every one of these names reads "a former member" instead.';
revoke all on function private.without_names from public, anon, authenticated, service_role;

create function private.forget_profile(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.former_names (user_id, name)
  select u.id, u.display_name from public.users as u where u.id = p_user_id and u.erased_at is null
  on conflict do nothing;
  update public.users as u
  set display_name = 'a former member', avatar_url = null, erased_at = coalesce(u.erased_at, private.clock())
  where u.id = p_user_id;
  delete from private.admissions as a where a.user_id = p_user_id;
end;
$$;
comment on function private.forget_profile is
'Makes a person "a former member": no name, no avatar, no admission. Their id stays, for what others did with them;
their names wait among the former ones until every sentence is rid of them.';
revoke all on function private.forget_profile from public, anon, authenticated, service_role;

create function private.forget_names_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.former_names as f where f.user_id = p_user_id;
end;
$$;
comment on function private.forget_names_of is 'Deletes the former names of a person: the last step of an erasure.';
revoke all on function private.forget_names_of from public, anon, authenticated, service_role;

create function private.erasures_begun(p_limit integer)
returns uuid[]
language sql stable security definer set search_path = ''
begin atomic
  select array(
    select distinct f.user_id
    from private.former_names as f
    inner join public.users as u on f.user_id = u.id
    where u.erased_at is not null
    order by f.user_id
    limit p_limit
  );
end;
comment on function private.erasures_begun is
'Up to p_limit people who are erased, but whose names are not forgotten yet.';
revoke all on function private.erasures_begun from public, anon, authenticated, service_role;

create view private.shown_people with (security_invoker = on) as
select
  u.id,
  jsonb_build_object('id', u.id, 'display_name', u.display_name, 'avatar_url', u.avatar_url) as person
from public.users as u;
comment on view private.shown_people is 'The shape person of everyone the reader may see.';
grant select on private.shown_people to authenticated;

create function private.get_access()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_signed_in();
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
revoke all on function public.get_access, private.get_access from public, anon, authenticated, service_role;
grant execute on function public.get_access, private.get_access to authenticated;

create function private.get_me()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
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
revoke all on function public.get_me, private.get_me from public, anon, authenticated, service_role;
grant execute on function public.get_me, private.get_me to authenticated;

create function private.update_me(p_display_name text, p_avatar_url text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
begin
  if p_display_name is not null then
    perform private.require_name('display_name', p_display_name, 80);
  end if;
  perform private.require_link('avatar_url', nullif(p_avatar_url, ''));
  if p_display_name <> v_me.display_name then
    insert into private.former_names (user_id, name) values (v_me.id, v_me.display_name) on conflict do nothing;
  end if;
  update public.users as u
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
revoke all on function public.update_me, private.update_me from public, anon, authenticated, service_role;
grant execute on function public.update_me, private.update_me to authenticated;
