-- The scheduled jobs (RULES 6.2, 6.4): each a function of a moment that serves one bounded batch.

create function private.jobs(out name text, out schedule text, out serves text)
returns setof record
language plpgsql immutable rows 7 set search_path = ''
as $$
begin
  -- In the order in which a community that is late with everything wants them. Every minute asks whose local hour it
  -- is: pg_cron itself knows one zone and never catches up by itself.
  return query values
    ('daily_sunset', '* * * * *', 'settle_sunset'),
    ('daily_reset', '* * * * *', 'settle_day'),
    ('tip_to_tip_expiry', '*/15 * * * *', 'expire_proposals'),
    ('election_close', '* * * * *', 'close_elections'),
    ('weekly_jashn', '* * * * *', 'honour_week'),
    ('last_light', '* * * * *', 'send_last_light'),
    ('housekeeping', '* * * * *', null);
end;
$$;
comment on function private.jobs is
'Every job: its name, which is that of its function and of its entry with pg_cron, its schedule, and the function
(community, moment) that does it for one community and returns how many rows it changed; null where it serves none.
Whatever goes through the jobs reads this list.';

create table private.job_runs (
  community_id uuid not null,
  id bigint generated always as identity,
  job text not null,
  day date,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  rows integer,
  error text,
  constraint job_runs_pkey primary key (community_id, id)
);
comment on table private.job_runs is
'What each job did for each community: rows it changed, or the error it met. Kept 30 days. No foreign key: a log.';
create index job_runs_started_at_idx on private.job_runs (started_at);
create index job_runs_id_idx on private.job_runs (id);
create index job_runs_errors_idx on private.job_runs (id) where error is not null;
alter table private.job_runs enable row level security;
create policy nobody_reads_job_runs on private.job_runs for select to authenticated using (false);

create table private.job_troubles (
  community_id uuid not null,
  job text not null,
  retry_at timestamptz not null,
  tries integer not null default 1,
  constraint job_troubles_pkey primary key (community_id, job)
);
comment on table private.job_troubles is
'Communities a job failed for, and when it tries again: later each time, up to an hour, so that one broken community
is never in the way of the others.';
alter table private.job_troubles enable row level security;
create policy nobody_reads_job_troubles on private.job_troubles for select to authenticated using (false);

