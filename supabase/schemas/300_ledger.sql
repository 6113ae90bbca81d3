-- Purses, and the ledger of every movement of every coin, append-only (RULES 5).

create domain private.coins as integer
-- Twice the ceiling of a purse and a bit: a full one takes its stake home, and the next Dawn its grant and collections.
constraint coins_within_a_purse check (value between 0 and 2100000000);
comment on domain private.coins is 'An amount of CC that a purse can hold.';

create domain private.some_coins as integer
constraint some_coins_are_some check (value > 0);
comment on domain private.some_coins is 'An amount of CC that moved, was asked for or is owed.';

create table private.purses (
  community_id uuid not null,
  user_id uuid not null,
  remaining private.coins not null default 0,
  spent_today bigint not null default 0,
  spent_total bigint not null default 0,
  joys_today integer not null default 0,
  streak integer not null default 0,
  longest_streak integer not null default 0,
  last_lived integer not null default 0,
  debt private.coins not null default 0,
  day date not null,
  granted_at timestamptz,
  constraint purses_pkey primary key (community_id, user_id),
  constraint purses_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id)
)
-- Every purse changes at least twice a day: room on the page keeps the updates in place (measured: 1.5 times faster).
with (fillfactor = 50);
comment on table private.purses is
'One purse per member ever, in CC: what remains, what was spent on its day and in all, how many joys were declared on
its day, and what its member owes in open loans. The ledger and the loans say how it came to be; the audit proves it.';
comment on column private.purses.streak is
'How many days in a row, the last of them last_lived, its member has declared a joy on (RULES 10.1).';
comment on column private.purses.longest_streak is 'The most days in a row there ever were.';
comment on column private.purses.last_lived is
'The last day of the streak, or of an absence that followed it, counted in days the community lived: so neither a change
of zone nor a date that nobody lived breaks a streak (RULES 6.2). 0 before the first. Counted from the joys themselves,
streaks would cost every board and profile the whole history.';
alter table private.purses enable row level security;
create policy people_read_their_purses on private.purses for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on private.purses to authenticated;

create view private.shown_streaks with (security_invoker = on) as
select
  b.community_id,
  b.user_id,
  b.streak as days,
  b.longest_streak as longest,
  -- Where today has not been settled yet, the day stored is the one before.
  case
    when b.last_lived >= d.days_lived then date 'infinity'
    when b.last_lived = d.days_lived - 1 then d.day
  end as alive_through
from private.purses as b
inner join private.community_days as d on b.community_id = d.community_id;
comment on view private.shown_streaks is
'Each member''s latest run and the longest ever, in days lived, and the last date on which the latest, grown no more, is
alive: as long as it can still grow, its last day being today or the day lived before. Null if it is broken. Only for
the kernel.';

create function private.entry_kinds(
  out type text, out sign integer, out source text, out destination text, out has_counterparty boolean,
  out counts_as_spent boolean, out counts_as_debt boolean, out words text
)
returns setof record
language plpgsql immutable rows 12 set search_path = ''
as $$
begin
  return query values
    ('daily_reset', 1, 'minted', 'purse', false, false, false, 'The day''s grant'),
    ('declaration', -1, 'purse', 'spent', false, true, false, 'A joy declared'),
    ('borrow_given', -1, 'purse', 'purse', true, false, false, 'Lent'),
    ('borrow_received', 1, 'purse', 'purse', true, false, true, 'Borrowed'),
    ('debt_repaid', -1, 'purse', 'purse', true, false, true, 'A debt repaid'),
    ('debt_collected', 1, 'purse', 'purse', true, false, false, 'A loan came back'),
    ('tip_to_tip', -1, 'purse', 'escrow', false, true, false, 'Staked on a tip-to-tip'),
    ('stake_refund', 1, 'escrow', 'purse', false, true, false, 'A stake came back'),
    ('stake_forfeit', 0, 'escrow', 'forfeited', false, false, false, 'A stake was lost'),
    ('expired', -1, 'purse', 'expired', false, false, false, 'Expired unspent'),
    ('correction', 1, 'minted', 'purse', false, false, false, 'Corrected by a steward'),
    ('correction', -1, 'purse', 'forfeited', false, false, false, 'Corrected by a steward');
