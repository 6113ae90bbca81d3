-- People, their sign-up and their admission; invites.

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

create function private.standing_of(p_user_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_standing text;
begin
  select
    case
      when a.banned_until > now() then 'banned'
      when a.is_anonymous then 'anonymous'
      when d.suspended_at is not null then 'suspended'
      when d.user_id is not null or not private.invites_enforced() then 'admitted'
      else 'waiting'
    end
  into v_standing
  from public.users as u
  inner join auth.users as a on u.id = a.id
  left join private.admissions as d on u.id = d.user_id
  where u.id = p_user_id and u.erased_at is null and a.deleted_at is null;
  return coalesce(v_standing, 'unknown');
end;
$$;
comment on function private.standing_of is
'Where a person stands with the Bureau: unknown, banned (by Auth), anonymous, suspended (by a steward), waiting (for
an invite) or admitted.

Asked afresh by every call and every policy, so taking an admission back bites at once (RULES 1.2). A suspension
holds even where nobody needs an invite.';
revoke all on function private.standing_of from public, anon, authenticated, service_role;

create function private.my_id()
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.caller_id();
begin
  return case when private.standing_of(v_me) = 'admitted' then v_me end;
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

-- Invite codes (RULES 1.3 to 1.5). Everything here is for the service role: the edge, and the stewards behind it.

create table private.invites (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  code_hash bytea not null,
  email text,
  max_uses integer not null,
  uses integer not null default 0,
  expires_at timestamptz,
  revoked_at timestamptz,
  theme text not null,
  welcome_title text,
  welcome_message text,
  note text,
  created_at timestamptz not null default private.clock(),
  constraint invites_pkey primary key (id),
  constraint invites_code_hash_unique unique (code_hash),
  constraint invites_max_uses_range check (max_uses between 1 and 100),
  constraint invites_uses_within_max check (uses between 0 and max_uses),
  constraint invites_theme_known check (theme in ('dawn', 'sunset', 'mint', 'ink'))
);
comment on table private.invites is 'Invites by the SHA-256 of their code: a leak of this table admits nobody.';
create unique index invites_number_idx on private.invites (number);
alter table private.invites enable row level security;
create policy nobody_reads_invites on private.invites for select to authenticated using (false);

create table private.invite_misses (
  id bigint generated always as identity,
  user_id uuid not null,
  missed_at timestamptz not null,
  constraint invite_misses_pkey primary key (id),
  constraint invite_misses_user_id_fkey foreign key (user_id) references public.users (id)
);
comment on table private.invite_misses is 'Unknown codes people tried; ten within an hour close the door to them.';
create index invite_misses_user_id_missed_at_idx on private.invite_misses (user_id, missed_at);
alter table private.invite_misses enable row level security;
create policy nobody_reads_invite_misses on private.invite_misses for select to authenticated using (false);

create function private.make_code(p_length integer)
returns text
language sql volatile security definer set search_path = ''
begin atomic
  -- 256 is 8 times 32, so every letter is equally likely.
  select string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', get_byte(b.bytes, n.i - 1) % 32 + 1, 1), '' order by n.i)
  from (select extensions.gen_random_bytes(p_length) as bytes) as b
  cross join generate_series(1, p_length) as n (i);
end;
comment on function private.make_code is
'A random code of p_length characters, 5 bits each, from Crockford''s base 32 alphabet (no I, L, O or U).';
revoke all on function private.make_code from public, anon, authenticated, service_role;

create function private.code_hash(p_code text)
returns bytea
language sql immutable set search_path = ''
begin atomic
  select sha256(convert_to(upper(regexp_replace(coalesce(p_code, ''), '[[:space:]-]', '', 'g')), 'UTF8'));
end;
comment on function private.code_hash is
'The hash an invite is found by: without regard to case, blanks and hyphens (RULES 1.3).';
revoke all on function private.code_hash from public, anon, authenticated, service_role;

create function private.invite_state(p_invite private.invites)
returns text
language sql stable security definer set search_path = ''
begin atomic
  select case
    when p_invite.revoked_at is not null then 'revoked'
    when p_invite.uses >= p_invite.max_uses then 'spent'
    when p_invite.expires_at <= private.clock() then 'expired'
    else 'open'
  end;
end;
comment on function private.invite_state is 'open, spent, expired or revoked; expiry is judged when read.';
revoke all on function private.invite_state from public, anon, authenticated, service_role;

