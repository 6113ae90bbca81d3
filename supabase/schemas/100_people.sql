-- People: their profiles and how they are shown (RULES 1.1).

create table private.users (
  id uuid not null,
  display_name text not null,
  avatar_url text,
  created_at timestamptz not null default private.clock(),
  erased_at timestamptz,
  constraint users_pkey primary key (id),
  constraint users_display_name_length check (char_length(display_name) between 1 and 80)
);
comment on table private.users is
'The public profile of everyone who ever signed up. No e-mail address, and no foreign key to auth.users: an erased
person stays here as "a former member" (RULES 13).';
create index users_created_at_id_idx on private.users (created_at, id);
alter table private.users enable row level security;
grant select on private.users to authenticated;

-- Its policy stands in 12_communities: whom one may see depends on whom one shares a community with.

create table private.former_names (
  user_id uuid not null,
  name text not null,
  constraint former_names_pkey primary key (user_id, name),
  constraint former_names_user_id_fkey foreign key (user_id) references private.users (id)
);
comment on table private.former_names is
'Names people have had: the house''s own sentences still say them, and an erasure must find them there. It takes
these too.';
alter table private.former_names enable row level security;
create policy nobody_reads_former_names on private.former_names for select to authenticated using (false);

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
      cross join lateral (select btrim(private.plain_name(o.given)) as name) as n
      where not private.is_blank(n.name)
      order by o.turn asc
      limit 1
    ),
    'Somebody'
  );
end;
comment on function private.profile_name is
'The display name a sign-up starts with: full_name, else the part of the e-mail before @ (RULES 1.1), else Somebody.';

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

create function private.welcome_user()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.users (id, display_name, avatar_url)
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
create or replace trigger on_auth_user_created
after insert on auth.users
for each row execute function private.welcome_user();

create function private.names_of(p_user_id uuid)
returns text[]
language sql stable security definer set search_path = ''
begin atomic
  select array(
    select u.display_name from private.users as u
    where u.id = p_user_id and u.erased_at is null
    union
    select f.name from private.former_names as f
    where f.user_id = p_user_id
  );
end;
comment on function private.names_of is 'Every name a person has or had; none for one who is erased.';

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

create function private.erase_profile(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.former_names (user_id, name)
  select u.id, u.display_name from private.users as u where u.id = p_user_id and u.erased_at is null
  on conflict do nothing;
  update private.users as u
  set display_name = 'a former member', avatar_url = null, erased_at = coalesce(u.erased_at, private.clock())
  where u.id = p_user_id;
  delete from private.admissions as a where a.user_id = p_user_id;
end;
$$;
comment on function private.erase_profile is
'Makes a person "a former member": no name, no avatar, no admission. Their id stays, for what others did with them;
their names wait among the former ones until every sentence is rid of them.';

create function private.erase_names_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.former_names as f where f.user_id = p_user_id;
end;
$$;
comment on function private.erase_names_of is 'Deletes the former names of a person: the last step of an erasure.';

create function private.erasures_begun(p_limit integer)
returns uuid[]
language sql stable security definer set search_path = ''
begin atomic
  select array(
    select distinct f.user_id
    from private.former_names as f
    inner join private.users as u on f.user_id = u.id
    where u.erased_at is not null
    order by f.user_id
    limit p_limit
  );
end;
comment on function private.erasures_begun is
'Up to p_limit people who are erased, but whose names are not forgotten yet.';

create view private.shown_people with (security_invoker = on) as
select
  u.id,
  jsonb_build_object('id', u.id, 'display_name', u.display_name, 'avatar_url', u.avatar_url) as person
from private.users as u;
comment on view private.shown_people is 'The shape person of everyone the reader may see.';
grant select on private.shown_people to authenticated;

create function private.name_of(p_user_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select u.display_name from private.users as u
    where u.id = p_user_id
  );
end;
$$;
comment on function private.name_of is 'A person''s display name, for the system''s sentences.';
