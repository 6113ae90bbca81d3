-- Purses, the ledger, loans, escrow, the day's turn, joining and settings.

-- Purses (RULES 5.1). Nothing here is called but by the ledger, the one writer of movements.

create table public.cc_balances (
  community_id uuid not null,
  user_id uuid not null,
  remaining integer not null default 0,
  spent_today integer not null default 0,
  spent_total bigint not null default 0,
  day date not null,
  granted_at timestamptz,
  constraint cc_balances_pkey primary key (community_id, user_id),
  constraint cc_balances_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id),
  constraint cc_balances_never_below_zero check (remaining >= 0)
)
-- Every purse changes at least twice a day: room on the page keeps the updates in place (MEASURED: 1.5 times faster).
with (fillfactor = 50);
comment on table public.cc_balances is
'One purse per member ever, in CC: what remains, what was spent on its day and in all. The ledger says how it came to
be.';
alter table public.cc_balances enable row level security;
create policy people_read_their_balances on public.cc_balances for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on public.cc_balances to authenticated;

create function private.open_balance(p_community_id uuid, p_user_id uuid, p_day date)
returns void
language sql security definer set search_path = ''
begin atomic
  insert into public.cc_balances as b (community_id, user_id, day) values (p_community_id, p_user_id, p_day)
  on conflict (community_id, user_id) do update
  -- Who comes back finds their purse as empty as they left it, on the community's present day.
    set day = excluded.day, spent_today = case when b.day = excluded.day then b.spent_today else 0 end;
end;
comment on function private.open_balance is
'Gives a member an empty purse on a day, or brings the purse of one who returns to it.';
revoke all on function private.open_balance from public, anon, authenticated, service_role;

create function private.lock_balance(p_community_id uuid, p_user_id uuid)
returns public.cc_balances
language plpgsql security definer set search_path = ''
as $$
declare
  v_row public.cc_balances;
begin
  select b.* into v_row from public.cc_balances as b
  where b.community_id = p_community_id and b.user_id = p_user_id
  for no key update;
  return v_row;
end;
$$;
comment on function private.lock_balance is 'Locks a purse until the transaction ends and returns it.';
revoke all on function private.lock_balance from public, anon, authenticated, service_role;

create function private.lock_balances(p_community_id uuid, p_user_ids uuid[])
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform from public.cc_balances as b
  where b.community_id = p_community_id and b.user_id = any(p_user_ids)
  order by b.user_id
  for no key update;
end;
$$;
comment on function private.lock_balances is
'Locks purses in id order, so that two members lending to each other never deadlock.';
revoke all on function private.lock_balances from public, anon, authenticated, service_role;

create function private.change_balance(
  p_community_id uuid, p_user_id uuid, p_amount integer, p_spent_today integer, p_spent_total integer
)
returns public.cc_balances
language plpgsql security definer set search_path = ''
as $$
declare
  v_balance public.cc_balances;
begin
  -- The condition is the lock: of two who want the last coin, the second finds it gone.
  update public.cc_balances as b
  set
    remaining = b.remaining + p_amount,
    spent_today = greatest(b.spent_today + p_spent_today, 0),
    spent_total = b.spent_total + p_spent_total
  where b.community_id = p_community_id and b.user_id = p_user_id and b.remaining + p_amount >= 0
  returning b.* into v_balance;
  if not found then
    v_balance := private.lock_balance(p_community_id, p_user_id);
    perform private.refuse(
      'INSUFFICIENT_CC',
      format('There are %s CC in the purse; %s are needed.', v_balance.remaining, -p_amount),
      jsonb_build_object(
        'short_by', -p_amount - v_balance.remaining,
        'largest_possible', v_balance.remaining,
        'possible_at', (
          select d.dawn_at from public.community_days as d
          where d.community_id = p_community_id and -p_amount <= private.next_budget(p_community_id)
        )
      )
    );
  end if;
  return v_balance;
end;
$$;
comment on function private.change_balance is
'Changes one purse by a signed amount, and what counts as spent today and in all; only private.post_entry calls it.

Refuses: INSUFFICIENT_CC {short_by, largest_possible, possible_at: the next Dawn, null if its grant would not do}.';
revoke all on function private.change_balance from public, anon, authenticated, service_role;

create function private.change_balances(p_community_id uuid, p_user_ids uuid[], p_amounts integer[])
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update public.cc_balances as b
  set remaining = b.remaining + c.amount
  from unnest(p_user_ids, p_amounts) as c (user_id, amount)
  where b.community_id = p_community_id and b.user_id = c.user_id;
end;
$$;
comment on function private.change_balances is
'Changes many purses of one community at once, each named once; only private.post_entries calls it.';
revoke all on function private.change_balances from public, anon, authenticated, service_role;

create function private.stamp_grant(p_community_id uuid, p_user_id uuid, p_at timestamptz)
returns void
language sql security definer set search_path = ''
begin atomic
  update public.cc_balances as b set granted_at = p_at
  where b.community_id = p_community_id and b.user_id = p_user_id;
end;
comment on function private.stamp_grant is 'Notes when a purse was last granted the budget, for a grant outside Dawn.';
revoke all on function private.stamp_grant from public, anon, authenticated, service_role;

create function private.begin_purse_day(p_community_id uuid, p_day date, p_grant integer, p_at timestamptz)
returns setof uuid
language plpgsql security definer set search_path = ''
as $$
begin
  return query
  update public.cc_balances as b
  set remaining = b.remaining + p_grant, spent_today = 0, day = p_day, granted_at = p_at
  from public.community_members as m
  where
    b.community_id = p_community_id
    and m.community_id = p_community_id and m.user_id = b.user_id and m.left_at is null
  returning b.user_id;
end;
$$;
comment on function private.begin_purse_day is
'Puts the grant of a new day into every standing member''s purse, each of them empty; returns whose. Only
private.post_grants calls it.';
revoke all on function private.begin_purse_day from public, anon, authenticated, service_role;

create function private.empty_purses(p_community_id uuid, out user_id uuid, out amount integer, out day date)
returns setof record
language plpgsql security definer set search_path = ''
as $$
begin
  return query
  update public.cc_balances as b
  set remaining = 0
  from public.cc_balances as o
  where
    b.community_id = p_community_id and b.remaining > 0
    and o.community_id = p_community_id and o.user_id = b.user_id
  returning b.user_id, o.remaining, b.day;
