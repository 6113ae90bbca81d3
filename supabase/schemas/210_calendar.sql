-- The calendar: which day each community lives, and when its next Sunset and Dawn fall (RULES, Words and 6).

create table private.community_days (
  community_id uuid not null,
  day date not null,
  sunset_at timestamptz not null,
  dawn_at timestamptz not null,
  is_open boolean not null generated always as (sunset_at < dawn_at) stored,
  due_at timestamptz not null generated always as (least(sunset_at, dawn_at)) stored,
  jashn_look_at timestamptz not null,
  last_light_at timestamptz,
  days_lived integer not null default 1,
  daily_budget integer not null,
  last_closed_day date,
  editions integer not null default 0,
  constraint community_days_pkey primary key (community_id),
  constraint community_days_community_id_fkey foreign key (community_id) references private.communities (id)
)
with (fillfactor = 50);
comment on table private.community_days is
'One row per community: the day it lives and the instants of its next Sunset and next Dawn, so that one index serves
every zone and every change of the clocks. While the day is open its Sunset comes first; while it is closed, the
Dawn. jashn_look_at is when the next Jashn is to be held; each Dawn reckons it anew, for it may have brought another
zone, where Sunday comes sooner or later. last_light_at is when the last hour begins,
null once that has been told or is over. days_lived counts the days, this one included; editions those of the Gazette.
daily_budget is that of the community, copied by each Dawn: every act that tells a balance holds this row anyway.';
create index community_days_sunset_at_idx on private.community_days (sunset_at) where is_open;
create index community_days_dawn_at_idx on private.community_days (dawn_at);
create index community_days_jashn_look_at_idx on private.community_days (jashn_look_at);
create index community_days_last_light_at_idx on private.community_days (last_light_at) where last_light_at is not null;
alter table private.community_days enable row level security;
create policy members_read_community_days on private.community_days for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.community_days to authenticated;

create function private.dawn_of(p_timezone text, p_day date)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
declare
  -- A midnight the clocks jump over reads as the instant of the jump; one they live twice, as the second.
  v_guess timestamptz := p_day::timestamp at time zone p_timezone;
  v_before timestamptz := v_guess - interval '3 hours';
begin
  if v_guess at time zone p_timezone - v_before at time zone p_timezone = interval '3 hours'
    and (v_guess at time zone p_timezone)::date = p_day
  then
    return v_guess;
  end if;
  return (
    select min(t.moment) from generate_series(v_before, v_guess, interval '1 minute') as t (moment)
    where (t.moment at time zone p_timezone)::date >= p_day
  );
end;
$$;
comment on function private.dawn_of is
'The first instant whose local date in a zone is p_day or, where the zone skips that date, later.

Near a change of the clocks every minute of the three hours before is looked at: a midnight may be skipped or come
twice.';

create function private.next_dawn(p_timezone text, p_next_timezone text, p_day date)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return greatest(private.dawn_of(p_timezone, p_day + 1), private.dawn_of(p_next_timezone, p_day + 1));
end;
$$;
comment on function private.next_dawn is
'When the day after p_day really begins, where p_next_timezone will be the zone from then on: the old date must be over
where it was lived, and the new one begun where it will be (RULES 6.2). West of here that is hours later; to the east it
is this zone''s own midnight, and the new date is then the other zone''s.';

create function private.next_day(p_day private.community_days, p_timezone text)
returns date
language plpgsql stable security definer set search_path = ''
as $$
begin
  return greatest((p_day.dawn_at at time zone p_timezone)::date, p_day.day + 1);
end;
$$;
comment on function private.next_day is
'The date that a day''s next Dawn opens, where p_timezone is the zone from then on.';

create function private.sunset_after(p_timezone text, p_dawn_at timestamptz, p_day date)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return greatest(
    private.dawn_of(p_timezone, greatest((p_dawn_at at time zone p_timezone)::date, p_day + 1) + 1) - interval '1 minute',
    p_dawn_at
  );
end;
$$;
comment on function private.sunset_after is
'The Sunset of the day that the Dawn at p_dawn_at opens in a zone, p_day being the last one lived.';

create function private.turn_to_night(p_day private.community_days, p_timezone text, p_closed_day date)
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days;
begin
  update private.community_days as d
  set
    sunset_at = private.sunset_after(p_timezone, p_day.dawn_at, p_day.day),
    last_light_at = null,
    last_closed_day = coalesce(p_closed_day, d.last_closed_day)
  where d.community_id = p_day.community_id
  returning d.* into v_day;
  return v_day;
end;
$$;
comment on function private.turn_to_night is
'Closes an open, locked day in the calendar and returns it. p_timezone is the zone from the next Dawn on: the next
Sunset is then that of the day it opens.';

create function private.turn_to_day(
  p_day private.community_days, p_timezone text, p_daily_budget integer, p_now timestamptz
)
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_date date := greatest((p_now at time zone p_timezone)::date, p_day.day + 1);
  v_dawn timestamptz := private.dawn_of(p_timezone, v_date + 1);
  v_day private.community_days;
begin
  update private.community_days as d
  set
    day = v_date,
    days_lived = d.days_lived + 1,
    daily_budget = p_daily_budget,
    dawn_at = v_dawn,
    sunset_at = v_dawn - interval '1 minute',
    last_light_at = v_dawn - interval '1 hour 1 minute',
    -- Where nobody has turned to night before, the day that was open is closed by this.
    last_closed_day = case when p_day.is_open then p_day.day else d.last_closed_day end,
    -- One that should have been held in the days before this Dawn is owed still.
    jashn_look_at = case
      when p_day.jashn_look_at < p_day.dawn_at then p_day.jashn_look_at
      else private.next_jashn_look(p_timezone, p_day.day)
    end
  where d.community_id = p_day.community_id
  returning d.* into v_day;
  return v_day;
