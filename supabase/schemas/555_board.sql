-- The leaderboard of a week (RULES 10.1).

create type private.board_entry as (
  rank integer,
  "user" json,
  total_declarations integer,
  total_cc_spent integer,
  avg_cc_per_declaration numeric,
  witnessed_received integer,
  streak_days integer,
  active_days integer
);
comment on type private.board_entry is 'Somebody''s line of the leaderboard, key by attribute.';

create function private.get_leaderboard(p_community_id uuid, p_week_start date)
returns json
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  v_today date;
  v_week date;
  v_entries private.board_entry[];
  v_by_place uuid[];
  v_honoured uuid;
begin
  perform private.require_member(p_community_id);
  v_today := (private.day_at(p_community_id, private.clock())).day;
  v_week := private.require_week(coalesce(p_week_start, v_today));
  with sums as materialized (
    select s.* from private.sum_week(p_community_id, v_week) as s where s.total_declarations > 0
  )
  select
    array(
      select
        row(
          rank() over (order by b.total_cc_spent desc, b.total_declarations desc), b.person, b.total_declarations,
          b.total_cc_spent, round(b.total_cc_spent::numeric / b.total_declarations, 2), b.witnessed_received,
          coalesce(b.days, 0), b.active_days
        )::private.board_entry
      from (
        select s.*, p.person, r.days
        from sums as s
        join private.shown_people as p on p.id = s.user_id
        -- One by one, as the limit has it: joined all at once, everybody would be held against everybody.
        left join lateral (
          select o.days from private.shown_streaks as o
          where o.community_id = p_community_id and o.user_id = s.user_id and o.alive_through >= v_today
          limit 1
        ) as r on true
        order by s.total_cc_spent desc, s.total_declarations desc, p.display_name, s.user_id
      ) as b
    ),
    array(select s.user_id from sums as s where s.place is not null order by s.place)
  into v_entries, v_by_place;
  -- Whom the Jashn of the week honoured or, where none was held yet, would honour as things stand.
  select j.honored_user_id into v_honoured from private.jashns as j
  where j.community_id = p_community_id and j.week_start = v_week;
  if not found then
    v_honoured := private.first_able(v_by_place);
  end if;
  return json_build_object(
    'week_start', v_week, 'week_end', v_week + 6, 'entries', to_json(v_entries),
    'most_restrained', (select p.person from private.shown_people as p where p.id = v_honoured)
  );
end;
$$;
comment on function private.get_leaderboard is
'Board and honoree come out of one reckoning of the week. It asks for membership once and reads with its owner''s
rights: row by row, row level security would double its cost.';

create function public.get_leaderboard(community_id uuid, week_start date default null)
returns json
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
