-- Loans between members of a community (RULES 7.2 to 7.5).

create domain private.loan_state as text
constraint loan_state_known check (value in ('open', 'repaid', 'forgiven', 'released', 'asleep'));

create table private.loans (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  borrower_id uuid not null,
  lender_id uuid not null,
  amount private.some_coins not null,
  outstanding private.coins not null,
  status private.loan_state not null default 'open',
  created_at timestamptz not null default private.clock(),
  constraint loans_pkey primary key (community_id, id),
  -- One for all: every statement that writes a row makes each check ready anew.
  constraint loans_outstanding_fits check (
    outstanding <= amount and (outstanding > 0) = (status = 'open' or status = 'asleep') and borrower_id <> lender_id
  )
);
comment on table private.loans is
'What members owe each other, in CC; number tells the older of two. A loan asleep waits for a borrower who left. No
foreign keys: whoever opens one has just locked both purses, and no membership''s row is ever deleted.';
create index loans_id_idx on private.loans (id);
create index loans_community_id_borrower_id_idx on private.loans (community_id, borrower_id, status);
create index loans_community_id_lender_id_idx on private.loans (community_id, lender_id, status);
create index loans_open_idx on private.loans (community_id, number) where status = 'open';
alter table private.loans enable row level security;
create policy parties_read_loans on private.loans for select to authenticated
using (
  (borrower_id = (select private.my_id()) or lender_id = (select private.my_id()))
  and community_id = any(array(select private.my_communities()))
);
grant select on private.loans to authenticated;

create type private.loan as (
  id uuid,
  community_id uuid,
  borrower json,
  lender json,
  amount integer,
  outstanding integer,
  status text,
  created_at timestamptz
);
comment on type private.loan is 'The shape loan, key by attribute.';

create view private.shown_loans with (security_invoker = on) as
select
  l.id,
  l.number,
  l.community_id,
  l.borrower_id,
  l.lender_id,
  row(
    l.id, l.community_id, b.person, p.person, l.amount, l.outstanding, l.status, l.created_at
  )::private.loan as loan
from private.loans as l
inner join private.shown_people as b on l.borrower_id = b.id
inner join private.shown_people as p on l.lender_id = p.id;
comment on view private.shown_loans is 'Loans as they are shown.';
grant select on private.shown_loans to authenticated;

create function private.open_loan(
  p_loan_id uuid, p_purses private.two_purses, p_amount integer, p_at timestamptz
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_purse private.purses := private.give_coins(
    p_purses, p_amount, 'borrow_given', 'borrow_received', p_loan_id, p_at
  );
begin
  if v_purse.user_id is not null then
    insert into private.loans (id, community_id, borrower_id, lender_id, amount, outstanding, created_at)
    values (
      p_loan_id, v_purse.community_id, (p_purses.taker).user_id, v_purse.user_id, p_amount, p_amount, p_at
    );
  end if;
  return v_purse;
end;
$$;
comment on function private.open_loan is
'Moves CC from a lender''s purse to a borrower''s and opens the loan with this id. Returns the lender''s purse, or a row
of nulls and nothing written where it holds too little.

Refuses: CONFLICT {most} (the borrower''s purse is full).';

create function private.lock_loan(p_community_id uuid, p_loan_id uuid)
returns private.loans
language plpgsql security definer set search_path = ''
as $$
declare
  v_row private.loans;
begin
  select l.* into v_row from private.loans as l
  where l.community_id = p_community_id and l.id = p_loan_id for no key update;
  return v_row;
end;
$$;
comment on function private.lock_loan is 'Locks a loan until the transaction ends and returns it.';

create function private.reduce_loan(p_loan private.loans, p_amount integer, p_when_nothing_is_left text)
returns private.loans
language plpgsql security definer set search_path = ''
as $$
declare
  v_loan private.loans;
begin
  update private.loans as l
  set
    outstanding = l.outstanding - p_amount,
    status = case when l.outstanding = p_amount then p_when_nothing_is_left else l.status end
  where l.community_id = p_loan.community_id and l.id = p_loan.id
  returning l.* into v_loan;
  return v_loan;
end;
$$;
comment on function private.reduce_loan is
'Takes an amount off a locked loan, which becomes repaid or forgiven when nothing is left, and returns it.';

create function private.pay_back(p_loan private.loans, p_amount integer, p_at timestamptz)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
begin
  return private.give_coins(
    private.lock_purses(p_loan.community_id, p_loan.borrower_id, p_loan.lender_id), p_amount, 'debt_repaid',
    'debt_collected', p_loan.id, p_at
  );
end;
$$;
comment on function private.pay_back is
'Moves what is repaid of a locked loan from purse to purse; returns the borrower''s, or a row of nulls and nothing
written where it holds too little. The caller reduces the loan.

Refuses: CONFLICT {most} (the lender''s purse is full).';

create function private.forgive(p_loan private.loans, p_amount integer)
returns private.loans
language plpgsql security definer set search_path = ''
as $$
begin
  if p_loan.status = 'open' then
    perform private.change_debts(p_loan.community_id, array[p_loan.borrower_id], array[-p_amount]);
  end if;
  return private.reduce_loan(p_loan, p_amount, 'forgiven');
end;
$$;
comment on function private.forgive is
'Forgives a part of a locked loan, or all of it, and returns it; also of one asleep, whose borrower owes nothing
meanwhile.';

create function private.repayments_due(
  p_community_id uuid, p_budget integer, p_day date, p_dawn_at timestamptz default 'infinity',
  out loan_id uuid, out number bigint, out borrower_id uuid, out lender_id uuid, out amount integer
)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_away uuid[] := private.away_ids(p_community_id, p_day, p_day);
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
    from private.loans as l
    where l.community_id = p_community_id and l.status = 'open'
      and l.borrower_id <> all(v_away) and l.lender_id <> all(v_away)
      and not exists (
        select from private.erasures as e where e.user_id in (l.borrower_id, l.lender_id) and e.begun_at < p_dawn_at
      )
  ) as d
  where d.before < p_budget;
