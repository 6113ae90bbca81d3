-- Who waits for whom, now? Acts of one community wait for its Dawn for moments; a wait of seconds has a culprit here.
select
  w.pid as waiting,
  date_trunc('second', now() - w.query_start) as since,
  left(regexp_replace(w.query, '\s+', ' ', 'g'), 60) as wants,
  b.pid as blocked_by,
  b.state as who_is,
  date_trunc('second', now() - b.xact_start) as in_transaction,
  left(regexp_replace(b.query, '\s+', ' ', 'g'), 60) as and_last_did
from pg_catalog.pg_stat_activity as w
cross join unnest(pg_blocking_pids(w.pid)) as p (pid)
inner join pg_catalog.pg_stat_activity as b on p.pid = b.pid
order by w.query_start;
