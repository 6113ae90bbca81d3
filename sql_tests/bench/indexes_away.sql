-- Before rows are laid in by the million: an index made afterwards takes a fraction of one kept up row by row.
-- Keys stay, for other tables name them; memory is for this session alone.

set work_mem = '256MB';
set maintenance_work_mem = '1GB';
create schema if not exists bench;
create table bench.indexes as
select i.indexrelid::regclass as name, pg_get_indexdef(i.indexrelid) as definition
from pg_index as i
join pg_class as t on t.oid = i.indrelid and t.relkind = 'r'
where t.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and not i.indisunique;
select format('drop index %s', i.name) from bench.indexes as i \gexec