end;
$$;
comment on function private.empty_purses is
'Empties every purse of a community and returns what was in those that held anything. Only private.post_expiry calls
it, under the lock of the day, so the old amount read beside the update is the amount emptied.';
revoke all on function private.empty_purses from public, anon, authenticated, service_role;

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
  constraint ledger_entries_pkey primary key (id),
  constraint ledger_entries_balance_never_below_zero check (balance_after >= 0),
  constraint ledger_entries_entry_is_sound check (private.is_sound_entry(type, amount, moved, counterparty_id))
);
comment on table public.ledger_entries is
'Every movement of coins, from the side of one member: amount is what it did to their purse, moved how many coins
went from source to destination, balance_after what the purse then held. No foreign keys: its one writer has just
changed the purse it names, and a check per row would double the work of a Dawn.';
create index ledger_entries_community_id_user_id_id_idx on public.ledger_entries (community_id, user_id, id);
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

-- Loans between members of a community (RULES 7.2 to 7.5).

create table public.loans (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  borrower_id uuid not null,
  lender_id uuid not null,
  amount integer not null,
  outstanding integer not null,
  status text not null default 'open',
  created_at timestamptz not null default private.clock(),
  constraint loans_pkey primary key (id),
  constraint loans_borrower_fkey foreign key (community_id, borrower_id)
  references public.community_members (community_id, user_id),
  constraint loans_lender_fkey foreign key (community_id, lender_id)
  references public.community_members (community_id, user_id),
  constraint loans_amount_positive check (amount > 0),
  constraint loans_outstanding_within_amount check (outstanding between 0 and amount),
  constraint loans_status_known check (status in ('open', 'repaid', 'forgiven', 'released', 'asleep')),
  constraint loans_status_fits_outstanding check ((status in ('open', 'asleep')) = (outstanding > 0)),
  constraint loans_not_to_oneself check (borrower_id <> lender_id)
);
comment on table public.loans is
'What members owe each other, in CC; number tells the older of two. A loan asleep waits for a borrower who left.';
create index loans_community_id_borrower_id_idx on public.loans (community_id, borrower_id, status);
create index loans_community_id_lender_id_idx on public.loans (community_id, lender_id, status);
create index loans_open_idx on public.loans (community_id, number) where status = 'open';
alter table public.loans enable row level security;
create policy parties_read_loans on public.loans for select to authenticated
using (
  (borrower_id = (select private.my_id()) or lender_id = (select private.my_id()))
  and community_id = any(array(select private.my_communities()))
);
grant select on public.loans to authenticated;

create view private.shown_loans with (security_invoker = on) as
select
  l.id,
  l.number,
  l.community_id,
  l.borrower_id,
  l.lender_id,
  jsonb_build_object(
    'id', l.id, 'community_id', l.community_id, 'borrower', b.person, 'lender', p.person, 'amount', l.amount,
    'outstanding', l.outstanding, 'status', l.status, 'created_at', l.created_at
  ) as loan
from public.loans as l
inner join private.shown_people as b on l.borrower_id = b.id
inner join private.shown_people as p on l.lender_id = p.id;
comment on view private.shown_loans is 'The shape loan.';
grant select on private.shown_loans to authenticated;

create function private.debt_of(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(sum(l.outstanding), 0)::integer from public.loans as l
    where l.community_id = p_community_id and l.borrower_id = p_user_id and l.status = 'open'
  );
end;
$$;
comment on function private.debt_of is 'What a member owes in open loans of a community, in CC.';
revoke all on function private.debt_of from public, anon, authenticated, service_role;

create function private.open_loan(p_community_id uuid, p_borrower_id uuid, p_lender_id uuid, p_amount integer)
returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  v_loan_id uuid;
begin
  insert into public.loans (community_id, borrower_id, lender_id, amount, outstanding)
  values (p_community_id, p_borrower_id, p_lender_id, p_amount, p_amount)
  returning id into v_loan_id;
  perform private.post_entry(p_community_id, p_lender_id, 'borrow_given', -p_amount, v_loan_id, p_borrower_id);
  perform private.post_entry(p_community_id, p_borrower_id, 'borrow_received', p_amount, v_loan_id, p_lender_id);
  return v_loan_id;
end;
$$;
comment on function private.open_loan is
'Moves CC from a lender''s purse to a borrower''s and opens the loan; both purses must be locked. Returns its id.

Refuses: INSUFFICIENT_CC.';
revoke all on function private.open_loan from public, anon, authenticated, service_role;

create function private.lock_loan(p_loan_id uuid)
returns public.loans
language plpgsql security definer set search_path = ''
as $$
declare
  v_row public.loans;
begin
  select l.* into v_row from public.loans as l
  where l.id = p_loan_id for no key update;
  return v_row;
end;
$$;
comment on function private.lock_loan is 'Locks a loan until the transaction ends and returns it.';
revoke all on function private.lock_loan from public, anon, authenticated, service_role;