end;
$$;
comment on function private.entry_kinds is
'What each type of entry is, by its sign: where the coins come from and where they go (purse, escrow, minted, spent,
forfeited or expired), whether another member''s purse is the other end, whether the amount counts against what its
member spent or towards what they owe, and the house''s words for it.

The ledger holds no words of members: it cannot forget, and people may ask to be forgotten.';
grant execute on function private.entry_kinds to authenticated;

create table private.ledger_entries (
  id bigint generated always as identity,
  community_id uuid not null,
  user_id uuid not null,
  type text not null,
  amount integer not null,
  moved integer not null,
  balance_after integer not null,
  counterparty_id uuid,
  reference_id uuid,
  day date not null,
  created_at timestamptz not null,
  constraint ledger_entries_pkey primary key (community_id, user_id, id)
);
comment on table private.ledger_entries is
'Every movement of coins, from the side of one member: amount is what it did to their purse, moved how many coins
went from source to destination, balance_after what the purse then held. No foreign keys and no checks: its few writers
have just changed the purse it names, which knows its bounds, a check per row would double the work of a Dawn, and the
audit holds every entry against private.entry_kinds and its purse.';
alter table private.ledger_entries enable row level security;
create policy people_read_their_ledger_entries on private.ledger_entries for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on private.ledger_entries to authenticated;

create function private.refuse_rewriting()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  raise exception 'the ledger is append-only: a correction is a new entry' using errcode = 'restrict_violation';
end;
$$;
comment on function private.refuse_rewriting is 'Keeps the ledger append-only for everyone, its owner included.';
create trigger ledger_entries_are_never_changed
before update or delete on private.ledger_entries
for each row execute function private.refuse_rewriting();
create trigger ledger_entries_are_never_truncated
before truncate on private.ledger_entries
for each statement execute function private.refuse_rewriting();

create type private.ledger_entry as (
  id bigint,
  type text,
  amount integer,
  balance_after integer,
  description text,
  reference_id uuid,
  day date,
  created_at timestamptz,
  moved integer,
  source text,
  destination text,
  counterparty_id uuid
);
comment on type private.ledger_entry is
'The shape ledger_entry, key by attribute, with what kind of movement it was.';

create view private.shown_entries with (security_invoker = on) as
select
  e.id,
  e.community_id,
  e.user_id,
  e.type,
  row(
    e.id,
    e.type,
    e.amount,
    e.balance_after,
    k.words,
    e.reference_id,
    e.day,
    e.created_at,
    e.moved,
    k.source,
    k.destination,
    e.counterparty_id
  )::private.ledger_entry as entry
from private.ledger_entries as e
cross join lateral (
  select
    o.source,
    o.destination,
    o.words
  from private.entry_kinds() as o
  where o.type = e.type and o.sign = sign(e.amount)
  order by o.type
  limit 1
) as k;
comment on view private.shown_entries is
'The shape ledger_entry of every entry. The limit has kinds looked up entry by entry, so that no page is ever read by
joining all there is.';
grant select on private.shown_entries to authenticated;

create function private.open_purse(p_community_id uuid, p_user_id uuid, p_day date)
returns void
language sql security definer set search_path = ''
begin atomic
  insert into private.purses as b (community_id, user_id, day) values (p_community_id, p_user_id, p_day)
  on conflict (community_id, user_id) do update
  -- Who comes back finds their purse as empty as they left it, on the community's present day.
    set
      day = excluded.day,
      spent_today = case when b.day = excluded.day then b.spent_today else 0 end,
      joys_today = case when b.day = excluded.day then b.joys_today else 0 end;
end;
comment on function private.open_purse is
'Gives a member an empty purse on a day, or brings the purse of one who returns to it.';

create type private.two_purses as (giver private.purses, taker private.purses);
comment on type private.two_purses is 'Two members'' purses of one community, both locked.';

create function private.lock_purses(p_community_id uuid, p_giver_id uuid, p_taker_id uuid)
returns private.two_purses
language plpgsql security definer set search_path = ''
as $$
declare
  -- In id order, so that two members lending to each other never deadlock.
  v_purses private.purses[] := array(
    select b from private.purses as b
    where b.community_id = p_community_id and b.user_id in (p_giver_id, p_taker_id)
    order by b.user_id
    for no key update
  );
begin
  if p_giver_id < p_taker_id then
    return (v_purses[1], v_purses[2])::private.two_purses;
  end if;
  return (v_purses[2], v_purses[1])::private.two_purses;
