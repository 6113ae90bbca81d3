-- The leaderboard of a week (RULES 10.1).

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
        r.*, p.person, p.display_name, rank() over (order by r.total_cc_spent desc, r.total_declarations desc) as rank
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
          order by b.rank, b.display_name, b.user_id
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
