-- Asking, lending, repaying, forgiving (RULES 7).

create domain private.request_state as text
constraint request_state_known check (value in ('pending', 'approved', 'declined', 'cancelled', 'lapsed'));

create domain private.reason as text constraint reason_length check (char_length(value) <= 280);
comment on domain private.reason is 'Why somebody asks for CC: 1 to 280 characters, none where it was taken away.';

create table private.borrow_requests (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  borrower_id uuid not null,
  lender_id uuid not null,
  amount private.some_coins not null,
  reason private.reason not null,
  status private.request_state not null default 'pending',
  lapses_at timestamptz not null,
  created_at timestamptz not null default private.clock(),
  struck_at timestamptz,
  constraint borrow_requests_pkey primary key (community_id, id),
  constraint borrow_requests_not_from_oneself check (borrower_id <> lender_id)
);
comment on table private.borrow_requests is
'Who asked whom for how many CC. One that is pending past lapses_at, its day''s Sunset, has lapsed whether or not the
status says so yet; amount is what was asked until it is approved, then what was lent. No foreign keys: whoever writes
one has just found both among the members, and no membership''s row is ever deleted.';
create index borrow_requests_id_idx on private.borrow_requests (id);
create unique index borrow_requests_one_open_per_pair on private.borrow_requests (community_id, borrower_id, lender_id)
where status = 'pending';
create index borrow_requests_community_id_borrower_id_idx on private.borrow_requests (
  community_id, borrower_id, lender_id, created_at
);
create index borrow_requests_community_id_lender_id_idx on private.borrow_requests (community_id, lender_id);
create index borrow_requests_lapses_at_idx on private.borrow_requests (lapses_at) where status = 'pending';
alter table private.borrow_requests enable row level security;
create policy members_read_borrow_requests on private.borrow_requests for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.borrow_requests to authenticated;

create function private.borrow_status(p_state text, p_lapses_at timestamptz)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return case when p_state = 'pending' and p_lapses_at <= private.clock() then 'lapsed' else p_state end;
end;
$$;
comment on function private.borrow_status is 'A request''s status as it is now: lapsing is a fact of reading.';

create type private.borrow_request as (
  id uuid,
  community_id uuid,
  borrower json,
  lender json,
  amount integer,
  reason text,
  status text,
  created_at timestamptz
);
comment on type private.borrow_request is 'The shape borrow_request, key by attribute.';

create view private.shown_borrow_requests with (security_invoker = on) as
select
  r.id,
  r.community_id,
  row(
    r.id, r.community_id, b.person, l.person, r.amount, case when b.is_erased then '' else r.reason end,
    private.borrow_status(r.status, r.lapses_at), r.created_at
  )::private.borrow_request as borrow_request
from private.borrow_requests as r
inner join private.shown_people as b on r.borrower_id = b.id
inner join private.shown_people as l on r.lender_id = l.id;
comment on view private.shown_borrow_requests is
'The shape borrow_request; its reason only while the borrower is not erased. Only for the kernel.';

create function private.show_borrow_request(
  p_request private.borrow_requests, p_borrower private.users, p_lender private.users
)
returns private.borrow_request
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    p_request.id, p_request.community_id, p_borrower.person, p_lender.person, p_request.amount,
    case when p_borrower.erased_at is null then p_request.reason else '' end, p_request.status, p_request.created_at
  )::private.borrow_request;
end;
$$;
comment on function private.show_borrow_request is
'The shape borrow_request of a request just written, as private.shown_borrow_requests has it.';

