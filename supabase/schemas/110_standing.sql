-- Where everybody stands with the Bureau, from the sign-up on, and who is calling (RULES 1.2).

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

create table private.suspended_addresses (
  address_hash bytea not null,
  suspended_at timestamptz not null,
  constraint suspended_addresses_pkey primary key (address_hash)
);
comment on table private.suspended_addresses is
'Every address of suspended accounts that were erased, as a keyed hash: a suspension outlives the account (RULES 1.2).';
alter table private.suspended_addresses enable row level security;
create policy nobody_reads_suspended_addresses on private.suspended_addresses for select to authenticated using (false);

create function private.caller_id()
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_digits text := replace(coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub'
  ), '-', '');
begin
  -- auth.uid() raises on a sub that is no uuid; here such a caller is simply nobody. Two questions, for one expression of
  -- the whole shape would cost four times as much (measured).
  if length(v_digits) = 32 and v_digits !~ '[^0-9A-Fa-f]' then
    return v_digits::uuid;
  end if;
  return null;
end;
$$;
comment on function private.caller_id is 'The id in the caller''s token, or null; says nothing about admission.';
grant execute on function private.caller_id to authenticated, service_role;

create function private.able_person(p_user_id uuid)
returns private.users
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_person private.users;
begin
  select u.* into v_person
  from private.users as u
  join auth.users as a on a.id = u.id
  left join private.admissions as d on d.user_id = u.id
  where
    u.id = p_user_id and u.erased_at is null
    and a.deleted_at is null and (a.banned_until is null or a.banned_until <= now()) and not a.is_anonymous
    and d.suspended_at is null and (d.user_id is not null or not private.invites_enforced());
  return v_person;
end;
$$;
comment on function private.able_person is
'The profile of a person who can act now: admitted (or no invite is needed), not suspended by a steward, not banned or
deleted by Auth, not erased; nulls for anybody else. The one place that says so.

Asked afresh by every call and every policy, so taking an admission back bites at once (RULES 1.2). It reads Auth''s own
table inside plpgsql, which leaves nothing in the catalogue that could keep Auth from changing it (RULES 14.3).';

create function private.is_able(p_user_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (private.able_person(p_user_id)).id is not null;
end;
$$;
comment on function private.is_able is 'Whether a person can act now, as private.able_person says.';

create function private.able_among(p_user_ids uuid[])
returns uuid[]
-- Few people or many, the plan is the same: to make it anew for each length would cost more than the looking.
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_open boolean := not private.invites_enforced();
begin
  -- One by one (the limit keeps it so): a few index probes each, whatever the planner thinks of the tables.
  return array(
    select p.id
    from unnest(p_user_ids) as p (id)
    cross join lateral (
      select
      from private.users as u
      join auth.users as a on a.id = u.id
      left join private.admissions as d on d.user_id = u.id
      where
        u.id = p.id and u.erased_at is null
        and a.deleted_at is null and (a.banned_until is null or a.banned_until <= now()) and not a.is_anonymous
        and d.suspended_at is null and (d.user_id is not null or v_open)
      limit 1
    ) as able
    order by p.id
  );
end;
$$;
comment on function private.able_among is
'Those of these people who can act now, in id order: private.is_able of many, for a fifth of its cost each. A test holds
the two together.';

create function private.standing_of(p_user_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((
    select
      case
        when a.banned_until > now() then 'banned'
        when a.is_anonymous then 'anonymous'
        when d.suspended_at is not null then 'suspended'
        when d.user_id is not null or not private.invites_enforced() then 'admitted'
        else 'waiting'
      end
    from private.users as u
    join auth.users as a on a.id = u.id
    left join private.admissions as d on d.user_id = u.id
    where u.id = p_user_id and u.erased_at is null and a.deleted_at is null
  ), 'unknown');
end;
$$;
comment on function private.standing_of is
'Where one person stands with the Bureau, to explain a refusal: banned or unknown (by Auth), anonymous, suspended (by a
steward), waiting (for an invite) or admitted, which is who is able.';

create function private.my_id()
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (private.able_person(private.caller_id())).id;
end;
$$;
comment on function private.my_id is
'The caller''s id if they are able, else null; what policies on one''s own rows ask.';
grant execute on function private.my_id to authenticated;

create function private.require_signed_in()
returns private.users
language plpgsql security definer set search_path = ''
as $$
declare
  v_id uuid := private.caller_id();
  v_standing text := private.standing_of(v_id);
  v_me private.users;
begin
  if v_standing = 'unknown' then
    -- Of calls at once one makes the profile, and the others find it.
    perform private.heal_profile(v_id);
    v_standing := private.standing_of(v_id);
  end if;
  case v_standing
    when 'unknown' then perform private.refuse('UNAUTHORIZED', 'Sign in first.');
    when 'banned' then perform private.refuse('FORBIDDEN', 'This account is suspended.');
    when 'anonymous' then perform private.refuse('FORBIDDEN', 'Sign in with an account of your own first.');
    else null;
  end case;
  select u.* into v_me from private.users as u
  where u.id = v_id;
  return v_me;
end;
$$;
comment on function private.require_signed_in is
'Returns the caller''s profile, admitted or not; one that is missing is made where the call may write.

Refuses: UNAUTHORIZED (no such person), FORBIDDEN (banned by Auth, or an anonymous sign-in).';

create function private.require_admitted()
returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := (private.able_person(private.caller_id())).id;
begin
  if v_me is null then
    v_me := (private.require_signed_in()).id;
    case private.standing_of(v_me)
      when 'admitted' then null;
      when 'suspended' then perform private.refuse('INVITE_REQUIRED', 'A steward has suspended this account.');
      else perform private.refuse('INVITE_REQUIRED', 'CHAS is by invitation: redeem an invite first.');
    end case;
  end if;
  return v_me;
end;
$$;
comment on function private.require_admitted is
'Returns the caller''s id if they are signed in and admitted.

Refuses: UNAUTHORIZED, FORBIDDEN, INVITE_REQUIRED.';
grant execute on function private.require_admitted to authenticated;

create function private.lock_me()
returns private.users
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.lock_person(private.require_admitted());
begin
  -- Whoever waited here for their own erasure, or a suspension, learns of it now.
  perform private.require_admitted();
  return v_me;
end;
$$;
comment on function private.lock_me is
'Locks the caller''s own row and returns it: how an act begins that no membership holds yet (founding, joining, a new
name). An erasure of theirs is waited for, or waits (RULES 13.4). Refuses: as require_admitted.';

