-- request_id: the same call made twice happens once (RULES 5.4).

create table private.repeats (
  user_id uuid not null,
  rpc text not null,
  request_id uuid not null,
  arguments_hash bytea not null,
  made jsonb not null,
  created_at timestamptz not null,
  constraint repeats_pkey primary key (user_id, rpc, request_id)
);
comment on table private.repeats is
'What calls with a request_id made, by id, kept 7 days: never the words of an answer, which is made again. It belongs to
the caller, not to a community: the same id with another community is the same id with other arguments. No foreign key,
for it outlives nothing and must be cheap.';
create index repeats_created_at_idx on private.repeats (created_at);
alter table private.repeats enable row level security;
create policy nobody_reads_repeats on private.repeats for select to authenticated using (false);

create function private.claim(
  p_user_id uuid, p_rpc text, p_request_id uuid, p_arguments jsonb, p_makes jsonb,
  p_at timestamptz default private.clock()
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_hash bytea;
  v_repeat private.repeats;
begin
  if p_request_id is null then
    return null;
  end if;
  v_hash := sha256(convert_to(p_arguments::text, 'UTF8'));
  loop
    -- The key is the queue: of two deliveries of one call the second waits here for the first, and finds its row.
    insert into private.repeats (user_id, rpc, request_id, arguments_hash, made, created_at)
    values (p_user_id, p_rpc, p_request_id, v_hash, p_makes, p_at)
    on conflict (user_id, rpc, request_id) do nothing;
    if found then
      return null;
    end if;
    -- What is older than 7 days housekeeping has not come by yet to take away.
    delete from private.repeats as r
    where r.user_id = p_user_id and r.rpc = p_rpc and r.request_id = p_request_id
      and r.created_at <= p_at - interval '7 days';
    select r.* into v_repeat
    from private.repeats as r
    where r.user_id = p_user_id and r.rpc = p_rpc and r.request_id = p_request_id;
    exit when found;
  end loop;
  if v_repeat.arguments_hash <> v_hash then
    perform private.refuse('CONFLICT', 'This request_id was used before with other arguments.',
      jsonb_build_object('request_id', p_request_id));
  end if;
  return v_repeat.made;
end;
$$;
comment on function private.claim is
'Takes a request_id for a call that is about to make p_makes, the ids of what it makes: returns null if the call is new
(or has no request_id), else what it made the first time. Who is refused later has claimed nothing.

Refuses: CONFLICT {request_id} (the same id with other arguments).';

create function private.erase_repeats_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.repeats as r
  where r.user_id = p_user_id;
end;
$$;
comment on function private.erase_repeats_of is 'Deletes every id kept for a person who is erased.';

create function private.purge_repeats(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from private.repeats as r
  where (r.user_id, r.rpc, r.request_id) in (
    select o.user_id, o.rpc, o.request_id from private.repeats as o
    where o.created_at <= p_now - interval '7 days'
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.purge_repeats is 'Deletes up to p_limit ids older than 7 days; returns how many.';
