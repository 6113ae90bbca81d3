-- Live updates: compact broadcasts on the private topics community:<id> and user:<id> (RULES 11.2). They carry ids
-- only: who may read what those name is the tables' affair. realtime.send makes a warning of every error of its own, so
-- no act fails for want of a broadcast; whoever missed one reads again. The function itself must be there, as it is in
-- every Supabase database.

create function private.tell_community(p_community_id uuid, p_kind text, p_ids jsonb default '{}')
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform realtime.send(
    jsonb_build_object('kind', p_kind, 'ids', p_ids), p_kind, 'community:' || p_community_id::text, true
  );
end;
$$;
comment on function private.tell_community is
'Broadcasts {kind, ids} to everyone in a community, with the transaction. Nothing sealed and nothing private travels
here.';

create function private.tell_user(p_user_id uuid, p_kind text, p_ids jsonb default '{}')
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform realtime.send(jsonb_build_object('kind', p_kind, 'ids', p_ids), p_kind, 'user:' || p_user_id::text, true);
end;
$$;
comment on function private.tell_user is 'Broadcasts {kind, ids} to one person, with the transaction.';
