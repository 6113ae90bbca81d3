-- The last hour: what is about to be lost, and the joys nobody has witnessed (RULES 17).

create function private.unwitnessed_joys(p_community_id uuid, p_day date, p_limit integer)
returns setof private.declarations
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select d.* from private.declarations as d
  join private.shown_people as p on p.id = d.user_id and not p.is_erased
  where d.community_id = p_community_id and d.day = p_day and d.witnessed_count = 0 and d.struck_at is null
  order by d.number
  limit p_limit;
end;
$$;
comment on function private.unwitnessed_joys is
'The joys of a day nobody has witnessed, in the order of declaring; none that is struck or whose author is erased.';

create function private.least_witnessing(p_community_id uuid, p_day date, out ids uuid[], out alike integer)
language plpgsql stable security definer set search_path = ''
as $$
begin
  with counted as (
    select m.id, count(w.user_id) as witnessed
    from unnest(private.able_member_ids(p_community_id)) as m (id)
    left join (
      select o.user_id
      from private.declarations as d
      join private.witnesses as o on o.community_id = d.community_id and o.declaration_id = d.id
      where d.community_id = p_community_id and d.day = p_day
    ) as w on w.user_id = m.id
    where m.id <> all(private.away_ids(p_community_id, p_day, p_day))
    group by m.id
  )
  select
    array_agg(c.id order by c.witnessed, c.id),
    count(*) filter (where c.witnessed = (select min(l.witnessed) from counted as l))
  into ids, alike
  from counted as c;
end;
$$;
comment on function private.least_witnessing is
'The able members who are not away, who has witnessed least of the day''s joys first; alike of them witnessed as little
as the first.';

create function private.ask_for_witnesses(p_community_id uuid, p_day date, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_least record;
  v_joys uuid[];
  v_authors uuid[];
  v_asked uuid[];
  v_about uuid[];
  v_by uuid[];
begin
  select array_agg(j.id order by j.number), array_agg(j.user_id order by j.number) into v_joys, v_authors
  from private.unwitnessed_joys(p_community_id, p_day, 1000) as j;
  if v_joys is null then
    return 0;
  end if;
  v_least := private.least_witnessing(p_community_id, p_day);
  -- Where more than three are alike the joys go round among them: nobody is asked for all.
  select array_agg(a.asked), array_agg(a.joy_id), array_agg(a.author_id) into v_asked, v_about, v_by
  from (
    select
      m.id as asked, j.id as joy_id, j.author_id,
      row_number() over (partition by j.turn order by k.step) as place
    from unnest(v_joys, v_authors) with ordinality as j (id, author_id, turn)
    cross join generate_series(0, 3) as k (step)
    cross join lateral (
      select v_least.ids[
        1 + case when v_least.alike > 3 then (3 * (j.turn - 1) + k.step) % v_least.alike else k.step end
      ] as id
    ) as m
    where m.id <> j.author_id
  ) as a
  where a.place <= 3;
  perform private.notify_each(
    v_asked, p_community_id, 'unwitnessed', 'joy_unwitnessed', 'declaration', v_about, v_by, p_now
  );
  return cardinality(v_joys);
end;
$$;
comment on function private.ask_for_witnesses is
'Puts each joy of a day nobody has witnessed before the three members who witnessed least; returns how many joys, at
most 1,000 of a day. Who witnessed least is told by the joys of this day they bore witness to; equals take turns. All in
one statement: the day is held meanwhile.';

create function private.send_last_light(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.pass_last_light(p_community_id, p_now);
  v_budget integer := (select c.daily_cc_budget from private.communities as c where c.id = p_community_id);
  v_members uuid[] := private.member_ids(p_community_id);
  v_total bigint;
  v_holders uuid[];
  v_joys integer;
begin
  if v_day.community_id is null or v_day.sunset_at <= p_now then
    return 0;
  end if;
  select
    coalesce(sum(b.remaining), 0),
    coalesce(
      array_agg(b.user_id) filter (where b.remaining * 5 > v_budget and b.user_id = any(v_members)), '{}'
    )
  into v_total, v_holders
  from private.purses as b
  where b.community_id = p_community_id and b.remaining > 0;
  v_joys := private.ask_for_witnesses(p_community_id, v_day.day, p_now);
  if v_total = 0 and v_joys = 0 then
    return 0;
  end if;
  perform private.tell_community(p_community_id, 'last_light', jsonb_build_object('day', v_day.day));
  perform private.notify(
    v_holders, p_community_id, 'last_light', 'last_light', 'last_light', p_community_id,
    jsonb_build_object('total', v_total, 'day', v_day.day, 'sunset_at', v_day.sunset_at), p_at => p_now
  );
  return cardinality(v_holders) + v_joys;
end;
$$;
comment on function private.send_last_light is
'The last light of a community''s day, if its hour has begun: one broadcast, a notice to each member whose purse holds
more than a fifth of the budget, and the joys nobody witnessed put before those who witnessed least. Once a day; after
Sunset, or where nothing is unspent and nothing unwitnessed, nothing. Returns how many purses and joys it was about.';

create function private.get_last_light(p_community_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member_today(p_community_id);
  v_day private.community_days := private.day_of(p_community_id);
  v_left interval := v_day.sunset_at - private.clock();
begin
  if not v_day.is_open or v_left > interval '1 hour' or v_left <= interval '0' then
    return jsonb_build_object('last_light', null);
  end if;
  return jsonb_build_object('last_light', jsonb_build_object(
    'total', (
      select coalesce(sum(b.remaining), 0) from private.purses as b where b.community_id = v_me.community_id
    ),
    'sunset_at', v_day.sunset_at, 'seconds_left', ceil(extract(epoch from v_left))::integer,
    'unwitnessed', (
      select coalesce(jsonb_agg(s.declaration order by j.number), '[]')
      from private.unwitnessed_joys(p_community_id, v_day.day, 200) as j
      cross join lateral (
        -- Looked up one by one, however many joys there are beside them.
        select d.declaration from private.shown_declarations as d
        where d.community_id = j.community_id and d.id = j.id
        order by d.id
        limit 1
      ) as s
    )
  ));
end;
$$;

create function public.get_last_light(community_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.get_last_light(get_last_light.community_id);
end;
comment on function public.get_last_light is
'In the hour before Sunset, what the community is about to lose and the joys of the day nobody has witnessed.

An overdue day is settled first. total is that of all purses, without names; unwitnessed holds at most 200 joys, first
declared first. Returns {last_light: {total, sunset_at, seconds_left, unwitnessed: [declaration]}}, or null before that
hour and after it. Refuses: NOT_FOUND.';
grant execute on function public.get_last_light, private.get_last_light to authenticated;
