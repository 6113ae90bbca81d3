-- Joys, borrowing and tip-to-tip.

-- Joys: declared, witnessed, listed in the Gazette (RULES 4).

create table public.declarations (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  user_id uuid not null,
  title text not null,
  description text not null default '',
  cc_spent integer not null,
  image_url text,
  witnessed_count integer not null default 0,
  day date not null,
  created_at timestamptz not null default private.clock(),
  struck_at timestamptz,
  constraint declarations_pkey primary key (id),
  constraint declarations_author_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id),
  constraint declarations_title_length check (char_length(title) between 1 and 120 or struck_at is not null),
  constraint declarations_description_length check (char_length(description) <= 1000),
  constraint declarations_cc_spent_positive check (cc_spent > 0),
  constraint declarations_witnessed_count_positive check (witnessed_count >= 0)
)
with (fillfactor = 80);
comment on table public.declarations is
'The joys declared; day is the community''s day that paid for it, number the order of declaring. Struck ones keep
their money and lose their words.';
create index declarations_community_id_day_number_idx on public.declarations (community_id, day, number);
create index declarations_community_id_user_id_day_number_idx on public.declarations (
  community_id, user_id, day, number
);
alter table public.declarations enable row level security;
create policy members_read_declarations on public.declarations for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on public.declarations to authenticated;

create table public.witnesses (
  declaration_id uuid not null,
  user_id uuid not null,
  community_id uuid not null,
  created_at timestamptz not null default private.clock(),
  constraint witnesses_pkey primary key (declaration_id, user_id),
  constraint witnesses_declaration_id_fkey foreign key (declaration_id) references public.declarations (id),
  constraint witnesses_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id)
);
comment on table public.witnesses is 'Who bore witness to which joy, once each.';
create index witnesses_community_id_user_id_idx on public.witnesses (community_id, user_id);
alter table public.witnesses enable row level security;
create policy members_read_witnesses on public.witnesses for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on public.witnesses to authenticated;

create view private.shown_declarations with (security_invoker = on) as
select
  d.id,
  d.number,
  d.community_id,
  d.user_id,
  d.day,
  jsonb_build_object(
    'id', d.id, 'community_id', d.community_id, 'user', p.person, 'title', d.title, 'description', d.description,
    'cc_spent', d.cc_spent, 'image_url', d.image_url, 'witnessed_count', d.witnessed_count,
    'has_witnessed', exists (
      select from public.witnesses as w
      where w.declaration_id = d.id and w.user_id = (select private.caller_id())
    ),
    'created_at', d.created_at
  ) as declaration
from public.declarations as d
inner join private.shown_people as p on d.user_id = p.id;
comment on view private.shown_declarations is 'The shape declaration, as the caller sees it.';
grant select on private.shown_declarations to authenticated;

create function private.show_declaration(p_declaration_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select s.declaration from private.shown_declarations as s
    where s.id = p_declaration_id
  );
end;
$$;
comment on function private.show_declaration is 'The shape declaration of one joy.';
revoke all on function private.show_declaration from public, anon, authenticated, service_role;

