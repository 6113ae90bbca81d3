-- Which RPCs, and which jobs, take the database's time? Since the statistics began: when the server did, or somebody
-- called extensions.pg_stat_statements_reset. A mean far above its neighbours' deserves a closer look.
select
  a.rpc,
  sum(a.calls) as calls,
  round((sum(a.total_exec_time) / sum(a.calls))::numeric, 2) as mean_ms,
  round(max(a.max_exec_time)::numeric, 1) as slowest_ms,
  round((sum(a.total_exec_time) / 1000)::numeric, 2) as total_s,
  round((100 * sum(a.total_exec_time) / sum(sum(a.total_exec_time)) over ())::numeric, 1) as percent
from (
  select
    s.calls,
    s.total_exec_time,
    s.max_exec_time,
    coalesce(
      substring(s.query from '"public"\."(\w+)"\s*\('), substring(s.query from 'while private\.(\w+)\(')
    ) as rpc
  from extensions.pg_stat_statements as s
  inner join pg_catalog.pg_database as d on s.dbid = d.oid
  where d.datname = current_database()
) as a
where a.rpc is not null
group by a.rpc
order by total_s desc, calls desc
limit 30;
