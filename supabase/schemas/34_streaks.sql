-- Days, weeks and streaks: counting by the community's own days (RULES 10.1).

create function private.day_at(p_community_id uuid, p_at timestamptz, out timezone text, out day date)
language sql stable security definer set search_path = ''
begin atomic
  with zones as (
    select
      d.day,
      case when d.dawn_at <= p_at then coalesce(c.pending ->> 'timezone', c.timezone) else c.timezone end as name,
      d.dawn_at <= p_at as dawn_has_come
    from public.community_days as d
    inner join public.communities as c on d.community_id = c.id
    where d.community_id = p_community_id
  )

  select
    z.name,
    case when z.dawn_has_come then greatest(z.day, (p_at at time zone z.name)::date) else z.day end
  from zones as z;
end;
comment on function private.day_at is
'The day a community lives at a moment, and the zone it lives it in, whether or not its Dawn has been settled: what a
read, which settles nothing, must go by.';
revoke all on function private.day_at from public, anon, authenticated, service_role;
grant execute on function private.day_at to authenticated;

create function private.week_of(p_day date)
returns date
language sql immutable set search_path = ''
begin atomic
  select p_day - extract(dow from p_day)::integer;
end;
comment on function private.week_of is 'The Sunday a day''s week begins with.';
revoke all on function private.week_of from public, anon, authenticated, service_role;
grant execute on function private.week_of to authenticated;

create function private.current_streak(p_community_id uuid, p_user_id uuid, p_today date)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_last date := (
    select max(d.day) from public.declarations as d
    where d.community_id = p_community_id and d.user_id = p_user_id and d.day <= p_today
  );
begin
  if v_last is null or v_last < p_today - 1 then
    return 0;
  end if;
  -- Going back by the index, it stops at the first gap: a streak costs its own length, never the history before it.
  return v_last + 1 - (
    select r.day
    from (
      select d.day, lead(d.day) over (order by d.day desc) as earlier
      from public.declarations as d
      where d.community_id = p_community_id and d.user_id = p_user_id and d.day <= v_last
    ) as r
    where r.earlier is null or r.earlier < r.day - 1
    order by r.day desc
    limit 1
  );
end;
$$;
comment on function private.current_streak is
'How many consecutive local days up to p_today a member declared a joy on; alive, and not 0, if the last was p_today
or the day before. A day the community never lived (a date its zone skipped) breaks it like any other without a joy.';
revoke all on function private.current_streak from public, anon, authenticated, service_role;
grant execute on function private.current_streak to authenticated;

create function private.streaks(
  p_community_id uuid, p_user_id uuid, out current_streak integer, out longest_streak integer
)
language sql stable security definer set search_path = ''
begin atomic
  select
    private.current_streak(p_community_id, p_user_id, (private.day_at(p_community_id, private.clock())).day),
    (
      select coalesce(max(runs.length), 0)::integer
      from (
        select count(*) as length
        from (
          select
            o.day,
            row_number() over (order by o.day) as place
          from (
            select distinct d.day from public.declarations as d
            where d.community_id = p_community_id and d.user_id = p_user_id
          ) as o
        ) as days
        group by days.day - days.place::integer
      ) as runs
    );
end;
comment on function private.streaks is
'A member''s streak now and their longest ever in a community. The longest reads all the days of that one member,
from the index alone.';
revoke all on function private.streaks from public, anon, authenticated, service_role;
grant execute on function private.streaks to authenticated;
