-- Which indexes earn their keep? One that is large and never used costs every write; a table read from end to end by
-- the million rows lacks one. Keys and unique indexes guard rules, used or not.
select
  s.schemaname || '.' || s.relname as name,
  s.indexrelname as index,
  s.idx_scan as used,
  pg_size_pretty(pg_relation_size(s.indexrelid)) as size,
  i.indisunique as guards,
  t.seq_scan as table_read_whole,
  t.seq_tup_read as rows_so_read
from pg_catalog.pg_stat_user_indexes as s
inner join pg_catalog.pg_index as i on s.indexrelid = i.indexrelid
inner join pg_catalog.pg_stat_user_tables as t on s.relid = t.relid
where s.schemaname in ('public', 'private')
order by i.indisunique, s.idx_scan, pg_relation_size(s.indexrelid) desc
limit 30;
