-- Absences: who is away from which day to which (RULES 16.2).

create table private.absences (
  community_id uuid not null,
  user_id uuid not null,
  from_day date not null,
  to_day date not null,
  declared_at timestamptz not null default private.clock(),
  constraint absences_pkey primary key (community_id, user_id, from_day),
  constraint absences_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint absences_days_in_order check (from_day <= to_day)
);
comment on table private.absences is
'Every absence of a member, both days included, in days of the community; those that are over stay, for streaks and
weeks go by them.';
create index absences_community_id_to_day_idx on private.absences (community_id, to_day);
alter table private.absences enable row level security;
create policy members_read_absences on private.absences for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.absences to authenticated;

create function private.away_ids(p_community_id uuid, p_from_day date, p_to_day date)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(
    select distinct a.user_id from private.absences as a
    where a.community_id = p_community_id and a.to_day >= p_from_day and a.from_day <= p_to_day
    order by a.user_id
  );
end;
$$;
comment on function private.away_ids is 'Who is away on a day from p_from_day to p_to_day, in id order.';

create function private.present_able_ids(p_community_id uuid)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_day date := (select d.day from private.community_days as d where d.community_id = p_community_id);
begin
  return private.able_among(array(
    select m.user_id from private.community_members as m
    where m.community_id = p_community_id and m.left_at is null
      and not exists (select from private.erasures as e where e.user_id = m.user_id)
      and not exists (
        select from private.absences as a
        where a.community_id = p_community_id and a.user_id = m.user_id and v_day between a.from_day and a.to_day
      )
  ));
end;
$$;
comment on function private.present_able_ids is
'Who in a community can act now and is not away on the day it lives, in id order: of whom rolls and candidates are
made.';

create function private.absence_of(p_community_id uuid, p_user_id uuid, p_day date)
returns private.absences
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_absence private.absences;
begin
  select a.* into v_absence from private.absences as a
  where a.community_id = p_community_id and a.user_id = p_user_id and a.to_day >= p_day;
  return v_absence;
end;
$$;
comment on function private.absence_of is
'A member''s absence that is not over on a day, begun or not; nulls if there is none. There is never more than one.';

create function private.write_absence(p_community_id uuid, p_user_id uuid, p_from_day date, p_to_day date)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.absences (community_id, user_id, from_day, to_day)
  values (p_community_id, p_user_id, p_from_day, p_to_day);
end;
$$;
comment on function private.write_absence is 'Writes down an absence.';

create function private.cut_absence(p_community_id uuid, p_user_id uuid, p_day date)
returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  v_absence private.absences := private.absence_of(p_community_id, p_user_id, p_day);
begin
  if v_absence.from_day > p_day then
    delete from private.absences as a
    where a.community_id = p_community_id and a.user_id = p_user_id and a.from_day = v_absence.from_day;
  elsif v_absence.to_day > p_day then
    update private.absences as a set to_day = p_day
    where a.community_id = p_community_id and a.user_id = p_user_id and a.from_day = v_absence.from_day;
  end if;
  return v_absence.user_id is not null;
end;
$$;
comment on function private.cut_absence is
'Takes back an absence that has not begun on a day, or ends one that has with that day; returns whether there is one
that is not over.';
