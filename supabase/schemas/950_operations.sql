-- What stewards ask about the jobs. For the service role.

---------------------------------------------------------------------------------------------------- jobs

create function private.list_job_runs(p_job text, p_failed_only boolean, p_page_size integer, p_before_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_page private.job_runs[];
begin
  perform private.require_page_size(p_page_size);
  v_page := array(
    select r from private.job_runs as r
    where (p_before_id is null or r.id < p_before_id)
      and (p_job is null or r.job = p_job)
      and (r.error is not null or not coalesce(p_failed_only, false))
    order by r.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'runs', private.show_runs(v_page[:p_page_size]),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;

create function public.list_job_runs(
  job text default null, failed_only boolean default false, page_size integer default 50, before_id bigint default null
)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_job_runs(
    list_job_runs.job, list_job_runs.failed_only, list_job_runs.page_size, list_job_runs.before_id
  );
end;
comment on function public.list_job_runs is
'What the jobs did, a line for each community served, newest first. For the service role alone.

Of all jobs or one, all runs or only those that failed. Returns {runs: [{id, job, community_id, day, started_at,
finished_at, rows, error}], has_more}; rows is null where error is not. Kept 30 days. Refuses: INVALID_INPUT.';
grant execute on function public.list_job_runs, private.list_job_runs to service_role;

create function private.due_since(p_job text)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return case p_job
    when 'daily_reset' then (select min(d.dawn_at) from private.community_days as d)
    when 'daily_sunset' then (select min(d.sunset_at) from private.community_days as d where d.is_open)
    when 'last_light' then (select min(d.last_light_at) from private.community_days as d)
    when 'weekly_jashn' then (select min(d.jashn_look_at) from private.community_days as d)
    when 'tip_to_tip_expiry' then (
      select min(t.deadline) from private.tip_to_tip_proposals as t where t.status = 'active'
    )
    when 'election_close' then (select min(e.ends_at) from private.elections as e where e.status = 'active')
  end;
end;
$$;
comment on function private.due_since is
'The moment of the earliest thing a job has still to do, past or to come; null if nothing is in sight.';

create function private.get_jobs()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object('jobs', (
    select
      coalesce(
        jsonb_agg(
          jsonb_build_object(
            'name', j.jobname, 'schedule', j.schedule, 'active', j.active,
            'next_due_at', private.due_since(j.jobname),
            'late_seconds', coalesce(
              greatest(extract(epoch from private.clock() - private.due_since(j.jobname))::integer, 0), 0
            ),
            'last_started_at', l.start_time, 'last_status', l.status, 'last_message', l.return_message,
            'failed_in_a_day', (
              select count(*) from private.job_runs as r
              where r.job = j.jobname and r.error is not null
                and r.started_at > private.clock() - interval '1 day'
            ),
            'communities_in_trouble', (select count(*) from private.job_troubles as t where t.job = j.jobname)
          )
          order by j.jobname
        ), '[]'
      )
    from cron.job as j
    left join lateral (
      select d.start_time, d.status, d.return_message from cron.job_run_details as d
      where d.jobid = j.jobid
      order by d.runid desc
      limit 1
    ) as l on true
  ));
end;
$$;

create function public.get_jobs()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_jobs();
end;
comment on function public.get_jobs is
'Every scheduled job: its last run, how late it is with its work, what failed. For the service role alone.

Returns {jobs: [{name, schedule, active, next_due_at, late_seconds, last_started_at, last_status, last_message,
failed_in_a_day, communities_in_trouble}]}. tip_to_tip_expiry runs every 15 minutes, so up to 900 late seconds are
its usual; failed_in_a_day counts runs for one community.';
grant execute on function public.get_jobs, private.get_jobs to service_role;
