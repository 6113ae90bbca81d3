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

create function private.end_day(p_day private.community_days, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_purses integer;
  v_expired bigint;
begin
  with kept as (
    insert into private.sunset_entries (community_id, day, user_id, unspent_cc)
    select b.community_id, p_day.day, b.user_id, b.remaining from private.purses as b
    where b.community_id = p_day.community_id and b.remaining > 0
    returning unspent_cc
  )
  select count(*), coalesce(sum(k.unspent_cc), 0) into v_purses, v_expired from kept as k;
  perform private.post_expiry(p_day.community_id, p_now);
  -- An election that ended before this Sunset belongs to its day, however late anybody writes it down.
  perform private.close_elections(p_day.community_id, p_day.sunset_at);
  perform private.seal_edition(p_day, private.joys_of_day(p_day), v_expired, p_now);
  perform private.tell_community(p_day.community_id, 'sunset', jsonb_build_object('day', p_day.day));
  return v_purses;
end;
$$;
comment on function private.end_day is
'What a Sunset writes, but for calendar and purses: what expires goes into the Sunset list and the ledger, the election
that is over is closed, then the edition. Returns how many purses held something.';

create function private.begin_day(p_day private.community_days, p_now timestamptz)
returns private.turned_day
language plpgsql security definer set search_path = ''
as $$
declare
  v_community private.communities := private.apply_pending(p_day.community_id);
  v_day private.community_days := private.turn_to_day(
    p_day, v_community.timezone, v_community.daily_cc_budget, p_now
  );
  v_purses integer := private.post_grants(v_day, p_now);
begin
  perform private.pay_stakes_due(v_day.community_id, p_now);
  perform private.collect_debts(
    v_day.community_id, v_day.day, v_day.daily_budget,
    greatest(p_day.dawn_at, private.dawn_of(v_community.timezone, v_day.day)), p_now
  );
  perform private.fill_seat(v_day.community_id, p_now);
  perform private.tell_community(v_day.community_id, 'dawn', jsonb_build_object('day', v_day.day));
  return (v_day, v_purses)::private.turned_day;
end;
$$;
comment on function private.begin_day is
'What a Dawn does, once all that purses hold is written off: pending settings take force, everyone is granted the
budget, refunds that waited are booked, then debts are collected; a moderator''s seat that nobody who can act holds is
filled.';

create function private.close_day(p_day private.community_days, p_now timestamptz)
returns private.turned_day
language plpgsql security definer set search_path = ''
as $$
declare
  v_purses integer := private.end_day(p_day, p_now);
begin
  perform private.empty_purses(p_day.community_id);
  return (
    private.turn_to_night(p_day, private.next_timezone(p_day.community_id), p_day.day), v_purses
  )::private.turned_day;
end;
$$;
comment on function private.close_day is 'Sunset, for an open day that is locked: every unspent purse expires.';

create function private.open_day(p_day private.community_days, p_now timestamptz)
returns private.turned_day
language plpgsql security definer set search_path = ''
as $$
begin
  -- A correction made in the night may have left something: it expires before anything is granted.
  perform private.post_expiry(p_day.community_id, p_now);
  return private.begin_day(p_day, p_now);
end;
$$;
comment on function private.open_day is 'Dawn, for a closed day that is locked.';

create function private.pass_night(p_day private.community_days, p_now timestamptz)
returns private.turned_day
language plpgsql security definer set search_path = ''
as $$
declare
  v_expired integer := private.end_day(p_day, p_now);
  v_turned private.turned_day := private.begin_day(p_day, p_now);
begin
  v_turned.purses := v_turned.purses + v_expired;
  return v_turned;
end;
$$;
comment on function private.pass_night is
'Sunset and Dawn in one, for an open day that is locked and whose Dawn has come too: as one after the other, but purses
and calendar are written once. A row changed twice in a transaction leaves its page, and its foreign key is asked again.';

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

create function private.take_day_alone(p_community_id uuid)
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
begin
  -- An advisory lock, for its queue is fair: those who share a row's lock overtake whoever waits to have it alone
  -- (measured: for seconds, in a community of 500 acts a second), and each of them would write to the row's page.
  perform pg_advisory_xact_lock(1128792067, uuid_hash(p_community_id));
  return private.day_of(p_community_id);
end;
$$;
comment on function private.take_day_alone is
'The lock of a community''s day, for one alone until the transaction ends; returns the day as it then is, settled or
not. Whoever shares a day (private.hold_day) must not ask for it: two such would wait for each other.';

create function private.take_free_days(p_community_ids uuid[])
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
begin
  return array(
    select c.id from unnest(p_community_ids) as c (id)
    where pg_try_advisory_xact_lock(1128792067, uuid_hash(c.id))
  );
end;
$$;
comment on function private.take_free_days is
'Takes the days of these communities alone, as private.take_day_alone does, where nobody has them now; returns which. A
community that is busy is not waited for: its own members settle it.';

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
  -- Whoever waits here for another to turn the day finds it turned.
  v_day := private.take_day_alone(p_community_id);
  -- A night, or its morning, and, so late that today's own Sunset has passed as well, an evening; or that alone.
  while v_day.due_at <= p_now loop
    if not v_day.is_open then
      v_turn := private.open_day(v_day, p_now);
    elsif v_day.dawn_at <= p_now then
      v_turn := private.pass_night(v_day, p_now);
    else
      v_turn := private.close_day(v_day, p_now);
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
more. What is due it settles alone, so nobody who shares the day calls it.';

create function private.settle_sunset(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.take_day_alone(p_community_id);
begin
  if v_day.is_open and v_day.sunset_at <= p_now then
    return (private.close_day(v_day, p_now)).purses;
  end if;
  return 0;
end;
$$;
comment on function private.settle_sunset is
'Closes a day whose Sunset has come; returns how many purses held something. A day closed already, or not over yet,
stays as it is.';

create function private.hold_day(p_community_id uuid, p_now timestamptz default private.clock())
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days;
begin
  perform from private.community_days as d where d.community_id = p_community_id and d.due_at <= p_now;
  if found then
    perform private.settle_day(p_community_id, p_now);
  end if;
  perform pg_advisory_xact_lock_shared(1128792067, uuid_hash(p_community_id));
  -- Read under the lock. A Dawn that a zone called off meanwhile has made due is left for the next call.
  select d.* into v_day from private.community_days as d where d.community_id = p_community_id;
  if not found then
    perform private.refuse_absent(p_community_id, private.caller_id());
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
  v_day private.community_days := private.take_day_alone(p_community_id);
begin
  if v_day.community_id is null then
    perform private.refuse_absent(p_community_id, private.caller_id());
  elsif v_day.due_at <= p_now then
    perform private.settle_day(p_community_id, p_now);
    v_day := private.day_of(p_community_id);
  end if;
  return v_day;
end;
$$;
comment on function private.hold_day_alone is
'As private.hold_day, but no other act on this community''s coins or rolls goes on beside it: for acts that touch
many purses or change who is a member, such as leaving.';

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

create type private.act as (
  me private.users,
  day private.community_days,
  at timestamptz
);
comment on type private.act is
'What an act of a member that moves coins begins with: who acts, on which day, and when.';

create function private.require_presence(p_community_id uuid, p_noun text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if p_noun is null then
    perform private.require_member(p_community_id);
  else
    perform private.require_seen(p_community_id, p_noun);
  end if;
end;
$$;
comment on function private.require_presence is
'Asks for membership of a community or, where p_noun says what was looked up by its id, of the community of that.

Refuses: as private.require_member, or as private.require_seen.';

create function private.begin_act(p_community_id uuid, p_noun text default null)
returns private.act
language plpgsql security definer set search_path = ''
as $$
declare
  v_act private.act;
begin
  v_act.me := private.able_person(private.caller_id());
  v_act.at := private.clock();
  perform pg_advisory_xact_lock_shared(1128792067, uuid_hash(p_community_id))
  from private.community_days as d where d.community_id = p_community_id and d.due_at > v_act.at;
  if not found then
    perform private.require_presence(p_community_id, p_noun);
    perform private.settle_day(p_community_id, v_act.at);
    perform pg_advisory_xact_lock_shared(1128792067, uuid_hash(p_community_id));
  end if;
  select d into v_act.day
  from private.community_members as m
  join private.community_days as d on d.community_id = m.community_id
  where m.community_id = p_community_id and m.user_id = (v_act.me).id and m.left_at is null;
  if not found then
    perform private.require_presence(p_community_id, p_noun);
    -- They came in between the two questions.
    return private.begin_act(p_community_id, p_noun);
  end if;
  return v_act;
end;
$$;
comment on function private.begin_act is
'Begins an act that moves coins: asks for membership and holds the day as private.hold_day does, in one step. p_noun
says what the community was found by, where it was not named itself.

Refuses: as private.require_presence.';

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

create type private.balance as (
  community_id uuid,
  user_id uuid,
  daily_budget integer,
  remaining integer,
  spent_today bigint,
  debt integer,
  last_reset timestamptz,
  day date,
  day_open boolean,
  next_sunset_at timestamptz,
  next_dawn_at timestamptz
);
comment on type private.balance is
'The shape balance, key by attribute; last_reset is the time of the purse''s latest grant, null before the first.';

create function private.balance_on(p_purse private.purses, p_day private.community_days)
returns private.balance
language plpgsql immutable security definer set search_path = ''
as $$
begin
  return (
    p_purse.community_id, p_purse.user_id, p_day.daily_budget, p_purse.remaining, p_purse.spent_today, p_purse.debt,
    p_purse.granted_at, p_day.day, p_day.is_open, p_day.sunset_at, p_day.dawn_at
  )::private.balance;
end;
$$;
comment on function private.balance_on is 'The shape balance of a purse on a day, both in hand.';

create view private.shown_balances with (security_invoker = on) as
select
  b.community_id,
  b.user_id,
  d.due_at,
  row(
    b.community_id,
    b.user_id,
    d.daily_budget,
    b.remaining,
    b.spent_today,
    b.debt,
    b.granted_at,
    d.day,
    d.is_open,
    d.sunset_at,
    d.dawn_at
  )::private.balance as balance
from private.purses as b
inner join private.community_days as d on b.community_id = d.community_id;
comment on view private.shown_balances is
'The shape balance of every purse as it is stored, and when its day is due to be settled. Only for the kernel.';

create function private.show_balance_of(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select to_jsonb(s.balance) from private.shown_balances as s
    where s.community_id = p_community_id and s.user_id = p_user_id
  );
end;
$$;
comment on function private.show_balance_of is
'The shape balance of one member as it is stored. Only for a door that has asked whose it is.';
