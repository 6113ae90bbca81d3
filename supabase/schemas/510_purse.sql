-- Looking into one's purse, the books and the Sunset list (RULES 5 and 6).

create function private.get_balance(p_community_id uuid)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.able_person(private.caller_id());
  v_now timestamptz := private.clock();
  v_due_at timestamptz;
  v_answer json;
begin
  select s.due_at, json_build_object('balance', s.balance) into v_due_at, v_answer
  from private.community_members as m
  join private.shown_balances as s on s.community_id = m.community_id and s.user_id = m.user_id
  where m.community_id = p_community_id and m.user_id = v_me.id and m.left_at is null;
  if not found then
    perform private.require_member(p_community_id);
  elsif v_due_at <= v_now then
    perform private.settle_day(p_community_id, v_now);
    return json_build_object('balance', private.show_balance_of(p_community_id, v_me.id));
  end if;
  return v_answer;
end;
$$;
create function public.get_balance(community_id uuid)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.get_balance(get_balance.community_id);
end;
$$;
comment on function public.get_balance is
'The caller''s purse in a community, true now: an overdue day is settled first (by GET, what is stored).

Returns {balance}. Refuses: NOT_FOUND.';
grant execute on function public.get_balance, private.get_balance to authenticated;

create function private.list_ledger(p_community_id uuid, p_page_size integer, p_before_id bigint, p_entry_type text)
returns json
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  v_me private.community_members := private.require_member_today(p_community_id);
  v_page private.ledger_entry[];
begin
  perform private.require_page_size(p_page_size);
  if p_entry_type is not null then
    perform private.require_choice(
      'entry_type', p_entry_type, array(select distinct k.type from private.entry_kinds() as k)
    );
  end if;
  v_page := array(
    select e.entry from private.shown_entries as e
    where e.community_id = p_community_id and e.user_id = v_me.user_id
      and e.id < coalesce(p_before_id, 9223372036854775807)
      and (p_entry_type is null or e.type = p_entry_type)
    order by e.id desc
    limit p_page_size + 1
  );
  return json_build_object(
    'entries', v_page[:p_page_size],
    'has_more', cardinality(v_page) > p_page_size,
    'summary', (
      select json_build_object(
        'total_spent_all_time', b.spent_total, 'remaining_today', b.remaining, 'spent_today', b.spent_today
      )
      from private.purses as b
      where b.community_id = p_community_id and b.user_id = v_me.user_id
    )
  );
end;
$$;

create function public.list_ledger(
  community_id uuid, page_size integer default 50, before_id bigint default null, entry_type text default null
)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.list_ledger(
    list_ledger.community_id, list_ledger.page_size, list_ledger.before_id, list_ledger.entry_type
  );
end;
$$;
comment on function public.list_ledger is
'The caller''s own ledger in a community, newest first, all of it or one type; an overdue day is settled first.

Returns {entries: [ledger_entry + {moved, source, destination, counterparty_id}], has_more, summary:
{total_spent_all_time, remaining_today, spent_today}}; stakes refunded are no spending. Refuses: NOT_FOUND,
INVALID_INPUT.';
grant execute on function public.list_ledger, private.list_ledger to authenticated;

