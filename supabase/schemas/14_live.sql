-- Live updates: compact broadcasts on the private topics community:<id> and user:<id> (RULES 11.2).

create function private.broadcast(p_topic text, p_kind text, p_ids jsonb)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform realtime.send(jsonb_build_object('kind', p_kind, 'ids', p_ids), p_kind, p_topic, true);
exception when others then
  -- Whoever misses a broadcast reads again; no act of a member fails for want of one.
  raise warning 'a broadcast was lost: %', sqlstate;
end;
$$;
comment on function private.broadcast is
'Sends {kind, ids} on a private topic with the transaction; never fails. Ids only: who may read them is the tables''
affair.';
revoke all on function private.broadcast from public, anon, authenticated, service_role;

create function private.tell_community(p_community_id uuid, p_kind text, p_ids jsonb default '{}')
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.broadcast('community:' || p_community_id::text, p_kind, p_ids);
end;
$$;
comment on function private.tell_community is
'Broadcasts to everyone in a community. Nothing sealed and nothing private travels here.';
revoke all on function private.tell_community from public, anon, authenticated, service_role;

create function private.tell_user(p_user_id uuid, p_kind text, p_ids jsonb default '{}')
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.broadcast('user:' || p_user_id::text, p_kind, p_ids);
end;
$$;
comment on function private.tell_user is 'Broadcasts to one person.';
revoke all on function private.tell_user from public, anon, authenticated, service_role;
