-- Streaks: days in a row with a joy (RULES 10.1).

create table private.streaks (
  community_id uuid not null,
  user_id uuid not null,
  days integer not null default 1,
  longest integer not null default 1,
  last_lived integer not null,
  constraint streaks_pkey primary key (community_id, user_id),
  constraint streaks_longest_is_no_shorter check (longest >= days and days > 0)
)
with (fillfactor = 80);
comment on table private.streaks is
'Each member''s latest run of days with a joy and the longest they ever had. last_lived is its last day, or the last
day of an absence that followed it, counted in days the community lived: so neither a change of zone nor a date that
nobody lived breaks a streak (RULES 6.2). Counted from the joys themselves, a streak would cost every board and
profile the whole history.';
alter table private.streaks enable row level security;
create policy nobody_reads_streaks on private.streaks for select to authenticated using (false);

create function private.keep_streak(p_day private.community_days, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  -- Away, one may still have a stake that came back; a streak does not grow from it.
  insert into private.streaks as s (community_id, user_id, last_lived)
  select p_day.community_id, p_user_id, p_day.days_lived
  where not exists (
    select from private.absences as a
    where a.community_id = p_day.community_id and a.user_id = p_user_id and p_day.day between a.from_day and a.to_day
  )
  on conflict (community_id, user_id) do update
  set
    days = case when s.last_lived = p_day.days_lived - 1 then s.days else 0 end + 1,
    longest = greatest(s.longest, case when s.last_lived = p_day.days_lived - 1 then s.days else 0 end + 1),
    last_lived = p_day.days_lived
  where s.last_lived < p_day.days_lived;
end;
$$;
comment on function private.keep_streak is
'Counts the first joy of a day: it lengthens its author''s run or begins one.';

create function private.spare_streaks(p_day private.community_days)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.streaks as s set last_lived = p_day.days_lived
  where s.community_id = p_day.community_id and s.user_id = any(private.away_ids(p_day.community_id, p_day.day, p_day.day))
    and s.last_lived = p_day.days_lived - 1;
end;
$$;
comment on function private.spare_streaks is
'Carries the runs of who is away over a day that begins, if they are not broken yet: they neither grow nor break (RULES
16.2).';

create view private.shown_streaks with (security_invoker = on) as
select
  s.community_id,
  s.user_id,
  s.days,
  s.longest,
  -- Where today has not been settled yet, the day stored is the one before.
  case
    when s.last_lived >= d.days_lived then date 'infinity'
    when s.last_lived = d.days_lived - 1 then d.day
  end as alive_through
from private.streaks as s
inner join private.community_days as d on s.community_id = d.community_id;
comment on view private.shown_streaks is
'Each member''s latest run and the longest ever, in days lived, and the last date on which the latest, grown no more, is
alive: as long as it can still grow, its last day being today or the day lived before. Null if it is broken. Only for
the kernel.';
