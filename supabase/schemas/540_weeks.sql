-- The reckoning of a week: what everybody declared and who was there all of it (RULES 10).

create function private.require_week(p_day date)
returns date
language plpgsql immutable security definer set search_path = ''
as $$
begin
  -- So far from either end of the calendar that no arithmetic on days can fall off it.
  if p_day not between '0001-01-07' and '9999-12-24' then
    perform private.refuse('INVALID_INPUT', 'week_start must be a date of our calendar.',
      jsonb_build_object('field', 'week_start'));
  end if;
  return private.week_of(p_day);
end;
$$;
comment on function private.require_week is
'The Sunday of the week a day names, null for null. Refuses: INVALID_INPUT {field}, far out of any calendar.';
grant execute on function private.require_week to authenticated;

create function private.sum_week(
  p_community_id uuid, p_week_start date,
  out user_id uuid, out total_cc_spent integer, out total_declarations integer, out witnessed_received integer,
  out active_days integer, out joined_at timestamptz, out place integer
)
returns setof record
language plpgsql stable security definer rows 50
set search_path = '' set plan_cache_mode = force_generic_plan set enable_sort = off set jit = off
as $$
declare
  v_away uuid[] := private.away_ids(p_community_id, p_week_start, p_week_start + 6);
begin
  return query
  with sums as (
    select
      d.user_id,
      sum(d.cc_spent)::integer as spent,
      count(*)::integer as declarations,
      sum(d.witnessed_count)::integer as witnessed,
      bit_count(bit_or(1 << (d.day - p_week_start))::bit(8))::integer as days
    from private.declarations as d
    where d.community_id = p_community_id and d.day between p_week_start and p_week_start + 6
    group by d.user_id
  ), weeks as (
    select
      m.user_id,
      coalesce(s.spent, 0) as spent,
      coalesce(s.declarations, 0) as declarations,
      coalesce(s.witnessed, 0) as witnessed,
      coalesce(s.days, 0) as days,
      m.joined_at,
      s.user_id is not null and m.joined_day <= p_week_start and m.user_id <> all(v_away) as runs
    from private.community_members as m
    left join sums as s on s.user_id = m.user_id
    where m.community_id = p_community_id and m.left_at is null
      and not exists (select from private.erasures as e where e.user_id = m.user_id)
  )
  select
    w.user_id, w.spent, w.declarations, w.witnessed, w.days, w.joined_at,
    case
      when w.runs then row_number() over (
        partition by w.runs order by w.spent, w.declarations desc, w.witnessed desc, w.joined_at, w.user_id
      )::integer
    end
  from weeks as w;
end;
$$;
comment on function private.sum_week is
'Every member''s figures in a week (RULES 10), and the place of those who were there all of it, having declared a joy
and been away on no day: members since its Sunday or before. Who spent least comes first; ties: more joys, more
witnesses received, earlier joined, and last the id, so that there is always one answer. Who came back in the week was
not there all of it; whether they can act now is not asked here.

Joining goes by the day the community lived then, as it was called then, like the joys themselves: no change of zone
moves it into another week. A Sunday that the community passed over lets nobody in who came after it (RULES 6.2).

Its plan is the same for every community and week: where joys are many, PostgreSQL would weigh it anew at each call, and,
expecting few of any range of days, sort them all before it adds them up.';

create function private.reckon(
  p_community_id uuid, p_week_start date,
  out user_id uuid, out eligible boolean, out total_cc_spent integer, out total_declarations integer,
  out witnessed_received integer, out joined_at timestamptz, out place integer
)
returns setof record
language plpgsql stable security definer rows 50 set search_path = ''
as $$
begin
  return query
  select
    w.user_id, w.eligible, w.total_cc_spent, w.total_declarations, w.witnessed_received, w.joined_at,
    case when w.eligible then row_number() over (partition by w.eligible order by w.place)::integer end
  from (
    select
      s.*,
      s.place is not null and private.is_able(s.user_id) as eligible
    from private.sum_week(p_community_id, p_week_start) as s
  ) as w;
end;
$$;
comment on function private.reckon is
'The reckoning of a week for its Jashn (RULES 10.2): every member''s figures, and the place of those who are eligible:
who has a place in the week and can act now.';

create function private.first_able(p_user_ids uuid[])
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_id uuid;
begin
  foreach v_id in array p_user_ids loop
    if private.is_able(v_id) then
      return v_id;
    end if;
  end loop;
  return null;
end;
$$;
comment on function private.first_able is 'The first of these people who can act now; null if nobody can.';
