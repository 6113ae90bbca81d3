-- People: their profiles and how they are shown (RULES 1.1).

create function private.show_person(p_id uuid, p_display_name text, p_avatar_url text)
returns json
language plpgsql immutable set search_path = ''
as $$
begin
  return json_build_object('id', p_id, 'display_name', p_display_name, 'avatar_url', p_avatar_url);
end;
$$;
comment on function private.show_person is 'The shape person.';

create table private.users (
  id uuid not null,
  display_name text not null,
  avatar_url text,
  -- Made once for each name somebody takes, for nothing is shown so often (measured: a tenth of a page of the Chamber).
  person json not null generated always as (private.show_person(id, display_name, avatar_url)) stored,
  created_at timestamptz not null default private.clock(),
  renamed_at timestamptz[] not null default '{}',
  erased_at timestamptz,
  constraint users_pkey primary key (id),
  constraint users_display_name_length check (char_length(display_name) between 1 and 80)
);
comment on table private.users is
'The public profile of everyone who ever signed up. No e-mail address, and no foreign key to auth.users: an erased
person stays here as "a former member" (RULES 13). renamed_at holds the latest ten renamings, newest first.';
create index users_created_at_id_idx on private.users (created_at, id);
alter table private.users enable row level security;
grant select on private.users to authenticated;
-- Its policy stands in 200_communities: whom one may see depends on whom one shares a community with.

create table private.addresses (
  user_id uuid not null,
  address_hash bytea not null,
  constraint addresses_pkey primary key (user_id, address_hash),
  constraint addresses_user_id_fkey foreign key (user_id) references private.users (id)
);
comment on table private.addresses is
'Every e-mail address an account has had, as a keyed hash: an erasure finds the invites made out to any of them, and no
address is kept.';
create index addresses_address_hash_idx on private.addresses (address_hash);
alter table private.addresses enable row level security;
create policy nobody_reads_addresses on private.addresses for select to authenticated using (false);

create table private.erasures (
  user_id uuid not null,
  begun_at timestamptz not null,
  retry_at timestamptz not null,
  stuck uuid[] not null default '{}',
  constraint erasures_pkey primary key (user_id),
  constraint erasures_user_id_fkey foreign key (user_id) references private.users (id)
);
comment on table private.erasures is
'Who is erased and whose rows still follow; stuck are communities whose leaving failed and is tried again.';
create index erasures_retry_at_idx on private.erasures (retry_at);
alter table private.erasures enable row level security;
create policy nobody_reads_erasures on private.erasures for select to authenticated using (false);

create function private.profile_name(p_email text, p_meta jsonb)
returns text
language plpgsql immutable set search_path = ''
as $$
declare
  v_full_name text := case when jsonb_typeof(p_meta -> 'full_name') = 'string' then p_meta ->> 'full_name' end;
  v_given text;
begin
  foreach v_given in array array[v_full_name, split_part(p_email, '@', 1)] loop
    v_given := btrim(left(btrim(private.plain_name(v_given)), 80));
    if private.is_visible(v_given) then
      return v_given;
    end if;
  end loop;
  return 'Somebody';
end;
$$;
comment on function private.profile_name is
'The display name a sign-up starts with: full_name, else the part of the e-mail before @ (RULES 1.1), else Somebody;
what may not stand in a name is left out, what is too long cut off.';

create function private.profile_avatar(p_meta jsonb)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case
    when p_meta ->> 'avatar_url' ~* '^https?://[^[:space:][:cntrl:]]+$' and char_length(p_meta ->> 'avatar_url') <= 2048
      then p_meta ->> 'avatar_url'
  end;
end;
$$;
comment on function private.profile_avatar is
'The avatar a sign-up starts with: avatar_url if it is a web address, else none.';

create function private.make_profile(p_user_id uuid, p_email text, p_meta jsonb)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.users (id, display_name, avatar_url)
  values (p_user_id, private.profile_name(p_email, p_meta), private.profile_avatar(p_meta))
  on conflict (id) do nothing;
  return found;
end;
$$;
comment on function private.make_profile is
'Makes the profile an account begins with; returns whether it was missing. Who is erased has one still.';

