-- What CHAS is measured against, in the same database: each does only what cannot be left out.

-- The least a declaration must write: the purse, the ledger, the joy, its card, the request's id with what it made (RULES
-- 5.4), and the two broadcasts RULES 11.2 asks for. Same tables, same constraints; nobody is asked
-- who they are and nothing is answered.
create function bench.declare_minimum(p_community_id uuid, p_user_id uuid, p_title text, p_cc_spent integer)
returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  v_id uuid := gen_random_uuid();
  v_purse private.purses;
  v_message_id bigint;
begin
  update private.purses as b
  set remaining = b.remaining - p_cc_spent, spent_today = b.spent_today + p_cc_spent,
    spent_total = b.spent_total + p_cc_spent, joys_today = b.joys_today + 1
  where b.community_id = p_community_id and b.user_id = p_user_id and b.remaining >= p_cc_spent
  returning b.* into v_purse;
  insert into private.ledger_entries (
    community_id, user_id, type, amount, moved, balance_after, reference_id, day, created_at
  )
  values (
    p_community_id, p_user_id, 'declaration', -p_cc_spent, p_cc_spent, v_purse.remaining, v_id, v_purse.day, now()
  );
  insert into private.declarations (id, community_id, user_id, title, cc_spent, day, created_at)
  values (v_id, p_community_id, p_user_id, p_title, p_cc_spent, v_purse.day, now());
  insert into private.chat_messages (community_id, user_id, type, reference_id, created_at)
  values (p_community_id, p_user_id, 'declaration', v_id, now())
  returning id into v_message_id;
  insert into private.repeats (user_id, rpc, request_id, arguments_hash, made, created_at)
  values (
    p_user_id, 'minimum', gen_random_uuid(), '',
    jsonb_build_object('declaration_id', v_id, 'message_id', v_message_id), now()
  );
  perform realtime.send(jsonb_build_object('kind', 'balance'), 'balance', 'user:' || p_user_id::text, true);
  perform realtime.send(
    jsonb_build_object('message_id', v_message_id), 'message', 'community:' || p_community_id::text, true
  );
  return v_id;
end;
$$;
-- As the house's own functions are: owned by postgres, who bypasses row level security.
alter function bench.declare_minimum owner to postgres;

create function public.noop() returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select '{}'::jsonb;
end;
grant execute on function public.noop() to authenticated;

-- The same writes for a whole day, in two statements: everybody's Sunset, then everybody's Dawn.
create function bench.bare_day(p_at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  with emptied as (
    update private.purses as b set remaining = 0
    from private.purses as o
    where b.remaining > 0 and o.community_id = b.community_id and o.user_id = b.user_id
    returning b.community_id, b.user_id, o.remaining as amount, b.day
  ), told as (
    insert into private.ledger_entries (community_id, user_id, type, amount, moved, balance_after, day, created_at)
    select e.community_id, e.user_id, 'expired', -e.amount, e.amount, 0, e.day, p_at from emptied as e
  )
  insert into private.sunset_entries (community_id, day, user_id, unspent_cc)
  select e.community_id, e.day, e.user_id, e.amount from emptied as e;
  with granted as (
    update private.purses as b
    set remaining = c.daily_cc_budget, spent_today = 0, day = p_at::date, granted_at = p_at
    from private.communities as c
    where c.id = b.community_id
    returning b.community_id, b.user_id, b.remaining, b.day
  )
  insert into private.ledger_entries (community_id, user_id, type, amount, moved, balance_after, day, created_at)
  select g.community_id, g.user_id, 'daily_reset', g.remaining, g.remaining, g.remaining, g.day, p_at
  from granted as g;
end;
$$;

-- A person with a long history: 10,000 messages and 5,000 joys in the community they are in.
create function bench.live_long(p_person integer) returns void
language plpgsql set search_path = ''
as $$
declare
  v_member private.community_members := (
    select m from private.community_members as m where m.user_id = bench.person(p_person) limit 1
  );
begin
  insert into private.chat_messages (community_id, user_id, type, content, created_at)
  select v_member.community_id, v_member.user_id, 'message', 'Line ' || n, now() from generate_series(1, 10000) as n;
  insert into private.declarations (community_id, user_id, title, cc_spent, day, created_at)
  select v_member.community_id, v_member.user_id, 'Joy ' || n, 1, current_date, now() from generate_series(1, 5000) as n;
end;
$$;

-- A person of many places: in so many communities more, from the second on, with so many messages between them.
create function bench.live_everywhere(p_person integer, p_communities integer, p_messages integer) returns void
language plpgsql set search_path = ''
as $$
begin
  insert into private.community_members (community_id, user_id, joined_at, joined_day)
  select bench.community(c), bench.person(p_person), now() - interval '1 year', current_date - 365
  from generate_series(1, p_communities) as c;
  insert into private.purses (community_id, user_id, remaining, day, granted_at)
  select bench.community(c), bench.person(p_person), 0, current_date, current_date
  from generate_series(1, p_communities) as c;
  insert into private.chat_messages (community_id, user_id, type, content, created_at)
  select bench.community(1 + n % p_communities), bench.person(p_person), 'message', 'Line ' || n, now() - interval '1 day'
  from generate_series(1, p_messages) as n;
end;
$$;

-- Fifty new lines in a person's community, every tenth of them the house's own; answers which community it is. Of lines
-- that are not said no sentence is made, but all else of them is shown.
create function bench.talk(p_person integer, p_is_said boolean) returns uuid
language plpgsql set search_path = ''
as $$
declare
  v_member private.community_members := (
    select m from private.community_members as m where m.user_id = bench.person(p_person) limit 1
  );
begin
  insert into private.chat_messages (community_id, user_id, type, content, event, facts, created_at, deleted_at)
  select
    v_member.community_id, case when e.is_event then null else v_member.user_id end,
    case when e.is_event then 'system' else 'message' end, case when e.is_event then '' else 'Line ' || n end,
    case when e.is_event then 'borrow_approved' end,
    case
      when e.is_event then jsonb_build_object(
        'lender_id', v_member.user_id, 'borrower_id', bench.person(p_person + 1), 'amount', 5
      )
    end,
    now(), case when e.is_event and not p_is_said then now() end
  from generate_series(1, 50) as n
  cross join lateral (select n % 10 = 0 as is_event) as e;
  return v_member.community_id;
end;
$$;