create function private.record_run(
  p_job text, p_community_id uuid, p_started_at timestamptz, p_rows integer, p_error text, p_now timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if p_error is null then
    delete from private.job_troubles as t where t.community_id = p_community_id and t.job = p_job;
  else
    insert into private.job_troubles as t (community_id, job, retry_at)
    values (p_community_id, p_job, p_now + interval '1 minute')
    on conflict (community_id, job) do update
    set retry_at = p_now + least(interval '1 minute' * 2 ^ t.tries, interval '1 hour'), tries = least(t.tries + 1, 10);
  end if;
  insert into private.job_runs (community_id, job, day, started_at, finished_at, rows, error)
  values (
    p_community_id, p_job, (private.day_of(p_community_id)).day, p_started_at, clock_timestamp(), p_rows, p_error
  );
end;
$$;
comment on function private.record_run is
'Records what a job did for a community, and its trouble or the end of one. started_at and finished_at are the wall''s
clock; everything else is as of p_now.';

create function private.serve_community(p_job text, p_community_id uuid, p_now timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_started timestamptz := clock_timestamp();
  v_serves text := (select j.serves from private.jobs() as j where j.name = p_job);
  v_rows integer;
  v_error text;
begin
  begin
    execute format('select private.%I($1, $2)', v_serves) into v_rows using p_community_id, p_now;
  exception when others then
    v_error := sqlstate || ' ' || sqlerrm;
    raise warning '% failed for community %: %', p_job, p_community_id, v_error;
  end;
  perform private.record_run(p_job, p_community_id, v_started, v_rows, v_error, p_now);
end;
$$;
comment on function private.serve_community is
'Does one job for one community in a savepoint of its own and records the run.';

create function private.serve_batch(p_job text, p_community_ids uuid[], p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_begun timestamptz := clock_timestamp();
  v_community_id uuid;
  v_served integer := 0;
begin
  -- In id order, so that two jobs that wait for communities never wait for each other in a ring.
  for v_community_id in select c.id from unnest(p_community_ids) as c (id) order by c.id loop
    perform private.serve_community(p_job, v_community_id, p_now);
    v_served := v_served + 1;
    -- Whoever is served keeps their day until the batch is committed: where much is to be done, they wait no longer for
    -- what nineteen others have made of theirs.
    exit when clock_timestamp() - v_begun > interval '500 ms';
  end loop;
  return v_served;
end;
$$;
comment on function private.serve_batch is
'Serves a batch of communities one after the other, as many as half a second is enough for, one at the least; returns
how many. The others are found again by the next call.';

create function private.in_trouble(p_job text, p_now timestamptz)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select array(
      select t.community_id from private.job_troubles as t
      where t.job = p_job and t.retry_at > p_now
    )
  );
end;
$$;
comment on function private.in_trouble is 'The communities a job leaves alone for now.';

create function private.daily_reset(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch('daily_reset', private.take_free_days(array(
    select d.community_id from private.community_days as d
    where d.dawn_at <= p_now and d.community_id <> all(private.in_trouble('daily_reset', p_now))
    order by d.dawn_at
    limit 20
  )), p_now);
end;
$$;
comment on function private.daily_reset is
'Dawn, for up to 20 communities whose local clock says so; returns how many it served, 0 when none is due.

A community another worker or a member is just settling is skipped, not waited for.';

create function private.daily_sunset(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.lapse_requests(p_now, 1000);
  return private.serve_batch('daily_sunset', private.take_free_days(array(
    select d.community_id from private.community_days as d
    where d.is_open and d.sunset_at <= p_now and d.community_id <> all(private.in_trouble('daily_sunset', p_now))
    order by d.sunset_at
    limit 20
  )), p_now);
end;
$$;
comment on function private.daily_sunset is
'Sunset, for up to 20 communities whose local clock says so; returns how many it served, 0 when none is due. It also
writes down which borrow requests have lapsed.';

create function private.tip_to_tip_expiry(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch('tip_to_tip_expiry', array(
    select distinct t.community_id from (
      select o.community_id from private.tip_to_tip_proposals as o
      where o.status = 'active' and o.deadline <= p_now
      union all
      select o.community_id from private.tip_to_tip_proposals as o
      where o.status = 'active' and o.remind_at <= p_now
    ) as t
    where t.community_id <> all(private.in_trouble('tip_to_tip_expiry', p_now))
    limit 20
  ), p_now);
end;
$$;
comment on function private.tip_to_tip_expiry is
'Ends proposals past their deadline and sends the reminders that are due, for up to 20 communities; returns how many
it served, 0 when nothing is due.';

create function private.election_close(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch(
    'election_close', private.elections_due(p_now, 20, private.in_trouble('election_close', p_now)), p_now
  );
end;
$$;
comment on function private.election_close is
'Closes the elections that have ended, for up to 20 communities; returns how many it served, 0 when nothing is due.';

create function private.weekly_jashn(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch(
    'weekly_jashn', private.jashns_due(p_now, 20, private.in_trouble('weekly_jashn', p_now)), p_now
  );
end;
$$;
comment on function private.weekly_jashn is
'Holds the Jashn of the week just ended, for up to 20 communities whose Sunday has come to 00:05; returns how many it
served, 0 when nothing is due.';

create function private.last_light(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch(
    'last_light', private.last_lights_due(p_now, 20, private.in_trouble('last_light', p_now)), p_now
  );
end;
$$;
comment on function private.last_light is
'Tells of the hour before Sunset, for up to 20 communities in which it has begun; returns how many it served, 0 when
none is due.';

create function private.housekeeping(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
  v_all integer;
begin
  -- Erasures first, a step a transaction: they hold a community's day, and must not wait for the rest.
  if private.go_on_erasing(p_now) > 0 then
    return 1;
  end if;
  v_all := private.purge_repeats(p_now, 5000) + private.purge_notices(p_now, 5000) + private.purge_misses(p_now, 5000)
    + private.heal_profiles(20) + private.erase_departed(20);
  delete from private.job_runs as r
  where (r.community_id, r.id) in (
    select o.community_id, o.id from private.job_runs as o where o.started_at <= p_now - interval '30 days' limit 5000
  );
  get diagnostics v_gone = row_count;
  v_all := v_all + v_gone;
  delete from cron.job_run_details as r
  where r.runid in (
    select o.runid from cron.job_run_details as o where o.end_time <= p_now - interval '7 days' limit 5000
  );
  get diagnostics v_gone = row_count;
  return v_all + v_gone;
end;
$$;
comment on function private.housekeeping is
'Deletes a batch of what is kept only for a while: request ids 7 days, notices 90, invite misses an hour, job runs 30
days, pg_cron''s own run records 7 days; makes the profiles Auth has and the house lacks, erases whom Auth has deleted,
and takes the next step of an erasure under way (RULES 1.2, 13). Returns how much it did, 0 when nothing is due.';
