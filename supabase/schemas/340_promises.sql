-- Promises of time: what the next Dawn will do, and what will then be possible (RULES 5.5). One reckoning, from the
-- very functions by which that Dawn goes.

create function private.reckon_dawn(
  p_community_id uuid, p_user_id uuid,
  out dawn_at timestamptz, out sunset_at timestamptz, out day date, out budget integer, out granted integer,
  out repaid bigint, out collected bigint,
  out refunded integer, out wake_with bigint, out debt bigint
)
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.day_of(p_community_id);
begin
  dawn_at := v_day.dawn_at;
  sunset_at := private.sunset_after(private.next_timezone(p_community_id), v_day.dawn_at, v_day.day);
  day := private.next_day(v_day, private.next_timezone(p_community_id));
  budget := private.next_budget(p_community_id);
  granted := case when p_user_id = any(private.away_ids(p_community_id, day, day)) then 0 else budget end;
  refunded := private.stakes_due(p_community_id, p_user_id);
  select
    coalesce(sum(r.amount) filter (where r.borrower_id = p_user_id), 0),
    coalesce(sum(r.amount) filter (where r.lender_id = p_user_id), 0)
  into repaid, collected
  from private.repayments_due(p_community_id, budget, day) as r
  where p_user_id in (r.borrower_id, r.lender_id);
  wake_with := granted - repaid + collected + refunded;
  debt := private.debt_of(p_community_id, p_user_id) - repaid;
end;
$$;
comment on function private.reckon_dawn is
'What a member''s next Dawn will do, if nobody acts before it: when it comes, when the day it opens ends, that
day and its budget, what it grants (nothing to who is away then), repays, collects and refunds, and what purse and debt
are after it; all in CC.

Pending settings are in it. What a vote or a deadline still decides is not: a stake in escrow counts for nothing. The
jobs are taken to run: a refusal undoes what its call settled, and a day that no job and no other call turns is missed
whole.';

create function private.when_affordable(
  p_community_id uuid, p_user_id uuid, p_amount integer, p_from timestamptz default '-infinity'
)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select greatest(r.dawn_at, p_from) from private.reckon_dawn(p_community_id, p_user_id) as r
    where p_amount <= r.wake_with and greatest(r.dawn_at, p_from) < r.sunset_at
  );
end;
$$;
comment on function private.when_affordable is
'The first moment from the next Dawn on, and not before p_from, at which a purse that is left alone holds an amount by
day; null where the day that Dawn opens has no such moment.';

create function private.when_lendable(
  p_community_id uuid, p_borrower_id uuid, p_amount integer, p_from timestamptz default '-infinity'
)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select greatest(r.dawn_at, p_from) from private.reckon_dawn(p_community_id, p_borrower_id) as r
    where r.debt + p_amount <= r.budget and greatest(r.dawn_at, p_from) < r.sunset_at
  );
end;
$$;
comment on function private.when_lendable is
'As private.when_affordable, for a member''s debt: the first moment at which it leaves room for so much more.';

create function private.when_repayable(p_loan private.loans, p_amount integer)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_due integer := coalesce((
    select r.amount
    from private.reckon_dawn(p_loan.community_id, p_loan.borrower_id) as n
    cross join private.repayments_due(p_loan.community_id, n.budget, n.day) as r
    where r.loan_id = p_loan.id
  ), 0);
begin
  -- The Dawn itself repays: mostly nothing, or less than the amount, is left to repay after it.
  if p_loan.outstanding - v_due < p_amount or not private.is_member(p_loan.community_id, p_loan.lender_id) then
    return null;
  end if;
  return private.when_affordable(p_loan.community_id, p_loan.borrower_id, p_amount);
end;
$$;
comment on function private.when_repayable is
'The next Dawn, where it leaves both enough of a loan and enough in the purse to repay an amount by hand; else null.';

create function private.refuse_shortage(
  p_community_id uuid, p_user_id uuid, p_amount integer, p_possible_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_remaining integer := (
    select b.remaining from private.purses as b
    where b.community_id = p_community_id and b.user_id = p_user_id
  );
begin
  if not private.is_member(p_community_id, p_user_id) then
    perform private.refuse('NOT_FOUND', 'There is no such community.');
  end if;
  perform private.refuse(
    'INSUFFICIENT_CC', format('There are %s CC in the purse; %s are needed.', v_remaining, p_amount),
    jsonb_build_object(
      'short_by', p_amount - v_remaining, 'largest_possible', v_remaining, 'possible_at', p_possible_at
    )
  );
end;
$$;
comment on function private.refuse_shortage is
'Says why an amount cannot leave a purse: it holds too little, or its member has just left.

Refuses, always: INSUFFICIENT_CC {short_by, largest_possible, possible_at: when the same act would do, null where no
such moment is known}, NOT_FOUND.';
