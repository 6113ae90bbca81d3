-- Joys as they are stored: below the day, for its Sunset gathers them into an edition (RULES 4, 15).

create domain private.title as text constraint title_length check (char_length(value) <= 120);
comment on domain private.title is
'A joy''s or a proposal''s title: 1 to 120 characters, none where it was taken away.';
create domain private.description as text constraint description_length check (char_length(value) <= 1000);
comment on domain private.description is 'What is said below a title: at most 1000 characters.';

create table private.declarations (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  user_id uuid not null,
  cc_spent integer not null,
  witnessed_count integer not null default 0,
  day date not null,
  created_at timestamptz not null default private.clock(),
  struck_at timestamptz,
  title private.title not null,
  description private.description not null default '',
  image_url text,
  constraint declarations_pkey primary key (community_id, id)
)
with (fillfactor = 80);
comment on table private.declarations is
'The joys declared; day is the community''s day that paid for it, number the order of declaring. Struck ones keep
their money and lose their words. No foreign key: its one writer has just paid from the purse of the member it names.';
create index declarations_id_idx on private.declarations (id);
create index declarations_community_id_day_number_idx on private.declarations (community_id, day, number);
create index declarations_community_id_user_id_day_number_idx on private.declarations (
  community_id, user_id, day, number
);
alter table private.declarations enable row level security;
create policy members_read_declarations on private.declarations for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.declarations to authenticated;
-- An update sends a long text it did not touch only as part of the old row. These two change (a witness counted, a vote
-- cast) while a description of theirs may lie out of line; everywhere else the key is enough.
alter table private.declarations replica identity full;

create table private.witnesses (
  community_id uuid not null,
  declaration_id uuid not null,
  user_id uuid not null,
  created_at timestamptz not null default private.clock(),
  constraint witnesses_pkey primary key (community_id, declaration_id, user_id)
);
comment on table private.witnesses is
'Who bore witness to which joy, once each. No foreign keys: its one writer has just found the joy and the member, and
neither is ever deleted.';
create index witnesses_community_id_user_id_idx on private.witnesses (community_id, user_id);
alter table private.witnesses enable row level security;
create policy members_read_witnesses on private.witnesses for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.witnesses to authenticated;

create function private.write_joy(
  p_id uuid, p_community_id uuid, p_user_id uuid, p_title text, p_description text, p_cc_spent integer,
  p_image_url text, p_day date, p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.declarations (id, community_id, user_id, title, description, cc_spent, image_url, day, created_at)
  values (p_id, p_community_id, p_user_id, p_title, p_description, p_cc_spent, p_image_url, p_day, p_at);
end;
$$;
comment on function private.write_joy is 'Writes a joy down that has been paid for.';

create function private.write_witness(p_community_id uuid, p_declaration_id uuid, p_user_id uuid)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_count integer;
begin
  insert into private.witnesses (community_id, declaration_id, user_id)
  values (p_community_id, p_declaration_id, p_user_id)
  on conflict do nothing;
  if found then
    update private.declarations as d set witnessed_count = d.witnessed_count + 1
    where d.community_id = p_community_id and d.id = p_declaration_id
    returning d.witnessed_count into v_count;
  end if;
  return v_count;
end;
$$;
comment on function private.write_witness is
'Writes down that somebody bore witness to a joy, and counts it; returns how many have, or null if they had already.';

create function private.joys_of_day(p_day private.community_days)
returns private.item_draft[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(
    select
      row(
        'declaration', d.id, d.user_id, d.created_at, jsonb_build_object(
          'kind', 'declaration', 'declaration_id', d.id, 'author_id', d.user_id, 'title', d.title,
          'description', d.description, 'cc_spent', d.cc_spent,
          -- A witness who came after the Sunset, before anybody wrote it down, came too late for the edition.
          'witnessed', d.witnessed_count - case when d.witnessed_count = 0 then 0 else (
            select count(*) from private.witnesses as w
            where w.community_id = d.community_id and w.declaration_id = d.id and w.created_at >= p_day.sunset_at
          ) end
        )
      )::private.item_draft
    from private.declarations as d
    where d.community_id = p_day.community_id and d.day = p_day.day
    order by d.number
  );
end;
$$;
comment on function private.joys_of_day is
'The joys of a day as its edition tells them, with the witnesses they had at its Sunset.';

create function private.strike_declaration(p_community_id uuid, p_declaration_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.declarations as d
  set title = '', description = '', image_url = null, struck_at = private.clock()
  where d.community_id = p_community_id and d.id = p_declaration_id;
  perform private.strike_item(p_community_id, p_declaration_id);
end;
$$;
comment on function private.strike_declaration is 'Takes a joy''s words away; its money stays.';

create function private.erase_joys_of(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  update private.declarations as d
  set title = '', description = '', image_url = null
  where (d.community_id, d.id) in (
    select o.community_id, o.id
    from private.community_members as s
    join private.declarations as o on o.community_id = s.community_id and o.user_id = s.user_id
    where s.user_id = p_user_id and (o.title <> '' or o.description <> '' or o.image_url is not null)
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.erase_joys_of is
'Takes the words of up to p_limit joys of a person who is erased; returns how many.';