create function private.take_turn()
returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  -- Tried, never waited for: who waits would keep a connection that others need.
  if not pg_try_advisory_xact_lock(1128792069, uuid_hash(private.caller_id())) then
    perform private.refuse_for_now('You are being answered already: one at a time.', null, '{"most": 1}');
  end if;
end;
$$;
comment on function private.take_turn is
'Lets one person''s readings that are much work come one at a time, so that nobody keeps the house busy with them from
many connections. Refuses: RATE_LIMITED {most, possible_at: null, retry_after: null} (until the other has ended).';

create function private.is_steward()
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- app_metadata is written by the server alone; user_metadata is the person's own and proves nothing.
  return coalesce(
    nullif(current_setting('request.jwt.claims', true), '')::jsonb -> 'app_metadata' ->> 'chas_role' = 'steward', false
  );
end;
$$;
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

create function private.follow_address(p_user_id uuid, p_email text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.note_address(p_user_id, p_email);
  if not private.is_admitted(p_user_id)
    and exists (select from private.suspended_addresses as s where s.address_hash = private.hash_address(p_email))
  then
    perform private.suspend(p_user_id);
  end if;
end;
$$;
comment on function private.follow_address is
'Remembers, as a hash, an address an account has, and suspends an account nobody has let in yet whose address is that of
a suspended one that was erased (RULES 1.2). Somebody who is in already stays so: an address may come to belong to
another person.';

create function private.heal_profile(p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  v_account record;
begin
  -- A read-only call cannot mend anything, and an erased person is not healed back: their row is there.
  if current_setting('transaction_read_only')::boolean then
    return false;
  end if;
  select a.* into v_account from auth.users as a where a.id = p_user_id and a.deleted_at is null;
  if not found or not private.make_profile(v_account.id, v_account.email, v_account.raw_user_meta_data) then
    return false;
  end if;
  perform private.follow_address(p_user_id, v_account.email);
  return true;
end;
$$;
comment on function private.heal_profile is
'Makes the profile of somebody Auth knows and the house does not, because the trigger of their sign-up was missing;
returns whether it did (RULES 1.2).';

create function private.heal_profiles(p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return (
    select count(*)::integer from (
      select a.id from auth.users as a
      where a.deleted_at is null and not exists (select from private.users as u where u.id = a.id)
      limit p_limit
    ) as missing
    where private.heal_profile(missing.id)
  );
end;
$$;
comment on function private.heal_profiles is 'Heals up to p_limit profiles that are missing; returns how many.';

create function private.welcome_user()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.make_profile(new.id, new.email, new.raw_user_meta_data);
  perform private.follow_address(new.id, new.email);
  return null;
exception when others then
  -- A failure here would break signing up itself; the profile is made at the next call.
  raise warning 'no profile was made for a new sign-up: %', sqlstate;
  return null;
end;
$$;
comment on function private.welcome_user is
'Makes the profile of a new sign-up; never fails, for it runs inside Supabase Auth.';

create function private.restore(p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.suspended_addresses as s
  where s.address_hash in (select a.address_hash from private.addresses as a where a.user_id = p_user_id);
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
'Lifts a suspension, also one that outlived an account with the same address: everything is as it was before; returns
whether that changed anything.';

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

create function private.erase_admission(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.suspended_addresses (address_hash, suspended_at)
  select a.address_hash, d.suspended_at
  from private.admissions as d
  join private.addresses as a on a.user_id = d.user_id
  where d.user_id = p_user_id and d.suspended_at is not null
  on conflict (address_hash) do nothing;
  delete from private.admissions as a where a.user_id = p_user_id;
end;
$$;
comment on function private.erase_admission is
'Takes away the admission of a person who is erased; what stays of a suspension are the hashes of their addresses.';

create function private.get_access()
returns jsonb
language plpgsql security definer set search_path = ''
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
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.get_access();
end;
$$;
comment on function public.get_access is
'Tells the caller whether they are admitted; works before admission.

Returns {whitelisted, whitelist_required, is_steward}. Refuses: UNAUTHORIZED, FORBIDDEN.';
grant execute on function public.get_access, private.get_access to authenticated;

create function private.get_me()
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := private.require_admitted();
begin
  return (
    select to_jsonb(p.person) || jsonb_build_object('email', a.email, 'created_at', u.created_at)
    from private.users as u
    join private.shown_people as p on p.id = u.id
    join auth.users as a on a.id = u.id
    where u.id = v_me
  );
end;
$$;
comment on function private.get_me is
'The caller''s profile; the e-mail address is read from Auth''s own table and shown to its owner only.';

create function public.get_me()
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.get_me();
end;
$$;
comment on function public.get_me is
'The caller''s own profile.

Returns person + {email, created_at}. Refuses: UNAUTHORIZED, INVITE_REQUIRED.';
grant execute on function public.get_me, private.get_me to authenticated;

create function private.update_me(p_display_name text, p_avatar_url text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.lock_me();
  v_renames boolean := coalesce(p_display_name <> v_me.display_name, false);
  v_earliest timestamptz := v_me.renamed_at[10] + interval '1 day';
begin
  if p_display_name is not null then
    perform private.require_name('display_name', p_display_name, 80);
  end if;
  perform private.require_link('avatar_url', nullif(p_avatar_url, ''));
  if v_renames and v_earliest > private.clock() then
    perform private.refuse_for_now('Ten new names a day are enough.', v_earliest, '{"most": 10}');
  end if;
  perform private.change_profile(v_me.id, p_display_name, p_avatar_url, v_renames);
  return private.get_me();
end;
$$;

create function public.update_me(display_name text default null, avatar_url text default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.update_me(update_me.display_name, update_me.avatar_url);
end;
comment on function public.update_me is
'Changes the caller''s display name or avatar.

A name is 1 to 80 characters on one visible line, an avatar a web address; an empty text removes it.

What is left out or null stays; a new name shows everywhere at once, and ten a day are enough. Returns as get_me.
Refuses: INVALID_INPUT {field, possible}, RATE_LIMITED {most, possible_at, retry_after}.';
grant execute on function public.update_me, private.update_me to authenticated;

create function private.get_account(p_user_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_account jsonb;
begin
  if not exists (select from private.users as u where u.id = p_user_id) then
    perform private.heal_profile(p_user_id);
  end if;
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

create function public.get_account(user_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.get_account(get_account.user_id);
end;
comment on function public.get_account is
'A person as the edge needs to know them. For the service role alone.

Returns {id, email, email_confirmed, display_name, avatar_url, is_steward, banned, whitelisted, whitelist_required,
created_at}. Refuses: NOT_FOUND.';
grant execute on function public.get_account, private.get_account to service_role;