create function private.prove_books(p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_audit jsonb;
begin
  -- One statement, one snapshot: nothing moves between the two sides of the sum.
  with entries as (
    -- An entry of no known kind, or without the other end its kind has, moves nothing and so unbalances everything.
    select e.user_id, e.amount, e.moved, k.source, k.destination, k.counts_as_spent, k.counts_as_debt
    from private.ledger_entries as e
    left join private.entry_kinds() as k
      on k.type = e.type and k.sign = sign(e.amount) and e.moved = coalesce(nullif(abs(e.amount), 0), e.moved)
      and k.has_counterparty = (e.counterparty_id is not null)
    where e.community_id = p_community_id
  ), per_member as (
    select
      e.user_id,
      sum(e.amount) as purse,
      coalesce(sum(-e.amount) filter (where e.counts_as_spent), 0) as spent_total,
      sum(e.moved) filter (where e.source = 'minted') as minted,
      sum(e.moved) filter (where e.destination = 'spent') as spent,
      sum(e.moved) filter (where e.destination = 'forfeited') as forfeited,
      sum(e.moved) filter (where e.destination = 'expired') as expired,
      sum(case 'escrow' when e.destination then e.moved when e.source then -e.moved end) as escrow,
      count(*) filter (where e.source is null) as strange
    from entries as e
    group by e.user_id
  ), copied as (
    -- What a purse and its day keep beside coins, told once more by what it is a copy of.
    select
      b.user_id, b.remaining, b.spent_total,
      b.debt = (
        select coalesce(sum(l.outstanding), 0) from private.loans as l
        where l.community_id = b.community_id and l.borrower_id = b.user_id and l.status = 'open'
      )
      and b.joys_today = (
        select count(*) from private.declarations as d
        where d.community_id = b.community_id and d.user_id = b.user_id and d.day = b.day
      )
      and (b.joys_today = 0 or b.day <> o.day or b.last_lived = o.days_lived)
      and b.longest_streak >= b.streak
      and o.daily_budget = c.daily_cc_budget as is_right
    from private.purses as b
    join private.community_days as o on o.community_id = b.community_id
    join private.communities as c on c.id = b.community_id
    where b.community_id = p_community_id
  ), books as (
    select
      coalesce(sum(p.minted), 0) as minted, coalesce(sum(p.spent), 0) as spent,
      coalesce(sum(p.forfeited), 0) as forfeited, coalesce(sum(p.expired), 0) as expired,
      coalesce(sum(b.remaining), 0) as purses, coalesce(sum(p.escrow), 0) as escrow_by_ledger,
      (
        select coalesce(sum(s.amount), 0) from private.stakes as s
        where s.community_id = p_community_id and s.status in ('held', 'due')
      ) as escrow,
      bool_and(
        coalesce(p.purse, 0) = coalesce(b.remaining, 0) and coalesce(p.spent_total, 0) = coalesce(b.spent_total, 0)
        and coalesce(p.strange, 0) = 0 and coalesce(b.is_right, false)
      ) as purses_agree
    from per_member as p
    full join copied as b using (user_id)
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
'The totals of a community''s books, and whether they balance; reads its whole ledger. Every figure a purse or its day
copies is counted again, and every entry held against private.entry_kinds.';

create function private.audit_ledger(p_community_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_member_today(p_community_id);
  perform private.take_turn();
  return private.prove_books(p_community_id);
end;
$$;
create function public.audit_ledger(community_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.audit_ledger(audit_ledger.community_id);
end;
comment on function public.audit_ledger is
'Proves a community''s books to any member, in totals only (RULES 5.2).

balanced says that minted = spent + forfeited + expired + purses + escrow, that every entry is of a known kind, that
every purse is the sum of its entries and what it says was spent, owed and declared today is so, and that the escrow is
the sum of its own. A proof reads everything: its cost grows with the community''s ledger, so one person''s proofs come one at a time. Returns
{minted, spent, forfeited, expired, purses, escrow, balanced}. Refuses: NOT_FOUND, RATE_LIMITED {most}.';
grant execute on function public.audit_ledger, private.audit_ledger to authenticated;

create function private.preview_dawn(p_community_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member_today(p_community_id);
  v_dawn record := private.reckon_dawn(p_community_id, v_me.user_id);
begin
  return (
    with due as materialized (
      select r.borrower_id, r.lender_id, sum(r.amount) as amount
      from private.repayments_due(p_community_id, v_dawn.budget, v_dawn.day) as r
      where v_me.user_id in (r.borrower_id, r.lender_id)
      group by r.borrower_id, r.lender_id
    ), owed as (
      select coalesce(jsonb_agg(jsonb_build_object('lender', p.person, 'amount', d.amount) order by p.id), '[]') as list
      from due as d
      join private.shown_people as p on p.id = d.lender_id
      where d.borrower_id = v_me.user_id
    ), lent as (
      select coalesce(jsonb_agg(jsonb_build_object('borrower', p.person, 'amount', d.amount) order by p.id), '[]') as list
      from due as d
      join private.shown_people as p on p.id = d.borrower_id
      where d.lender_id = v_me.user_id
    )
    select jsonb_build_object(
      'grant', v_dawn.granted, 'repayments', owed.list, 'collections', lent.list, 'refunds', v_dawn.refunded,
      'wake_with', v_dawn.wake_with
    )
    from owed cross join lent
  );
end;
$$;
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
grant execute on function public.preview_dawn, private.preview_dawn to authenticated;

create function public.get_sunset(community_id uuid, day date default null)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_day date := get_sunset.day;
begin
  perform private.require_member_today(get_sunset.community_id);
  if not isfinite(v_day) then
    perform private.refuse('INVALID_INPUT', 'day must be a date.', '{"field": "day"}');
  elsif v_day is null then
    select d.last_closed_day into v_day
    from private.community_days as d where d.community_id = get_sunset.community_id;
  end if;
  return (
    select jsonb_build_object(
      'date', v_day,
      'entries', coalesce(
        jsonb_agg(
          jsonb_build_object('user', p.person, 'unspent_cc', s.unspent_cc)
          order by s.unspent_cc desc, p.display_name, s.user_id
        ),
        '[]'
      ),
      'total_expired', coalesce(sum(s.unspent_cc), 0)
    )
    from private.sunset_entries as s
    join private.shown_people as p on p.id = s.user_id
    where s.community_id = get_sunset.community_id and s.day = v_day
  );
end;
$$;
comment on function public.get_sunset is
'The Sunset list of a day, the last closed one by default: who let how much expire, most first.

Returns {date, entries: [{user, unspent_cc}], total_expired}; a day nobody lost anything on has no entries, and date
is null before the first Sunset. Refuses: NOT_FOUND.';
grant execute on function public.get_sunset to authenticated;
