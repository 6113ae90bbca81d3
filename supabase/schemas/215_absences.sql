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
