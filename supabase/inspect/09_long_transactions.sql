-- What has been under way for long? A member's call has 8 seconds, a job 2 minutes; what is older, or idle in a
-- transaction, keeps rows locked, vacuum from cleaning and readers of the Chamber who page forward waiting.
select
  a.pid,
  coalesce(a.usename, a.backend_type) as who,
  a.application_name as program,
  a.state,
  date_trunc('second', now() - a.xact_start) as in_transaction,
  a.wait_event_type || ': ' || a.wait_event as waits_for,
  left(regexp_replace(a.query, '\s+', ' ', 'g'), 80) as query
from pg_catalog.pg_stat_activity as a
where a.xact_start < now() - interval '5 seconds' and a.pid <> pg_backend_pid()
order by a.xact_start
limit 20;