create function private.strike_borrow_request(p_community_id uuid, p_request_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  update private.borrow_requests as r set reason = '', struck_at = private.clock()
  where r.community_id = p_community_id and r.id = p_request_id;
end;
comment on function private.strike_borrow_request is 'Takes a request''s words away; its money stays.';

create function private.erase_borrow_reasons_of(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  update private.borrow_requests as r
  set reason = ''
  where (r.community_id, r.id) in (
    select o.community_id, o.id
    from private.community_members as s
    join private.borrow_requests as o on o.community_id = s.community_id and o.borrower_id = s.user_id
    where s.user_id = p_user_id and o.reason <> ''
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.erase_borrow_reasons_of is
'Takes the words of up to p_limit requests to borrow of a person who is erased; returns how many.';

create function private.has_room_for_debt(p_community_id uuid, p_borrower_id uuid, p_amount integer)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select b.debt + p_amount <= c.daily_cc_budget
    from private.purses as b
    join private.communities as c on c.id = b.community_id
    where b.community_id = p_community_id and b.user_id = p_borrower_id
  );
end;
$$;
comment on function private.has_room_for_debt is
'Whether a debt with so much more stays within one daily budget today.';

create function private.require_room_for_debt(p_borrower private.purses, p_amount integer, p_is_answer boolean)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_debt integer := p_borrower.debt;
  v_budget integer := (select c.daily_cc_budget from private.communities as c where c.id = p_borrower.community_id);
begin
  if v_debt + p_amount > v_budget then
    perform private.refuse(
      'DEBT_LIMIT',
      format('Debts may not exceed one daily budget: %s CC are owed already.', v_debt),
      jsonb_build_object(
        'debt', v_debt, 'limit', v_budget, 'short_by', v_debt + p_amount - v_budget,
        'largest_possible', greatest(v_budget - v_debt, 0),
        -- The next Dawn repays up to its grant, and lends to nobody; a request of today has lapsed by then.
        'possible_at', case
          when not p_is_answer then private.when_lendable(p_borrower.community_id, p_borrower.user_id, p_amount)
        end
      )
    );
  end if;
end;
$$;
comment on function private.require_room_for_debt is
'Asks that the debt of whose purse this is stays, with a new loan, within one daily budget (RULES 7.3).

Refuses: DEBT_LIMIT {debt, limit, short_by, largest_possible, possible_at: the next Dawn, which repays, null if that
would not do, or if it is an answer that is refused}.';

create function private.require_request_rate(
  p_day private.community_days, p_borrower_id uuid, p_lender_id uuid, p_amount integer
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_line_at timestamptz := private.next_line_at(p_day.community_id, p_borrower_id);
  v_asked_at timestamptz := (
    select min(latest.created_at) + interval '1 day'
    from (
      select r.created_at from private.borrow_requests as r
      where r.community_id = p_day.community_id and r.borrower_id = p_borrower_id and r.lender_id = p_lender_id
        and r.created_at > private.clock() - interval '1 day'
      order by r.created_at desc
      limit 5
    ) as latest
    having count(*) = 5
  );
  v_next timestamptz := greatest(v_line_at, v_asked_at);
begin
  if v_next is null then
    return;
  end if;
  -- Still today, where today has room for the debt; else the first such moment from the next Dawn on.
  if v_next >= p_day.sunset_at or not private.has_room_for_debt(p_day.community_id, p_borrower_id, p_amount) then
    v_next := private.when_lendable(p_day.community_id, p_borrower_id, p_amount, v_next);
  end if;
  if v_asked_at is not null then
    perform private.refuse_for_now('Five requests a day to the same member are enough.', v_next, '{"most": 5}');
  end if;
  perform private.refuse_for_now('Thirty such acts a minute are enough.', v_next, '{"most": 30}');
end;
$$;
comment on function private.require_request_rate is
'Asks that a member has asked another, in this community, fewer than 5 times in the last 24 hours, answered or not
(RULES 3.2), and has made fewer than 30 lines in the last minute. Of two requests at once the second waits for the
first, and finds it open: so nobody comes past the fifth.

Refuses: RATE_LIMITED {most, possible_at, retry_after}.';

create function private.show_asked(p_community_id uuid, p_made jsonb)
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_request jsonb := (
    select to_jsonb(s.borrow_request) from private.shown_borrow_requests as s
    where s.community_id = p_community_id and s.id = (p_made ->> 'borrow_request_id')::uuid
  );
begin
  return json_build_object(
    'borrow_request', v_request,
    'message', private.show_message(p_community_id, (p_made ->> 'message_id')::bigint, v_request)
  );
end;
$$;
comment on function private.show_asked is 'What request_borrow answers of a request made before, as it stands now.';

create function private.refuse_open_request(p_community_id uuid, p_borrower_id uuid, p_lender_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_open_id uuid := (
    select r.id from private.borrow_requests as r
    where r.community_id = p_community_id and r.borrower_id = p_borrower_id and r.lender_id = p_lender_id
      and r.status = 'pending' and r.lapses_at > private.clock()
  );
begin
  if v_open_id is not null then
    perform private.refuse('CONFLICT', 'You have an open request to this member already.',
      jsonb_build_object('borrow_request_id', v_open_id));
  end if;
end;
$$;
comment on function private.refuse_open_request is
'Refuses where a member has an open request to another: CONFLICT {borrow_request_id}.';

create function private.require_input_of_request(p_amount integer, p_reason text)
returns void
language plpgsql immutable security definer set search_path = ''
as $$
begin
  -- One glance for what most requests are; only what does not pass it is looked at closely.
  if (p_amount between 1 and 1000000000 and p_reason ~ '[!-~]' and char_length(p_reason) <= 280) is not true then
    perform private.require_amount('amount', p_amount);
    perform private.require_text('reason', p_reason, 280);
  end if;
end;
$$;
comment on function private.require_input_of_request is 'Asks that what is asked makes sense. Refuses: INVALID_INPUT.';

create function private.require_askable(
  p_day private.community_days, p_borrower_id uuid, p_lender_id uuid, p_amount integer, p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_here constant uuid := p_day.community_id;
  v_purse private.purses;
begin
  -- Before anything is counted, or written that another of their requests would wait for.
  perform private.take_turn_of_lines(v_here, p_borrower_id);
  -- One glance: both are here, nothing is open between them, few requests and lines, and room for the debt.
  if exists (
    select
    from private.community_members as m
    join private.community_members as l on l.community_id = m.community_id
    join private.purses as b on b.community_id = m.community_id and b.user_id = m.user_id
    join private.communities as c on c.id = m.community_id
    where m.community_id = v_here and m.user_id = p_borrower_id and m.left_at is null
      and l.user_id = p_lender_id and l.left_at is null
      and b.debt + p_amount <= c.daily_cc_budget
      and not exists (select from private.erasures as e where e.user_id = p_lender_id)
      and (
        select count(*) < 5 and not coalesce(bool_or(r.status = 'pending'), false)
        from private.borrow_requests as r
        where r.community_id = v_here and r.borrower_id = p_borrower_id and r.lender_id = p_lender_id
          and r.created_at > p_at - interval '1 day'
      )
      and 30 > (
        select count(*) from private.chat_messages as o
        where o.community_id = v_here and o.maker_id = p_borrower_id and o.created_at > p_at - interval '1 minute'
      )
  ) then
    return;
  end if;

  perform private.require_member(v_here);
  if not private.is_member(v_here, p_lender_id) then
    perform private.refuse('NOT_FOUND', 'There is no such member.');
  end if;
  -- First of all that could be waited for: it would be in the way of what others promise.
  perform private.refuse_open_request(v_here, p_borrower_id, p_lender_id);
  perform private.require_request_rate(p_day, p_borrower_id, p_lender_id, p_amount);
  select b.* into v_purse from private.purses as b where b.community_id = v_here and b.user_id = p_borrower_id;
  perform private.require_room_for_debt(v_purse, p_amount, false);
end;
$$;
comment on function private.require_askable is
'Asks, with the day held, that a member may ask another for so much: from here on nobody of the two leaves.

Refuses: NOT_FOUND, CONFLICT {borrow_request_id}, RATE_LIMITED {most, possible_at, retry_after}, DEBT_LIMIT {debt,
limit, short_by, largest_possible, possible_at}.';

create function private.open_request(
  p_id uuid, p_day private.community_days, p_borrower_id uuid, p_lender_id uuid, p_amount integer, p_reason text,
  p_at timestamptz
)
returns private.borrow_requests
language plpgsql security definer set search_path = ''
as $$
declare
  v_request private.borrow_requests;
begin
  insert into private.borrow_requests (
    community_id, id, borrower_id, lender_id, amount, reason, lapses_at, created_at
  )
  values (p_day.community_id, p_id, p_borrower_id, p_lender_id, p_amount, p_reason, p_day.sunset_at, p_at)
  on conflict (community_id, borrower_id, lender_id) where status = 'pending' do nothing
  returning * into v_request;
  if not found then
    perform private.refuse_open_request(p_day.community_id, p_borrower_id, p_lender_id);
    -- One of an earlier day is still written as pending; it must not stand in the way.
    update private.borrow_requests as r set status = 'lapsed'
    where r.community_id = p_day.community_id and r.borrower_id = p_borrower_id and r.lender_id = p_lender_id
      and r.status = 'pending' and r.lapses_at <= p_at;
    return private.open_request(p_id, p_day, p_borrower_id, p_lender_id, p_amount, p_reason, p_at);
  end if;
  return v_request;
end;
$$;
comment on function private.open_request is
'Writes down a request and returns it; of two to the same member at once one is made. Refuses: CONFLICT
{borrow_request_id}.';

create function private.request_borrow(
  p_community_id uuid, p_lender_id uuid, p_amount integer, p_reason text, p_request_id uuid
)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_act private.act := private.begin_act(p_community_id);
  v_person private.users := v_act.me;
  v_me uuid := v_person.id;
  v_now timestamptz := v_act.at;
  v_day private.community_days := v_act.day;
  v_id uuid := gen_random_uuid();
  v_message_id bigint := private.next_line_id();
  v_made jsonb := private.claim(
    v_me, 'request_borrow', p_request_id, jsonb_build_array(p_community_id, p_lender_id, p_amount, p_reason),
    jsonb_build_object('borrow_request_id', v_id, 'message_id', v_message_id), v_now
  );
  v_request private.borrow_requests;
  v_card json;
begin
  if v_made is not null then
    return private.show_asked(p_community_id, v_made);
  end if;
  perform private.require_input_of_request(p_amount, p_reason);
  if p_lender_id = v_me then
    perform private.refuse('INVALID_INPUT', 'One does not borrow from oneself.', '{"field": "lender_id"}');
  end if;
  if not v_day.is_open then
    perform private.require_open(v_day);
  end if;
  perform private.require_askable(v_day, v_me, p_lender_id, p_amount, v_now);

  v_request := private.open_request(v_id, v_day, v_me, p_lender_id, p_amount, p_reason, v_now);
  perform private.post_message(
    p_community_id, v_me, 'borrow_request', '', v_id, p_at => v_now, p_until => v_day.sunset_at, p_id => v_message_id
  );
  perform private.notify(
    array[p_lender_id], p_community_id, 'borrow_request', 'borrow_requested', 'borrow_request', v_request.id,
    jsonb_build_object('amount', p_amount), p_by => v_me, p_is_ask => true, p_at => v_now
  );
  v_card := row_to_json(private.show_borrow_request(v_request, v_person, private.find_person(p_lender_id)));
  return json_build_object(
    'borrow_request', v_card,
    'message', private.show_new_ask(
      v_message_id, p_community_id, 'borrow_request', v_person.person, v_card, v_now
    )
  );
end;
$$;
create function public.request_borrow(
  community_id uuid, lender_id uuid, amount integer, reason text, request_id uuid default null
)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.request_borrow(
    request_borrow.community_id, request_borrow.lender_id, request_borrow.amount, request_borrow.reason,
    request_borrow.request_id
  );
end;
$$;
comment on function public.request_borrow is
'Asks another member for CC, with a reason of 1 to 280 characters. The request lapses at Sunset.

At most 5 a day to the same member. Returns {borrow_request, message}. Refuses: CONFLICT {borrow_request_id} (an open
request to the same member), CONFLICT (request_id), RATE_LIMITED {most, possible_at, retry_after}, DEBT_LIMIT {debt,
limit, short_by, largest_possible, possible_at}, DAY_CLOSED {possible_at}, NOT_FOUND, INVALID_INPUT (oneself among
them).';
grant execute on function public.request_borrow, private.request_borrow to authenticated;

create function private.refuse_request(p_community_id uuid, p_request_id uuid, p_action text)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_request private.borrow_requests;
begin
  select r.* into v_request from private.borrow_requests as r
  where r.community_id = p_community_id and r.id = p_request_id;
  if v_request.status not in ('pending', 'lapsed') then
    perform private.refuse('CONFLICT', format('This request is %s already.', v_request.status),
      jsonb_build_object('status', v_request.status));
  elsif p_action = 'cancelled' then
    perform private.refuse('CONFLICT', 'This request has lapsed.', '{"status": "lapsed"}');
  elsif p_action = 'approved' then
    -- By night an approval hears when lending goes on, and that before it hears of the lapse.
    perform private.require_open(private.day_of(p_community_id));
  end if;
  perform private.refuse('REQUEST_LAPSED', 'This request has lapsed.',
    jsonb_build_object('lapsed_at', v_request.lapses_at));
end;
$$;
comment on function private.refuse_request is
'Says why a request cannot be answered or cancelled now.

Refuses, always: CONFLICT {status}, DAY_CLOSED {possible_at} (an approval), REQUEST_LAPSED {lapsed_at}.';

create function private.end_request(
  p_request private.borrow_requests, p_action text, p_amount integer, p_at timestamptz
)
returns private.borrow_requests
language plpgsql security definer set search_path = ''
as $$
declare
  v_request private.borrow_requests;
begin
  -- The condition is the lock: of two answers, or an answer and a cancellation, the second finds it no longer pending.
  update private.borrow_requests as r set status = p_action, amount = coalesce(p_amount, r.amount)
  where r.community_id = p_request.community_id and r.id = p_request.id and r.status = 'pending'
    and r.lapses_at > p_at
  returning r.* into v_request;
  if not found then
    perform private.refuse_request(p_request.community_id, p_request.id, p_action);
  end if;
  return v_request;
end;
$$;
comment on function private.end_request is
'Ends a pending request, whose day is held: approved (p_amount is what is lent), declined or cancelled. Refuses: as
private.refuse_request.';

create function private.approve_borrow(
  p_request private.borrow_requests, p_loan_id uuid, p_daily_budget integer, p_at timestamptz
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_purses private.two_purses := private.lock_purses(
    p_request.community_id, p_request.lender_id, p_request.borrower_id
  );
  v_purse private.purses;
begin
  if (v_purses.taker).debt + p_request.amount > p_daily_budget then
    perform private.require_room_for_debt(v_purses.taker, p_request.amount, true);
  end if;
  v_purse := private.open_loan(p_loan_id, v_purses, p_request.amount, p_at);
  if v_purse.user_id is null then
    perform private.refuse_shortage(p_request.community_id, p_request.lender_id, p_request.amount, null);
  end if;
  return v_purse;
end;
$$;
comment on function private.approve_borrow is
'Lends what a request just approved says, on a day that is held; returns the lender''s purse. The purses are locked
before the debt is looked at: two lenders approving at once cannot lend past the limit together.

Refuses: DEBT_LIMIT, INSUFFICIENT_CC, neither with a promise, for the request lapses before the next Dawn; CONFLICT
{most} (a full purse).';

create function private.note_answer(p_request private.borrow_requests, p_facts jsonb, p_at timestamptz)
returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  v_event text := 'borrow_' || p_request.status;
  v_is_loan boolean := p_request.status = 'approved';
  v_line bigint;
  v_told private.broadcast[];
begin
  perform private.require_line_rate(p_request.community_id, p_request.lender_id, p_request.lapses_at, p_at);
  v_line := private.next_line_id();
  perform private.write_line(
    v_line, p_request.community_id, null, 'system', '', null, v_event, p_facts, p_request.lender_id, p_at
  );
  v_told := array[(
    'community:' || p_request.community_id::text, 'message', jsonb_build_object('message_id', v_line)
  )::private.broadcast];
  if v_is_loan then
    perform private.note_item(
      p_request.community_id, 'loan', (p_facts ->> 'loan_id')::uuid, p_facts - 'borrow_request_id', p_at => p_at
    );
    v_told := v_told || private.purses_told(p_request.community_id, p_request.lender_id, p_request.borrower_id);
  end if;
  perform private.notify(
    array[p_request.borrower_id], p_request.community_id, v_event, v_event, 'borrow_request', p_request.id,
    case when v_is_loan then jsonb_build_object('amount', p_request.amount) else '{}' end,
    p_by => p_request.lender_id, p_at => p_at, p_besides => v_told
  );
  return v_line;
end;
$$;
comment on function private.note_answer is
'Tells a request''s answer to the borrower, the Chamber and, of a loan, the Gazette; returns the line''s id. Refuses: as
private.require_line_rate.';

create function private.respond_borrow(p_borrow_request_id uuid, p_action text, p_amount integer)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_request private.borrow_requests;
  v_act private.act;
  v_me private.users;
  v_lent integer;
  v_facts jsonb;
  v_purse private.purses;
  v_line bigint;
  v_borrower private.users;
begin
  select r.* into v_request from private.borrow_requests as r where r.id = p_borrow_request_id;
  v_act := private.begin_act(v_request.community_id, 'request');
  v_me := v_act.me;
  if v_request.lender_id <> v_me.id then
    perform private.refuse('FORBIDDEN', 'Only the member who was asked may answer.');
  end if;
  if p_action = 'approved' then
    v_lent := coalesce(p_amount, v_request.amount);
    if v_lent not between 1 and v_request.amount then
      perform private.require_number('amount', v_lent, 1, v_request.amount);
    elsif not (v_act.day).is_open then
      -- Also where it was asked a moment before a Sunset that another has settled meanwhile.
      perform private.refuse_request(v_request.community_id, v_request.id, p_action);
    end if;
  else
    perform private.require_choice('action', p_action, array['approved', 'declined']);
  end if;

  v_request := private.end_request(v_request, p_action, v_lent, v_act.at);
  v_facts := jsonb_build_object(
    'borrow_request_id', v_request.id, 'lender_id', v_me.id, 'borrower_id', v_request.borrower_id
  );
  if p_action = 'approved' then
    v_facts := v_facts || jsonb_build_object('loan_id', gen_random_uuid(), 'amount', v_lent);
    v_purse := private.approve_borrow(v_request, (v_facts ->> 'loan_id')::uuid, (v_act.day).daily_budget, v_act.at);
  else
    select b.* into v_purse from private.purses as b
    where b.community_id = v_request.community_id and b.user_id = v_me.id;
  end if;
  v_line := private.note_answer(v_request, v_facts, v_act.at);

  select u.* into v_borrower from private.users as u where u.id = v_request.borrower_id;
  return json_build_object(
    'borrow_request', private.show_borrow_request(v_request, v_borrower, v_me),
    'system_message', private.show_new_line(
      v_line, v_request.community_id, 'borrow_' || p_action, v_facts, v_me, v_borrower, v_act.at
    ),
    'balance', private.balance_on(v_purse, v_act.day)
  );
end;
$$;
create function public.respond_borrow(borrow_request_id uuid, action text, amount integer default null)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.respond_borrow(respond_borrow.borrow_request_id, respond_borrow.action, respond_borrow.amount);
end;
$$;
comment on function public.respond_borrow is
'Answers a borrow request, once: the member who was asked approves, possibly a smaller amount, or declines.

Approving moves the CC and opens a loan; declining asks for no amount. A lender without enough CC is refused and the
request stays open. Between Sunset and Dawn approving answers DAY_CLOSED; from Dawn on the request has lapsed.
Returns {borrow_request, system_message, balance (the lender''s)}. Refuses: FORBIDDEN, CONFLICT {status}, CONFLICT
{most} (the borrower''s purse is full), REQUEST_LAPSED {lapsed_at}, INSUFFICIENT_CC {short_by, largest_possible},
DEBT_LIMIT {debt, limit, short_by, largest_possible}, DAY_CLOSED {possible_at}, RATE_LIMITED {most, possible_at,
retry_after}, NOT_FOUND, INVALID_INPUT.';
grant execute on function public.respond_borrow, private.respond_borrow to authenticated;

create function private.cancel_borrow(p_borrow_request_id uuid)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_request private.borrow_requests;
begin
  select r.* into v_request from private.borrow_requests as r where r.id = p_borrow_request_id;
  if private.require_seen(v_request.community_id, 'request') <> v_request.borrower_id then
    perform private.refuse('FORBIDDEN', 'Only the member who asked may cancel.');
  end if;
  perform private.hold_day(v_request.community_id, v_now);
  v_request := private.end_request(v_request, 'cancelled', null, v_now);
  perform private.tell_community(
    v_request.community_id, 'borrow_request', jsonb_build_object('borrow_request_id', v_request.id)
  );
  return json_build_object('borrow_request', private.show_borrow_request(
    v_request, private.find_person(v_request.borrower_id), private.find_person(v_request.lender_id)
  ));
end;
$$;
create function public.cancel_borrow(borrow_request_id uuid)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.cancel_borrow(cancel_borrow.borrow_request_id);
end;
$$;
comment on function public.cancel_borrow is
'The member who asked takes an open request back.

Returns {borrow_request}. Refuses: FORBIDDEN, CONFLICT {status}, NOT_FOUND.';
grant execute on function public.cancel_borrow, private.cancel_borrow to authenticated;

create function private.cancel_borrows_of(p_community_id uuid, p_user_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  -- What has lapsed stays lapsed, whether the job has written it down or not.
  update private.borrow_requests as r
  set status = case when r.lapses_at <= private.clock() then 'lapsed' else 'cancelled' end
  where r.community_id = p_community_id and r.borrower_id = p_user_id and r.status = 'pending';
  update private.borrow_requests as r set status = 'lapsed', lapses_at = least(r.lapses_at, private.clock())
  where r.community_id = p_community_id and r.lender_id = p_user_id and r.status = 'pending';
end;
comment on function private.cancel_borrows_of is
'On leaving: the leaver''s own open requests are cancelled (RULES 2.5); those addressed to them lapse, for nobody is
left to answer, and stay lapsed if the lender returns the same day.';

create function private.lapse_requests(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_rows integer;
begin
  update private.borrow_requests as r set status = 'lapsed'
  where (r.community_id, r.id) in (
    select o.community_id, o.id from private.borrow_requests as o
    where o.status = 'pending' and o.lapses_at <= p_now
    order by o.lapses_at
    limit p_limit
    for no key update skip locked
  );
  get diagnostics v_rows = row_count;
  return v_rows;
end;
$$;
comment on function private.lapse_requests is
'Writes down that up to p_limit requests have lapsed; returns how many. It only tidies: reading judges by the clock.';

create function public.list_loans(community_id uuid, side text default 'both')
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member_today(list_loans.community_id);
begin
  perform private.require_choice('side', list_loans.side, array['lent', 'owed', 'both']);
  return jsonb_build_object('loans', (
    select coalesce(jsonb_agg(to_jsonb(s.loan) order by s.number desc), '[]')
    from private.shown_loans as s
    where s.community_id = list_loans.community_id
      and (
        (s.lender_id = v_me.user_id and list_loans.side in ('lent', 'both'))
        or (s.borrower_id = v_me.user_id and list_loans.side in ('owed', 'both'))
      )
  ));
end;
$$;
comment on function public.list_loans is
'The caller''s loans in a community, whatever their status, newest first: lent, owed or both.

Returns {loans: [loan]}. Refuses: NOT_FOUND, INVALID_INPUT.';
grant execute on function public.list_loans to authenticated;

create function private.require_loan(p_loan_id uuid)
returns private.loans
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_loan private.loans;
begin
  select l.* into v_loan from private.loans as l
  where l.id = p_loan_id and private.caller_id() in (l.borrower_id, l.lender_id);
  perform private.require_seen(v_loan.community_id, 'loan');
  return v_loan;
end;
$$;
comment on function private.require_loan is
'Returns a loan the caller is a party to; it is nobody else''s affair. Refuses: as require_seen.';

create function private.lock_owed_loan(p_loan private.loans, p_amount integer)
returns private.loans
language plpgsql security definer set search_path = ''
as $$
declare
  v_loan private.loans := private.lock_loan(p_loan.community_id, p_loan.id);
begin
  if v_loan.outstanding = 0 then
    perform private.refuse('CONFLICT', format('This loan is %s already.', v_loan.status),
      jsonb_build_object('status', v_loan.status));
  elsif p_amount > v_loan.outstanding then
    perform private.refuse(
      'INVALID_INPUT', format('Only %s CC of this loan are outstanding.', v_loan.outstanding),
      jsonb_build_object('field', 'amount', 'largest_possible', v_loan.outstanding)
    );
  end if;
  return v_loan;
end;
$$;
comment on function private.lock_owed_loan is
'Locks a loan of which at least p_amount is outstanding.

Refuses: CONFLICT {status} where nothing is, INVALID_INPUT {field, largest_possible} where less is.';

create function private.repay_loan(p_loan_id uuid, p_amount integer, p_request_id uuid)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_loan private.loans := private.require_loan(p_loan_id);
  v_me uuid := private.caller_id();
  v_made jsonb := private.claim(
    v_me, 'repay_loan', p_request_id, jsonb_build_array(p_loan_id, p_amount), jsonb_build_object('loan_id', p_loan_id), v_now
  );
  v_day private.community_days;
  v_purse private.purses;
begin
  if v_made is not null then
    v_day := private.hold_day(v_loan.community_id, v_now);
    v_loan := private.require_loan(p_loan_id);
    select b.* into v_purse from private.purses as b
    where b.community_id = v_loan.community_id and b.user_id = v_me;
  else
    if v_loan.borrower_id <> v_me then
      perform private.refuse('FORBIDDEN', 'Only the borrower repays a loan.');
    end if;
    perform private.require_amount('amount', p_amount);
    v_day := private.require_open_day(v_loan.community_id, v_now);
    v_loan := private.lock_owed_loan(v_loan, p_amount);

    v_purse := private.pay_back(v_loan, p_amount, v_now);
    if v_purse.user_id is null then
      perform private.refuse_shortage(
        v_loan.community_id, v_me, p_amount, private.when_repayable(v_loan, p_amount)
      );
    end if;
    v_loan := private.reduce_loan(v_loan, p_amount, 'repaid');
    perform private.notify(
      array[v_loan.lender_id], v_loan.community_id, 'system', 'loan_repaid', 'loan', p_loan_id,
      jsonb_build_object('amount', p_amount), p_by => v_me, p_at => v_now,
      p_besides => private.purses_told(v_loan.community_id, v_me, v_loan.lender_id)
    );
  end if;
  return json_build_object(
    'loan', private.show_loan(v_loan, private.find_person(v_me), private.find_person(v_loan.lender_id)),
    'balance', private.balance_on(v_purse, v_day)
  );
end;
$$;
create function public.repay_loan(loan_id uuid, amount integer, request_id uuid default null)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.repay_loan(repay_loan.loan_id, repay_loan.amount, repay_loan.request_id);
end;
$$;
comment on function public.repay_loan is
'The borrower repays a loan, or part of it, before Dawn does; the lender is told.

Returns {loan, balance (the borrower''s)}. Refuses: INSUFFICIENT_CC {short_by, largest_possible, possible_at}, CONFLICT
{status} (nothing is owed any more; request_id), CONFLICT {most} (the lender''s purse is full), INVALID_INPUT {field,
largest_possible} (more than is outstanding), DAY_CLOSED {possible_at}, FORBIDDEN (the lender), NOT_FOUND.';
grant execute on function public.repay_loan, private.repay_loan to authenticated;

create function private.forgive_loan(p_loan_id uuid, p_amount integer)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_loan private.loans := private.require_loan(p_loan_id);
  v_day private.community_days;
  v_forgiven integer;
  v_facts jsonb;
  v_line bigint;
  v_lender private.users;
  v_borrower private.users;
begin
  if v_loan.lender_id <> private.caller_id() then
    perform private.refuse('FORBIDDEN', 'Only the lender forgives a loan.');
  end if;
  perform private.require_amount('amount', coalesce(p_amount, 1));
  v_day := private.hold_day(v_loan.community_id, v_now);
  v_loan := private.lock_owed_loan(v_loan, coalesce(p_amount, 0));
  v_forgiven := coalesce(p_amount, v_loan.outstanding);

  v_loan := private.forgive(v_loan, v_forgiven);
  v_facts := jsonb_build_object(
    'loan_id', p_loan_id, 'lender_id', v_loan.lender_id, 'borrower_id', v_loan.borrower_id, 'amount', v_forgiven
  );
  v_line := private.announce(v_loan.community_id, 'loan_forgiven', v_facts, v_now, v_day.dawn_at);
  perform private.note_item(v_loan.community_id, 'forgiveness', p_loan_id, v_facts, p_at => v_now);

  v_lender := private.find_person(v_loan.lender_id);
  v_borrower := private.find_person(v_loan.borrower_id);
  return json_build_object(
    'loan', private.show_loan(v_loan, v_borrower, v_lender),
    'system_message', private.show_new_line(
      v_line, v_loan.community_id, 'loan_forgiven', v_facts, v_lender, v_borrower, v_now
    )
  );
end;
$$;
create function public.forgive_loan(loan_id uuid, amount integer default null)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.forgive_loan(forgive_loan.loan_id, forgive_loan.amount);
end;
$$;
comment on function public.forgive_loan is
'Forgives a loan, all that is outstanding or part of it; only the lender may.

At any hour; it is told in the Chamber, and no coin moves. Returns {loan, system_message}. Refuses: FORBIDDEN (the
borrower), CONFLICT {status}, INVALID_INPUT, NOT_FOUND.';
grant execute on function public.forgive_loan, private.forgive_loan to authenticated;
