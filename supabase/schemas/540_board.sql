-- The leaderboard of a week (RULES 10.1).

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

create function private.reckon(
  p_community_id uuid, p_week_start date,
  out user_id uuid, out eligible boolean, out total_cc_spent integer, out total_declarations integer,
  out witnessed_received integer, out joined_at timestamptz, out place integer, out active_days integer
)
returns setof record
language plpgsql stable security definer rows 50
set search_path = '' set plan_cache_mode = force_generic_plan
as $$
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
      m.joined_at,
      coalesce(s.spent, 0) as spent,
      coalesce(s.declarations, 0) as declarations,
      coalesce(s.witnessed, 0) as witnessed,
      coalesce(s.days, 0) as days,
      s.user_id is not null and m.joined_day <= p_week_start and private.is_able(m.user_id) as eligible
    from private.community_members as m
    left join sums as s on s.user_id = m.user_id
    where m.community_id = p_community_id and m.left_at is null
      and not exists (select from private.erasures as e where e.user_id = m.user_id)
  )
  select
    w.user_id, w.eligible, w.spent, w.declarations, w.witnessed, w.joined_at,
    case
      when w.eligible then row_number() over (
        partition by w.eligible order by w.spent, w.declarations desc, w.witnessed desc, w.joined_at, w.user_id
      )::integer
    end,
    w.days
  from weeks as w;
end;
$$;
comment on function private.reckon is
'The reckoning of a week (RULES 10.2): every member''s figures, and the place of those who are eligible. Eligible are
members since the week''s Sunday or before who declared a joy in it and can act now; of them the one who spent least
comes first; ties: more joys, more witnesses received, earlier joined, and last the id, so that there is always one
answer. Who came back in the week was not there all of it.

Joining goes by the day the community lived then, as it was called then, like the joys themselves: no change of zone moves
it into another week. A Sunday that the community passed over lets nobody in who came after it (RULES 6.2).

Its plan is the same for every community and week; where joys are many, PostgreSQL would weigh it anew at each call.';

create function private.get_leaderboard(p_community_id uuid, p_week_start date)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_today date;
  v_week date;
begin
  perform private.require_member(p_community_id);
  v_today := (private.day_at(p_community_id, private.clock())).day;
  v_week := private.require_week(coalesce(p_week_start, v_today));
  return (
    with reckoning as materialized (
      select r.* from private.reckon(p_community_id, v_week) as r
    ), board as (
      select
        r.*, p.person, rank() over (order by r.total_cc_spent desc, r.total_declarations desc) as rank
      from reckoning as r
      join private.shown_people as p on p.id = r.user_id
      where r.total_declarations > 0
    ), honoured as (
      -- Whom the Jashn of the week honoured or, where none was held yet, would honour as things stand.
      select j.honored_user_id as user_id from private.jashns as j
      where j.community_id = p_community_id and j.week_start = v_week
      union all
      select r.user_id from reckoning as r
      where r.place = 1 and not exists (
        select from private.jashns as j where j.community_id = p_community_id and j.week_start = v_week
      )
    )
    select jsonb_build_object(
      'week_start', v_week,
      'week_end', v_week + 6,
      'entries', coalesce(
        jsonb_agg(
          jsonb_build_object(
            'rank', b.rank, 'user', b.person, 'total_declarations', b.total_declarations,
            'total_cc_spent', b.total_cc_spent,
            'avg_cc_per_declaration', round(b.total_cc_spent::numeric / b.total_declarations, 2),
            'witnessed_received', b.witnessed_received,
            'streak_days', private.current_streak(p_community_id, b.user_id, v_today),
            'active_days', b.active_days
          )
          order by b.rank, b.person ->> 'display_name', b.user_id
        ),
        '[]'
      ),
      'most_restrained', (
        select p.person from private.shown_people as p where p.id = (select h.user_id from honoured as h)
      )
    )
    from board as b
  );
end;
$$;
comment on function private.get_leaderboard is
'Board and honoree come out of one reckoning of the week. It asks for membership once and reads with its owner''s
rights: row by row, row level security would double its cost.';

create function public.get_leaderboard(community_id uuid, week_start date default null)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.get_leaderboard(get_leaderboard.community_id, get_leaderboard.week_start);
end;
$$;
comment on function public.get_leaderboard is
'The board of one week, Sunday to Saturday.

week_start, any of its days, names the week; by default the one the community lives. Ranks the members who declared
a joy in it by CC declared, then number of joys; equal figures share a rank, in order of name. Those who have left
are not on it. avg_cc_per_declaration has two decimals, streak_days is the streak alive today whatever the week,
most_restrained is whom its Jashn honoured, or would as things stand. Returns {week_start, week_end, entries:
[{rank, user, total_declarations, total_cc_spent, avg_cc_per_declaration, witnessed_received, streak_days,
active_days}], most_restrained}. Refuses: NOT_FOUND, INVALID_INPUT.';
grant execute on function public.get_leaderboard, private.get_leaderboard to authenticated;