create function private.note_address(p_user_id uuid, p_email text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.addresses (user_id, address_hash)
  select p_user_id, private.hash_address(p_email)
  where nullif(btrim(p_email), '') is not null
  on conflict do nothing;
end;
$$;
comment on function private.note_address is 'Remembers, as a hash, an address an account has or had.';

create function private.find_person(p_user_id uuid)
returns private.users
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_person private.users;
begin
  select u.* into v_person from private.users as u where u.id = p_user_id;
  return v_person;
end;
$$;
comment on function private.find_person is 'A person''s row, erased or not; nulls if they are unknown.';

create function private.lock_person(p_user_id uuid)
returns private.users
language plpgsql security definer set search_path = ''
as $$
declare
  v_person private.users;
begin
  select u.* into v_person from private.users as u
  where u.id = p_user_id and u.erased_at is null
  for no key update;
  return v_person;
end;
$$;
comment on function private.lock_person is
'Locks a person''s row until the transaction ends and returns it, nulls if they are unknown or erased: the queue for
whatever is decided about them, and for what they do that no membership holds yet. It comes before every other lock.';

create function private.change_profile(p_user_id uuid, p_display_name text, p_avatar_url text, p_renames boolean)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.users as u
  set
    display_name = coalesce(p_display_name, u.display_name),
    renamed_at = case when p_renames then (private.clock() || u.renamed_at)[:10] else u.renamed_at end,
    avatar_url = case when p_avatar_url is null then u.avatar_url else nullif(p_avatar_url, '') end
  where u.id = p_user_id;
end;
$$;
comment on function private.change_profile is
'Gives a locked person another name or avatar: what is null stays, an empty avatar goes.';

create function private.keep_person(p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  perform from private.users as u where u.id = p_user_id for share skip locked;
  return found;
end;
$$;
comment on function private.keep_person is
'Keeps whatever is decided about a person from being decided until the transaction ends; returns false, and waits for
nobody, where something is being decided just now.';

create view private.shown_people with (security_invoker = on) as
select
  u.id,
  u.display_name,
  u.person,
  u.erased_at is not null as is_erased,
  case when u.erased_at is null then '“' || u.display_name || '”' else 'a former member' end as called
from private.users as u;
comment on view private.shown_people is
'The shape person of everyone the reader may see, and what sentences call them. Words of somebody who is_erased are
shown to nobody.';
grant select on private.shown_people to authenticated;

create function private.erase_profile(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.users as u
  set display_name = 'a former member', avatar_url = null, renamed_at = '{}', erased_at = private.clock()
  where u.id = p_user_id;
  delete from private.addresses as a where a.user_id = p_user_id;
  insert into private.erasures (user_id, begun_at, retry_at) values (p_user_id, private.clock(), private.clock());
end;
$$;
comment on function private.erase_profile is
'Makes a locked person "a former member": no name, no avatar, no address. Their id stays, for what others did with
them; what else is theirs follows.';

create function private.replace_profile(p_profile private.users)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.users as u
  set
    display_name = p_profile.display_name, avatar_url = p_profile.avatar_url, created_at = p_profile.created_at,
    renamed_at = p_profile.renamed_at
  where u.id = p_profile.id;
end;
$$;
comment on function private.replace_profile is
'Gives somebody, where they have a profile, the one they have in another database.';

create function private.erase_again(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.erasures (user_id, begun_at, retry_at) values (p_user_id, private.clock(), private.clock())
  on conflict do nothing;
end;
$$;
comment on function private.erase_again is
'Has the rows of an erased person looked through once more, for some have come from elsewhere.';

create function private.pass_over(p_user_id uuid, p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.erasures as e set stuck = e.stuck || p_community_id where e.user_id = p_user_id;
end;
$$;
comment on function private.pass_over is 'Leaves a community whose leaving failed for the end of an erasure''s round.';

create function private.end_erasure(p_user_id uuid, p_now timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.erasures as e where e.user_id = p_user_id and e.stuck = '{}';
  update private.erasures as e set stuck = '{}', retry_at = p_now + interval '1 minute' where e.user_id = p_user_id;
end;
$$;
comment on function private.end_erasure is
'Ends an erasure that has nothing left to do, or begins its next round in a minute where communities were passed over.';
