-- Live updates: which tables the frontend hears, and who may join which topic (RULES 11.2).

-- What members read anyway, and what changes one act at a time. Purses, ledger, loans, rolls and reckonings change by
-- the thousand at once and would hold up everybody's events; ballots are sealed. A broadcast says when to read again.
alter publication supabase_realtime set table
private.communities,
private.community_members,
private.notifications,
private.chat_messages,
private.declarations,
private.witnesses,
private.borrow_requests,
private.tip_to_tip_proposals,
private.tip_to_tip_votes,
private.elections,
private.jashns,
private.jashn_celebrations;

create function private.may_hear(p_topic text)
returns boolean
language sql stable security definer set search_path = ''
begin atomic
  select coalesce(
    p_topic = 'user:' || private.my_id()::text
    or p_topic in (select 'community:' || c.id::text from private.my_communities() as c (id)),
    false
  );
end;
comment on function private.may_hear is
'Whether the caller may join a topic: user:<id> as that person, community:<id> as a member; nobody who is not
admitted.

Realtime asks when somebody joins and when their token is renewed: until then whoever has gone still hears ids,
which they can no longer read.';
grant execute on function private.may_hear to authenticated;

-- To hear, never to speak: there is no policy for insert, so that what is heard comes from the house alone.
create policy people_hear_their_topics on realtime.messages for select to authenticated
using (extension = 'broadcast' and (select private.may_hear((select realtime.topic()))));
