-- The day's turn: what Sunset takes and Dawn gives (RULES 6).

create table private.sunset_entries (
  community_id uuid not null,
  day date not null,
  user_id uuid not null,
  unspent_cc private.some_coins not null,
  constraint sunset_entries_pkey primary key (community_id, day, user_id)
);
comment on table private.sunset_entries is
'The Sunset list: who let how much expire on which day. No foreign key: written with the ledger, from the same
purses.';
alter table private.sunset_entries enable row level security;
create policy members_read_sunset_entries on private.sunset_entries for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.sunset_entries to authenticated;

create type private.turned_day as (day private.community_days, purses integer);
comment on type private.turned_day is 'A day as it is after its Sunset or Dawn, and how many purses that changed.';

create function private.close_day(p_day private.community_days, p_now timestamptz)
returns private.turned_day
language plpgsql security definer set search_path = ''
as $$
declare
  v_timezone text := private.next_timezone(p_day.community_id);
  v_turned private.turned_day;
  v_expired bigint;
begin
  with kept as (
    insert into private.sunset_entries (community_id, day, user_id, unspent_cc)
    select p_day.community_id, p_day.day, e.user_id, e.amount from private.post_expiry(p_day.community_id, p_now) as e
    returning unspent_cc
  )
  select count(*), coalesce(sum(k.unspent_cc), 0) into v_turned.purses, v_expired from kept as k;
  -- An election that ended before this Sunset belongs to its day, however late anybody writes it down.
  perform private.close_elections(p_day.community_id, p_day.sunset_at);
  perform private.seal_edition(p_day, private.joys_of_day(p_day), v_expired, p_now);
  v_turned.day := private.turn_to_night(p_day, v_timezone, p_day.day);
  perform private.tell_community(p_day.community_id, 'sunset', jsonb_build_object('day', p_day.day));
  return v_turned;
end;
$$;
comment on function private.close_day is
'Sunset, for an open day that is locked: every unspent purse expires into the ledger and the Sunset list, the election
that is over is closed, then the edition.';

create function private.open_day(p_day private.community_days, p_now timestamptz)
returns private.turned_day
language plpgsql security definer set search_path = ''
as $$
declare
  v_community private.communities := private.apply_pending(p_day.community_id);
  v_day private.community_days := private.turn_to_day(p_day, v_community.timezone, p_now);
  v_purses integer;
begin
  -- A correction made in the night may have left something: it expires before anything is granted.
  perform from private.post_expiry(v_day.community_id, p_now);
  v_purses := private.post_grants(v_day.community_id, v_day.day, v_community.daily_cc_budget, p_now);
  perform private.pay_stakes_due(v_day.community_id, p_now);
  perform private.collect_debts(v_day.community_id, v_day.day, v_community.daily_cc_budget, p_now);
  perform private.spare_streaks(v_day);
  perform private.fill_seat(v_day.community_id, p_now);
  perform private.tell_community(v_day.community_id, 'dawn', jsonb_build_object('day', v_day.day));
  return (v_day, v_purses)::private.turned_day;
end;
$$;
comment on function private.open_day is
'Dawn, for a closed day that is locked: pending settings take force, everyone is granted the budget, refunds that waited
are booked, then debts are collected; a moderator''s seat that nobody who can act holds is filled.';

