-- Which tables are large, and what fills them? Rows are estimates; written counts since the statistics began.
select
  s.schemaname || '.' || s.relname as name,
  pg_size_pretty(pg_total_relation_size(s.relid)) as total,
  pg_size_pretty(pg_indexes_size(s.relid)) as of_it_indexes,
  s.n_live_tup as rows,
  s.n_tup_ins as inserted,
  s.n_tup_upd as updated,
  s.n_tup_del as deleted
from pg_catalog.pg_stat_user_tables as s
where s.schemaname in ('public', 'private', 'auth', 'cron', 'realtime')
order by pg_total_relation_size(s.relid) desc
limit 20;