create function private.reduce_loan(p_loan_id uuid, p_amount integer, p_when_nothing_is_left text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update public.loans as l
  set
    outstanding = l.outstanding - p_amount,
    status = case when l.outstanding = p_amount then p_when_nothing_is_left else l.status end
  where l.id = p_loan_id;
end;
$$;
comment on function private.reduce_loan is
'Takes an amount off a locked loan, which becomes repaid or forgiven when nothing is left.';
revoke all on function private.reduce_loan from public, anon, authenticated, service_role;

create function private.repayments_due(
  p_community_id uuid, p_budget integer,
  out loan_id uuid, out number bigint, out borrower_id uuid, out lender_id uuid, out amount integer
)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select
    d.id,
    d.number,
    d.borrower_id,
    d.lender_id,
    least(d.outstanding, p_budget - d.before)::integer
  from (
    select
      l.id,
      l.number,
      l.borrower_id,
      l.lender_id,
      l.outstanding,
      coalesce(sum(l.outstanding) over (
        partition by l.borrower_id order by l.number rows between unbounded preceding and 1 preceding
      ), 0) as before
    from public.loans as l
    where l.community_id = p_community_id and l.status = 'open'
  ) as d
  where d.before < p_budget;
end;
$$;
comment on function private.repayments_due is
'What a Dawn with this budget repays: each debtor''s open loans oldest first, up to the whole grant (RULES 7.4).

It depends on no purse and on no order: what others repay a debtor the same Dawn is theirs to keep.';
revoke all on function private.repayments_due from public, anon, authenticated, service_role;

create function private.collect_debts(p_community_id uuid, p_day date, p_budget integer, p_at timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_drafts private.entry_draft[];
begin
  if not exists (select from public.loans as l where l.community_id = p_community_id and l.status = 'open') then
    return;
  end if;
  with due as materialized (
    select r.* from private.repayments_due(p_community_id, p_budget) as r
  ), reduced as (
    update public.loans as l
    set
      outstanding = l.outstanding - d.amount,
      status = case when l.outstanding = d.amount then 'repaid' else 'open' end
    from due as d
    where l.id = d.loan_id
  )
  -- All debts leave before any arrives: no running balance ever counts on another's repayment.
  select array_agg(m.draft order by m.turn, m.number) into v_drafts
  from (
    select 1 as turn, d.number,
      row(d.borrower_id, 'debt_repaid', -d.amount, d.lender_id, d.loan_id)::private.entry_draft as draft
    from due as d
    union all
    select 2, d.number, row(d.lender_id, 'debt_collected', d.amount, d.borrower_id, d.loan_id)::private.entry_draft
    from due as d
  ) as m;
  perform private.post_entries(p_community_id, p_day, v_drafts, p_at);
end;
$$;
comment on function private.collect_debts is
'Repays at Dawn, after all grants, what private.repayments_due names; rings included.';
revoke all on function private.collect_debts from public, anon, authenticated, service_role;

create function private.part_with_loans(p_community_id uuid, p_user_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  update public.loans as l
  set outstanding = 0, status = 'released'
  where l.community_id = p_community_id and l.lender_id = p_user_id and l.status in ('open', 'asleep');
  update public.loans as l
  set status = 'asleep'
  where l.community_id = p_community_id and l.borrower_id = p_user_id and l.status = 'open';
end;
comment on function private.part_with_loans is
'On leaving: what is owed to the leaver is released, what they owe sleeps (RULES 2.5).';
revoke all on function private.part_with_loans from public, anon, authenticated, service_role;

create function private.wake_loans(p_community_id uuid, p_user_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  update public.loans as l
  set status = 'open'
  where l.community_id = p_community_id and l.borrower_id = p_user_id and l.status = 'asleep';
end;
comment on function private.wake_loans is 'On returning: what a member owed when they left is owed again.';
revoke all on function private.wake_loans from public, anon, authenticated, service_role;

-- Stakes held between purse and outcome (RULES 5.1, 8.3). Each settles exactly once.

create table public.stakes (
  proposal_id uuid not null,
  community_id uuid not null,
  user_id uuid not null,
  amount integer not null,
  day date not null,
  status text not null default 'held',
  constraint stakes_pkey primary key (proposal_id),
  constraint stakes_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id),
  constraint stakes_amount_positive check (amount > 0),
  constraint stakes_status_known check (status in ('held', 'due', 'refunded', 'forfeited'))
);
comment on table public.stakes is
'The escrow: what members staked, on which day, and what became of it. A stake due is one won back while the day was
closed: it stays in escrow until the Dawn that books it.';
create index stakes_community_id_user_id_idx on public.stakes (community_id, user_id);
create index stakes_in_escrow_idx on public.stakes (community_id) where status in ('held', 'due');
alter table public.stakes enable row level security;
create policy people_read_their_stakes on public.stakes for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on public.stakes to authenticated;

create function private.hold_stake(p_proposal_id uuid, p_community_id uuid, p_user_id uuid, p_amount integer)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_balance public.cc_balances := private.post_entry(
    p_community_id, p_user_id, 'tip_to_tip', -p_amount, p_proposal_id
  );
begin
  insert into public.stakes (proposal_id, community_id, user_id, amount, day)
  values (p_proposal_id, p_community_id, p_user_id, p_amount, v_balance.day);
end;
$$;
comment on function private.hold_stake is 'Moves a stake from a purse into escrow. Refuses: INSUFFICIENT_CC.';
revoke all on function private.hold_stake from public, anon, authenticated, service_role;

create function private.pay_stake(p_proposal_id uuid, p_at timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_stake public.stakes;
  v_balance public.cc_balances;
begin
  update public.stakes as s set status = 'refunded'
  where s.proposal_id = p_proposal_id and s.status in ('held', 'due')
  returning s.* into v_stake;
  if not found then
    return 0;
  end if;
  v_balance := private.lock_balance(v_stake.community_id, v_stake.user_id);
  perform private.post_entry(
    v_stake.community_id, v_stake.user_id, 'stake_refund', v_stake.amount, p_proposal_id, null, p_at, null,
    case when v_stake.day = v_balance.day then -v_stake.amount else 0 end
  );
  return v_stake.amount;
end;
$$;
comment on function private.pay_stake is
'Pays a stake back into its purse now and returns the amount; 0 if it was settled before. A refund of an earlier
day''s stake leaves today''s spending alone (RULES 5.6).';
revoke all on function private.pay_stake from public, anon, authenticated, service_role;

create function private.refund_stake(p_proposal_id uuid, p_at timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update public.stakes as s set status = 'due'
  from public.community_days as d
  where s.proposal_id = p_proposal_id and s.status = 'held' and d.community_id = s.community_id and not d.is_open;
  if not found then
    perform private.pay_stake(p_proposal_id, p_at);
  end if;
end;
$$;
comment on function private.refund_stake is
'Gives a stake back: at once while the day is open, else at the next Dawn after the grant. The caller holds the day.';
revoke all on function private.refund_stake from public, anon, authenticated, service_role;

create function private.forfeit_stake(p_proposal_id uuid, p_at timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_stake public.stakes;
begin
  update public.stakes as s set status = 'forfeited'
  where s.proposal_id = p_proposal_id and s.status = 'held'
  returning s.* into v_stake;
  if not found then
    return 0;
  end if;
  perform private.post_entry(
    v_stake.community_id, v_stake.user_id, 'stake_forfeit', 0, p_proposal_id, null, p_at, v_stake.amount
  );
  return v_stake.amount;
end;
$$;
comment on function private.forfeit_stake is
'Loses a stake for good and returns the amount; 0 if it was settled before.';
revoke all on function private.forfeit_stake from public, anon, authenticated, service_role;

create function private.pay_stakes_due(p_community_id uuid, p_at timestamptz, p_user_id uuid default null)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal_id uuid;
begin
  for v_proposal_id in
    select s.proposal_id from public.stakes as s
    where s.community_id = p_community_id and s.status = 'due' and s.user_id = coalesce(p_user_id, s.user_id)
    order by s.user_id, s.proposal_id
  loop
    perform private.pay_stake(v_proposal_id, p_at);
  end loop;
end;
$$;
comment on function private.pay_stakes_due is 'Books the refunds that waited for Dawn, of everyone or of one member.';
revoke all on function private.pay_stakes_due from public, anon, authenticated, service_role;

create function private.stakes_due(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(sum(s.amount), 0)::integer from public.stakes as s
    where s.community_id = p_community_id and s.user_id = p_user_id and s.status = 'due'
  );
end;
$$;
comment on function private.stakes_due is 'What the next Dawn will refund a member, in CC.';
revoke all on function private.stakes_due from public, anon, authenticated, service_role;

-- The day's turn: what Sunset takes and Dawn gives (RULES 6).

create table public.sunset_entries (
  community_id uuid not null,
  day date not null,
  user_id uuid not null,
  unspent_cc integer not null,
  constraint sunset_entries_pkey primary key (community_id, day, user_id),
  constraint sunset_entries_unspent_cc_positive check (unspent_cc > 0)
);
comment on table public.sunset_entries is
'The Sunset list: who let how much expire on which day. No foreign key: written with the ledger, from the same
purses.';
alter table public.sunset_entries enable row level security;
create policy members_read_sunset_entries on public.sunset_entries for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on public.sunset_entries to authenticated;

create function private.close_day(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_day date;
  v_timezone text;
  v_rows integer;
begin
  select d.day, c.timezone into v_day, v_timezone
  from public.community_days as d
  join public.communities as c on c.id = d.community_id
  where d.community_id = p_community_id and d.is_open and d.sunset_at <= p_now
  for no key update of d;
  if not found then
    return 0;
  end if;
  insert into public.sunset_entries (community_id, day, user_id, unspent_cc)
  select p_community_id, v_day, e.user_id, e.amount from private.post_expiry(p_community_id, p_now) as e;
  get diagnostics v_rows = row_count;
  perform private.turn_to_night(p_community_id, v_timezone, v_day);
  perform private.tell_community(p_community_id, 'sunset', jsonb_build_object('day', v_day));
  return v_rows;
end;
$$;
comment on function private.close_day is
'Sunset: every unspent purse expires into the ledger and the Sunset list; returns how many. A day closed already, or
not over yet, stays as it is.';
revoke all on function private.close_day from public, anon, authenticated, service_role;

create function private.open_day(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_community public.communities := private.apply_pending(p_community_id);
  v_day date;
  v_rows integer;
begin
  if not private.turn_to_day(p_community_id, v_community.timezone, p_now) then
    return 0;
  end if;
  select d.day into v_day from public.community_days as d where d.community_id = p_community_id;
  -- A correction made in the night may have left something: it expires before anything is granted.
  perform from private.post_expiry(p_community_id, p_now);
  v_rows := private.post_grants(p_community_id, v_day, v_community.daily_cc_budget, p_now);
  perform private.pay_stakes_due(p_community_id, p_now);
  perform private.collect_debts(p_community_id, v_day, v_community.daily_cc_budget, p_now);
  perform private.tell_community(p_community_id, 'dawn', jsonb_build_object('day', v_day));
  return v_rows;
end;
$$;
comment on function private.open_day is
'Dawn: pending settings take force, everyone is granted the budget, refunds that waited are booked, then debts are
collected.

Returns how many were granted. Only private.settle calls it, holding the community''s day.';
revoke all on function private.open_day from public, anon, authenticated, service_role;

create function private.settle(p_community_id uuid, p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_day public.community_days;
  v_rows integer := 0;
begin
  -- A glance without a lock: most calls find nothing due, and a read-only one may not write.
  if current_setting('transaction_read_only')::boolean
    or not exists (select from public.community_days as d where d.community_id = p_community_id and d.due_at <= p_now)
  then
    return 0;
  end if;

  -- Whoever waited here for another to turn the day finds it turned.
  select d.* into v_day from public.community_days as d
  where d.community_id = p_community_id and d.due_at <= p_now
  for no key update;
  if not found then
    return 0;
  end if;
  if v_day.is_open then
    v_rows := private.close_day(p_community_id, p_now);
  end if;
  if v_day.dawn_at <= p_now then
    v_rows := v_rows + private.open_day(p_community_id, p_now);
    -- So late that today's own Sunset has passed as well: today was lived from now to now.
    if exists (
      select from public.community_days as d
      where d.community_id = p_community_id and d.is_open and d.sunset_at <= p_now
    ) then
      v_rows := v_rows + private.close_day(p_community_id, p_now);
    end if;
  end if;
  return v_rows;
end;
$$;
comment on function private.settle is
'Brings a community to the day p_now falls in: the last open day is closed, then today begins (RULES 6.3). Days
missed whole are not replayed. Returns how many purses changed; twice, or from two sides at once, it changes nothing
more.';
revoke all on function private.settle from public, anon, authenticated, service_role;

create function private.hold_day(p_community_id uuid, p_now timestamptz default private.clock())
returns public.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day public.community_days;
begin
  perform pg_advisory_xact_lock_shared(26, hashtext(p_community_id::text));
  -- Nearly always nothing is due, and one statement does; a day that is due must be settled before it is held.
  select d.* into v_day from public.community_days as d
  where d.community_id = p_community_id and d.due_at > p_now
  for share;
  if not found then
    perform private.settle(p_community_id, p_now);
    select d.* into v_day from public.community_days as d where d.community_id = p_community_id for share;
  end if;
  return v_day;
end;
$$;
comment on function private.hold_day is
'Settles what is overdue, then keeps the day from turning until the transaction ends; many may hold it together.

Every act that moves coins takes this first: before proposals, requests and loans, before purses.';
revoke all on function private.hold_day from public, anon, authenticated, service_role;

create function private.hold_day_alone(p_community_id uuid, p_now timestamptz default private.clock())
returns public.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day public.community_days;
begin
  -- Row locks are not fair: those who share one overtake whoever waits to have it alone (measured: for seconds, in a
  -- community of 500 acts a second). This queue is fair; everybody passes it before the row.
  perform pg_advisory_xact_lock(26, hashtext(p_community_id::text));
  perform private.settle(p_community_id, p_now);
  select d.* into v_day from public.community_days as d where d.community_id = p_community_id for no key update;
  return v_day;
end;
$$;
comment on function private.hold_day_alone is
'As private.hold_day, but no other act on this community''s coins or rolls goes on beside it: for acts that touch
many purses or change who is a member, such as leaving.';
revoke all on function private.hold_day_alone from public, anon, authenticated, service_role;

create function private.require_open_day(p_community_id uuid)
returns public.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day public.community_days := private.hold_day(p_community_id);
begin
  if not v_day.is_open then
    perform private.refuse('DAY_CLOSED', 'The day is closed until Dawn.',
      jsonb_build_object('possible_at', v_day.dawn_at));
  end if;
  return v_day;
end;
$$;
comment on function private.require_open_day is
'Holds the day as private.hold_day does, and asks that it is open.

Refuses: DAY_CLOSED {possible_at: the next Dawn}, from Sunset to Dawn (RULES 5.5).';
revoke all on function private.require_open_day from public, anon, authenticated, service_role;

create function private.enter_day(p_community_id uuid)
returns public.community_members
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
begin
  perform private.settle(p_community_id);
  return v_me;
end;
$$;
comment on function private.enter_day is
'Asks for membership, then settles what is overdue: how every door about money that only reads begins.

Refuses: as require_member.';
revoke all on function private.enter_day from public, anon, authenticated, service_role;
grant execute on function private.enter_day to authenticated;

create function private.show_purse(p_balance public.cc_balances, p_day public.community_days)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      jsonb_build_object(
        'community_id', p_balance.community_id, 'user_id', p_balance.user_id, 'daily_budget', c.daily_cc_budget,
        'remaining', p_balance.remaining, 'spent_today', p_balance.spent_today,
        'debt', (
          select coalesce(sum(l.outstanding), 0) from public.loans as l
          where l.community_id = c.id and l.borrower_id = p_balance.user_id and l.status = 'open'
        ),
        'last_reset', p_balance.granted_at, 'day', p_day.day, 'day_open', p_day.is_open,
        'next_sunset_at', p_day.sunset_at, 'next_dawn_at', p_day.dawn_at
      )
    from public.communities as c where c.id = p_balance.community_id
  );
end;
$$;
comment on function private.show_purse is
'The shape balance of a purse just changed on a day just held, as private.show_balance would read it.';
revoke all on function private.show_purse from public, anon, authenticated, service_role;

create function private.show_balance(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      jsonb_build_object(
        'community_id', b.community_id, 'user_id', b.user_id, 'daily_budget', c.daily_cc_budget,
        'remaining', b.remaining, 'spent_today', b.spent_today,
        'debt', (
          select coalesce(sum(l.outstanding), 0) from public.loans as l
          where l.community_id = p_community_id and l.borrower_id = p_user_id and l.status = 'open'
        ),
        'last_reset', b.granted_at, 'day', d.day,
        'day_open', d.is_open, 'next_sunset_at', d.sunset_at, 'next_dawn_at', d.dawn_at
      )
    from public.cc_balances as b
    inner join public.communities as c on b.community_id = c.id
    inner join public.community_days as d on b.community_id = d.community_id
    where b.community_id = p_community_id and b.user_id = p_user_id
  );
end;
$$;
comment on function private.show_balance is
'The shape balance of one member as it is stored; last_reset is the time of their latest grant, null before the
first.

Only for a door that has asked whose it is.';
revoke all on function private.show_balance from public, anon, authenticated, service_role;

-- Looking into one's purse, the books and the Sunset list (RULES 5 and 6).

create function private.get_balance(p_community_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.enter_day(p_community_id);
begin
  return jsonb_build_object('balance', private.show_balance(p_community_id, v_me.user_id));
end;
$$;
comment on function private.get_balance is 'What get_balance answers.';
revoke all on function private.get_balance from public, anon, authenticated, service_role;

create function public.get_balance(community_id uuid)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.get_balance(get_balance.community_id);
end;
$$;
comment on function public.get_balance is
'The caller''s purse in a community, true now: an overdue day is settled first (by GET, what is stored).

Returns {balance}. Refuses: NOT_FOUND.';
revoke all on function public.get_balance from public, anon, authenticated, service_role;
grant execute on function public.get_balance, private.get_balance to authenticated;

create function public.list_ledger(
  community_id uuid, page_size integer default 50, before_id bigint default null, entry_type text default null
)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_me public.community_members := private.enter_day(list_ledger.community_id);
  v_page public.ledger_entries[];
begin
  perform private.require_page_size(list_ledger.page_size);
  if entry_type is not null then
    perform private.require_choice('entry_type', entry_type, array[
      'daily_reset', 'declaration', 'borrow_given', 'borrow_received', 'debt_repaid', 'debt_collected', 'tip_to_tip',
      'stake_refund', 'stake_forfeit', 'expired', 'correction'
    ]);
  end if;
  v_page := array(
    select e from public.ledger_entries as e
    where e.community_id = list_ledger.community_id and e.user_id = v_me.user_id
      and e.id < coalesce(before_id, 9223372036854775807)
      and (entry_type is null or e.type = entry_type)
    order by e.id desc
    limit page_size + 1
  );
  return jsonb_build_object(
    'entries', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', e.id, 'type', e.type, 'amount', e.amount, 'balance_after', e.balance_after,
        'description', private.describe_entry(e.type), 'reference_id', e.reference_id, 'day', e.day,
        'created_at', e.created_at, 'moved', e.moved, 'source', e.source, 'destination', e.destination,
        'counterparty_id', e.counterparty_id
      ) order by e.id desc), '[]')
      from unnest(v_page[:page_size]) as e
    ),
    'has_more', cardinality(v_page) > page_size,
    'summary', (
      select jsonb_build_object(
        'total_spent_all_time', b.spent_total, 'remaining_today', b.remaining, 'spent_today', b.spent_today
      )
      from public.cc_balances as b
      where b.community_id = list_ledger.community_id and b.user_id = v_me.user_id
    )
  );
end;
$$;
comment on function public.list_ledger is
'The caller''s own ledger in a community, newest first, all of it or one type; an overdue day is settled first.

Returns {entries: [ledger_entry + {moved, source, destination, counterparty_id}], has_more, summary:
{total_spent_all_time, remaining_today, spent_today}}; stakes refunded are no spending. Refuses: NOT_FOUND,
INVALID_INPUT.';
revoke all on function public.list_ledger from public, anon, authenticated, service_role;
grant execute on function public.list_ledger to authenticated;

create function private.prove_books(p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_audit jsonb;
begin
  -- One statement, one snapshot: nothing moves between the two sides of the sum.
  with per_member as (
    select
      e.user_id,
      sum(e.amount) as purse,
      sum(e.moved) filter (where e.source = 'minted') as minted,
      sum(e.moved) filter (where e.destination = 'spent') as spent,
      sum(e.moved) filter (where e.destination = 'forfeited') as forfeited,
      sum(e.moved) filter (where e.destination = 'expired') as expired,
      sum(case 'escrow' when e.destination then e.moved when e.source then -e.moved end) as escrow
    from public.ledger_entries as e
    where e.community_id = p_community_id
    group by e.user_id
  ), books as (
    select
      coalesce(sum(p.minted), 0) as minted, coalesce(sum(p.spent), 0) as spent,
      coalesce(sum(p.forfeited), 0) as forfeited, coalesce(sum(p.expired), 0) as expired,
      coalesce(sum(b.remaining), 0) as purses, coalesce(sum(p.escrow), 0) as escrow_by_ledger,
      (
        select coalesce(sum(s.amount), 0) from public.stakes as s
        where s.community_id = p_community_id and s.status in ('held', 'due')
      ) as escrow,
      bool_and(coalesce(p.purse, 0) = coalesce(b.remaining, 0)) as purses_agree
    from per_member as p
    full join (select * from public.cc_balances as c where c.community_id = p_community_id) as b using (user_id)
  )
  select jsonb_build_object(
    'minted', b.minted, 'spent', b.spent, 'forfeited', b.forfeited, 'expired', b.expired, 'purses', b.purses,
    'escrow', b.escrow,
    'balanced',
    b.minted = b.spent + b.forfeited + b.expired + b.purses + b.escrow
    and b.escrow = b.escrow_by_ledger and coalesce(b.purses_agree, true)
  ) into v_audit
  from books as b;
  return v_audit;
end;
$$;
comment on function private.prove_books is
'The totals of a community''s books, and whether they balance; reads its whole ledger.';
revoke all on function private.prove_books from public, anon, authenticated, service_role;

create function private.audit_ledger(p_community_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.enter_day(p_community_id);
  return private.prove_books(p_community_id);
end;
$$;
comment on function private.audit_ledger is 'What audit_ledger answers.';
revoke all on function private.audit_ledger from public, anon, authenticated, service_role;

create function public.audit_ledger(community_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.audit_ledger(audit_ledger.community_id);
end;
comment on function public.audit_ledger is
'Proves a community''s books to any member, in totals only (RULES 5.2).

balanced says that minted = spent + forfeited + expired + purses + escrow, that every purse is the sum of its
entries, and that the escrow is the sum of its own. A proof reads everything: its cost grows with the community''s
ledger. Returns {minted, spent, forfeited, expired, purses, escrow, balanced}. Refuses: NOT_FOUND.';
revoke all on function public.audit_ledger from public, anon, authenticated, service_role;
grant execute on function public.audit_ledger, private.audit_ledger to authenticated;

create function private.preview_dawn(p_community_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.enter_day(p_community_id);
  v_grant integer := private.next_budget(p_community_id);
  v_refunds integer := private.stakes_due(p_community_id, v_me.user_id);
begin
  return (
    with due as materialized (
      select r.borrower_id, r.lender_id, sum(r.amount) as amount
      from private.repayments_due(p_community_id, v_grant) as r
      where v_me.user_id in (r.borrower_id, r.lender_id)
      group by r.borrower_id, r.lender_id
    ), owed as (
      select
        coalesce(sum(d.amount), 0) as total,
        coalesce(jsonb_agg(jsonb_build_object('lender', p.person, 'amount', d.amount) order by p.id), '[]') as list
      from due as d
      join private.shown_people as p on p.id = d.lender_id
      where d.borrower_id = v_me.user_id
    ), lent as (
      select
        coalesce(sum(d.amount), 0) as total,
        coalesce(jsonb_agg(jsonb_build_object('borrower', p.person, 'amount', d.amount) order by p.id), '[]') as list
      from due as d
      join private.shown_people as p on p.id = d.borrower_id
      where d.lender_id = v_me.user_id
    )
    select jsonb_build_object(
      'grant', v_grant, 'repayments', owed.list, 'collections', lent.list, 'refunds', v_refunds,
      'wake_with', v_grant - owed.total + lent.total + v_refunds
    )
    from owed cross join lent
  );
end;
$$;
comment on function private.preview_dawn is 'What preview_dawn answers.';
revoke all on function private.preview_dawn from public, anon, authenticated, service_role;

create function public.preview_dawn(community_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.preview_dawn(preview_dawn.community_id);
end;
comment on function public.preview_dawn is
'What the caller''s next Dawn will do to their purse, as loans, stakes and pending settings stand now.

Returns {grant, repayments: [{lender, amount}], collections: [{borrower, amount}], refunds, wake_with}, one line a
person; wake_with = grant - repayments + collections + refunds. Refuses: NOT_FOUND.';
revoke all on function public.preview_dawn from public, anon, authenticated, service_role;
grant execute on function public.preview_dawn, private.preview_dawn to authenticated;

create function public.get_sunset(community_id uuid, day date default null)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_day date := get_sunset.day;
begin
  perform private.enter_day(get_sunset.community_id);
  if not isfinite(v_day) then
    perform private.refuse('INVALID_INPUT', 'day must be a date.', '{"field": "day"}');
  elsif v_day is null then
    select d.last_closed_day into v_day
    from public.community_days as d where d.community_id = get_sunset.community_id;
  end if;
  return (
    select jsonb_build_object(
      'date', v_day,
      'entries', coalesce(
        jsonb_agg(
          jsonb_build_object('user', p.person, 'unspent_cc', s.unspent_cc)
          order by s.unspent_cc desc, p.person ->> 'display_name', s.user_id
        ),
        '[]'
      ),
      'total_expired', coalesce(sum(s.unspent_cc), 0)
    )
    from public.sunset_entries as s
    join private.shown_people as p on p.id = s.user_id
    where s.community_id = get_sunset.community_id and s.day = v_day
  );
end;
$$;
comment on function public.get_sunset is
'The Sunset list of a day, the last closed one by default: who let how much expire, most first.

Returns {date, entries: [{user, unspent_cc}], total_expired}; a day nobody lost anything on has no entries, and date
is null before the first Sunset. Refuses: NOT_FOUND.';
revoke all on function public.get_sunset from public, anon, authenticated, service_role;
grant execute on function public.get_sunset to authenticated;

-- Founding and joining: where membership and money begin together (RULES 2.1, 2.2).

create function private.enter(p_community_id uuid, p_user_id uuid, p_is_first boolean)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_day public.community_days := private.hold_day(p_community_id);
  v_budget integer := (select c.daily_cc_budget from public.communities as c where c.id = p_community_id);
begin
  perform private.open_balance(p_community_id, p_user_id, v_day.day);
  if p_is_first and v_day.is_open then
    perform private.post_first_grant(p_community_id, p_user_id, v_budget);
  end if;
  perform private.wake_loans(p_community_id, p_user_id);
end;
$$;
comment on function private.enter is
'Opens a member''s purse: with the day''s budget the first time ever and while the day is open, else empty until
Dawn.';
revoke all on function private.enter from public, anon, authenticated, service_role;

create function private.show_entry(p_community_id uuid, p_user_id uuid)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'community', private.show_community(p_community_id),
    'member', private.show_member(p_community_id, p_user_id),
    'balance', private.show_balance(p_community_id, p_user_id)
  );
end;
comment on function private.show_entry is 'What founding and joining answer.';
revoke all on function private.show_entry from public, anon, authenticated, service_role;

create function private.create_community(
  p_name text, p_description text, p_timezone text, p_daily_cc_budget integer, p_request_id uuid
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_arguments jsonb := jsonb_build_array(p_name, p_description, p_timezone, p_daily_cc_budget);
  v_answer jsonb := private.recall(v_me.id, 'create_community', p_request_id, v_arguments);
  v_community public.communities;
begin
  if v_answer is not null then
    return v_answer;
  end if;
  perform private.require_name('name', p_name, 50);
  perform private.require_text('description', p_description, 200, 0);
  perform private.require_timezone(p_timezone);
  perform private.require_number('daily_cc_budget', p_daily_cc_budget, 10, 1000);

  v_community := private.found_community(v_me.id, p_name, p_description, p_timezone, p_daily_cc_budget);
  perform private.begin_calendar(v_community.id, p_timezone);
  perform private.enter(v_community.id, v_me.id, true);
  perform private.record_act(v_community.id, v_me.id, 'community_founded');
  perform private.announce(
    v_community.id, 'community_founded', format('%s founded the community.', v_me.display_name),
    jsonb_build_object('user_id', v_me.id)
  );
  perform private.begin_reading(v_community.id, v_me.id);
  return private.remember(
    v_me.id, 'create_community', p_request_id, v_arguments, private.show_entry(v_community.id, v_me.id)
  );
end;
$$;
comment on function private.create_community is 'What create_community does.';
revoke all on function private.create_community from public, anon, authenticated, service_role;

create function public.create_community(
  name text,
  description text default '',
  timezone text default 'UTC',
  daily_cc_budget integer default 100,
  request_id uuid default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.create_community(
    create_community.name, create_community.description, create_community.timezone,
    create_community.daily_cc_budget, create_community.request_id
  );
end;
comment on function public.create_community is
'Founds a community, with the caller as its first member and moderator.

name 1 to 50 characters, description up to 200, daily budget 10 to 1000 CC. The founder gets the day''s budget at
once; one who founds between Sunset and Dawn waits for Dawn. Returns {community, member, balance}. Refuses: CONFLICT
{most} (the eleventh of one person), INVALID_INPUT.';
revoke all on function public.create_community from public, anon, authenticated, service_role;
grant execute on function public.create_community, private.create_community to authenticated;

create function private.join_community(p_invite_code text, p_request_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_arguments jsonb := jsonb_build_array(p_invite_code);
  v_answer jsonb := private.recall(v_me.id, 'join_community', p_request_id, v_arguments);
  v_community_id uuid;
  v_is_first boolean;
begin
  if v_answer is not null then
    return v_answer;
  end if;
  v_community_id := private.find_by_join_code(p_invite_code);
  if v_community_id is null then
    perform private.refuse('NOT_FOUND', 'No community has this code.');
  end if;
  perform private.hold_day(v_community_id);
  v_is_first := private.add_member(v_community_id, v_me.id);
  perform private.enter(v_community_id, v_me.id, v_is_first);
  perform private.begin_reading(v_community_id, v_me.id);
  perform private.announce(
    v_community_id, case when v_is_first then 'member_joined' else 'member_returned' end,
    format(case when v_is_first then '%s joined.' else '%s came back.' end, v_me.display_name),
    jsonb_build_object('user_id', v_me.id)
  );
  return private.remember(
    v_me.id, 'join_community', p_request_id, v_arguments, private.show_entry(v_community_id, v_me.id)
  );
end;
$$;
comment on function private.join_community is 'What join_community does.';
revoke all on function private.join_community from public, anon, authenticated, service_role;

create function public.join_community(invite_code text, request_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.join_community(join_community.invite_code, join_community.request_id);
end;
comment on function public.join_community is
'Joins the community a join code opens (trimmed and lower-cased, then exact).

Only the first ever join grants the day''s budget at once; whoever returns, or joins while the day is closed, waits
for Dawn with an empty purse. A code that is paused or expired answers as one that never was. Returns {community,
member, balance}. Refuses: NOT_FOUND, CONFLICT (already in), FORBIDDEN (banned).';
revoke all on function public.join_community from public, anon, authenticated, service_role;
grant execute on function public.join_community, private.join_community to authenticated;

-- A community's settings and its join code, as its moderators keep them (RULES 2.2, 2.4).

create function private.hold_community(p_community_id uuid)
returns public.communities
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.hold_day(p_community_id);
  return private.lock_community(p_community_id);
end;
$$;
comment on function private.hold_community is
'Settles what is overdue, holds the day, then locks the community and returns it: the queue in which settings change.

Whoever stood in it asks again afterwards who they are.';
revoke all on function private.hold_community from public, anon, authenticated, service_role;

create function private.string_in(p_value jsonb)
returns text
language sql immutable set search_path = ''
begin atomic
  select case when jsonb_typeof(p_value) = 'string' then p_value #>> '{}' end;
end;
comment on function private.string_in is 'The text of a JSON string; null for any other JSON.';
revoke all on function private.string_in from public, anon, authenticated, service_role;

create function private.integer_in(p_value jsonb)
returns integer
language sql immutable set search_path = ''
begin atomic
  -- One case within the other: 1e400 is a JSON number, and no integer.
  select case
    when jsonb_typeof(p_value) = 'number'
      then case
        when p_value::numeric between -2147483648 and 2147483647 and p_value::numeric = trunc(p_value::numeric)
          then p_value::integer
      end
  end;
end;
comment on function private.integer_in is 'The whole number a JSON number is; null for any other JSON.';
revoke all on function private.integer_in from public, anon, authenticated, service_role;

create function private.require_patch(p_patch jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_settings constant text [] := array['name', 'description', 'daily_cc_budget', 'timezone', 'electorate'];
  v_key text;
  v_value jsonb;
  v_patch jsonb := '{}'::jsonb;
begin
  if jsonb_typeof(p_patch) is distinct from 'object' then
    perform private.refuse('INVALID_INPUT', 'patch must be an object of settings.', '{"field": "patch"}');
  end if;
  for v_key, v_value in select e.key, e.value from jsonb_each(p_patch) as e loop
    if v_key <> all (v_settings) then
      perform private.refuse('INVALID_INPUT', format('%s is no setting.', left(v_key, 50)),
        jsonb_build_object('field', v_key, 'choices', v_settings));
    end if;
    v_patch := v_patch || jsonb_build_object(v_key, case v_key
      when 'name' then to_jsonb(private.require_text('name', private.string_in(v_value), 50))
      when 'description' then to_jsonb(private.require_text('description', private.string_in(v_value), 200, 0))
      when 'timezone' then to_jsonb(private.require_timezone(private.string_in(v_value)))
      when 'electorate' then to_jsonb(
        private.require_choice('electorate', private.string_in(v_value), array['council', 'members'])
      )
      when 'daily_cc_budget' then to_jsonb(
        private.require_number('daily_cc_budget', private.integer_in(v_value), 10, 1000)
      )
    end);
  end loop;
  return v_patch;
end;
$$;
comment on function private.require_patch is
'Returns a patch of settings, each in the type it is kept in, or refuses it.

Refuses: INVALID_INPUT {field}: an unknown setting, a wrong JSON type (null is one) or a value out of range.';
revoke all on function private.require_patch from public, anon, authenticated, service_role;

create function private.list_settings(p_settings jsonb)
returns text
language sql immutable set search_path = ''
begin atomic
  select string_agg(s.words, ', ' order by s.words)
  from (
    select format('%s %s', replace(e.key, '_', ' '), coalesce(nullif(e.value, ''), 'none')) as words
    from jsonb_each_text(p_settings) as e
  ) as s;
end;
comment on function private.list_settings is 'Settings in words, for the Chamber; null if there are none.';
revoke all on function private.list_settings from public, anon, authenticated, service_role;

create function private.tell_settings(
  p_before public.communities, p_user_id uuid, p_changed jsonb, p_pending jsonb
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.record_act(p_before.id, p_user_id, 'settings_changed', null,
    jsonb_build_object('changed', p_changed, 'pending', p_pending));
  perform private.announce(
    p_before.id, 'settings_changed',
    concat_ws(
      ' ',
      format('%s changed the settings.', private.name_of(p_user_id)),
      'From now on: ' || private.list_settings(p_changed) || '.',
      case
        when p_pending = p_before.pending then null
        when p_pending = '{}' then 'Nothing else changes at the next Dawn.'
        else format('From the next Dawn: %s.', private.list_settings(p_pending))
      end
    ),
    jsonb_build_object(
      'user_id', p_user_id, 'changed', p_changed, 'pending', p_pending,
      'next_dawn_at', (select d.dawn_at from public.community_days as d where d.community_id = p_before.id)
    )
  );
end;
$$;
comment on function private.tell_settings is 'Tells the Chamber and the audit log what changed and what now pends.';
revoke all on function private.tell_settings from public, anon, authenticated, service_role;

create function private.update_community(p_community_id uuid, p_patch jsonb)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_moderator(p_community_id);
  v_patch jsonb := private.require_patch(p_patch);
  v_community public.communities := private.hold_community(p_community_id);
  v_in_force jsonb := to_jsonb(v_community);
  v_changed jsonb;
  v_pending jsonb;
begin
  perform private.require_moderator(p_community_id);
  select
    coalesce(jsonb_object_agg(s.key, s.value) filter (where s.key in ('name', 'description')), '{}'),
    coalesce(jsonb_object_agg(s.key, s.value) filter (where s.key not in ('name', 'description')), '{}')
  into v_changed, v_pending
  from jsonb_each(v_community.pending || v_patch) as s
  where v_in_force -> s.key <> s.value;

  if v_changed <> '{}' or v_pending <> v_community.pending then
    perform private.change_community(p_community_id, v_changed ->> 'name', v_changed ->> 'description', v_pending);
    perform private.tell_settings(v_community, v_me.user_id, v_changed, v_pending);
  end if;
  return jsonb_build_object('community', private.show_community(p_community_id), 'pending', v_pending);
end;
$$;
comment on function private.update_community is
'What update_community does. What comes to be as it is in force pends no more; a patch that changes nothing is told
to nobody.';
revoke all on function private.update_community from public, anon, authenticated, service_role;

create function public.update_community(community_id uuid, patch jsonb)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.update_community(update_community.community_id, update_community.patch);
end;
comment on function public.update_community is
'Changes settings of a community its caller moderates; patch holds only those to change.

At once: name (1 to 50 characters), description (up to 200). At the next Dawn, announced now: daily_cc_budget (10 to
1000), timezone (an IANA name), electorate (council or members); set to what is in force, it pends no more. Returns
{community, pending}. Refuses: FORBIDDEN, INVALID_INPUT {field}, NOT_FOUND.';
revoke all on function public.update_community from public, anon, authenticated, service_role;
grant execute on function public.update_community, private.update_community to authenticated;

create function public.get_rules(community_id uuid)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  perform private.enter_day(get_rules.community_id);
  return (
    select jsonb_build_object(
      'in_force', jsonb_build_object(
        'name', c.name, 'description', c.description, 'daily_cc_budget', c.daily_cc_budget, 'timezone', c.timezone,
        'electorate', c.electorate
      ),
      'pending', c.pending
    )
    from public.communities as c
    where c.id = get_rules.community_id
  );
end;
$$;
comment on function public.get_rules is
'What is in force in a community and what will be from the next Dawn; an overdue Dawn is settled first.

Returns {in_force, pending}, each {name, description, daily_cc_budget, timezone, electorate}; in pending only what
will change. Refuses: NOT_FOUND.';
revoke all on function public.get_rules from public, anon, authenticated, service_role;
grant execute on function public.get_rules to authenticated;

create function private.set_join_code(
  p_community_id uuid, p_rotate boolean, p_open boolean, p_expires_at timestamptz
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_moderator(p_community_id);
  v_code public.join_codes;
begin
  if p_rotate or p_open is not null or p_expires_at is not null then
    perform private.change_join_code(p_community_id, coalesce(p_rotate, false), p_open, p_expires_at);
    perform private.record_act(p_community_id, v_me.user_id, 'join_code_changed', null, jsonb_strip_nulls(
      jsonb_build_object('rotated', coalesce(p_rotate, false), 'open', p_open, 'expires_at', p_expires_at)
    ));
  end if;
  select j.* into v_code from public.join_codes as j where j.community_id = p_community_id;
  return jsonb_build_object('invite_code', v_code.code, 'open', v_code.is_open, 'expires_at', v_code.expires_at);
end;
$$;
comment on function private.set_join_code is
'What set_join_code does. The audit log keeps what was done, never the code; the Chamber is not told.';
revoke all on function private.set_join_code from public, anon, authenticated, service_role;

create function public.set_join_code(
  community_id uuid, rotate boolean default false, open boolean default null, expires_at timestamptz default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.set_join_code(
    set_join_code.community_id, set_join_code.rotate, set_join_code.open, set_join_code.expires_at
  );
end;
comment on function public.set_join_code is
'Shows the join code to a moderator, and changes it: rotate makes a new one, open pauses (false) or resumes it.

What is left out stays; a new code starts open and without expiry unless told otherwise. expires_at may be past,
which ends the code at once, and infinity takes an expiry away. Returns {invite_code, open, expires_at}. Refuses:
FORBIDDEN, NOT_FOUND.';
revoke all on function public.set_join_code from public, anon, authenticated, service_role;
grant execute on function public.set_join_code, private.set_join_code to authenticated;
