-- Streaks: days in a row with a joy (RULES 10.1).

create table private.streaks (
  community_id uuid not null,
  user_id uuid not null,
  days integer not null default 1,
  longest integer not null default 1,
  last_lived integer not null,
  constraint streaks_pkey primary key (community_id, user_id),
  constraint streaks_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
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
  if (private.absence_of(p_day.community_id, p_user_id, p_day.day)).from_day <= p_day.day then
    return;
  end if;
  insert into private.streaks as s (community_id, user_id, last_lived)
  values (p_day.community_id, p_user_id, p_day.days_lived)
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

create function private.current_streak(p_community_id uuid, p_user_id uuid, p_today date)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((
    select s.days
    from private.streaks as s
    join private.community_days as d on d.community_id = s.community_id
    where s.community_id = p_community_id and s.user_id = p_user_id
      -- Alive while it can still grow. Where today has not been settled yet, the day stored is the one before.
      and s.last_lived >= d.days_lived - (d.day >= p_today)::integer
  ), 0);
end;
$$;
comment on function private.current_streak is
'How many days in a row, of those the community lived, a member declared a joy on; alive, and not 0, if the last was
today or the day lived before.';

create function private.longest_streak(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((
    select s.longest from private.streaks as s
    where s.community_id = p_community_id and s.user_id = p_user_id
  ), 0);
end;
$$;
comment on function private.longest_streak is 'A member''s longest streak ever in a community, in days lived.';