create function private.show_invite(p_invite private.invites)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'id', p_invite.id, 'state', private.invite_state(p_invite), 'uses', p_invite.uses, 'max_uses', p_invite.max_uses,
    'email', p_invite.email, 'expires_at', p_invite.expires_at, 'theme', p_invite.theme,
    'welcome_title', p_invite.welcome_title, 'welcome_message', p_invite.welcome_message, 'note', p_invite.note,
    'created_at', p_invite.created_at
  );
end;
comment on function private.show_invite is 'An invite as stewards see it; the code itself is known only when minted.';
revoke all on function private.show_invite from public, anon, authenticated, service_role;

create function private.refused(p_code text, p_message text, p_facts jsonb default '{}')
returns jsonb
language sql immutable set search_path = ''
begin atomic
  select jsonb_build_object(
    'refused', jsonb_build_object('code', p_code, 'message', p_message, 'details', p_facts)
  );
end;
comment on function private.refused is
'A refusal that is returned, not raised, so that what was counted before it stays counted.';
revoke all on function private.refused from public, anon, authenticated, service_role;

create function private.misses_until(p_user_id uuid)
returns timestamptz
language sql stable security definer set search_path = ''
begin atomic
  select min(latest.missed_at) + interval '1 hour'
  from (
    select m.missed_at from private.invite_misses as m
    where m.user_id = p_user_id and m.missed_at > private.clock() - interval '1 hour'
    order by m.missed_at desc
    limit 10
  ) as latest
  having count(*) = 10;
end;
comment on function private.misses_until is
'When a person with ten misses within the hour may try again; null if they may now.';
revoke all on function private.misses_until from public, anon, authenticated, service_role;

