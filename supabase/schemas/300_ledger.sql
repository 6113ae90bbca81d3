-- Purses, and the ledger of every movement of every coin, append-only (RULES 5).

create table private.purses (
  community_id uuid not null,
  user_id uuid not null,
  remaining integer not null default 0,
  spent_today integer not null default 0,
  spent_total bigint not null default 0,
  day date not null,
  granted_at timestamptz,
  constraint purses_pkey primary key (community_id, user_id),
  constraint purses_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint purses_never_below_zero check (remaining >= 0)
)
-- Every purse changes at least twice a day: room on the page keeps the updates in place (measured: 1.5 times faster).
with (fillfactor = 50);
comment on table private.purses is
'One purse per member ever, in CC: what remains, what was spent on its day and in all. The ledger says how it came to
be.';
alter table private.purses enable row level security;
create policy people_read_their_purses on private.purses for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on private.purses to authenticated;

create function private.open_purse(p_community_id uuid, p_user_id uuid, p_day date)
returns void
language sql security definer set search_path = ''
begin atomic
  insert into private.purses as b (community_id, user_id, day) values (p_community_id, p_user_id, p_day)
  on conflict (community_id, user_id) do update
  -- Who comes back finds their purse as empty as they left it, on the community's present day.
    set day = excluded.day, spent_today = case when b.day = excluded.day then b.spent_today else 0 end;
end;
comment on function private.open_purse is
'Gives a member an empty purse on a day, or brings the purse of one who returns to it.';

create function private.lock_purse(p_community_id uuid, p_user_id uuid)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_row private.purses;
begin
  select b.* into v_row from private.purses as b
  where b.community_id = p_community_id and b.user_id = p_user_id
  for no key update;
  return v_row;
end;
$$;
comment on function private.lock_purse is 'Locks a purse until the transaction ends and returns it.';

create function private.lock_purses(p_community_id uuid, p_user_ids uuid[])
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform from private.purses as b
  where b.community_id = p_community_id and b.user_id = any(p_user_ids)
  order by b.user_id
  for no key update;
end;
$$;
comment on function private.lock_purses is
'Locks purses in id order, so that two members lending to each other never deadlock.';