create function private.settle_day(p_community_id uuid, p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days;
  v_turn private.turned_day;
  v_purses integer := 0;
begin
  -- A glance without a lock: most calls find nothing due, and a read-only one may not write.
  if current_setting('transaction_read_only')::boolean
    or not exists (select from private.community_days as d where d.community_id = p_community_id and d.due_at <= p_now)
  then
    return 0;
  end if;

  -- Whoever waited here for another to turn the day finds it turned.
  select d.* into v_day from private.community_days as d
  where d.community_id = p_community_id and d.due_at <= p_now
  for no key update;
  -- The evening, the morning and, so late that today's own Sunset has passed as well, an evening again.
  while v_day.due_at <= p_now loop
    if v_day.is_open then
      v_turn := private.close_day(v_day, p_now);
    else
      v_turn := private.open_day(v_day, p_now);
    end if;
    v_day := v_turn.day;
    v_purses := v_purses + v_turn.purses;
  end loop;
  return v_purses;
end;
$$;
comment on function private.settle_day is
'Brings a community to the day p_now falls in: the last open day is closed, then today begins (RULES 6.3). Days
missed whole are not replayed. Returns how many purses changed; twice, or from two sides at once, it changes nothing
more.';

create function private.settle_sunset(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days;
  v_turn private.turned_day;
begin
  select d.* into v_day from private.community_days as d
  where d.community_id = p_community_id and d.is_open and d.sunset_at <= p_now
  for no key update;
  if not found then
    return 0;
  end if;
  v_turn := private.close_day(v_day, p_now);
  return v_turn.purses;
end;
$$;
comment on function private.settle_sunset is
'Closes a day whose Sunset has come; returns how many purses held something. A day closed already, or not over yet,
stays as it is.';

create function private.require_day(p_day private.community_days, p_community_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if p_day.community_id is null then
    perform private.refuse_absent(p_community_id, private.caller_id());
  end if;
end;
$$;
comment on function private.require_day is
'Asks that a day was found: whoever waited for it while the community moved away learns so. Refuses: NOT_FOUND
{moved_to}.';

create function private.hold_day(p_community_id uuid, p_now timestamptz default private.clock())
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days;
begin
  perform pg_advisory_xact_lock_shared(1128792067, hashtext(p_community_id::text));
  -- Nearly always nothing is due, and one statement does; a day that is due must be settled before it is held.
  select d.* into v_day from private.community_days as d
  where d.community_id = p_community_id and d.due_at > p_now
  for share;
  if not found then
    perform private.settle_day(p_community_id, p_now);
    select d.* into v_day from private.community_days as d where d.community_id = p_community_id for share;
    perform private.require_day(v_day, p_community_id);
  end if;
  return v_day;
end;
$$;
comment on function private.hold_day is
'Settles what is overdue, then keeps the day from turning until the transaction ends; many may hold it together.

Every act that moves coins takes this first: before a member''s row, before proposals, requests and loans, before
purses. No membership ends meanwhile, for whoever ends one holds the day alone: it is all that an act with words of its
own needs here (RULES 13.4).';

create function private.hold_day_alone(p_community_id uuid, p_now timestamptz default private.clock())
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days;
begin
  -- Row locks are not fair: those who share one overtake whoever waits to have it alone (measured: for seconds, in a
  -- community of 500 acts a second). This queue is fair; everybody passes it before the row.
  perform pg_advisory_xact_lock(1128792067, hashtext(p_community_id::text));
  perform private.settle_day(p_community_id, p_now);
  select d.* into v_day from private.community_days as d where d.community_id = p_community_id for no key update;
  perform private.require_day(v_day, p_community_id);
  return v_day;
end;
$$;
comment on function private.hold_day_alone is
'As private.hold_day, but no other act on this community''s coins or rolls goes on beside it: for acts that touch
many purses or change who is a member, such as leaving.';

create function private.day_of(p_community_id uuid)
returns private.community_days
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_day private.community_days;
begin
  select d.* into v_day from private.community_days as d where d.community_id = p_community_id;
  return v_day;
end;
$$;
comment on function private.day_of is 'The day of a community, for what is done under a day already held.';

create function private.require_open(p_day private.community_days)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if not p_day.is_open then
    perform private.refuse('DAY_CLOSED', 'The day is closed until Dawn.',
      jsonb_build_object('possible_at', p_day.dawn_at));
  end if;
end;
$$;
comment on function private.require_open is
'Asks that a day is open. Refuses: DAY_CLOSED {possible_at: the next Dawn}, from Sunset to Dawn (RULES 5.5).';

create function private.require_open_day(p_community_id uuid, p_now timestamptz default private.clock())
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.hold_day(p_community_id, p_now);
begin
  perform private.require_open(v_day);
  return v_day;
end;
$$;
comment on function private.require_open_day is
'Holds the day as private.hold_day does, and asks that it is open. Refuses: DAY_CLOSED {possible_at}.';

create function private.require_member_today(p_community_id uuid)
returns private.community_members
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
begin
  perform private.settle_day(p_community_id);
  return v_me;
end;
$$;
comment on function private.require_member_today is
'Asks for membership, then settles what is overdue: how every door about money that only reads begins.

Refuses: as require_member.';
grant execute on function private.require_member_today to authenticated;

create function private.show_balance(p_purse private.purses, p_day private.community_days)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'community_id', p_purse.community_id, 'user_id', p_purse.user_id,
    'daily_budget', (select c.daily_cc_budget from private.communities as c where c.id = p_purse.community_id),
    'remaining', p_purse.remaining, 'spent_today', p_purse.spent_today, 'debt', p_purse.debt,
    'last_reset', p_purse.granted_at, 'day', p_day.day, 'day_open', p_day.is_open,
    'next_sunset_at', p_day.sunset_at, 'next_dawn_at', p_day.dawn_at
  );
end;
$$;
comment on function private.show_balance is
'The shape balance of a purse on a day, both in hand; last_reset is the time of its latest grant, null before the
first.';

create function private.show_balance_of(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select private.show_balance(b, d)
    from private.purses as b
    inner join private.community_days as d on b.community_id = d.community_id
    where b.community_id = p_community_id and b.user_id = p_user_id
  );
end;
$$;
comment on function private.show_balance_of is
'The shape balance of one member as it is stored. Only for a door that has asked whose it is.';
