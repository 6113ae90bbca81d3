-- The calendar: which day each community lives, and when its next Sunset and Dawn fall (RULES, Words and 6).

create table private.community_days (
  community_id uuid not null,
  day date not null,
  sunset_at timestamptz not null,
  dawn_at timestamptz not null,
  is_open boolean not null generated always as (sunset_at < dawn_at) stored,
  due_at timestamptz not null generated always as (least(sunset_at, dawn_at)) stored,
  last_closed_day date,
  constraint community_days_pkey primary key (community_id),
  constraint community_days_community_id_fkey foreign key (community_id) references private.communities (id)
)
with (fillfactor = 50);
comment on table private.community_days is
'One row per community: the day it lives and the instants of its next Sunset and next Dawn, so that one index serves
every zone and every change of the clocks. While the day is open its Sunset comes first; while it is closed, the
Dawn.';
create index community_days_sunset_at_idx on private.community_days (sunset_at) where is_open;
create index community_days_dawn_at_idx on private.community_days (dawn_at);
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

create function private.begin_calendar(p_community_id uuid, p_timezone text)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_today date := (private.clock() at time zone p_timezone)::date;
  v_dawn timestamptz := private.dawn_of(p_timezone, v_today + 1);
begin
  insert into private.community_days (community_id, day, sunset_at, dawn_at)
  values (p_community_id, v_today, v_dawn - interval '1 minute', v_dawn);
  if v_dawn - interval '1 minute' <= private.clock() then
    perform private.turn_to_night(p_community_id, p_timezone, null);
  end if;
end;
$$;
comment on function private.begin_calendar is
'Starts the calendar of a new community on its local date; one founded between Sunset and Dawn starts closed.';

create function private.turn_to_night(p_community_id uuid, p_timezone text, p_closed_day date)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.community_days as d
  set
    sunset_at = private.dawn_of(p_timezone, (d.dawn_at at time zone p_timezone)::date + 1) - interval '1 minute',
    last_closed_day = coalesce(p_closed_day, d.last_closed_day)
  where d.community_id = p_community_id and d.is_open;
end;
$$;
comment on function private.turn_to_night is
'Closes the day in the calendar: the next Sunset is now the one after the next Dawn.';

create function private.turn_to_day(p_community_id uuid, p_timezone text, p_now timestamptz)
returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  v_lived date := (select d.day from private.community_days as d where d.community_id = p_community_id);
  v_dawn timestamptz := private.dawn_of(p_timezone, v_lived + 1);
  v_day date := greatest((p_now at time zone p_timezone)::date, v_lived + 1);
  v_next timestamptz;
begin
  if v_dawn > p_now then
    -- The zone moved west in the night: its first date later than the last one lived is still to come.
    update private.community_days as d
    set
      dawn_at = v_dawn,
      sunset_at = private.dawn_of(p_timezone, (v_dawn at time zone p_timezone)::date + 1) - interval '1 minute'
    where d.community_id = p_community_id;
    return false;
  end if;
  v_next := private.dawn_of(p_timezone, v_day + 1);
  update private.community_days as d
  set day = v_day, dawn_at = v_next, sunset_at = v_next - interval '1 minute'
  where d.community_id = p_community_id;
  return true;
end;
$$;
comment on function private.turn_to_day is
'Opens in the calendar the local date of p_now, always later than the last one lived; days missed whole are passed
over.

Returns false, and waits for the new zone''s next Dawn, where the zone in force now has no later date yet (RULES
6.2).';

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
    day := greatest(day, (p_at at time zone timezone)::date);
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
