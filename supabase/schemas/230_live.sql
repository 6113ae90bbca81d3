-- Live updates: compact broadcasts on the private topics community:<id> and user:<id> (RULES 11.2). They carry ids
-- only: who may read what those name is the tables' affair. Whoever missed one reads again.

create type private.broadcast as (topic text, kind text, ids jsonb);
comment on type private.broadcast is
'What one topic is told: a kind, and the ids of what it is about. Nothing sealed and nothing private.';

create function private.tell(variadic p_broadcasts private.broadcast[])
returns void
language plpgsql security definer set search_path = '' set lock_timeout = '450ms'
as $$
declare
  v_until timestamptz := clock_timestamp() + interval '400 ms';
begin
  if current_setting('chas.silent', true) = 'on' then
    return;
  end if;
  -- One after the other: whoever waited once does not wait again for the other topics of the same act. realtime.send
  -- makes a warning of every error of its own, a lock it did not get in time among them.
  perform realtime.send(jsonb_build_object('kind', b.kind, 'ids', b.ids), b.kind, b.topic, true)
  from unnest(p_broadcasts) as b
  where clock_timestamp() < v_until;
  if clock_timestamp() > v_until then
    perform set_config('chas.silent', 'on', true);
  end if;
exception
  when others then
    -- It is missing, or closed to us, or its own net has a hole.
    raise warning 'no broadcast: % %', sqlstate, sqlerrm;
end;
$$;
comment on function private.tell is
'Broadcasts {kind, ids} on each of these topics, with the transaction. It never fails an act, nor keeps it longer than
half a second: a broadcast lost is a warning.';

create function private.tell_community(p_community_id uuid, p_kind text, p_ids jsonb default '{}')
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.tell(('community:' || p_community_id::text, p_kind, p_ids));
end;
$$;
comment on function private.tell_community is
'Broadcasts {kind, ids} to everyone in a community. Nothing sealed and nothing private travels here.';

create function private.tell_user(p_user_id uuid, p_kind text, p_ids jsonb default '{}')
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.tell(('user:' || p_user_id::text, p_kind, p_ids));
end;
$$;
comment on function private.tell_user is 'Broadcasts {kind, ids} to one person.';