create function private.forget_misses(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from private.invite_misses as m
  where m.id in (
    select o.id from private.invite_misses as o where o.missed_at <= p_now - interval '1 hour' order by o.id limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.forget_misses is
'Deletes up to p_limit misses older than the hour in which they count; returns how many.';
revoke all on function private.forget_misses from public, anon, authenticated, service_role;

create function private.forget_invites_of(p_user_id uuid, p_email text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.invites as i
  set
    email = null, note = null, welcome_title = null, welcome_message = null,
    -- An open invite without its address would let anybody in.
    revoked_at = case when i.uses < i.max_uses then coalesce(i.revoked_at, private.clock()) else i.revoked_at end
  where
    i.email = lower(p_email)
    or (
      (i.max_uses = 1 or i.email is not null)
      and i.id = (select a.invite_id from private.admissions as a where a.user_id = p_user_id)
    );
  delete from private.invite_misses as m
  where m.user_id = p_user_id;
end;
$$;
comment on function private.forget_invites_of is
'Takes a person''s address, and what was written for them alone, off the invites; one to it still open is revoked.';
revoke all on function private.forget_invites_of from public, anon, authenticated, service_role;

create function private.use_invite(p_user_id uuid, p_invite private.invites)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_email text;
  v_confirmed boolean;
begin
  if private.invite_state(p_invite) <> 'open' then
    return private.refused('INVITE_UNAVAILABLE', 'This invite is no longer open.',
      jsonb_build_object('state', private.invite_state(p_invite)));
  end if;
  if p_invite.email is not null then
    select lower(a.email), a.email_confirmed_at is not null into v_email, v_confirmed
    from auth.users as a where a.id = p_user_id;
    if v_email is distinct from p_invite.email then
      return private.refused('INVITE_EMAIL_MISMATCH', 'This invite was made out to somebody else.');
    elsif not v_confirmed then
      return private.refused('EMAIL_UNCONFIRMED', 'Confirm your e-mail address first.');
    end if;
  end if;

  update private.invites as i set uses = i.uses + 1 where i.id = p_invite.id;
  perform private.admit(p_user_id, p_invite.id);
  return null;
end;
$$;
comment on function private.use_invite is
'Spends one use of a locked invite on a person and lets them in; returns a refusal, or null.

The address is compared with auth.users, never with what a caller says (RULES 1.4).';
revoke all on function private.use_invite from public, anon, authenticated, service_role;

create function private.redeem_invite(p_user_id uuid, p_code text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_invite private.invites;
  v_already boolean;
  v_until timestamptz;
  v_refusal jsonb;
begin
  -- The person's row is the queue for their own attempts: ten guesses at once are counted as ten.
  perform from public.users as u where u.id = p_user_id and u.erased_at is null for no key update;
  if not found then
    return private.refused('UNAUTHORIZED', 'Sign in first.');
  end if;
  v_already := private.is_admitted(p_user_id);
  v_until := private.misses_until(p_user_id);
  if v_until is not null and not v_already then
    return private.refused('RATE_LIMITED', 'Too many unknown codes; try again later.',
      jsonb_build_object('possible_at', v_until));
  end if;

  select i.* into v_invite from private.invites as i where i.code_hash = private.code_hash(p_code) for update;
  if not v_already then
    if v_invite.id is null then
      insert into private.invite_misses (user_id, missed_at) values (p_user_id, private.clock());
      return private.refused('NOT_FOUND', 'There is no invite with this code.');
    end if;
    if exists (select from private.admissions as a where a.user_id = p_user_id) then
      return private.refused('FORBIDDEN', 'This account is suspended.');
    end if;
    v_refusal := private.use_invite(p_user_id, v_invite);
    if v_refusal is not null then
      return v_refusal;
    end if;
  end if;
  return jsonb_build_object(
    'whitelisted', true, 'already_whitelisted', v_already, 'invite_code', p_code,
    'theme', coalesce(v_invite.theme, 'dawn'), 'welcome_title', v_invite.welcome_title,
    'welcome_message', v_invite.welcome_message
  );
end;
$$;
comment on function private.redeem_invite is
'What redeem_invite does. Whoever is in already gets success whatever the code, and uses nothing up.

A suspended person is not let in again by a new code: that is a steward''s decision.';
revoke all on function private.redeem_invite from public, anon, authenticated, service_role;

create function public.redeem_invite(user_id uuid, code text)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.redeem_invite(redeem_invite.user_id, redeem_invite.code);
end;
comment on function public.redeem_invite is
'Redeems an invite code for a signed-in person. For the service role (the edge) alone.

Returns {whitelisted, already_whitelisted, invite_code, theme, welcome_title, welcome_message}, or {refused: {code,
message, details}}, returned so that the count of misses survives: NOT_FOUND, INVITE_UNAVAILABLE {state},
INVITE_EMAIL_MISMATCH, EMAIL_UNCONFIRMED, RATE_LIMITED {possible_at} after ten unknown codes within an hour,
UNAUTHORIZED (no such person), FORBIDDEN (suspended).';
revoke all on function public.redeem_invite from public, anon, authenticated, service_role;
grant execute on function public.redeem_invite, private.redeem_invite to service_role;

create function private.preview_invite(p_code text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_invite private.invites;
begin
  select i.* into v_invite from private.invites as i where i.code_hash = private.code_hash(p_code);
  if not found then
    perform private.refuse('NOT_FOUND', 'There is no invite with this code.');
  end if;
  return jsonb_build_object(
    'state', private.invite_state(v_invite), 'theme', v_invite.theme, 'welcome_title', v_invite.welcome_title,
    'welcome_message', v_invite.welcome_message
  );
end;
$$;
comment on function private.preview_invite is 'What preview_invite answers: never the address an invite is bound to.';
revoke all on function private.preview_invite from public, anon, authenticated, service_role;

create function public.preview_invite(code text)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.preview_invite(preview_invite.code);
end;
comment on function public.preview_invite is
'What anyone holding a code may see before signing in. For the service role (the edge) alone.

Returns {state, theme, welcome_title, welcome_message}. Refuses: NOT_FOUND.';
revoke all on function public.preview_invite from public, anon, authenticated, service_role;
grant execute on function public.preview_invite, private.preview_invite to service_role;

create function private.mint_invites(
  p_count integer, p_email text, p_max_uses integer, p_expires_at timestamptz, p_theme text, p_welcome_title text,
  p_welcome_message text, p_note text
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_invites jsonb;
begin
  perform private.require_number('count', p_count, 1, 100);
  perform private.require_number('max_uses', p_max_uses, 1, 100);
  perform private.require_choice('theme', p_theme, array['dawn', 'sunset', 'mint', 'ink']);
  perform private.require_text('welcome_title', coalesce(p_welcome_title, '-'), 120);
  perform private.require_text('welcome_message', coalesce(p_welcome_message, '-'), 1000);
  perform private.require_text('note', coalesce(p_note, '-'), 280);
  if p_email !~ '^[^@[:space:]]+@[^@[:space:]]+$' or char_length(p_email) > 254 then
    perform private.refuse('INVALID_INPUT', 'email must be an e-mail address.', jsonb_build_object('field', 'email'));
  elsif p_expires_at <= private.clock() then
    perform private.refuse('INVALID_INPUT', 'expires_at must be ahead.', jsonb_build_object('field', 'expires_at'));
  end if;

  with codes as materialized (
    select private.make_code(16) as code from generate_series(1, p_count)
  ), minted as (
    insert into private.invites as i (
      code_hash, email, max_uses, expires_at, theme, welcome_title, welcome_message, note
    )
    select
      private.code_hash(c.code), lower(p_email), p_max_uses, p_expires_at, p_theme, p_welcome_title, p_welcome_message,
      p_note
    from codes as c
    returning i.*
  )
  select jsonb_agg(private.show_invite(m::private.invites) || jsonb_build_object('code', c.code) order by m.number)
  into v_invites
  from minted as m
  join codes as c on private.code_hash(c.code) = m.code_hash;
  return jsonb_build_object('invites', v_invites);
end;
$$;
comment on function private.mint_invites is 'What mint_invites does; the codes exist in its answer and nowhere else.';
revoke all on function private.mint_invites from public, anon, authenticated, service_role;

create function public.mint_invites(
  count integer default 1,
  email text default null,
  max_uses integer default 1,
  expires_at timestamptz default null,
  theme text default 'dawn',
  welcome_title text default null,
  welcome_message text default null,
  note text default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.mint_invites(
    mint_invites.count, mint_invites.email, mint_invites.max_uses, mint_invites.expires_at, mint_invites.theme,
    mint_invites.welcome_title, mint_invites.welcome_message, mint_invites.note
  );
end;
comment on function public.mint_invites is
'Mints 1 to 100 invites alike, each with a code of 16 characters (80 bits). For the service role alone.

Returns {invites: [{id, code, state, uses, max_uses, email, expires_at, theme, ...}]}, the only time the codes are
shown. Refuses: INVALID_INPUT.';
revoke all on function public.mint_invites from public, anon, authenticated, service_role;
grant execute on function public.mint_invites, private.mint_invites to service_role;

create function private.list_invites(p_page_size integer, p_before_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_before bigint;
  v_invites private.invites[];
begin
  perform private.require_page_size(p_page_size);
  if p_before_id is not null then
    select i.number into v_before from private.invites as i where i.id = p_before_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such invite.');
    end if;
  end if;
  v_invites := array(
    select i from private.invites as i
    where v_before is null or i.number < v_before
    order by i.number desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'invites', (
      select coalesce(jsonb_agg(private.show_invite(i::private.invites) order by i.number desc), '[]')
      from unnest(v_invites[:p_page_size]) as i
    ),
    'has_more', cardinality(v_invites) > p_page_size
  );
end;
$$;
comment on function private.list_invites is 'What list_invites answers.';
revoke all on function private.list_invites from public, anon, authenticated, service_role;

create function public.list_invites(page_size integer default 50, before_id uuid default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_invites(list_invites.page_size, list_invites.before_id);
end;
comment on function public.list_invites is
'The invites ever minted, newest first. For the service role alone.

Returns {invites: [{id, state, uses, max_uses, email, expires_at, note, created_at, ...}], has_more}. Refuses:
INVALID_INPUT, NOT_FOUND (before_id).';
revoke all on function public.list_invites from public, anon, authenticated, service_role;
grant execute on function public.list_invites, private.list_invites to service_role;

create function private.revoke_invite(p_invite_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_invite private.invites;
begin
  update private.invites as i
  set revoked_at = coalesce(i.revoked_at, private.clock())
  where i.id = p_invite_id
  returning i.* into v_invite;
  if not found then
    perform private.refuse('NOT_FOUND', 'There is no such invite.');
  end if;
  return jsonb_build_object('invite', private.show_invite(v_invite));
end;
$$;
comment on function private.revoke_invite is 'What revoke_invite does.';
revoke all on function private.revoke_invite from public, anon, authenticated, service_role;

create function public.revoke_invite(invite_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.revoke_invite(revoke_invite.invite_id);
end;
comment on function public.revoke_invite is
'Closes an invite for good. For the service role alone.

Whoever came in with it stays; doing it again changes nothing. Returns {invite}. Refuses: NOT_FOUND.';
revoke all on function public.revoke_invite from public, anon, authenticated, service_role;
grant execute on function public.revoke_invite, private.revoke_invite to service_role;

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
  from public.users as u
  join auth.users as a on a.id = u.id
  where u.id = p_user_id and u.erased_at is null and a.deleted_at is null;
  if not found then
    perform private.refuse('NOT_FOUND', 'There is no such person.');
  end if;
  return v_account;
end;
$$;
comment on function private.get_account is 'What get_account answers.';
revoke all on function private.get_account from public, anon, authenticated, service_role;

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
revoke all on function public.get_account from public, anon, authenticated, service_role;
grant execute on function public.get_account, private.get_account to service_role;

-- Who signed up before CHAS came gets a profile too.
insert into public.users (id, display_name, avatar_url)
select a.id, private.profile_name(a.email, a.raw_user_meta_data), private.profile_avatar(a.raw_user_meta_data)
from auth.users as a
on conflict (id) do nothing;
