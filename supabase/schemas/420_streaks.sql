-- Runs of days with a joy, and streaks (RULES 10.1).

create table private.joy_runs (
  community_id uuid not null,
  user_id uuid not null,
  first_day date not null,
  last_day date not null,
  longest integer not null,
  constraint joy_runs_pkey primary key (community_id, user_id, first_day),
  constraint joy_runs_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint joy_runs_forward check (first_day <= last_day),
  constraint joy_runs_longest_is_no_shorter check (longest > last_day - first_day)
)
with (fillfactor = 80);
comment on table private.joy_runs is
'Each member''s unbroken runs of days with a joy, kept by private.keep_run; longest is the length in days of the longest
up to this one, so the last run tells all. Counted from the joys themselves, a streak would cost every board and profile
the whole history.';
alter table private.joy_runs enable row level security;
create policy nobody_reads_joy_runs on private.joy_runs for select to authenticated using (false);

create function private.keep_run(p_community_id uuid, p_user_id uuid, p_day date)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_run private.joy_runs;
  v_next private.joy_runs;
  v_first date := p_day;
  v_last date;
  v_length integer;
begin
  select r.* into v_run from private.joy_runs as r
  where r.community_id = p_community_id and r.user_id = p_user_id and r.first_day <= p_day
  order by r.first_day desc
  limit 1;
  if v_run.last_day >= p_day then
    return;
  end if;
  delete from private.joy_runs as r
  where r.community_id = p_community_id and r.user_id = p_user_id and r.first_day = p_day + 1
  returning r.* into v_next;
  v_last := coalesce(v_next.last_day, p_day);
  if v_run.last_day = p_day - 1 then
    v_first := v_run.first_day;
  end if;
  v_length := v_last + 1 - v_first;
  insert into private.joy_runs as r (community_id, user_id, first_day, last_day, longest)
  values (p_community_id, p_user_id, v_first, v_last, greatest(v_length, v_run.longest))
  on conflict (community_id, user_id, first_day) do update
  set last_day = excluded.last_day, longest = excluded.longest;
  -- Only where a joy was entered for a day gone by.
  update private.joy_runs as r set longest = v_length
  where r.community_id = p_community_id and r.user_id = p_user_id and r.first_day > v_last
    and r.longest < v_length;
end;
$$;
comment on function private.keep_run is
'Enters the day of a new joy into its author''s runs: most joys find it there, the first of a day begins a run,
lengthens one or joins two. Joys of one member take turns at their purse.';

create function private.current_streak(p_community_id uuid, p_user_id uuid, p_today date)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((
    select case when r.last_day >= p_today - 1 then r.last_day + 1 - r.first_day end
    from private.joy_runs as r
    where r.community_id = p_community_id and r.user_id = p_user_id and r.first_day <= p_today
    order by r.first_day desc
    limit 1
  ), 0);
end;
$$;
comment on function private.current_streak is
'How many consecutive local days up to p_today a member declared a joy on; alive, and not 0, if the last was p_today
or the day before. A day the community never lived (a date its zone skipped) breaks it like any other without a joy.';

create function private.longest_streak(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((
    select r.longest from private.joy_runs as r
    where r.community_id = p_community_id and r.user_id = p_user_id
    order by r.first_day desc
    limit 1
  ), 0);
end;
$$;
comment on function private.longest_streak is 'A member''s longest streak ever in a community, in days.';
