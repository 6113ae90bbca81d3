-- The indexes that indexes_away.sql took away.

select i.definition from bench.indexes as i \gexec
drop table bench.indexes;