end;
$$;
comment on function private.lock_purses is
'Locks the purses of two members until the transaction ends and returns them.';

create function private.purse_ceiling()
returns integer
language sql immutable set search_path = ''
begin atomic
  select 1000000000;
end;
comment on function private.purse_ceiling is
'What a purse holds at most: nothing that can be refused fills it further. A stake that comes home is not refused, nor
is what a Dawn brings, so the domain leaves room above.';

create function private.refuse_full_purse()
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.refuse(
    'CONFLICT', format('A purse holds at most %s CC.', private.purse_ceiling()),
    jsonb_build_object('most', private.purse_ceiling())
  );
end;
$$;
comment on function private.refuse_full_purse is
'Says that coins do not fit into somebody''s purse, not what it holds. Refuses, always: CONFLICT {most}.';

create function private.move_coins(
  p_community_id uuid, p_user_id uuid, p_type text, p_amount integer, p_reference_id uuid, p_at timestamptz,
  p_moved integer, p_spent_on date, p_lived integer default null
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  -- As private.entry_kinds has it, and the audit holds it: written out, for every act passes here.
  v_spent integer := case when p_type in ('declaration', 'tip_to_tip', 'stake_refund') then -p_amount else 0 end;
  v_purse private.purses;
begin
  -- The condition is the lock: of two who want the last coin, the second finds it gone. Added up as bigint: no sum of a
  -- purse and an amount is too large to be looked at.
  update private.purses as b
  set
    remaining = b.remaining + p_amount,
    spent_today = b.spent_today + case when coalesce(p_spent_on, b.day) = b.day then v_spent else 0 end,
    spent_total = b.spent_total + v_spent,
    joys_today = b.joys_today + (p_lived is not null)::integer,
    streak = case
      when b.last_lived = p_lived - 1 then b.streak + 1
      when b.last_lived < p_lived then 1
      else b.streak
    end,
    longest_streak = greatest(
      b.longest_streak, case when b.last_lived = p_lived - 1 then b.streak when b.last_lived < p_lived then 0 end + 1
    ),
    last_lived = greatest(b.last_lived, p_lived)
  where b.community_id = p_community_id and b.user_id = p_user_id
    and b.remaining::bigint + p_amount >= 0
    and (p_amount <= 0 or p_type = 'stake_refund' or b.remaining::bigint + p_amount <= private.purse_ceiling())
  returning b.* into v_purse;
  if found then
    insert into private.ledger_entries (
      community_id, user_id, type, amount, moved, balance_after, reference_id, day, created_at
    )
    values (
      p_community_id, p_user_id, p_type, p_amount, p_moved, v_purse.remaining, p_reference_id, v_purse.day, p_at
    );
  end if;
  return v_purse;
end;
$$;
comment on function private.move_coins is
'Moves coins into or out of one purse and writes the entry, together: the one writer of a movement that has no other
purse at its end. Returns the purse, or a row of nulls and nothing written where it holds too little or is full: an act
then refuses, and says when it would do. It tells nobody.

p_amount is signed from the member''s side; p_moved differs from it only where coins leave an escrow without
touching the purse; p_spent_on is the day a stake that comes back was made on, for a refund of an earlier day''s stake
leaves today''s spending alone (RULES 5.6). p_lived is the day of a joy, counted in days lived: the first one of a day
lengthens its author''s streak or begins one.';

create function private.try_entry(
  p_community_id uuid, p_user_id uuid, p_type text, p_amount integer, p_reference_id uuid default null,
  p_at timestamptz default private.clock()
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_purse private.purses := private.move_coins(
    p_community_id, p_user_id, p_type, p_amount, p_reference_id, p_at, abs(p_amount), null
  );
begin
  if v_purse.user_id is not null then
    perform private.tell_user(p_user_id, 'balance', jsonb_build_object('community_id', p_community_id));
  end if;
  return v_purse;
end;
$$;
comment on function private.try_entry is
'As private.move_coins, and tells the member whose purse it is.';

create function private.give_coins(
  p_purses private.two_purses, p_amount integer, p_given text, p_taken text, p_reference_id uuid, p_at timestamptz
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_giver private.purses := p_purses.giver;
  v_taker private.purses := p_purses.taker;
begin
  if v_giver.remaining < p_amount then
    return null;
  elsif v_taker.remaining::bigint + p_amount > private.purse_ceiling() then
    perform private.refuse_full_purse();
  end if;
  v_giver.remaining := v_giver.remaining - p_amount;
  v_taker.remaining := v_taker.remaining + p_amount;
  -- As private.entry_kinds has it, and the audit holds it.
  if p_given = 'debt_repaid' then
    v_giver.debt := v_giver.debt - p_amount;
  elsif p_taken = 'borrow_received' then
    v_taker.debt := v_taker.debt + p_amount;
  end if;
  update private.purses as b
  set
    remaining = case b.user_id when v_giver.user_id then v_giver.remaining else v_taker.remaining end,
    debt = case b.user_id when v_giver.user_id then v_giver.debt else v_taker.debt end
  where b.community_id = v_giver.community_id and b.user_id in (v_giver.user_id, v_taker.user_id);
  insert into private.ledger_entries (
    community_id, user_id, type, amount, moved, balance_after, counterparty_id, reference_id, day, created_at
  )
  values
  (
    v_giver.community_id, v_giver.user_id, p_given, -p_amount, p_amount, v_giver.remaining, v_taker.user_id,
    p_reference_id, v_giver.day, p_at
  ),
  (
    v_taker.community_id, v_taker.user_id, p_taken, p_amount, p_amount, v_taker.remaining, v_giver.user_id,
    p_reference_id, v_taker.day, p_at
  );
  return v_giver;
end;
$$;
comment on function private.give_coins is
'Moves coins from one purse to another and writes both entries, in two statements: p_given says what the giver did,
p_taken what the taker got. Returns the giver''s purse as it then is, or null and nothing written where it holds too
little. It tells nobody: private.purses_told says what is to be told. Refuses: CONFLICT {most} (the taker''s is full).';

create function private.purses_told(p_community_id uuid, p_one_id uuid, p_other_id uuid)
returns private.broadcast[]
language plpgsql immutable security definer set search_path = ''
as $$
declare
  v_ids jsonb := jsonb_build_object('community_id', p_community_id);
begin
  return array[
    ('user:' || p_one_id::text, 'balance', v_ids), ('user:' || p_other_id::text, 'balance', v_ids)
  ]::private.broadcast[];
end;
$$;
comment on function private.purses_told is 'What the two between whom coins moved are told.';

create function private.post_entry(
  p_community_id uuid, p_user_id uuid, p_type text, p_amount integer, p_reference_id uuid default null,
  p_at timestamptz default private.clock()
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_purse private.purses := private.try_entry(p_community_id, p_user_id, p_type, p_amount, p_reference_id, p_at);
begin
  if v_purse.user_id is null then
    raise exception 'an entry of % CC does not fit the purse of % in %', p_amount, p_user_id, p_community_id;
  end if;
  return v_purse;
end;
$$;
comment on function private.post_entry is
'As private.try_entry, for what always fits: anything else is a fault of the house, and undone.';

create type private.entry_draft as (
  user_id uuid,
  type text,
  amount integer,
  counterparty_id uuid,
  reference_id uuid
);
comment on type private.entry_draft is 'One movement among many that are written together.';

create function private.post_entries(
  p_community_id uuid, p_day date, p_drafts private.entry_draft[], p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  -- The running balance of each entry counts from the purse as it is before any of them.
  insert into private.ledger_entries (
    community_id, user_id, type, amount, moved, balance_after, counterparty_id, reference_id, day, created_at
  )
  select
    p_community_id, e.user_id, e.type, e.amount, abs(e.amount),
    b.remaining + sum(e.amount) over (partition by e.user_id order by e.ordinality),
    e.counterparty_id, e.reference_id, p_day, p_at
  from unnest(p_drafts) with ordinality as e
  join private.purses as b on b.community_id = p_community_id and b.user_id = e.user_id
  order by e.ordinality;

  update private.purses as b
  set remaining = b.remaining + c.amount, debt = b.debt + c.owed
  from (
    select
      e.user_id, sum(e.amount)::integer as amount,
      coalesce(sum(e.amount) filter (where k.counts_as_debt), 0)::integer as owed
    from unnest(p_drafts) as e
    join private.entry_kinds() as k on k.type = e.type and k.sign = sign(e.amount)
    group by e.user_id
  ) as c
  where b.community_id = p_community_id and b.user_id = c.user_id;
end;
$$;
comment on function private.post_entries is
'Moves coins in many purses of one community and writes the entries in the order given, in two statements.

Only under the lock of the day, which keeps every other act on these purses away.';

create function private.post_grants(p_day private.community_days, p_at timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_away uuid[] := private.away_ids(p_day.community_id, p_day.day, p_day.day);
  v_granted integer;
begin
  with begun as (
    update private.purses as b
    set
      remaining = case when g.is_granted then p_day.daily_budget else 0 end,
      spent_today = 0, joys_today = 0, day = p_day.day,
      granted_at = case when g.is_granted then p_at else b.granted_at end,
      -- A streak that is broken stays broken, and a joy from a stake that came back to who is away begins none.
      streak = case when g.is_away and b.last_lived < p_day.days_lived - 1 then 0 else b.streak end,
      last_lived = case when g.is_away then p_day.days_lived else b.last_lived end
    from private.community_members as m
    cross join lateral (
      select m.user_id = any(v_away), m.left_at is null and m.user_id <> all(v_away)
    ) as g (is_away, is_granted)
    where b.community_id = p_day.community_id
      and m.community_id = p_day.community_id and m.user_id = b.user_id and (m.left_at is null or b.remaining > 0)
    returning b.user_id, b.remaining
  )
  insert into private.ledger_entries (community_id, user_id, type, amount, moved, balance_after, day, created_at)
  select
    p_day.community_id, g.user_id, 'daily_reset', p_day.daily_budget, p_day.daily_budget, g.remaining, p_day.day, p_at
  from begun as g
  where g.remaining > 0;
  get diagnostics v_granted = row_count;
  return v_granted;
end;
$$;
comment on function private.post_grants is
'Grants the budget of a new day to every member present and not away; returns to how many. To the purses of who is away
the day begins too, with nothing, and their streaks neither grow nor break (RULES 16.2). What a purse still holds goes: private.post_expiry has written so just before.';

create function private.post_first_grant(p_community_id uuid, p_user_id uuid, p_budget integer)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.post_entry(p_community_id, p_user_id, 'daily_reset', p_budget);
  update private.purses as b set granted_at = private.clock()
  where b.community_id = p_community_id and b.user_id = p_user_id;
end;
$$;
comment on function private.post_first_grant is
'Grants the budget of the day to somebody who has just come for the first time.';

create function private.post_expiry(p_community_id uuid, p_at timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.ledger_entries (community_id, user_id, type, amount, moved, balance_after, day, created_at)
  select p_community_id, b.user_id, 'expired', -b.remaining, b.remaining, 0, b.day, p_at
  from private.purses as b
  where b.community_id = p_community_id and b.remaining > 0;
end;
$$;
comment on function private.post_expiry is
'Writes that what every purse of a community holds expires. Its caller has the day alone, and empties the purses next:
with private.empty_purses, or with the grants of a Dawn, so that a night passed in one go changes each purse once.';

create function private.empty_purses(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.purses as b set remaining = 0
  where b.community_id = p_community_id and b.remaining > 0;
end;
$$;
comment on function private.empty_purses is 'Empties the purses of a community after private.post_expiry.';

create function private.expire_purse(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_remaining integer;
begin
  select b.remaining into v_remaining from private.purses as b
  where b.community_id = p_community_id and b.user_id = p_user_id
  for no key update;
  if v_remaining > 0 then
    perform private.post_entry(p_community_id, p_user_id, 'expired', -v_remaining);
  end if;
  return v_remaining;
end;
$$;
comment on function private.expire_purse is
'Lets one purse expire now, when its member goes; returns how many CC it held.';

create function private.change_debts(p_community_id uuid, p_user_ids uuid[], p_amounts integer[])
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.purses as b
  set debt = b.debt + c.amount
  from (
    select u.user_id, sum(u.amount)::integer as amount
    from unnest(p_user_ids, p_amounts) as u (user_id, amount)
    group by u.user_id
  ) as c
  where b.community_id = p_community_id and b.user_id = c.user_id;
end;
$$;
comment on function private.change_debts is
'Changes what members owe where no coin moves: a loan is forgiven, released, falls asleep or wakes. Whoever changes
the debts of more than one holds the day alone.';