create function private.change_purse(
  p_community_id uuid, p_user_id uuid, p_amount integer, p_spent_today integer, p_spent_total integer
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_purse private.purses;
begin
  -- The condition is the lock: of two who want the last coin, the second finds it gone.
  update private.purses as b
  set
    remaining = b.remaining + p_amount,
    spent_today = greatest(b.spent_today + p_spent_today, 0),
    spent_total = b.spent_total + p_spent_total
  where b.community_id = p_community_id and b.user_id = p_user_id and b.remaining + p_amount >= 0
  returning b.* into v_purse;
  if not found then
    v_purse := private.lock_purse(p_community_id, p_user_id);
    perform private.refuse(
      'INSUFFICIENT_CC',
      format('There are %s CC in the purse; %s are needed.', v_purse.remaining, -p_amount),
      jsonb_build_object(
        'short_by', -p_amount - v_purse.remaining,
        'largest_possible', v_purse.remaining,
        'possible_at', (
          select d.dawn_at from private.community_days as d
          where d.community_id = p_community_id and -p_amount <= private.next_budget(p_community_id)
        )
      )
    );
  end if;
  return v_purse;
end;
$$;
comment on function private.change_purse is
'Changes one purse by a signed amount, and what counts as spent today and in all; only private.post_entry calls it.

Refuses: INSUFFICIENT_CC {short_by, largest_possible, possible_at: the next Dawn, null if its grant would not do}.';

create function private.change_purses(p_community_id uuid, p_user_ids uuid[], p_amounts integer[])
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.purses as b
  set remaining = b.remaining + c.amount
  from unnest(p_user_ids, p_amounts) as c (user_id, amount)
  where b.community_id = p_community_id and b.user_id = c.user_id;
end;
$$;
comment on function private.change_purses is
'Changes many purses of one community at once, each named once; only private.post_entries calls it.';

create function private.stamp_grant(p_community_id uuid, p_user_id uuid, p_at timestamptz)
returns void
language sql security definer set search_path = ''
begin atomic
  update private.purses as b set granted_at = p_at
  where b.community_id = p_community_id and b.user_id = p_user_id;
end;
comment on function private.stamp_grant is 'Notes when a purse was last granted the budget, for a grant outside Dawn.';

create function private.begin_purse_day(p_community_id uuid, p_day date, p_grant integer, p_at timestamptz)
returns setof uuid
language plpgsql security definer set search_path = ''
as $$
begin
  return query
  update private.purses as b
  set remaining = b.remaining + p_grant, spent_today = 0, day = p_day, granted_at = p_at
  from private.community_members as m
  where
    b.community_id = p_community_id
    and m.community_id = p_community_id and m.user_id = b.user_id and m.left_at is null
  returning b.user_id;
end;
$$;
comment on function private.begin_purse_day is
'Puts the grant of a new day into every standing member''s purse, each of them empty; returns whose. Only
private.post_grants calls it.';

create function private.empty_purses(p_community_id uuid, out user_id uuid, out amount integer, out day date)
returns setof record
language plpgsql security definer set search_path = ''
as $$
begin
  return query
  update private.purses as b
  set remaining = 0
  from private.purses as o
  where
    b.community_id = p_community_id and b.remaining > 0
    and o.community_id = p_community_id and o.user_id = b.user_id
  returning b.user_id, o.remaining, b.day;
end;
$$;
comment on function private.empty_purses is
'Empties every purse of a community and returns what was in those that held anything. Only private.post_expiry calls
it, under the lock of the day, so the old amount read beside the update is the amount emptied.';

create function private.source_of(p_type text, p_amount integer)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case
    when p_type = 'daily_reset' or (p_type = 'correction' and p_amount > 0) then 'minted'
    when p_type in ('stake_refund', 'stake_forfeit') then 'escrow'
    else 'purse'
  end;
end;
$$;
comment on function private.source_of is 'Where the coins of an entry come from: minted, escrow or purse.';

create function private.destination_of(p_type text, p_amount integer)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case
    when p_type = 'declaration' then 'spent'
    when p_type = 'tip_to_tip' then 'escrow'
    when p_type = 'expired' then 'expired'
    when p_type = 'stake_forfeit' or (p_type = 'correction' and p_amount < 0) then 'forfeited'
    else 'purse'
  end;
end;
$$;
comment on function private.destination_of is
'Where the coins of an entry go: purse, escrow, spent, forfeited or expired.';

create function private.is_sound_entry(p_type text, p_amount integer, p_moved integer, p_counterparty_id uuid)
returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  return p_moved > 0 and case
    when p_type in ('daily_reset', 'stake_refund') then p_amount = p_moved and p_counterparty_id is null
    when p_type in ('declaration', 'tip_to_tip', 'expired') then p_amount = -p_moved and p_counterparty_id is null
    when p_type in ('borrow_received', 'debt_collected') then p_amount = p_moved and p_counterparty_id is not null
    when p_type in ('borrow_given', 'debt_repaid') then p_amount = -p_moved and p_counterparty_id is not null
    when p_type = 'stake_forfeit' then p_amount = 0 and p_counterparty_id is null
    when p_type = 'correction' then abs(p_amount) = p_moved and p_counterparty_id is null
    else false
  end;
end;
$$;
comment on function private.is_sound_entry is
'Whether an entry is of a known type, moves coins, has the sign of its type, and names another member exactly where
coins went from purse to purse.';

create table private.ledger_entries (
  id bigint generated always as identity,
  community_id uuid not null,
  user_id uuid not null,
  type text not null,
  amount integer not null,
  moved integer not null,
  balance_after integer not null,
  source text not null generated always as (private.source_of(type, amount)) stored,
  destination text not null generated always as (private.destination_of(type, amount)) stored,
  counterparty_id uuid,
  reference_id uuid,
  day date not null,
  created_at timestamptz not null,
  constraint ledger_entries_pkey primary key (community_id, user_id, id),
  constraint ledger_entries_balance_never_below_zero check (balance_after >= 0),
  constraint ledger_entries_entry_is_sound check (private.is_sound_entry(type, amount, moved, counterparty_id))
);
comment on table private.ledger_entries is
'Every movement of coins, from the side of one member: amount is what it did to their purse, moved how many coins
went from source to destination, balance_after what the purse then held. No foreign keys: its one writer has just
changed the purse it names, and a check per row would double the work of a Dawn.';
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

create function private.post_entry(
  p_community_id uuid, p_user_id uuid, p_type text, p_amount integer, p_reference_id uuid default null,
  p_counterparty_id uuid default null, p_at timestamptz default private.clock(), p_moved integer default null,
  p_spent_today integer default null
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_spent integer := case when p_type in ('declaration', 'tip_to_tip', 'stake_refund') then -p_amount else 0 end;
  v_purse private.purses := private.change_purse(
    p_community_id, p_user_id, p_amount, coalesce(p_spent_today, v_spent), v_spent
  );
begin
  insert into private.ledger_entries (
    community_id, user_id, type, amount, moved, balance_after, counterparty_id, reference_id, day, created_at
  )
  values (
    p_community_id, p_user_id, p_type, p_amount, coalesce(p_moved, abs(p_amount)), v_purse.remaining,
    p_counterparty_id, p_reference_id, v_purse.day, p_at
  );
  perform private.tell_user(p_user_id, 'balance', jsonb_build_object('community_id', p_community_id));
  return v_purse;
end;
$$;
comment on function private.post_entry is
'Moves coins into or out of one purse and writes the entry, together: the one writer of a single movement. Returns
the purse.

p_amount is signed from the member''s side; p_moved differs from it only where coins leave an escrow without
touching the purse; p_spent_today only where a stake of an earlier day is refunded. Refuses: INSUFFICIENT_CC.';

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

  perform private.change_purses(p_community_id, array_agg(c.user_id), array_agg(c.amount))
  from (
    select e.user_id, sum(e.amount)::integer as amount from unnest(p_drafts) as e group by e.user_id
  ) as c;
end;
$$;
comment on function private.post_entries is
'Moves coins in many purses of one community and writes the entries in the order given, in two statements.

Only under the lock of the day, which keeps every other act on these purses away.';

create function private.post_grants(p_community_id uuid, p_day date, p_budget integer, p_at timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_rows integer;
begin
  insert into private.ledger_entries (community_id, user_id, type, amount, moved, balance_after, day, created_at)
  select p_community_id, g.user_id, 'daily_reset', p_budget, p_budget, p_budget, p_day, p_at
  from private.begin_purse_day(p_community_id, p_day, p_budget, p_at) as g (user_id);
  get diagnostics v_rows = row_count;
  return v_rows;
end;
$$;
comment on function private.post_grants is
'Grants the budget of a new day to every standing member; returns to how many.';

create function private.post_first_grant(p_community_id uuid, p_user_id uuid, p_budget integer)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.stamp_grant(p_community_id, p_user_id, private.clock());
  perform private.post_entry(p_community_id, p_user_id, 'daily_reset', p_budget);
end;
$$;
comment on function private.post_first_grant is
'Grants the budget of the day to somebody who has just come for the first time.';

create function private.post_expiry(p_community_id uuid, p_at timestamptz, out user_id uuid, out amount integer)
returns setof record
language plpgsql security definer set search_path = ''
as $$
begin
  return query
  with emptied as (
    insert into private.ledger_entries as l (
      community_id, user_id, type, amount, moved, balance_after, day, created_at
    )
    select
      p_community_id,
      e.user_id,
      'expired',
      -e.amount,
      e.amount,
      0,
      e.day,
      p_at
    from private.empty_purses(p_community_id) as e
    returning l.user_id, l.moved
  )

  select
    e.user_id,
    e.moved
  from emptied as e;
end;
$$;
comment on function private.post_expiry is 'Lets every purse of a community expire; returns who lost how much.';

create function private.expire_purse(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_purse private.purses := private.lock_purse(p_community_id, p_user_id);
begin
  if v_purse.remaining > 0 then
    perform private.post_entry(p_community_id, p_user_id, 'expired', -v_purse.remaining);
  end if;
  return v_purse.remaining;
end;
$$;
comment on function private.expire_purse is
'Lets one purse expire now, when its member goes; returns how many CC it held.';

create function private.describe_entry(p_type text)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case p_type
    when 'daily_reset' then 'The day''s grant'
    when 'declaration' then 'A joy declared'
    when 'borrow_given' then 'Lent'
    when 'borrow_received' then 'Borrowed'
    when 'debt_repaid' then 'A debt repaid'
    when 'debt_collected' then 'A loan came back'
    when 'tip_to_tip' then 'Staked on a tip-to-tip'
    when 'stake_refund' then 'A stake came back'
    when 'stake_forfeit' then 'A stake was lost'
    when 'expired' then 'Lost at Sunset'
    when 'correction' then 'Corrected by a steward'
  end;
end;
$$;
comment on function private.describe_entry is
'What an entry is, in words. The ledger itself holds no words of members: it cannot forget, and people may ask to be
forgotten.';
grant execute on function private.describe_entry to authenticated;