end;
$$;
comment on function private.turn_to_day is
'Opens in the calendar the local date of p_now, always later than the last one lived; days missed whole are passed over.
Returns the locked day as it then is. private.next_dawn has seen to it that the zone has such a date by now.';

create function private.await_zone(p_day private.community_days, p_timezone text, p_next_timezone text)
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  -- A zone in the west that is called off in the night it made longer: the Dawn it kept waiting is due at once.
  v_dawn timestamptz := greatest(private.next_dawn(p_timezone, p_next_timezone, p_day.day), private.clock());
  v_day private.community_days;
begin
  update private.community_days as d
  set
    dawn_at = v_dawn,
    sunset_at = case
      when p_day.is_open then p_day.sunset_at else private.sunset_after(p_next_timezone, v_dawn, p_day.day)
    end,
    -- No week is honoured before the Dawn that ends it.
    jashn_look_at = case
      when p_day.jashn_look_at < p_day.dawn_at then p_day.jashn_look_at
      else greatest(private.next_jashn_look(p_next_timezone, p_day.day), v_dawn)
    end
  where d.community_id = p_day.community_id
  returning d.* into v_day;
  return v_day;
end;
$$;
comment on function private.await_zone is
'Reckons the next Dawn anew, and by night the Sunset after it, when another zone pends or pends no more; returns the
day, which the caller holds alone. So what the calendar says is always what will come, and nothing takes force before it
(RULES 5.5, 6.2).';

create function private.begin_calendar(p_community_id uuid, p_timezone text, p_daily_budget integer)
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_today date := (private.clock() at time zone p_timezone)::date;
  v_dawn timestamptz := private.dawn_of(p_timezone, v_today + 1);
  v_day private.community_days;
begin
  insert into private.community_days as d (
    community_id, day, sunset_at, dawn_at, jashn_look_at, daily_budget, last_light_at
  )
  values (
    p_community_id, v_today, v_dawn - interval '1 minute', v_dawn, private.next_jashn_look(p_timezone, v_today),
    p_daily_budget,
    -- Founded within that hour, nobody has let anything lie.
    case when v_dawn - private.clock() > interval '1 hour 1 minute' then v_dawn - interval '1 hour 1 minute' end
  )
  returning d.* into v_day;
  if v_day.sunset_at <= private.clock() then
    v_day := private.turn_to_night(v_day, p_timezone, null);
  end if;
  return v_day;
end;
$$;
comment on function private.begin_calendar is
'Starts the calendar of a new community on its local date and returns it; one founded between Sunset and Dawn starts
closed. The first Jashn is that of the week it was founded in.';

create function private.pass_last_light(p_community_id uuid, p_now timestamptz)
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days;
begin
  update private.community_days as d set last_light_at = null
  where d.community_id = p_community_id and d.last_light_at <= p_now
  returning d.* into v_day;
  return v_day;
end;
$$;
comment on function private.pass_last_light is
'Locks the day of a community whose last hour has begun and has not been told, and returns it; nulls where it has.';

create function private.last_lights_due(p_now timestamptz, p_limit integer, p_except uuid[])
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(
    select d.community_id from private.community_days as d
    where d.last_light_at <= p_now and d.community_id <> all(p_except)
    order by d.last_light_at
    limit p_limit
  );
end;
$$;
comment on function private.last_lights_due is
'Up to p_limit communities whose last hour has begun and has not been told, but for those in p_except.';

create function private.count_edition(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.community_days as d set editions = d.editions + 1 where d.community_id = p_community_id;
end;
$$;
comment on function private.count_edition is
'Counts an edition of the Gazette on a locked day: kept apart from the editions, so that the last one is missed too.';

create function private.turn_jashn_look(p_community_id uuid, p_at timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.community_days as d set jashn_look_at = p_at where d.community_id = p_community_id;
end;
$$;
comment on function private.turn_jashn_look is 'Says when to look next whether a community''s Jashn is due.';

create function private.dawn_late_seconds(p_now timestamptz)
returns integer
language sql stable security definer set search_path = ''
begin atomic
  select coalesce(greatest(extract(epoch from p_now - min(d.dawn_at))::integer, 0), 0) from private.community_days as d;
end;
comment on function private.dawn_late_seconds is
'How many seconds the most overdue Dawn is late, 0 when none is; one index probe.';

create function private.day_at(p_community_id uuid, p_at timestamptz, out timezone text, out day date)
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_dawn_at timestamptz;
begin
  select
    d.day,
    d.dawn_at,
    case when d.dawn_at <= p_at then coalesce(c.pending ->> 'timezone', c.timezone) else c.timezone end
  into day, v_dawn_at, timezone
  from private.community_days as d
  join private.communities as c on c.id = d.community_id
  where d.community_id = p_community_id;
  if v_dawn_at <= p_at then
    day := greatest(day + 1, (p_at at time zone timezone)::date);
  end if;
end;
$$;
comment on function private.day_at is
'The day a community lives at a moment, and the zone it lives it in, whether or not its Dawn has been settled: what a
read, which settles nothing, must go by.';

create function private.week_of(p_day date)
returns date
language plpgsql immutable set search_path = ''
as $$
begin
  return p_day - extract(dow from p_day)::integer;
end;
$$;
comment on function private.week_of is 'The Sunday a day''s week begins with.';
grant execute on function private.week_of to authenticated;

create function private.next_jashn_look(p_timezone text, p_day date)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return private.dawn_of(p_timezone, private.week_of(p_day) + 7) + interval '5 minutes';
end;
$$;
comment on function private.next_jashn_look is
'When the week of a day has ended and its Jashn is to be held: the Sunday after it, 00:05 (RULES 10.2).';