end;
$$;
comment on function private.repayments_due is
'What the Dawn of a day with this budget repays: each debtor''s open loans oldest first, up to the whole grant (RULES
7.4).

It depends on no purse and on no order: what others repay a debtor the same Dawn is theirs to keep. Loans of who
is away that day wait, on both sides (RULES 16.2). A loan of somebody erased before the Dawn is as good as released or
asleep: the leaving follows. A Dawn settled late repays what it would have repaid on time (RULES 6.3).';

create function private.debt_of(p_community_id uuid, p_user_id uuid)
returns bigint
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(sum(l.outstanding), 0) from private.loans as l
    where l.community_id = p_community_id and l.borrower_id = p_user_id and l.status = 'open'
      and not exists (select from private.erasures as e where e.user_id = l.lender_id)
  );
end;
$$;
comment on function private.debt_of is
'What a member will owe when the leaving of everybody just erased has followed, in CC; the purse keeps what they owe
now.';

create function private.collect_debts(
  p_community_id uuid, p_day date, p_budget integer, p_dawn_at timestamptz, p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_drafts private.entry_draft[];
begin
  if not exists (select from private.loans as l where l.community_id = p_community_id and l.status = 'open') then
    return;
  end if;
  with due as materialized (
    select r.* from private.repayments_due(p_community_id, p_budget, p_day, p_dawn_at) as r
  ), reduced as (
    update private.loans as l
    set
      outstanding = l.outstanding - d.amount,
      status = case when l.outstanding = d.amount then 'repaid' else l.status end
    from due as d
    where l.community_id = p_community_id and l.id = d.loan_id
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

create function private.part_with_loans(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_debtors uuid[];
  v_amounts integer[];
begin
  -- Who of the debtors has left owes nothing meanwhile; the leaver's own debts stop counting as well.
  select array_agg(d.user_id), array_agg(-d.outstanding) into v_debtors, v_amounts
  from (
    select l.borrower_id as user_id, l.outstanding::integer from private.loans as l
    where l.community_id = p_community_id and l.status = 'open' and p_user_id in (l.lender_id, l.borrower_id)
  ) as d;
  perform private.change_debts(p_community_id, v_debtors, v_amounts);
  update private.loans as l
  set outstanding = 0, status = 'released'
  where l.community_id = p_community_id and l.lender_id = p_user_id and l.status in ('open', 'asleep');
  update private.loans as l
  set status = 'asleep'
  where l.community_id = p_community_id and l.borrower_id = p_user_id and l.status = 'open';
end;
$$;
comment on function private.part_with_loans is
'On leaving: what is owed to the leaver is released, what they owe sleeps (RULES 2.5). The caller holds the day alone.';

create function private.wake_loans(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_owed integer;
begin
  with woken as (
    update private.loans as l
    set status = 'open'
    where l.community_id = p_community_id and l.borrower_id = p_user_id and l.status = 'asleep'
    returning l.outstanding
  )
  select sum(w.outstanding) into v_owed from woken as w;
  if v_owed > 0 then
    perform private.change_debts(p_community_id, array[p_user_id], array[v_owed]);
  end if;
end;
$$;
comment on function private.wake_loans is 'On returning: what a member owed when they left is owed again.';

create function private.show_loan(p_loan private.loans, p_borrower private.users, p_lender private.users)
returns private.loan
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    p_loan.id, p_loan.community_id, p_borrower.person, p_lender.person, p_loan.amount, p_loan.outstanding,
    p_loan.status, p_loan.created_at
  )::private.loan;
end;
$$;
comment on function private.show_loan is 'The shape loan of a loan in hand.';
