-- The ledger: every movement of every coin, append-only (RULES 5).

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
revoke all on function private.source_of from public, anon, authenticated, service_role;

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
revoke all on function private.destination_of from public, anon, authenticated, service_role;

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
revoke all on function private.is_sound_entry from public, anon, authenticated, service_role;

create table public.ledger_entries (
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
comment on table public.ledger_entries is
'Every movement of coins, from the side of one member: amount is what it did to their purse, moved how many coins
went from source to destination, balance_after what the purse then held. No foreign keys: its one writer has just
changed the purse it names, and a check per row would double the work of a Dawn.';
alter table public.ledger_entries enable row level security;
create policy people_read_their_ledger_entries on public.ledger_entries for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on public.ledger_entries to authenticated;

create function private.refuse_rewriting()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  raise exception 'the ledger is append-only: a correction is a new entry' using errcode = 'restrict_violation';
end;
$$;
comment on function private.refuse_rewriting is 'Keeps the ledger append-only for everyone, its owner included.';
revoke all on function private.refuse_rewriting from public, anon, authenticated, service_role;
create trigger ledger_entries_are_never_changed
before update or delete on public.ledger_entries
for each row execute function private.refuse_rewriting();
create trigger ledger_entries_are_never_truncated
before truncate on public.ledger_entries
for each statement execute function private.refuse_rewriting();

create function private.post_entry(
  p_community_id uuid, p_user_id uuid, p_type text, p_amount integer, p_reference_id uuid default null,
  p_counterparty_id uuid default null, p_at timestamptz default private.clock(), p_moved integer default null,
  p_spent_today integer default null
)
returns public.cc_balances
language plpgsql security definer set search_path = ''
as $$
declare
  v_spent integer := case when p_type in ('declaration', 'tip_to_tip', 'stake_refund') then -p_amount else 0 end;
  v_balance public.cc_balances := private.change_balance(
    p_community_id, p_user_id, p_amount, coalesce(p_spent_today, v_spent), v_spent
  );
begin
  insert into public.ledger_entries (
    community_id, user_id, type, amount, moved, balance_after, counterparty_id, reference_id, day, created_at
  )
  values (
    p_community_id, p_user_id, p_type, p_amount, coalesce(p_moved, abs(p_amount)), v_balance.remaining,
    p_counterparty_id, p_reference_id, v_balance.day, p_at
  );
  perform private.tell_user(p_user_id, 'balance', jsonb_build_object('community_id', p_community_id));
  return v_balance;
end;
$$;
comment on function private.post_entry is
'Moves coins into or out of one purse and writes the entry, together: the one writer of a single movement. Returns
the purse.

p_amount is signed from the member''s side; p_moved differs from it only where coins leave an escrow without
touching the purse; p_spent_today only where a stake of an earlier day is refunded. Refuses: INSUFFICIENT_CC.';
revoke all on function private.post_entry from public, anon, authenticated, service_role;

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
  insert into public.ledger_entries (
    community_id, user_id, type, amount, moved, balance_after, counterparty_id, reference_id, day, created_at
  )
  select
    p_community_id, e.user_id, e.type, e.amount, abs(e.amount),
    b.remaining + sum(e.amount) over (partition by e.user_id order by e.ordinality),
    e.counterparty_id, e.reference_id, p_day, p_at
  from unnest(p_drafts) with ordinality as e
  join public.cc_balances as b on b.community_id = p_community_id and b.user_id = e.user_id
  order by e.ordinality;

  perform private.change_balances(p_community_id, array_agg(c.user_id), array_agg(c.amount))
  from (
    select e.user_id, sum(e.amount)::integer as amount from unnest(p_drafts) as e group by e.user_id
  ) as c;
end;
$$;
comment on function private.post_entries is
'Moves coins in many purses of one community and writes the entries in the order given, in two statements.

Only under the lock of the day, which keeps every other act on these purses away.';
revoke all on function private.post_entries from public, anon, authenticated, service_role;

create function private.post_grants(p_community_id uuid, p_day date, p_budget integer, p_at timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_rows integer;
begin
  insert into public.ledger_entries (community_id, user_id, type, amount, moved, balance_after, day, created_at)
  select p_community_id, g.user_id, 'daily_reset', p_budget, p_budget, p_budget, p_day, p_at
  from private.begin_purse_day(p_community_id, p_day, p_budget, p_at) as g (user_id);
  get diagnostics v_rows = row_count;
  return v_rows;
end;
$$;
comment on function private.post_grants is
'Grants the budget of a new day to every standing member; returns to how many.';
revoke all on function private.post_grants from public, anon, authenticated, service_role;

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
revoke all on function private.post_first_grant from public, anon, authenticated, service_role;

create function private.post_expiry(p_community_id uuid, p_at timestamptz, out user_id uuid, out amount integer)
returns setof record
language plpgsql security definer set search_path = ''
as $$
begin
  return query
  with emptied as (
    insert into public.ledger_entries as l (
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
revoke all on function private.post_expiry from public, anon, authenticated, service_role;

create function private.expire_balance(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_balance public.cc_balances := private.lock_balance(p_community_id, p_user_id);
begin
  if v_balance.remaining > 0 then
    perform private.post_entry(p_community_id, p_user_id, 'expired', -v_balance.remaining);
  end if;
  return v_balance.remaining;
end;
$$;
comment on function private.expire_balance is
'Lets one purse expire now, when its member goes; returns how many CC it held.';
revoke all on function private.expire_balance from public, anon, authenticated, service_role;

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
revoke all on function private.describe_entry from public, anon, authenticated, service_role;
grant execute on function private.describe_entry to authenticated;