create function private.strike_declaration(p_declaration_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  update public.declarations as d
  set title = '', description = '', image_url = null, struck_at = private.clock()
  where d.id = p_declaration_id;
end;
comment on function private.strike_declaration is 'Takes a joy''s words away; its money stays.';
revoke all on function private.strike_declaration from public, anon, authenticated, service_role;

create function private.declare_joy(
  p_community_id uuid, p_title text, p_cc_spent integer, p_description text, p_image_url text, p_request_id uuid
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
  v_arguments jsonb := jsonb_build_array(p_community_id, p_title, p_cc_spent, p_description, p_image_url);
  v_answer jsonb := private.recall(v_me.user_id, 'declare_joy', p_request_id, v_arguments);
  v_id uuid := gen_random_uuid();
  v_person jsonb;
  v_day public.community_days;
  v_balance public.cc_balances;
  v_message_id bigint;
begin
  if v_answer is not null then
    return v_answer;
  end if;
  perform
    private.require_text('title', p_title, 120),
    private.require_text('description', p_description, 1000, 0),
    private.require_amount('cc_spent', p_cc_spent),
    private.require_link('image_url', p_image_url);
  v_day := private.require_open_day(p_community_id);

  v_balance := private.post_entry(p_community_id, v_me.user_id, 'declaration', -p_cc_spent, v_id);
  insert into public.declarations (id, community_id, user_id, title, description, cc_spent, image_url, day)
  values (v_id, p_community_id, v_me.user_id, p_title, p_description, p_cc_spent, p_image_url, v_day.day);
  v_message_id := private.post_message(p_community_id, v_me.user_id, 'declaration', '', v_id);

  -- The act of acts: told from what is in hand. Reading the three shapes back would be a sixth of its cost.
  select p.person into v_person from private.shown_people as p where p.id = v_me.user_id;
  v_answer := jsonb_build_object(
    'id', v_id, 'community_id', p_community_id, 'user', v_person, 'title', p_title, 'description', p_description,
    'cc_spent', p_cc_spent, 'image_url', p_image_url, 'witnessed_count', 0, 'has_witnessed', false,
    'created_at', private.clock()
  );
  return private.remember(v_me.user_id, 'declare_joy', p_request_id, v_arguments, jsonb_build_object(
    'declaration', v_answer,
    'message', private.show_new_card(v_message_id, p_community_id, 'declaration', v_person, v_answer),
    'balance', private.show_purse(v_balance, v_day)
  ));
end;
$$;
comment on function private.declare_joy is 'What declare_joy does.';
revoke all on function private.declare_joy from public, anon, authenticated, service_role;

create function public.declare_joy(
  community_id uuid,
  title text,
  cc_spent integer,
  description text default '',
  image_url text default null,
  request_id uuid default null
)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.declare_joy(
    declare_joy.community_id, declare_joy.title, declare_joy.cc_spent, declare_joy.description, declare_joy.image_url,
    declare_joy.request_id
  );
end;
$$;
comment on function public.declare_joy is
'Declares a joy, for at least 1 CC and at most the purse.

Purse, ledger, declaration and card change together or not at all. title 1 to 120 characters, description up to
1000, image_url a web address, cc_spent in CC. Returns {declaration, message, balance}. Refuses: INSUFFICIENT_CC
{short_by, largest_possible, possible_at}, DAY_CLOSED {possible_at}, INVALID_INPUT, NOT_FOUND, CONFLICT
(request_id).';
revoke all on function public.declare_joy from public, anon, authenticated, service_role;
grant execute on function public.declare_joy, private.declare_joy to authenticated;

create function private.require_declaration(p_declaration_id uuid)
returns public.declarations
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_declaration public.declarations;
begin
  select d.* into v_declaration from public.declarations as d where d.id = p_declaration_id;
  if not found or not private.is_standing_member(v_declaration.community_id, v_me.id) then
    perform private.refuse('NOT_FOUND', 'There is no such declaration.');
  end if;
  return v_declaration;
end;
$$;
comment on function private.require_declaration is
'Returns a declaration of a community the caller is in.

Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND, the same for a stranger as for a joy that never was.';
revoke all on function private.require_declaration from public, anon, authenticated, service_role;
grant execute on function private.require_declaration to authenticated;

create function private.witness_declaration(p_declaration_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_declaration public.declarations := private.require_declaration(p_declaration_id);
  v_me uuid := private.caller_id();
begin
  if v_declaration.user_id = v_me then
    perform private.refuse('CANNOT_WITNESS_OWN', 'A joy is witnessed by others.');
  end if;
  insert into public.witnesses (declaration_id, user_id, community_id)
  values (p_declaration_id, v_me, v_declaration.community_id)
  on conflict do nothing;
  if not found then
    perform private.refuse('CONFLICT', 'You have already witnessed this declaration.');
  end if;

  update public.declarations as d set witnessed_count = d.witnessed_count + 1
  where d.id = p_declaration_id
  returning d.* into v_declaration;
  if private.is_standing_member(v_declaration.community_id, v_declaration.user_id) then
    perform private.notify(
      array[v_declaration.user_id], v_declaration.community_id, 'witnessed', 'declaration', p_declaration_id,
      format('%s witnessed your joy', private.name_of(v_me)), v_declaration.title
    );
  end if;
  perform private.tell_community(
    v_declaration.community_id, 'witness', jsonb_build_object('declaration_id', p_declaration_id)
  );
  return jsonb_build_object('witnessed', true, 'witnessed_count', v_declaration.witnessed_count);
end;
$$;
comment on function private.witness_declaration is 'What witness_declaration does.';
revoke all on function private.witness_declaration from public, anon, authenticated, service_role;

create function public.witness_declaration(declaration_id uuid)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.witness_declaration(witness_declaration.declaration_id);
end;
$$;
comment on function public.witness_declaration is
'Bears witness to a declaration, once per member, and tells its author.

Returns {witnessed, witnessed_count}. Refuses: CANNOT_WITNESS_OWN, CONFLICT, NOT_FOUND.';
revoke all on function public.witness_declaration from public, anon, authenticated, service_role;
grant execute on function public.witness_declaration, private.witness_declaration to authenticated;

create function public.get_declaration(declaration_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform private.require_declaration(get_declaration.declaration_id);
  return jsonb_build_object(
    'declaration', (
      select s.declaration from private.shown_declarations as s where s.id = get_declaration.declaration_id
    ),
    'witnesses', (
      select coalesce(jsonb_agg(p.person order by w.created_at, w.user_id), '[]')
      from public.witnesses as w
      join private.shown_people as p on p.id = w.user_id
      where w.declaration_id = get_declaration.declaration_id
    )
  );
end;
$$;
comment on function public.get_declaration is
'One joy and everyone who bore witness to it, first witness first.

Returns {declaration, witnesses: [person]}. Refuses: NOT_FOUND.';
revoke all on function public.get_declaration from public, anon, authenticated, service_role;
grant execute on function public.get_declaration to authenticated;

create function public.list_gazette(
  community_id uuid, page_size integer default 50, before_id uuid default null, author_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  -- Later than any: a bound that is always there is one the index can begin at.
  v_day date := date 'infinity';
  v_number bigint := 9223372036854775807;
  v_page uuid[];
begin
  perform private.require_member(list_gazette.community_id);
  perform private.require_page_size(list_gazette.page_size);
  if before_id is not null then
    select d.day, d.number into v_day, v_number from public.declarations as d
    where d.id = before_id and d.community_id = list_gazette.community_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such declaration.');
    end if;
  end if;

  -- Two questions, each with an index of its own: everybody's, or one author's. Days grow with numbers, for a day is
  -- held while a joy is declared in it.
  if author_id is null then
    v_page := array(
      select d.id from public.declarations as d
      where d.community_id = list_gazette.community_id
        and (d.day, d.number) < (v_day, v_number)
      order by d.day desc, d.number desc
      limit page_size + 1
    );
  else
    v_page := array(
      select d.id from public.declarations as d
      where d.community_id = list_gazette.community_id and d.user_id = author_id
        and (d.day, d.number) < (v_day, v_number)
      order by d.day desc, d.number desc
      limit page_size + 1
    );
  end if;
  return jsonb_build_object(
    'declarations', (
      select coalesce(jsonb_agg(s.declaration order by s.number desc), '[]')
      from private.shown_declarations as s where s.id = any(v_page[:page_size])
    ),
    'has_more', cardinality(v_page) > page_size
  );
end;
$$;
comment on function public.list_gazette is
'A community''s declarations, newest first, all of them or one author''s; before_id pages on from a declaration.

Returns {declarations: [declaration], has_more}. Refuses: NOT_FOUND, INVALID_INPUT.';
revoke all on function public.list_gazette from public, anon, authenticated, service_role;
grant execute on function public.list_gazette to authenticated;

-- Asking, lending, repaying, forgiving (RULES 7).

create table public.borrow_requests (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  borrower_id uuid not null,
  lender_id uuid not null,
  amount integer not null,
  reason text not null,
  status text not null default 'pending',
  lapses_at timestamptz not null,
  created_at timestamptz not null default private.clock(),
  struck_at timestamptz,
  constraint borrow_requests_pkey primary key (id),
  constraint borrow_requests_borrower_fkey foreign key (community_id, borrower_id)
  references public.community_members (community_id, user_id),
  constraint borrow_requests_lender_fkey foreign key (community_id, lender_id)
  references public.community_members (community_id, user_id),
  constraint borrow_requests_amount_positive check (amount > 0),
  constraint borrow_requests_reason_length check (char_length(reason) between 1 and 280 or struck_at is not null),
  constraint borrow_requests_status_known check (
    status in ('pending', 'approved', 'declined', 'cancelled', 'lapsed')
  ),
  constraint borrow_requests_not_from_oneself check (borrower_id <> lender_id)
);
comment on table public.borrow_requests is
'Who asked whom for how many CC. One that is pending past lapses_at, its day''s Sunset, has lapsed whether or not the
status says so yet; amount is what was asked until it is approved, then what was lent.';
create unique index borrow_requests_one_open_per_pair on public.borrow_requests (community_id, borrower_id, lender_id)
where status = 'pending';
create index borrow_requests_community_id_borrower_id_idx on public.borrow_requests (community_id, borrower_id);
create index borrow_requests_community_id_lender_id_idx on public.borrow_requests (community_id, lender_id);
create index borrow_requests_lapses_at_idx on public.borrow_requests (lapses_at) where status = 'pending';
alter table public.borrow_requests enable row level security;
create policy members_read_borrow_requests on public.borrow_requests for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on public.borrow_requests to authenticated;

create function private.borrow_status(p_status text, p_lapses_at timestamptz)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return case when p_status = 'pending' and p_lapses_at <= private.clock() then 'lapsed' else p_status end;
end;
$$;
comment on function private.borrow_status is 'A request''s status as it is now: lapsing is a fact of reading.';
revoke all on function private.borrow_status from public, anon, authenticated, service_role;
grant execute on function private.borrow_status to authenticated;

create view private.shown_borrow_requests with (security_invoker = on) as
select
  r.id,
  r.community_id,
  jsonb_build_object(
    'id', r.id, 'community_id', r.community_id, 'borrower', b.person, 'lender', l.person, 'amount', r.amount,
    'reason', r.reason, 'status', private.borrow_status(r.status, r.lapses_at), 'created_at', r.created_at
  ) as borrow_request
from public.borrow_requests as r
inner join private.shown_people as b on r.borrower_id = b.id
inner join private.shown_people as l on r.lender_id = l.id;
comment on view private.shown_borrow_requests is 'The shape borrow_request.';
grant select on private.shown_borrow_requests to authenticated;

create function private.show_borrow_request(p_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select s.borrow_request from private.shown_borrow_requests as s
    where s.id = p_id
  );
end;
$$;
comment on function private.show_borrow_request is 'The shape borrow_request of one request.';
revoke all on function private.show_borrow_request from public, anon, authenticated, service_role;

create function private.show_loan(p_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select s.loan from private.shown_loans as s
    where s.id = p_id
  );
end;
$$;
comment on function private.show_loan is 'The shape loan of one loan.';
revoke all on function private.show_loan from public, anon, authenticated, service_role;

create function private.strike_borrow_request(p_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  update public.borrow_requests as r set reason = '', struck_at = private.clock()
  where r.id = p_id;
end;
comment on function private.strike_borrow_request is 'Takes a request''s words away; its money stays.';
revoke all on function private.strike_borrow_request from public, anon, authenticated, service_role;

create function private.require_room_for_debt(p_community_id uuid, p_borrower_id uuid, p_amount integer)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_debt integer := private.debt_of(p_community_id, p_borrower_id);
  v_budget integer := (select c.daily_cc_budget from public.communities as c where c.id = p_community_id);
begin
  if v_debt + p_amount > v_budget then
    perform private.refuse(
      'DEBT_LIMIT',
      format('Debts may not exceed one daily budget: %s CC are owed already.', v_debt),
      jsonb_build_object(
        'debt', v_debt, 'limit', v_budget, 'short_by', v_debt + p_amount - v_budget,
        'largest_possible', greatest(v_budget - v_debt, 0),
        -- The next Dawn repays up to its grant, and lends to nobody: is there room then?
        'possible_at', (
          select d.dawn_at from public.community_days as d
          where d.community_id = p_community_id
            and greatest(v_debt - private.next_budget(p_community_id), 0) + p_amount
            <= private.next_budget(p_community_id)
        )
      )
    );
  end if;
end;
$$;
comment on function private.require_room_for_debt is
'Asks that a debt with a new loan stays within one daily budget (RULES 7.3).

Refuses: DEBT_LIMIT {debt, limit, short_by, largest_possible, possible_at: the next Dawn, which repays, null if that
would not do}.';
revoke all on function private.require_room_for_debt from public, anon, authenticated, service_role;

create function private.request_borrow(
  p_community_id uuid, p_lender_id uuid, p_amount integer, p_reason text, p_request_id uuid
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
  v_arguments jsonb := jsonb_build_array(p_community_id, p_lender_id, p_amount, p_reason);
  v_answer jsonb := private.recall(v_me.user_id, 'request_borrow', p_request_id, v_arguments);
  v_day public.community_days;
  v_id uuid;
  v_message_id bigint;
begin
  if v_answer is not null then
    return v_answer;
  end if;
  perform private.require_amount('amount', p_amount);
  perform private.require_text('reason', p_reason, 280);
  if p_lender_id = v_me.user_id then
    perform private.refuse('INVALID_INPUT', 'One does not borrow from oneself.', '{"field": "lender_id"}');
  end if;
  v_day := private.require_open_day(p_community_id);
  -- Asked with the day in hand: from here on nobody of the two leaves.
  perform private.require_member(p_community_id);
  if not private.is_standing_member(p_community_id, p_lender_id) then
    perform private.refuse('NOT_FOUND', 'There is no such member.');
  end if;
  perform private.require_room_for_debt(p_community_id, v_me.user_id, p_amount);

  -- A request of an earlier day may still be written as pending; it must not stand in the way.
  update public.borrow_requests as r set status = 'lapsed'
  where r.community_id = p_community_id and r.borrower_id = v_me.user_id and r.lender_id = p_lender_id
    and r.status = 'pending' and r.lapses_at <= private.clock();
  insert into public.borrow_requests (community_id, borrower_id, lender_id, amount, reason, lapses_at)
  values (p_community_id, v_me.user_id, p_lender_id, p_amount, p_reason, v_day.sunset_at)
  on conflict (community_id, borrower_id, lender_id) where status = 'pending' do nothing
  returning id into v_id;
  if v_id is null then
    perform private.refuse('CONFLICT', 'You have an open request to this member already.');
  end if;

  v_message_id := private.post_message(p_community_id, v_me.user_id, 'borrow_request', '', v_id);
  perform private.notify(
    array[p_lender_id], p_community_id, 'borrow_request', 'borrow_request', v_id,
    format('%s asks you for %s CC', private.name_of(v_me.user_id), p_amount), p_reason, p_is_ask => true
  );
  v_answer := private.show_borrow_request(v_id);
  return private.remember(v_me.user_id, 'request_borrow', p_request_id, v_arguments, jsonb_build_object(
    'borrow_request', v_answer, 'message', private.show_message(v_message_id, v_answer)
  ));
end;
$$;
comment on function private.request_borrow is 'What request_borrow does.';
revoke all on function private.request_borrow from public, anon, authenticated, service_role;

create function public.request_borrow(
  community_id uuid, lender_id uuid, amount integer, reason text, request_id uuid default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.request_borrow(
    request_borrow.community_id, request_borrow.lender_id, request_borrow.amount, request_borrow.reason,
    request_borrow.request_id
  );
end;
comment on function public.request_borrow is
'Asks another member for CC, with a reason of 1 to 280 characters. The request lapses at Sunset.

Returns {borrow_request, message}. Refuses: CONFLICT (an open request to the same member; request_id), DEBT_LIMIT
{debt, limit, short_by, largest_possible, possible_at}, DAY_CLOSED {possible_at}, NOT_FOUND, INVALID_INPUT (oneself
among them).';
revoke all on function public.request_borrow from public, anon, authenticated, service_role;
grant execute on function public.request_borrow, private.request_borrow to authenticated;

create function private.require_borrow_request(p_id uuid)
returns public.borrow_requests
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_request public.borrow_requests;
begin
  select r.* into v_request from public.borrow_requests as r where r.id = p_id;
  if not found or not private.is_standing_member(v_request.community_id, v_me.id) then
    perform private.refuse('NOT_FOUND', 'There is no such request.');
  end if;
  return v_request;
end;
$$;
comment on function private.require_borrow_request is
'Returns a request of a community the caller is in. Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND.';
revoke all on function private.require_borrow_request from public, anon, authenticated, service_role;

create function private.lock_pending_request(p_id uuid)
returns public.borrow_requests
language plpgsql security definer set search_path = ''
as $$
declare
  v_request public.borrow_requests;
begin
  select r.* into v_request from public.borrow_requests as r where r.id = p_id for no key update;
  if v_request.status not in ('pending', 'lapsed') then
    perform private.refuse('CONFLICT', format('This request is %s already.', v_request.status),
      jsonb_build_object('status', v_request.status));
  end if;
  return v_request;
end;
$$;
comment on function private.lock_pending_request is
'Locks a request that nobody has answered or cancelled, lapsed or not. Refuses: CONFLICT {status}.';
revoke all on function private.lock_pending_request from public, anon, authenticated, service_role;

create function private.approve_borrow(p_request public.borrow_requests, p_amount integer)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.lock_balances(p_request.community_id, array[p_request.lender_id, p_request.borrower_id]);
  perform private.require_room_for_debt(p_request.community_id, p_request.borrower_id, p_amount);
  perform private.open_loan(p_request.community_id, p_request.borrower_id, p_request.lender_id, p_amount);
end;
$$;
comment on function private.approve_borrow is
'Lends on a locked request, whose day is held. The purses are locked before the debt is counted: two lenders
approving at once cannot lend past the limit together. Refuses: DEBT_LIMIT, INSUFFICIENT_CC.';
revoke all on function private.approve_borrow from public, anon, authenticated, service_role;

create function private.respond_borrow(p_borrow_request_id uuid, p_action text, p_amount integer)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_request public.borrow_requests := private.require_borrow_request(p_borrow_request_id);
  v_lent integer := coalesce(p_amount, v_request.amount);
  v_day public.community_days;
  v_line bigint;
begin
  if v_request.lender_id <> private.caller_id() then
    perform private.refuse('FORBIDDEN', 'Only the member who was asked may answer.');
  end if;
  perform private.require_choice('action', p_action, array['approved', 'declined']);
  perform private.require_number('amount', v_lent, 1, v_request.amount);
  v_day := private.hold_day(v_request.community_id);
  v_request := private.lock_pending_request(p_borrow_request_id);
  if p_action = 'approved' and not v_day.is_open then
    perform private.require_open_day(v_request.community_id);
  elsif private.borrow_status(v_request.status, v_request.lapses_at) = 'lapsed' then
    perform private.refuse('REQUEST_LAPSED', 'This request lapsed at Sunset.',
      jsonb_build_object('lapsed_at', v_request.lapses_at));
  end if;

  if p_action = 'approved' then
    perform private.approve_borrow(v_request, v_lent);
  end if;
  update public.borrow_requests as r
  set status = p_action, amount = case when p_action = 'approved' then v_lent else r.amount end
  where r.id = p_borrow_request_id;
  v_line := private.announce(
    v_request.community_id, 'borrow_' || p_action,
    case p_action
      when 'approved' then format(
        '%s lent %s CC to %s.', private.name_of(v_request.lender_id), v_lent, private.name_of(v_request.borrower_id)
      )
      else format(
        '%s declined a request of %s.', private.name_of(v_request.lender_id), private.name_of(v_request.borrower_id)
      )
    end,
    jsonb_build_object(
      'borrow_request_id', v_request.id, 'lender_id', v_request.lender_id, 'borrower_id', v_request.borrower_id
    ) || case when p_action = 'approved' then jsonb_build_object('amount', v_lent) else '{}' end
  );
  perform private.notify(
    array[v_request.borrower_id], v_request.community_id, 'borrow_' || p_action, 'borrow_request', v_request.id,
    format(
      case p_action when 'approved' then '%s lent you %s CC' else '%s declined your request' end,
      private.name_of(v_request.lender_id), v_lent
    ),
    v_request.reason
  );
  return jsonb_build_object(
    'borrow_request', private.show_borrow_request(v_request.id), 'system_message', private.show_message(v_line),
    'balance', private.show_balance(v_request.community_id, v_request.lender_id)
  );
end;
$$;
comment on function private.respond_borrow is 'What respond_borrow does.';
revoke all on function private.respond_borrow from public, anon, authenticated, service_role;

create function public.respond_borrow(borrow_request_id uuid, action text, amount integer default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.respond_borrow(respond_borrow.borrow_request_id, respond_borrow.action, respond_borrow.amount);
end;
comment on function public.respond_borrow is
'Answers a borrow request, once: the member who was asked approves, possibly a smaller amount, or declines.

Approving moves the CC and opens a loan. A lender without enough CC is refused and the request stays open. Between
Sunset and Dawn approving answers DAY_CLOSED; from Dawn on the request has lapsed. Returns {borrow_request,
system_message, balance (the lender''s)}. Refuses: FORBIDDEN, CONFLICT {status}, REQUEST_LAPSED {lapsed_at},
INSUFFICIENT_CC, DEBT_LIMIT, DAY_CLOSED, NOT_FOUND, INVALID_INPUT.';
revoke all on function public.respond_borrow from public, anon, authenticated, service_role;
grant execute on function public.respond_borrow, private.respond_borrow to authenticated;

create function private.cancel_borrow(p_borrow_request_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_request public.borrow_requests := private.require_borrow_request(p_borrow_request_id);
begin
  if v_request.borrower_id <> private.caller_id() then
    perform private.refuse('FORBIDDEN', 'Only the member who asked may cancel.');
  end if;
  perform private.hold_day(v_request.community_id);
  v_request := private.lock_pending_request(p_borrow_request_id);
  if private.borrow_status(v_request.status, v_request.lapses_at) = 'lapsed' then
    perform private.refuse('CONFLICT', 'This request lapsed at Sunset.', '{"status": "lapsed"}');
  end if;
  update public.borrow_requests as r set status = 'cancelled' where r.id = p_borrow_request_id;
  perform private.tell_community(
    v_request.community_id, 'borrow_request', jsonb_build_object('borrow_request_id', p_borrow_request_id)
  );
  return jsonb_build_object('borrow_request', private.show_borrow_request(p_borrow_request_id));
end;
$$;
comment on function private.cancel_borrow is 'What cancel_borrow does.';
revoke all on function private.cancel_borrow from public, anon, authenticated, service_role;

create function public.cancel_borrow(borrow_request_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.cancel_borrow(cancel_borrow.borrow_request_id);
end;
comment on function public.cancel_borrow is
'The member who asked takes an open request back.

Returns {borrow_request}. Refuses: FORBIDDEN, CONFLICT {status}, NOT_FOUND.';
revoke all on function public.cancel_borrow from public, anon, authenticated, service_role;
grant execute on function public.cancel_borrow, private.cancel_borrow to authenticated;

create function private.cancel_borrows_of(p_community_id uuid, p_user_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  -- What has lapsed stays lapsed, whether the job has written it down or not.
  update public.borrow_requests as r
  set status = case when r.lapses_at <= private.clock() then 'lapsed' else 'cancelled' end
  where r.community_id = p_community_id and r.borrower_id = p_user_id and r.status = 'pending';
  update public.borrow_requests as r set status = 'lapsed'
  where r.community_id = p_community_id and r.lender_id = p_user_id and r.status = 'pending';
end;
comment on function private.cancel_borrows_of is
'On leaving: the leaver''s own open requests are cancelled (RULES 2.5); those addressed to them lapse, for nobody is
left to answer.';
revoke all on function private.cancel_borrows_of from public, anon, authenticated, service_role;

create function private.lapse_requests(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_rows integer;
begin
  update public.borrow_requests as r set status = 'lapsed'
  where r.id in (
    select o.id from public.borrow_requests as o
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
revoke all on function private.lapse_requests from public, anon, authenticated, service_role;

create function public.list_loans(community_id uuid, side text default 'both')
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_me public.community_members := private.enter_day(list_loans.community_id);
begin
  perform private.require_choice('side', list_loans.side, array['lent', 'owed', 'both']);
  return jsonb_build_object('loans', (
    select coalesce(jsonb_agg(s.loan order by s.number desc), '[]')
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
revoke all on function public.list_loans from public, anon, authenticated, service_role;
grant execute on function public.list_loans to authenticated;

create function private.require_loan(p_loan_id uuid)
returns public.loans
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_loan public.loans;
begin
  select l.* into v_loan from public.loans as l where l.id = p_loan_id;
  if not found
    or v_me.id not in (v_loan.borrower_id, v_loan.lender_id)
    or not private.is_standing_member(v_loan.community_id, v_me.id)
  then
    perform private.refuse('NOT_FOUND', 'There is no such loan.');
  end if;
  return v_loan;
end;
$$;
comment on function private.require_loan is
'Returns a loan the caller is a party to; it is nobody else''s affair.

Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND.';
revoke all on function private.require_loan from public, anon, authenticated, service_role;

create function private.lock_standing_loan(p_loan_id uuid, p_amount integer)
returns public.loans
language plpgsql security definer set search_path = ''
as $$
declare
  v_loan public.loans := private.lock_loan(p_loan_id);
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
comment on function private.lock_standing_loan is
'Locks a loan of which at least p_amount is outstanding.

Refuses: CONFLICT {status} where nothing is, INVALID_INPUT {field, largest_possible} where less is.';
revoke all on function private.lock_standing_loan from public, anon, authenticated, service_role;

create function private.repay_loan(p_loan_id uuid, p_amount integer, p_request_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_loan public.loans := private.require_loan(p_loan_id);
  v_me uuid := private.caller_id();
  v_arguments jsonb := jsonb_build_array(p_loan_id, p_amount);
  v_answer jsonb := private.recall(v_me, 'repay_loan', p_request_id, v_arguments);
begin
  if v_answer is not null then
    return v_answer;
  end if;
  if v_loan.borrower_id <> v_me then
    perform private.refuse('FORBIDDEN', 'Only the borrower repays a loan.');
  end if;
  perform private.require_amount('amount', p_amount);
  perform private.require_open_day(v_loan.community_id);
  v_loan := private.lock_standing_loan(p_loan_id, p_amount);
  perform private.lock_balances(v_loan.community_id, array[v_loan.borrower_id, v_loan.lender_id]);

  perform private.post_entry(v_loan.community_id, v_me, 'debt_repaid', -p_amount, p_loan_id, v_loan.lender_id);
  perform private.post_entry(v_loan.community_id, v_loan.lender_id, 'debt_collected', p_amount, p_loan_id, v_me);
  perform private.reduce_loan(p_loan_id, p_amount, 'repaid');
  perform private.notify(
    array[v_loan.lender_id], v_loan.community_id, 'system', 'loan', p_loan_id,
    format('%s repaid you %s CC', private.name_of(v_me), p_amount), ''
  );
  return private.remember(v_me, 'repay_loan', p_request_id, v_arguments, jsonb_build_object(
    'loan', private.show_loan(p_loan_id), 'balance', private.show_balance(v_loan.community_id, v_me)
  ));
end;
$$;
comment on function private.repay_loan is 'What repay_loan does.';
revoke all on function private.repay_loan from public, anon, authenticated, service_role;

create function public.repay_loan(loan_id uuid, amount integer, request_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.repay_loan(repay_loan.loan_id, repay_loan.amount, repay_loan.request_id);
end;
comment on function public.repay_loan is
'The borrower repays a loan, or part of it, before Dawn does; the lender is told.

Returns {loan, balance (the borrower''s)}. Refuses: INSUFFICIENT_CC, CONFLICT {status} (nothing is owed any more;
request_id), INVALID_INPUT {field, largest_possible} (more than is outstanding), DAY_CLOSED, FORBIDDEN (the lender),
NOT_FOUND.';
revoke all on function public.repay_loan from public, anon, authenticated, service_role;
grant execute on function public.repay_loan, private.repay_loan to authenticated;

create function private.forgive_loan(p_loan_id uuid, p_amount integer)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_loan public.loans := private.require_loan(p_loan_id);
  v_forgiven integer;
  v_line bigint;
begin
  if v_loan.lender_id <> private.caller_id() then
    perform private.refuse('FORBIDDEN', 'Only the lender forgives a loan.');
  end if;
  perform private.require_amount('amount', coalesce(p_amount, 1));
  perform private.hold_day(v_loan.community_id);
  v_loan := private.lock_standing_loan(p_loan_id, coalesce(p_amount, 0));
  v_forgiven := coalesce(p_amount, v_loan.outstanding);

  perform private.reduce_loan(p_loan_id, v_forgiven, 'forgiven');
  v_line := private.announce(
    v_loan.community_id, 'loan_forgiven',
    format('%s forgave %s %s CC.', private.name_of(v_loan.lender_id), private.name_of(v_loan.borrower_id), v_forgiven),
    jsonb_build_object(
      'loan_id', p_loan_id, 'lender_id', v_loan.lender_id, 'borrower_id', v_loan.borrower_id, 'amount', v_forgiven
    )
  );
  return jsonb_build_object('loan', private.show_loan(p_loan_id), 'system_message', private.show_message(v_line));
end;
$$;
comment on function private.forgive_loan is 'What forgive_loan does.';
revoke all on function private.forgive_loan from public, anon, authenticated, service_role;

create function public.forgive_loan(loan_id uuid, amount integer default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.forgive_loan(forgive_loan.loan_id, forgive_loan.amount);
end;
comment on function public.forgive_loan is
'Forgives a loan, all that is outstanding or part of it; only the lender may.

At any hour; it is told in the Chamber, and no coin moves. Returns {loan, system_message}. Refuses: FORBIDDEN (the
borrower), CONFLICT {status}, INVALID_INPUT, NOT_FOUND.';
revoke all on function public.forgive_loan from public, anon, authenticated, service_role;
grant execute on function public.forgive_loan, private.forgive_loan to authenticated;

-- Tip-to-tip: a stake on a unanimous vote (RULES 8).

create table public.tip_to_tip_proposals (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  proposer_id uuid not null,
  title text not null,
  description text not null default '',
  stake_amount integer not null,
  deadline timestamptz not null,
  remind_at timestamptz,
  status text not null default 'active',
  electors integer not null,
  awaiting integer not null,
  created_at timestamptz not null default private.clock(),
  struck_at timestamptz,
  constraint tip_to_tip_proposals_pkey primary key (id),
  constraint tip_to_tip_proposals_proposer_fkey foreign key (community_id, proposer_id)
  references public.community_members (community_id, user_id),
  constraint tip_to_tip_proposals_title_length check (char_length(title) between 1 and 120 or struck_at is not null),
  constraint tip_to_tip_proposals_description_length check (char_length(description) <= 1000),
  constraint tip_to_tip_proposals_stake_positive check (stake_amount > 0),
  constraint tip_to_tip_proposals_awaiting_within_roll check (awaiting between 0 and electors),
  constraint tip_to_tip_proposals_status_known check (
    status in ('active', 'completed', 'declined', 'expired', 'withdrawn', 'void')
  )
);
comment on table public.tip_to_tip_proposals is
'Proposals and what became of them; electors is how many are on the roll, awaiting how many of them have yet to vote.
An active one past its deadline has expired whether or not the status says so yet.';
create unique index tip_to_tip_proposals_one_active_per_member
on public.tip_to_tip_proposals (community_id, proposer_id) where status = 'active';
create index tip_to_tip_proposals_community_id_number_idx on public.tip_to_tip_proposals (community_id, number);
create index tip_to_tip_proposals_community_id_proposer_id_idx on public.tip_to_tip_proposals (
  community_id, proposer_id
);
create index tip_to_tip_proposals_deadline_idx on public.tip_to_tip_proposals (deadline) where status = 'active';
create index tip_to_tip_proposals_remind_at_idx on public.tip_to_tip_proposals (remind_at) where status = 'active';
alter table public.tip_to_tip_proposals enable row level security;
create policy members_read_tip_to_tip_proposals on public.tip_to_tip_proposals for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on public.tip_to_tip_proposals to authenticated;

create table public.tip_to_tip_rolls (
  proposal_id uuid not null,
  user_id uuid not null,
  community_id uuid not null,
  constraint tip_to_tip_rolls_pkey primary key (proposal_id, user_id),
  constraint tip_to_tip_rolls_proposal_id_fkey foreign key (proposal_id) references public.tip_to_tip_proposals (id)
);
comment on table public.tip_to_tip_rolls is
'Who may vote on what: the members when it was proposed, less those who left before they voted. Members are not
checked by a foreign key: the roll is drawn from their table, two thousand at a time.';
create index tip_to_tip_rolls_community_id_user_id_idx on public.tip_to_tip_rolls (community_id, user_id);
alter table public.tip_to_tip_rolls enable row level security;
create policy members_read_tip_to_tip_rolls on public.tip_to_tip_rolls for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on public.tip_to_tip_rolls to authenticated;

create table public.tip_to_tip_votes (
  proposal_id uuid not null,
  number bigint generated always as identity,
  user_id uuid not null,
  community_id uuid not null,
  vote text not null,
  created_at timestamptz not null default private.clock(),
  constraint tip_to_tip_votes_pkey primary key (proposal_id, user_id),
  constraint tip_to_tip_votes_proposal_id_fkey foreign key (proposal_id) references public.tip_to_tip_proposals (id),
  constraint tip_to_tip_votes_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id),
  constraint tip_to_tip_votes_vote_known check (vote in ('accept', 'decline'))
);
comment on table public.tip_to_tip_votes is 'Votes, cast openly and finally; number is the order of casting.';
create index tip_to_tip_votes_community_id_user_id_idx on public.tip_to_tip_votes (community_id, user_id);
alter table public.tip_to_tip_votes enable row level security;
create policy members_read_tip_to_tip_votes on public.tip_to_tip_votes for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on public.tip_to_tip_votes to authenticated;

create function private.tip_status(p_status text, p_deadline timestamptz)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return case when p_status = 'active' and p_deadline <= private.clock() then 'expired' else p_status end;
end;
$$;
comment on function private.tip_status is 'A proposal''s status as it is now: expiry is a fact of reading.';
revoke all on function private.tip_status from public, anon, authenticated, service_role;
grant execute on function private.tip_status to authenticated;

create view private.shown_proposals with (security_invoker = on) as
select
  t.id,
  t.number,
  t.community_id,
  private.tip_status(t.status, t.deadline) as status,
  jsonb_build_object(
    'id', t.id, 'community_id', t.community_id, 'proposer', p.person, 'title', t.title,
    'description', t.description, 'stake_amount', t.stake_amount, 'deadline', t.deadline,
    'status', private.tip_status(t.status, t.deadline),
    'votes', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object('user', o.person, 'vote', v.vote, 'created_at', v.created_at)
            order by v.number
          ),
          '[]'
        )
      from public.tip_to_tip_votes as v
      inner join private.shown_people as o on v.user_id = o.id
      where v.proposal_id = t.id
    ),
    'electors', t.electors, 'awaiting', t.awaiting,
    'can_vote',
    private.tip_status(t.status, t.deadline) = 'active'
    and exists (
      select from public.tip_to_tip_rolls as r
      where r.proposal_id = t.id and r.user_id = (select private.caller_id())
    )
    and not exists (
      select from public.tip_to_tip_votes as v
      where v.proposal_id = t.id and v.user_id = (select private.caller_id())
    ),
    'created_at', t.created_at
  ) as proposal
from public.tip_to_tip_proposals as t
inner join private.shown_people as p on t.proposer_id = p.id;
comment on view private.shown_proposals is 'The shape proposal, as the caller sees it; status is judged by the clock.';
grant select on private.shown_proposals to authenticated;

create function private.show_proposal(p_proposal_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select s.proposal from private.shown_proposals as s
    where s.id = p_proposal_id
  );
end;
$$;
comment on function private.show_proposal is 'The shape proposal of one proposal.';
revoke all on function private.show_proposal from public, anon, authenticated, service_role;

create function private.strike_proposal(p_proposal_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  update public.tip_to_tip_proposals as t
  set title = '', description = '', struck_at = private.clock()
  where t.id = p_proposal_id;
end;
comment on function private.strike_proposal is 'Takes a proposal''s words away; its stake and its vote go on.';
revoke all on function private.strike_proposal from public, anon, authenticated, service_role;

create function private.lock_proposal(p_proposal_id uuid)
returns public.tip_to_tip_proposals
language plpgsql security definer set search_path = ''
as $$
declare
  v_row public.tip_to_tip_proposals;
begin
  select t.* into v_row from public.tip_to_tip_proposals as t
  where t.id = p_proposal_id for no key update;
  return v_row;
end;
$$;
comment on function private.lock_proposal is 'Locks a proposal until the transaction ends and returns it.';
revoke all on function private.lock_proposal from public, anon, authenticated, service_role;

create function private.end_tip(p_tip public.tip_to_tip_proposals, p_outcome text, p_at timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_is_refund boolean := p_outcome in ('completed', 'void');
  v_name text := private.name_of(p_tip.proposer_id);
  v_words text := case p_outcome
    when 'completed' then 'Everyone accepted the proposal of %s: the stake of %s CC comes back.'
    when 'declined' then 'The proposal of %s was declined: the stake of %s CC is lost.'
    when 'expired' then 'The proposal of %s expired: the stake of %s CC is lost.'
    when 'withdrawn' then 'The proposal of %s was withdrawn: the stake of %s CC is lost.'
    else 'The proposal of %s is void: the stake of %s CC comes back.'
  end;
begin
  update public.tip_to_tip_proposals as t set status = p_outcome, remind_at = null where t.id = p_tip.id;
  if v_is_refund then
    perform private.refund_stake(p_tip.id, p_at);
  else
    perform private.forfeit_stake(p_tip.id, p_at);
  end if;
  perform private.announce(
    p_tip.community_id, 'tip_to_tip_' || p_outcome, format(v_words, v_name, p_tip.stake_amount),
    jsonb_build_object(
      'proposal_id', p_tip.id, 'proposer_id', p_tip.proposer_id, 'outcome', p_outcome,
      'stake_amount', p_tip.stake_amount
    ),
    p_at
  );
  if private.is_standing_member(p_tip.community_id, p_tip.proposer_id) then
    perform private.notify(
      array[p_tip.proposer_id], p_tip.community_id, 'tip_to_tip', 'tip_to_tip', p_tip.id,
      format('Your proposal: %s', p_outcome), p_tip.title, p_at => p_at
    );
  end if;
end;
$$;
comment on function private.end_tip is
'Ends a locked, active proposal: completed and void refund the stake, declined, expired and withdrawn forfeit it;
tells the Chamber and the proposer. The caller holds the day.';
revoke all on function private.end_tip from public, anon, authenticated, service_role;

create function private.open_roll(
  p_proposal_id uuid, p_community_id uuid, p_proposer_id uuid, p_members uuid[], p_title text
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_others uuid[] := array_remove(p_members, p_proposer_id);
begin
  insert into public.tip_to_tip_rolls (proposal_id, user_id, community_id)
  select p_proposal_id, m.id, p_community_id from unnest(p_members) as m (id);
  insert into public.tip_to_tip_votes (proposal_id, user_id, community_id, vote)
  values (p_proposal_id, p_proposer_id, p_community_id, 'accept');
  perform private.notify(
    v_others, p_community_id, 'tip_to_tip', 'tip_to_tip', p_proposal_id,
    format('%s asks for your vote', private.name_of(p_proposer_id)), p_title, p_is_ask => true
  );
end;
$$;
comment on function private.open_roll is
'Draws up the roll of a new proposal, casts the proposer''s accept, calls the others to vote: one statement each.';
revoke all on function private.open_roll from public, anon, authenticated, service_role;

create function private.clear_the_way(p_community_id uuid, p_proposer_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_tip public.tip_to_tip_proposals;
begin
  select t.* into v_tip from public.tip_to_tip_proposals as t
  where t.community_id = p_community_id and t.proposer_id = p_proposer_id and t.status = 'active'
  for no key update;
  if v_tip.deadline <= private.clock() then
    perform private.end_tip(v_tip, 'expired', private.clock());
  elsif v_tip.id is not null then
    perform private.refuse('ACTIVE_TIP_TO_TIP_EXISTS', 'You have an active proposal already.',
      jsonb_build_object('proposal_id', v_tip.id, 'possible_at', v_tip.deadline));
  end if;
end;
$$;
comment on function private.clear_the_way is
'Makes sure a member has no active proposal; one that is past its deadline is ended first, job or no job.

Refuses: ACTIVE_TIP_TO_TIP_EXISTS {proposal_id, possible_at: its deadline}.';
revoke all on function private.clear_the_way from public, anon, authenticated, service_role;

create function private.propose_tip_to_tip(
  p_community_id uuid, p_title text, p_stake_amount integer, p_description text, p_request_id uuid
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
  v_arguments jsonb := jsonb_build_array(p_community_id, p_title, p_stake_amount, p_description);
  v_answer jsonb := private.recall(v_me.user_id, 'propose_tip_to_tip', p_request_id, v_arguments);
  v_id uuid := gen_random_uuid();
  v_members uuid[];
  v_message_id bigint;
begin
  if v_answer is not null then
    return v_answer;
  end if;
  perform private.require_text('title', p_title, 120);
  perform private.require_text('description', p_description, 1000, 0);
  perform private.require_amount('stake_amount', p_stake_amount);
  perform private.require_open_day(p_community_id);
  perform private.clear_the_way(p_community_id, v_me.user_id);
  -- Read once: who joins from here on is neither counted nor on the roll. Who was removed meanwhile proposes nothing.
  perform private.require_member(p_community_id);
  v_members := private.standing_members(p_community_id);
  if cardinality(v_members) < 2 then
    perform private.refuse('NO_ELECTORS', 'There is nobody else here to vote.', '{"electors": 1, "needed": 2}');
  end if;

  insert into public.tip_to_tip_proposals (
    id, community_id, proposer_id, title, description, stake_amount, deadline, remind_at, electors, awaiting
  )
  values (
    v_id, p_community_id, v_me.user_id, p_title, p_description, p_stake_amount,
    private.clock() + interval '4 hours', private.clock() + interval '3 hours',
    cardinality(v_members), cardinality(v_members) - 1
  )
  on conflict (community_id, proposer_id) where status = 'active' do nothing;
  if not found then
    perform private.clear_the_way(p_community_id, v_me.user_id);
    perform private.refuse('ACTIVE_TIP_TO_TIP_EXISTS', 'You have just made another proposal.');
  end if;
  perform private.hold_stake(v_id, p_community_id, v_me.user_id, p_stake_amount);
  v_message_id := private.post_message(p_community_id, v_me.user_id, 'tip_to_tip', '', v_id);
  perform private.open_roll(v_id, p_community_id, v_me.user_id, v_members, p_title);

  v_answer := private.show_proposal(v_id);
  return private.remember(v_me.user_id, 'propose_tip_to_tip', p_request_id, v_arguments, jsonb_build_object(
    'proposal', v_answer,
    'message', private.show_message(v_message_id, v_answer),
    'balance', private.show_balance(p_community_id, v_me.user_id)
  ));
end;
$$;
comment on function private.propose_tip_to_tip is
'What propose_tip_to_tip does. Of two proposals of one member at once the unique index lets one in; the other waits,
finds it and is refused with its stake untouched. The proposal is locked before the purse, as voters do.';
revoke all on function private.propose_tip_to_tip from public, anon, authenticated, service_role;

create function public.propose_tip_to_tip(
  community_id uuid, title text, stake_amount integer, description text default '', request_id uuid default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.propose_tip_to_tip(
    propose_tip_to_tip.community_id, propose_tip_to_tip.title, propose_tip_to_tip.stake_amount,
    propose_tip_to_tip.description, propose_tip_to_tip.request_id
  );
end;
comment on function public.propose_tip_to_tip is
'Stakes CC on a unanimous vote of everyone in the community now.

The proposer''s accept is cast at once, the deadline is 4 hours later. title 1 to 120 characters, description up to
1000. Returns {proposal, message, balance}. Refuses: ACTIVE_TIP_TO_TIP_EXISTS {proposal_id, possible_at},
INSUFFICIENT_CC {short_by, largest_possible, possible_at}, NO_ELECTORS {electors, needed}, DAY_CLOSED {possible_at},
NOT_FOUND, INVALID_INPUT, CONFLICT (request_id).';
revoke all on function public.propose_tip_to_tip from public, anon, authenticated, service_role;
grant execute on function public.propose_tip_to_tip, private.propose_tip_to_tip to authenticated;

create function private.require_proposal(p_proposal_id uuid)
returns public.tip_to_tip_proposals
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_tip public.tip_to_tip_proposals;
begin
  select t.* into v_tip from public.tip_to_tip_proposals as t where t.id = p_proposal_id;
  if not found or not private.is_standing_member(v_tip.community_id, v_me.id) then
    perform private.refuse('NOT_FOUND', 'There is no such proposal.');
  end if;
  return v_tip;
end;
$$;
comment on function private.require_proposal is
'Returns a proposal of a community the caller is in. Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND.';
revoke all on function private.require_proposal from public, anon, authenticated, service_role;
grant execute on function private.require_proposal to authenticated;

create function private.lock_for_vote(p_proposal_id uuid, p_voter_id uuid)
returns public.tip_to_tip_proposals
language plpgsql security definer set search_path = ''
as $$
declare
  v_tip public.tip_to_tip_proposals := private.lock_proposal(p_proposal_id);
begin
  if not exists (
    select from public.tip_to_tip_rolls as r where r.proposal_id = p_proposal_id and r.user_id = p_voter_id
  ) then
    perform private.refuse('NOT_ELECTOR', 'You joined after this proposal was made.');
  elsif private.tip_status(v_tip.status, v_tip.deadline) <> 'active' then
    perform private.refuse('PROPOSAL_EXPIRED', 'This proposal is over.', jsonb_build_object(
      'status', private.tip_status(v_tip.status, v_tip.deadline), 'deadline', v_tip.deadline
    ));
  end if;
  return v_tip;
end;
$$;
comment on function private.lock_for_vote is
'Locks a proposal its voter may still vote on. Refuses: NOT_ELECTOR, PROPOSAL_EXPIRED {status, deadline}.';
revoke all on function private.lock_for_vote from public, anon, authenticated, service_role;

create function private.vote_tip_to_tip(p_proposal_id uuid, p_vote text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_tip public.tip_to_tip_proposals := private.require_proposal(p_proposal_id);
  v_me uuid := private.caller_id();
  v_outcome text;
begin
  perform private.require_choice('vote', p_vote, array['accept', 'decline']);
  perform private.hold_day(v_tip.community_id);
  v_tip := private.lock_for_vote(p_proposal_id, v_me);
  insert into public.tip_to_tip_votes (proposal_id, user_id, community_id, vote)
  values (p_proposal_id, v_me, v_tip.community_id, p_vote)
  on conflict do nothing;
  if not found then
    perform private.refuse('ALREADY_VOTED', 'Your vote is cast, and final.');
  end if;

  update public.tip_to_tip_proposals as t set awaiting = t.awaiting - 1
  where t.id = p_proposal_id
  returning t.* into v_tip;
  v_outcome := case when p_vote = 'decline' then 'declined' when v_tip.awaiting = 0 then 'completed' end;
  if v_outcome is not null then
    perform private.end_tip(v_tip, v_outcome, private.clock());
  end if;
  perform private.tell_community(v_tip.community_id, 'tip_to_tip', jsonb_build_object('proposal_id', p_proposal_id));
  return jsonb_build_object(
    'proposal', private.show_proposal(p_proposal_id), 'resolved', v_outcome is not null, 'outcome', v_outcome
  );
end;
$$;
comment on function private.vote_tip_to_tip is
'What vote_tip_to_tip does. Voters queue on the proposal''s row, so exactly one of two last votes finds itself the
last.';
revoke all on function private.vote_tip_to_tip from public, anon, authenticated, service_role;

create function public.vote_tip_to_tip(proposal_id uuid, vote text)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.vote_tip_to_tip(vote_tip_to_tip.proposal_id, vote_tip_to_tip.vote);
end;
comment on function public.vote_tip_to_tip is
'Votes accept or decline, openly and finally; the first decline, or the last accept, ends the proposal.

Returns {proposal, resolved, outcome: null, completed or declined}. Refuses: NOT_ELECTOR, ALREADY_VOTED,
PROPOSAL_EXPIRED {status, deadline}, NOT_FOUND, INVALID_INPUT.';
revoke all on function public.vote_tip_to_tip from public, anon, authenticated, service_role;
grant execute on function public.vote_tip_to_tip, private.vote_tip_to_tip to authenticated;

create function public.get_tip_to_tip(proposal_id uuid)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_tip public.tip_to_tip_proposals := private.require_proposal(get_tip_to_tip.proposal_id);
begin
  perform private.enter_day(v_tip.community_id);
  return jsonb_build_object('proposal', (
    select s.proposal from private.shown_proposals as s where s.id = get_tip_to_tip.proposal_id
  ));
end;
$$;
comment on function public.get_tip_to_tip is
'One proposal with its votes.

Returns {proposal}. Refuses: NOT_FOUND.';
revoke all on function public.get_tip_to_tip from public, anon, authenticated, service_role;
grant execute on function public.get_tip_to_tip to authenticated;

create function public.list_tip_to_tips(
  community_id uuid, status text default null, page_size integer default 50, before_id uuid default null
)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_before bigint;
  v_page uuid[];
begin
  perform private.enter_day(list_tip_to_tips.community_id);
  perform private.require_page_size(list_tip_to_tips.page_size);
  if list_tip_to_tips.status is not null then
    perform private.require_choice('status', list_tip_to_tips.status, array[
      'active', 'completed', 'declined', 'expired', 'withdrawn', 'void'
    ]);
  end if;
  if before_id is not null then
    select t.number into v_before from public.tip_to_tip_proposals as t
    where t.id = before_id and t.community_id = list_tip_to_tips.community_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such proposal.');
    end if;
  end if;
  v_page := array(
    select t.id from public.tip_to_tip_proposals as t
    where t.community_id = list_tip_to_tips.community_id
      and t.number < coalesce(v_before, 9223372036854775807)
      and (list_tip_to_tips.status is null or private.tip_status(t.status, t.deadline) = list_tip_to_tips.status)
    order by t.number desc
    limit page_size + 1
  );
  return jsonb_build_object(
    'proposals', (
      select coalesce(jsonb_agg(s.proposal order by s.number desc), '[]')
      from private.shown_proposals as s where s.id = any(v_page[:page_size])
    ),
    'has_more', cardinality(v_page) > page_size
  );
end;
$$;
comment on function public.list_tip_to_tips is
'A community''s proposals, newest first, of every status or one; before_id pages on from a proposal.

Returns {proposals: [proposal], has_more}. Refuses: NOT_FOUND, INVALID_INPUT.';
revoke all on function public.list_tip_to_tips from public, anon, authenticated, service_role;
grant execute on function public.list_tip_to_tips to authenticated;

create function private.remind_electors(p_tip public.tip_to_tip_proposals, p_now timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update public.tip_to_tip_proposals as t set remind_at = null where t.id = p_tip.id;
  perform private.notify(
    array(
      select r.user_id from public.tip_to_tip_rolls as r
      where r.proposal_id = p_tip.id and not exists (
        select from public.tip_to_tip_votes as v where v.proposal_id = p_tip.id and v.user_id = r.user_id
      )
      order by r.user_id
    ),
    p_tip.community_id, 'tip_to_tip', 'tip_to_tip', p_tip.id,
    format('%s still waits for your vote', private.name_of(p_tip.proposer_id)), p_tip.title,
    p_is_ask => true, p_at => p_now
  );
end;
$$;
comment on function private.remind_electors is 'Reminds, once, those who have yet to vote on a locked proposal.';
revoke all on function private.remind_electors from public, anon, authenticated, service_role;

create function private.expire_tips(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_tip public.tip_to_tip_proposals;
  v_rows integer := 0;
begin
  perform private.hold_day_alone(p_community_id, p_now);
  for v_tip in
    select t.* from public.tip_to_tip_proposals as t
    where t.community_id = p_community_id and t.status = 'active' and (t.deadline <= p_now or t.remind_at <= p_now)
    order by t.id
    for no key update
  loop
    if v_tip.deadline <= p_now then
      perform private.end_tip(v_tip, 'expired', p_now);
    else
      perform private.remind_electors(v_tip, p_now);
    end if;
    v_rows := v_rows + 1;
  end loop;
  return v_rows;
end;
$$;
comment on function private.expire_tips is
'Ends a community''s proposals that are past their deadline and reminds the electors of those with an hour left;
returns how many proposals it touched. It holds the day alone, for it may settle many stakes.';
revoke all on function private.expire_tips from public, anon, authenticated, service_role;

create function private.own_active_tip(p_community_id uuid, p_user_id uuid)
returns public.tip_to_tip_proposals
language plpgsql security definer set search_path = ''
as $$
declare
  v_row public.tip_to_tip_proposals;
begin
  select t.* into v_row from public.tip_to_tip_proposals as t
  where t.community_id = p_community_id and t.proposer_id = p_user_id and t.status = 'active'
  for no key update;
  return v_row;
end;
$$;
comment on function private.own_active_tip is 'Locks and returns a member''s active proposal, or a row of nulls.';
revoke all on function private.own_active_tip from public, anon, authenticated, service_role;

create function private.withdraw_tip(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_tip public.tip_to_tip_proposals := private.own_active_tip(p_community_id, p_user_id);
begin
  if v_tip.id is null then
    return 0;
  end if;
  perform private.end_tip(
    v_tip, case when v_tip.deadline <= private.clock() then 'expired' else 'withdrawn' end, private.clock()
  );
  return v_tip.stake_amount;
end;
$$;
comment on function private.withdraw_tip is
'On leaving: an own active proposal is withdrawn and its stake forfeited (RULES 2.5); returns the CC lost.';
revoke all on function private.withdraw_tip from public, anon, authenticated, service_role;

create function private.void_tip_of(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_tip public.tip_to_tip_proposals := private.own_active_tip(p_community_id, p_user_id);
begin
  if v_tip.id is null then
    return;
  elsif v_tip.deadline <= private.clock() then
    perform private.end_tip(v_tip, 'expired', private.clock());
    return;
  end if;
  -- The purse is about to expire, so a refund that waited for Dawn would come to nobody.
  perform private.pay_stake(v_tip.id, private.clock());
  perform private.end_tip(v_tip, 'void', private.clock());
end;
$$;
comment on function private.void_tip_of is
'On removal: an own active proposal is void and its stake back in the purse at once, day or night (RULES 2.6).';
revoke all on function private.void_tip_of from public, anon, authenticated, service_role;

create function private.leave_tip_rolls(p_community_id uuid, p_user_id uuid, p_is_removal boolean)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_tip public.tip_to_tip_proposals;
begin
  for v_tip in
    select t.* from public.tip_to_tip_proposals as t
    where t.community_id = p_community_id and t.status = 'active'
      and exists (select from public.tip_to_tip_rolls as r where r.proposal_id = t.id and r.user_id = p_user_id)
      and not exists (select from public.tip_to_tip_votes as v where v.proposal_id = t.id and v.user_id = p_user_id)
    order by t.id
    for no key update
  loop
    -- Judged again under the lock: their vote may have come in while this waited.
    continue when exists (
      select from public.tip_to_tip_votes as v where v.proposal_id = v_tip.id and v.user_id = p_user_id
    );
    delete from public.tip_to_tip_rolls as r where r.proposal_id = v_tip.id and r.user_id = p_user_id;
    update public.tip_to_tip_proposals as t set electors = t.electors - 1, awaiting = t.awaiting - 1
    where t.id = v_tip.id
    returning t.* into v_tip;
    if v_tip.deadline <= private.clock() then
      perform private.end_tip(v_tip, 'expired', private.clock());
    elsif p_is_removal then
      perform private.end_tip(v_tip, 'void', private.clock());
    elsif v_tip.awaiting = 0 then
      perform private.end_tip(v_tip, 'completed', private.clock());
    end if;
  end loop;
end;
$$;
comment on function private.leave_tip_rolls is
'Strikes somebody who goes from the rolls they have not voted on. What then awaits nobody is completed; what still
awaited a person who is removed is void, so that no removal makes a vote unanimous (RULES 2.5, 2.6). A vote already
cast stands. The caller holds the day alone.';
revoke all on function private.leave_tip_rolls from public, anon, authenticated, service_role;

create function private.tips_awaiting(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select count(*)::integer from public.tip_to_tip_proposals as t
    where
      t.community_id = p_community_id and t.status = 'active' and t.deadline > private.clock()
      and exists (
        select from public.tip_to_tip_rolls as r
        where r.proposal_id = t.id and r.user_id = p_user_id
      )
      and not exists (
        select from public.tip_to_tip_votes as v
        where v.proposal_id = t.id and v.user_id = p_user_id
      )
  );
end;
$$;
comment on function private.tips_awaiting is 'How many active proposals of a community await a member''s vote.';
revoke all on function private.tips_awaiting from public, anon, authenticated, service_role;
