-- What failed in the last day, for a community or as a whole? The error says why; a community in trouble is tried again
-- at retry_at, or at once by `python -m edge settle`.
select
  r.job,
  r.error,
  count(*) as times,
  count(distinct r.community_id) as communities,
  max(r.finished_at) as latest,
  min(t.retry_at) as retry_at
from private.job_runs as r
left join private.job_troubles as t on r.job = t.job and r.community_id = t.community_id
where r.error is not null and r.started_at > now() - interval '1 day'
group by r.job, r.error
union all
select
  j.jobname,
  'pg_cron: ' || coalesce(d.return_message, d.status),
  count(*),
  null,
  max(d.start_time),
  null
from cron.job_run_details as d
inner join cron.job as j on d.jobid = j.jobid
where d.status = 'failed' and d.start_time > now() - interval '1 day'
group by j.jobname, d.return_message, d.status
order by latest desc;
