-- Does autovacuum keep up? Purses and calendars are rewritten twice a day: dead rows come and must go again.
select
  s.schemaname || '.' || s.relname as name,
  s.n_live_tup as live,
  s.n_dead_tup as dead,
  round(100.0 * s.n_dead_tup / greatest(s.n_live_tup + s.n_dead_tup, 1), 1) as percent,
  round(100.0 * s.n_tup_hot_upd / nullif(s.n_tup_upd, 0), 1) as updated_in_place_percent,
  greatest(s.last_vacuum, s.last_autovacuum) as last_vacuum,
  greatest(s.last_analyze, s.last_autoanalyze) as last_analyze
from pg_catalog.pg_stat_user_tables as s
where s.schemaname in ('public', 'private', 'cron')
order by dead desc
limit 20;
