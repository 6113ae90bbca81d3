-- Does what is asked lie in memory? Below 99 % for busy tables, the project wants more of it.
select
  s.schemaname || '.' || s.relname as name,
  s.heap_blks_hit + coalesce(s.idx_blks_hit, 0) as from_memory,
  s.heap_blks_read + coalesce(s.idx_blks_read, 0) as from_disk,
  round(
    100.0 * (s.heap_blks_hit + coalesce(s.idx_blks_hit, 0))
    / (s.heap_blks_hit + coalesce(s.idx_blks_hit, 0) + s.heap_blks_read + coalesce(s.idx_blks_read, 0)), 2
  ) as percent
from pg_catalog.pg_statio_user_tables as s
where s.heap_blks_hit + coalesce(s.idx_blks_hit, 0) + s.heap_blks_read + coalesce(s.idx_blks_read, 0) > 0
order by from_disk desc, from_memory desc
limit 20;
