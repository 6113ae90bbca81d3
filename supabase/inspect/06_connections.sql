-- Who is connected, and how much room is left? Members never connect themselves: PostgREST (authenticator) pools them.
select
  coalesce(a.usename, a.backend_type) as who,
  a.state,
  count(*) as connections,
  max(date_trunc('second', now() - a.state_change)) as longest,
  current_setting('max_connections')::integer - sum(count(*)) over () as left_of_all
from pg_catalog.pg_stat_activity as a
where a.backend_type = 'client backend'
group by who, a.state
order by connections desc;
