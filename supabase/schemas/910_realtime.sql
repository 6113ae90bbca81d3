-- Live updates: which tables the frontend hears, and who may join which topic (RULES 11.2).

-- An update sends a long text it did not touch only as part of the old row. These two change (a witness counted, a vote
-- cast) while a description of theirs may lie out of line; everywhere else the key is enough.
alter table private.declarations replica identity full;
alter table private.tip_to_tip_proposals replica identity full;
-- Realtime tells every listener the key of a deleted row, whoever it belonged to: this one says nothing of anybody.
alter table private.notifications replica identity using index notifications_id_unique;

create function private.published_tables()
returns setof text
language plpgsql immutable rows 12 set search_path = ''
as $$
begin
  -- What members read anyway, and what changes one act at a time. Purses, ledger, loans, rolls and reckonings change by
  -- the thousand at once and would hold up everybody's events; ballots are sealed. A broadcast says when to read again.
  return query values
    ('communities'), ('community_members'), ('notifications'), ('chat_messages'), ('declarations'), ('witnesses'),
    ('borrow_requests'), ('tip_to_tip_proposals'), ('tip_to_tip_votes'), ('elections'), ('jashns'),
    ('jashn_celebrations');
end;
$$;
comment on function private.published_tables is
'The tables of schema private whose changes Realtime tells those who may read them: the one list.';

create function private.may_hear(p_topic text)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce(
    p_topic = 'user:' || private.my_id()::text
    or p_topic in (select 'community:' || c.id::text from private.my_communities() as c (id)),
    false
  );
end;
$$;
comment on function private.may_hear is
'Whether the caller may join a topic: user:<id> as that person, community:<id> as a member; nobody who is not able.

Realtime asks when somebody joins and when their token is renewed: until then whoever has gone still hears ids,
which they can no longer read.';
grant execute on function private.may_hear to authenticated;
