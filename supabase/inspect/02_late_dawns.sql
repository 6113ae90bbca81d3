-- Which communities wait for their Sunset or Dawn? A minute is usual, ten are not: then look at 03. Whoever opens their
-- purse meanwhile settles their own community.
select
  c.id,
  c.name,
  c.timezone,
  d.day,
  case when d.is_open then 'Sunset' else 'Dawn' end as due,
  d.due_at,
  date_trunc('second', now() - d.due_at) as late
from private.community_days as d
inner join private.communities as c on d.community_id = c.id
where d.due_at < now()
order by d.due_at
limit 20;
