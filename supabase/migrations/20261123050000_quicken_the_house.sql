-- Less work for the same answers: fewer questions in an act, pages written as text once, one index fewer in the ledger,
-- no look at all communities in each tick of the Jashn.

-- All of it or nothing: pushed, each statement would be a transaction of its own.
begin;
-- What rebuilds a table may take longer than a statement is given. Locked before anything is dropped: whoever is in the
-- middle of a call finishes, and nobody comes in between.
set local statement_timeout = 0;
lock table public.community_days in share row exclusive mode;
lock table public.ledger_entries, public.declarations, private.joy_runs in access exclusive mode;

drop function public.list_messages(uuid, integer, bigint, bigint);
drop function public.list_gazette(uuid, integer, uuid, uuid);
drop function private.show_lines(bigint[]);
drop function private.show_new_card(bigint, uuid, text, jsonb, jsonb);
drop function private.require_open_day(uuid);
drop view private.shown_declarations;
drop view private.shown_messages;
revoke all on function private.require_line, private.settled_position, private.borrow_status from authenticated;
revoke all on table private.shown_borrow_requests from authenticated;
comment on view private.shown_borrow_requests is 'The shape borrow_request. Only for the kernel.';

create or replace function private.recall(p_user_id uuid, p_rpc text, p_request_id uuid, p_arguments jsonb)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_request private.requests;
begin
  if p_request_id is null then
    return null;
  end if;
  -- Two deliveries of one call wait for each other here; the second then finds the first one's answer.
  perform pg_advisory_xact_lock(hashtextextended(p_user_id::text || p_rpc || p_request_id::text, 0));
  select r.* into v_request
  from private.requests as r
  where r.user_id = p_user_id and r.rpc = p_rpc and r.request_id = p_request_id;
  if not found then
    return null;
  elsif v_request.created_at <= private.clock() - interval '7 days' then
    -- Housekeeping has not come by yet.
    delete from private.requests as r
    where r.user_id = p_user_id and r.rpc = p_rpc and r.request_id = p_request_id;
    return null;
  elsif v_request.arguments_hash <> sha256(convert_to(p_arguments::text, 'UTF8')) then
    perform private.refuse('CONFLICT', 'This request_id was used before with other arguments.',
      jsonb_build_object('request_id', p_request_id));
  end if;
  return v_request.answer;
end;
$$;
comment on function private.recall is
'Returns the answer a call with this request_id was given, or null if it is new; locks the id until the transaction
ends.

Refuses: CONFLICT (the same id with other arguments).';

create or replace function private.remember(p_user_id uuid, p_rpc text, p_request_id uuid, p_arguments jsonb, p_answer jsonb)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  if p_request_id is not null then
    insert into private.requests (user_id, rpc, request_id, arguments_hash, answer, created_at)
    values (
      p_user_id, p_rpc, p_request_id, sha256(convert_to(p_arguments::text, 'UTF8')), p_answer, private.clock()
    );
  end if;
  return p_answer;
end;
$$;
comment on function private.remember is
'Keeps an answer under its request_id, if there is one, and returns it. private.recall has asked before, and holds the
id. Refusals never get here.';

create view private.standings with (security_invoker = on) as
select
  u.id as user_id,
  case
    when a.banned_until > now() then 'banned'
    when a.is_anonymous then 'anonymous'
    when d.suspended_at is not null then 'suspended'
    when d.user_id is not null or not private.invites_enforced() then 'admitted'
    else 'waiting'
  end as standing
from public.users as u
inner join auth.users as a on u.id = a.id
left join private.admissions as d on u.id = d.user_id
where u.erased_at is null and a.deleted_at is null;
comment on view private.standings is
'Where everybody known stands with the Bureau: banned (by Auth), anonymous, suspended (by a steward), waiting (for an
invite) or admitted.

Asked afresh by every call and every policy, so taking an admission back bites at once (RULES 1.2). A suspension
holds even where nobody needs an invite. Only the kernel reads it.';

create or replace function private.standing_of(p_user_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((select s.standing from private.standings as s where s.user_id = p_user_id), 'unknown');
end;
$$;
comment on function private.standing_of is 'Where one person stands, as private.standings says, or unknown.';

create or replace function private.my_id()
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select s.user_id from private.standings as s
    where s.user_id = private.caller_id() and s.standing = 'admitted'
  );
end;
$$;
comment on function private.my_id is
'The caller''s id if they are admitted, else null; what policies on one''s own rows ask.';

create or replace function private.require_member(p_community_id uuid)
returns public.community_members
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.caller_id();
  v_member public.community_members;
begin
  -- Every call of a member passes here, so it is one question; who gets no answer learns first who they are.
  select m.* into v_member
  from public.community_members as m
  join private.standings as s on s.user_id = m.user_id
  where m.community_id = p_community_id and m.user_id = v_me and m.left_at is null and s.standing = 'admitted';
  if not found then
    perform private.require_admitted();
    perform private.refuse('NOT_FOUND', 'There is no such community.');
  end if;
  return v_member;
end;
$$;
comment on function private.require_member is
'Returns the caller''s membership of a community. A stranger gets the same answer whether the community exists or
not.

Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND.';

create or replace function private.tell_community(p_community_id uuid, p_kind text, p_ids jsonb default '{}')
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform realtime.send(
    jsonb_build_object('kind', p_kind, 'ids', p_ids), p_kind, 'community:' || p_community_id::text, true
  );
end;
$$;
comment on function private.tell_community is
'Broadcasts {kind, ids} to everyone in a community, with the transaction. Nothing sealed and nothing private travels
here.';

create or replace function private.tell_user(p_user_id uuid, p_kind text, p_ids jsonb default '{}')
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform realtime.send(jsonb_build_object('kind', p_kind, 'ids', p_ids), p_kind, 'user:' || p_user_id::text, true);
end;
$$;
comment on function private.tell_user is 'Broadcasts {kind, ids} to one person, with the transaction.';

drop function private.broadcast(text, text, jsonb);

create or replace function private.take_position()
returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  -- The last id handed to any line of any Chamber, committed or not; null before the first line ever.
  perform pg_advisory_xact_lock_shared(coalesce(pg_sequence_last_value('public.chat_messages_id_seq'), 0));
end;
$$;
comment on function private.take_position is
'Says to readers that lines with ids above the present one are being written and not yet committed.

Ids are handed out before their transactions commit, so id 6 may be readable before id 5. Every writer therefore
holds, from before it takes an id until it commits, a shared lock on a number no greater than that id; see
private.settled_position.';

create or replace function private.settled_position()
returns bigint
language plpgsql volatile security definer set search_path = ''
as $$
declare
  -- In this order: whoever took an id up to v_last had their lock before, so they hold it still or have committed.
  v_last bigint := coalesce(pg_sequence_last_value('public.chat_messages_id_seq'), 0);
begin
  return least(v_last, (
    select min((l.classid::bigint << 32) | l.objid::bigint)
    from pg_catalog.pg_locks as l
    where l.locktype = 'advisory' and l.objsubid = 1 and l.mode = 'ShareLock' and l.granted
      and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
      and (l.classid::bigint << 32) | l.objid::bigint between 0 and v_last
  ));
end;
$$;
comment on function private.settled_position is
'A line''s id up to which nothing can appear any more that a later statement would not see: what a reader who pages
forward may be shown (RULES 3.3). It comes late by as much as the longest act now under way, and never skips.';

drop function private.last_position();

create view private.shown_messages with (security_invoker = on) as
select
  m.id,
  m.community_id,
  m.type,
  m.content,
  m.event,
  m.facts,
  m.created_at,
  m.edited_at,
  m.struck_reason,
  m.reference_id,
  null::jsonb as declaration,
  null::jsonb as borrow_request,
  null::jsonb as tip_to_tip,
  null::jsonb as election,
  (
    select p.person from private.shown_people as p
    where p.id = m.user_id
  ) as user,
  m.deleted_at is not null as deleted
from public.chat_messages as m;
comment on view private.shown_messages is
'The shape message, key by column, with every card still null: the rooms of the cards fill theirs in. Beside it,
reference_id: what a card shows. Authors are looked up, not joined, so that no page is ever read by a scan of
everybody. Only for the kernel.';

create or replace function private.show_message(p_message_id bigint, p_card jsonb default null)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      case
        when p_card is null then to_jsonb(s) - 'reference_id'
        else to_jsonb(s) - 'reference_id' || jsonb_build_object(s.type, p_card)
      end
    from private.shown_messages as s
    where s.id = p_message_id
  );
end;
$$;
comment on function private.show_message is 'The shape message of a line just posted, with its card if it is one.';

create function private.show_new_card(
  p_message_id bigint, p_community_id uuid, p_type text, p_person jsonb, p_card jsonb, p_at timestamptz
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', p_message_id, 'community_id', p_community_id, 'type', p_type, 'user', p_person, 'content', '',
    'event', null, 'facts', null, 'declaration', null, 'borrow_request', null, 'tip_to_tip', null,
    'election', null, 'created_at', p_at, 'edited_at', null, 'deleted', false,
    'struck_reason', null, p_type, p_card
  );
end;
$$;
comment on function private.show_new_card is
'What private.show_message would say of a card posted in this transaction, without reading it back.';
revoke all on function private.show_new_card from public, anon, authenticated, service_role;

-- Who reads the ledger reads a member's entries; nobody asks for one by its number alone.
alter table public.ledger_entries drop constraint ledger_entries_pkey;
drop index public.ledger_entries_community_id_user_id_id_idx;
alter table public.ledger_entries add constraint ledger_entries_pkey primary key (community_id, user_id, id);

create function private.require_open_day(p_community_id uuid, p_now timestamptz default private.clock())
returns public.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day public.community_days := private.hold_day(p_community_id, p_now);
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

create or replace function private.show_purse(p_balance public.cc_balances, p_day public.community_days)
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
'The shape balance of a purse on a day, both in hand; last_reset is the time of its latest grant, null before the
first.';

create or replace function private.show_balance(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select private.show_purse(b, d)
    from public.cc_balances as b
    inner join public.community_days as d on b.community_id = d.community_id
    where b.community_id = p_community_id and b.user_id = p_user_id
  );
end;
$$;
comment on function private.show_balance is
'The shape balance of one member as it is stored. Only for a door that has asked whose it is.';

create function private.is_sound_joy(
  p_title text, p_description text, p_cc_spent integer, p_witnessed_count integer, p_struck_at timestamptz
)
returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  return (char_length(p_title) between 1 and 120 or p_struck_at is not null)
    and char_length(p_description) <= 1000 and p_cc_spent > 0 and p_witnessed_count >= 0;
end;
$$;
comment on function private.is_sound_joy is
'Whether a joy has a title (1 to 120 characters, unless struck), at most 1000 characters of description, a price and
no negative count of witnesses.';
revoke all on function private.is_sound_joy from public, anon, authenticated, service_role;
alter table public.declarations
drop constraint declarations_title_length,
drop constraint declarations_description_length,
drop constraint declarations_cc_spent_positive,
drop constraint declarations_witnessed_count_positive,
add constraint declarations_joy_is_sound check (
  private.is_sound_joy(title, description, cc_spent, witnessed_count, struck_at)
);

create view private.shown_declarations with (security_invoker = on) as
select
  d.id,
  d.community_id,
  d.title,
  d.description,
  d.cc_spent,
  d.image_url,
  d.witnessed_count,
  d.created_at,
  (
    select p.person from private.shown_people as p
    where p.id = d.user_id
  ) as user,
  exists(
    select from public.witnesses as w
    where w.declaration_id = d.id and w.user_id = (select private.caller_id())
  ) as has_witnessed
from public.declarations as d;
comment on view private.shown_declarations is
'The shape declaration, key by column, as the caller sees it.

Pages make json of its rows, not jsonb: text written once, where jsonb would be taken apart and put together at every
level (measured: a page of the Chamber in a third of the time).';
grant select on private.shown_declarations to authenticated;

create or replace function private.show_declaration(p_declaration_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select to_jsonb(s) from private.shown_declarations as s
    where s.id = p_declaration_id
  );
end;
$$;
comment on function private.show_declaration is 'The shape declaration of one joy.';

create or replace function private.declare_joy(
  p_community_id uuid, p_title text, p_cc_spent integer, p_description text, p_image_url text, p_request_id uuid
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
  v_arguments jsonb := jsonb_build_array(p_community_id, p_title, p_cc_spent, p_description, p_image_url);
  v_answer jsonb := private.recall(v_me.user_id, 'declare_joy', p_request_id, v_arguments);
  v_now timestamptz := private.clock();
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
  v_day := private.require_open_day(p_community_id, v_now);

  v_balance := private.post_entry(p_community_id, v_me.user_id, 'declaration', -p_cc_spent, v_id, p_at => v_now);
  insert into public.declarations (id, community_id, user_id, title, description, cc_spent, image_url, day, created_at)
  values (v_id, p_community_id, v_me.user_id, p_title, p_description, p_cc_spent, p_image_url, v_day.day, v_now);
  v_message_id := private.post_message(p_community_id, v_me.user_id, 'declaration', '', v_id, p_at => v_now);

  -- The act of acts: told from what is in hand. Reading the three shapes back would be a sixth of its cost.
  select p.person into v_person from private.shown_people as p where p.id = v_me.user_id;
  v_answer := jsonb_build_object(
    'id', v_id, 'community_id', p_community_id, 'user', v_person, 'title', p_title, 'description', p_description,
    'cc_spent', p_cc_spent, 'image_url', p_image_url, 'witnessed_count', 0, 'has_witnessed', false,
    'created_at', v_now
  );
  return private.remember(v_me.user_id, 'declare_joy', p_request_id, v_arguments, jsonb_build_object(
    'declaration', v_answer,
    'message', private.show_new_card(v_message_id, p_community_id, 'declaration', v_person, v_answer, v_now),
    'balance', private.show_purse(v_balance, v_day)
  ));
end;
$$;
comment on function private.declare_joy is 'What declare_joy does.';

create or replace function public.get_declaration(declaration_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform private.require_declaration(get_declaration.declaration_id);
  return jsonb_build_object(
    'declaration', (
      select to_jsonb(s) from private.shown_declarations as s where s.id = get_declaration.declaration_id
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

create function public.list_gazette(
  community_id uuid, page_size integer default 50, before_id uuid default null, author_id uuid default null
)
returns json
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
  return json_build_object(
    'declarations', (
      select coalesce(json_agg(s order by array_position(v_page, s.id)), '[]')
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

create function private.show_lines(p_message_ids bigint[])
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_types text[];
  v_ids uuid[];
  v_cards jsonb := jsonb_build_object();
begin
  -- Joys are what a page is full of. The other cards are asked for only where there are some: to have them all in one
  -- statement would cost a page of talk the setting up of them.
  select coalesce(array_agg(distinct m.type), '{}'), array_agg(m.reference_id) into v_types, v_ids
  from public.chat_messages as m
  where m.id = any(p_message_ids) and m.type in ('borrow_request', 'tip_to_tip', 'election');
  if 'borrow_request' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(b.id, b.borrow_request), '{}') into v_cards
    from private.shown_borrow_requests as b where b.id = any(v_ids);
  end if;
  if 'tip_to_tip' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(t.id, t.proposal), '{}') into v_cards
    from private.shown_proposals as t where t.id = any(v_ids);
  end if;
  if 'election' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(e.id, e.election), '{}') into v_cards
    from private.shown_elections as e where e.id = any(v_ids);
  end if;
  return (
    select coalesce(json_agg(line order by line.id), '[]')
    from (
      select
        s.id, s.community_id, s.type, s.user, s.content, s.event, s.facts,
        case when s.type = 'declaration' then (
          select row_to_json(d) from private.shown_declarations as d where d.id = s.reference_id
        ) end as declaration,
        case when s.type = 'borrow_request' then v_cards -> s.reference_id::text end as borrow_request,
        case when s.type = 'tip_to_tip' then v_cards -> s.reference_id::text end as tip_to_tip,
        case when s.type = 'election' then v_cards -> s.reference_id::text end as election,
        s.created_at, s.edited_at, s.deleted, s.struck_reason
      from private.shown_messages as s
      where s.id = any(p_message_ids)
    ) as line
  );
end;
$$;
comment on function private.show_lines is
'The shape message of each of these lines, with its card filled in, oldest first.

Only for a door that has asked whose Chamber it is: row level security would ask it again for every table a card is
made of.';
revoke all on function private.show_lines from public, anon, authenticated, service_role;

create function private.list_messages(p_community_id uuid, p_page_size integer, p_before_id bigint, p_after_id bigint)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_page bigint[];
  v_settled bigint;
begin
  perform private.require_member(p_community_id);
  perform private.require_page_size(p_page_size);
  if p_before_id is not null and p_after_id is not null then
    perform private.refuse('INVALID_INPUT', 'Page before a message or after one, not both.',
      '{"field": "after_id"}');
  elsif p_after_id is not null then
    -- Asked before the page is read: this function is volatile so that the page has a later snapshot.
    v_settled := private.settled_position();
    v_page := array(
      select m.id from public.chat_messages as m
      where m.community_id = p_community_id and m.id > p_after_id and m.id <= v_settled
      order by m.id
      limit p_page_size + 1
    );
  else
    v_page := array(
      select m.id from public.chat_messages as m
      where m.community_id = p_community_id and m.id < coalesce(p_before_id, 9223372036854775807)
      order by m.id desc
      limit p_page_size + 1
    );
  end if;
  return json_build_object(
    'messages', private.show_lines(v_page[:p_page_size]),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;
comment on function private.list_messages is 'What list_messages does.';
revoke all on function private.list_messages from public, anon, authenticated, service_role;

create function public.list_messages(
  community_id uuid, page_size integer default 50, before_id bigint default null, after_id bigint default null
)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.list_messages(
    list_messages.community_id, list_messages.page_size, list_messages.before_id, list_messages.after_id
  );
end;
$$;
comment on function public.list_messages is
'A page of the Chamber, oldest first within it.

The newest page by default, or the one before or after a message''s id. has_more tells whether more lie in the
direction paged. Paging forward (after_id) holds back what is newer than an act still under way, so a line may come
late but is never skipped. Returns {messages: [message], has_more}. Refuses: NOT_FOUND, INVALID_INPUT (both anchors;
page_size).';
revoke all on function public.list_messages from public, anon, authenticated, service_role;
grant execute on function public.list_messages, private.list_messages to authenticated;

create function private.get_message(p_message_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.require_line(p_message_id);
  return private.show_line(p_message_id);
end;
$$;
comment on function private.get_message is 'What get_message does.';
revoke all on function private.get_message from public, anon, authenticated, service_role;

create or replace function public.get_message(message_id bigint)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.get_message(get_message.message_id);
end;
$$;
comment on function public.get_message is
'One line of a Chamber.

Returns {message}. Refuses: NOT_FOUND.';

grant execute on function private.get_message to authenticated;

create or replace function private.my_communities()
returns setof uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.caller_id();
begin
  return query
  select m.community_id
  from public.community_members as m
  join private.standings as s on s.user_id = m.user_id
  where m.user_id = v_me and m.left_at is null and s.standing = 'admitted';
end;
$$;
comment on function private.my_communities is
'The communities the caller is in; empty unless they are admitted. Policies ask it once per query: community_id =
any(array(select private.my_communities())).';

alter table private.joy_runs add column longest integer;
update private.joy_runs as r
set longest = o.longest
from (
  select
    a.community_id, a.user_id, a.first_day,
    max(a.last_day + 1 - a.first_day) over (partition by a.community_id, a.user_id order by a.first_day) as longest
  from private.joy_runs as a
) as o
where o.community_id = r.community_id and o.user_id = r.user_id and o.first_day = r.first_day;
alter table private.joy_runs
alter column longest set not null,
add constraint joy_runs_longest_is_no_shorter check (longest > last_day - first_day);
comment on table private.joy_runs is
'Each member''s unbroken runs of days with a joy, kept by private.keep_run; longest is the length in days of the longest
up to this one, so the last run tells all. Counted from the joys themselves, a streak would cost every board and profile
the whole history.';

create or replace function private.keep_run()
returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_run private.joy_runs;
  v_next private.joy_runs;
  v_first date := new.day;
  v_last date;
  v_length integer;
begin
  select r.* into v_run from private.joy_runs as r
  where r.community_id = new.community_id and r.user_id = new.user_id and r.first_day <= new.day
  order by r.first_day desc
  limit 1;
  if v_run.last_day >= new.day then
    return null;
  end if;
  delete from private.joy_runs as r
  where r.community_id = new.community_id and r.user_id = new.user_id and r.first_day = new.day + 1
  returning r.* into v_next;
  v_last := coalesce(v_next.last_day, new.day);
  if v_run.last_day = new.day - 1 then
    v_first := v_run.first_day;
  end if;
  v_length := v_last + 1 - v_first;
  insert into private.joy_runs as r (community_id, user_id, first_day, last_day, longest)
  values (new.community_id, new.user_id, v_first, v_last, greatest(v_length, v_run.longest))
  on conflict (community_id, user_id, first_day) do update
  set last_day = excluded.last_day, longest = excluded.longest;
  -- Only where a joy was entered for a day gone by.
  update private.joy_runs as r set longest = v_length
  where r.community_id = new.community_id and r.user_id = new.user_id and r.first_day > v_last
    and r.longest < v_length;
  return null;
end;
$$;
comment on function private.keep_run is
'Enters the day of a new joy into its author''s runs: most joys find it there, the first of a day begins a run,
lengthens one or joins two. Joys of one member take turns at their purse.';

create or replace function private.current_streak(p_community_id uuid, p_user_id uuid, p_today date)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((
    select case when r.last_day >= p_today - 1 then r.last_day + 1 - r.first_day end
    from private.joy_runs as r
    where r.community_id = p_community_id and r.user_id = p_user_id and r.first_day <= p_today
    order by r.first_day desc
    limit 1
  ), 0);
end;
$$;
comment on function private.current_streak is
'How many consecutive local days up to p_today a member declared a joy on; alive, and not 0, if the last was p_today
or the day before. A day the community never lived (a date its zone skipped) breaks it like any other without a joy.';

create or replace function private.longest_streak(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((
    select r.longest from private.joy_runs as r
    where r.community_id = p_community_id and r.user_id = p_user_id
    order by r.first_day desc
    limit 1
  ), 0);
end;
$$;
comment on function private.longest_streak is 'A member''s longest streak ever in a community, in days.';

create or replace function private.reckon(
  p_community_id uuid, p_week_start date, p_timezone text,
  out user_id uuid, out eligible boolean, out total_cc_spent integer, out total_declarations integer,
  out witnessed_received integer, out joined_at timestamptz, out place integer, out active_days integer
)
returns setof record
language plpgsql stable security definer rows 50
set search_path = '' set plan_cache_mode = force_generic_plan
as $$
begin
  return query
  with sums as (
    select
      d.user_id,
      sum(d.cc_spent)::integer as spent,
      count(*)::integer as declarations,
      sum(d.witnessed_count)::integer as witnessed,
      bit_count(bit_or(1 << (d.day - p_week_start))::bit(8))::integer as days
    from public.declarations as d
    where d.community_id = p_community_id and d.day between p_week_start and p_week_start + 6
    group by d.user_id
  ), weeks as (
    select
      m.user_id,
      m.joined_at,
      coalesce(s.spent, 0) as spent,
      coalesce(s.declarations, 0) as declarations,
      coalesce(s.witnessed, 0) as witnessed,
      coalesce(s.days, 0) as days,
      s.user_id is not null and (m.joined_at at time zone p_timezone)::date <= p_week_start as eligible
    from public.community_members as m
    left join sums as s on s.user_id = m.user_id
    where m.community_id = p_community_id and m.left_at is null
  )
  select
    w.user_id, w.eligible, w.spent, w.declarations, w.witnessed, w.joined_at,
    case
      when w.eligible then row_number() over (
        partition by w.eligible order by w.spent, w.declarations desc, w.witnessed desc, w.joined_at, w.user_id
      )::integer
    end,
    w.days
  from weeks as w;
end;
$$;
comment on function private.reckon is
'The reckoning of a week (RULES 10.2): every standing member''s figures, and the place of those who are eligible.
Eligible are members since the week''s Sunday or before who declared a joy in it; of them the one who spent least
comes first; ties: more joys, more witnesses received, earlier joined, and last the id, so that there is always one
answer. Who came back in the week was not there all of it.

Its plan is the same for every community and week; where joys are many, PostgreSQL would weigh it anew at each call.';

create function private.enter_jashn_calendar()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.jashn_calendar (community_id, look_at)
  values (new.community_id, new.dawn_at + interval '5 minutes')
  on conflict (community_id) do nothing;
  return null;
end;
$$;
comment on function private.enter_jashn_calendar is
'Enters a community that begins its first day: founding is a room below and knows nothing of honours. No Jashn can be
due before its first Dawn.';
revoke all on function private.enter_jashn_calendar from public, anon, authenticated, service_role;
create trigger community_days_enter_jashn_calendar
after insert on public.community_days
for each row execute function private.enter_jashn_calendar();
insert into private.jashn_calendar (community_id, look_at)
select d.community_id, private.clock() from public.community_days as d
on conflict (community_id) do nothing;

create or replace function private.jashns_due(p_now timestamptz, p_limit integer, p_except uuid[])
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_community_id uuid;
  v_found record;
  v_due uuid [] := array[]::uuid [];
begin
  for v_community_id in
    select k.community_id from private.jashn_calendar as k
    where k.look_at <= p_now and k.community_id <> all (p_except)
    order by k.look_at
    limit 1000
    for no key update skip locked
  loop
    exit when cardinality(v_due) = p_limit;
    begin
      v_found := private.find_jashn_due(v_community_id, p_now);
      if v_found.week_start is null then
        update private.jashn_calendar as k set look_at = v_found.look_at where k.community_id = v_community_id;
      else
        v_due := v_due || v_community_id;
      end if;
    exception when others then
      -- Whatever is wrong there will be met again, and recorded, when the job serves it alone.
      v_due := v_due || v_community_id;
    end;
  end loop;
  return v_due;
end;
$$;
comment on function private.jashns_due is
'Up to p_limit communities whose Jashn is to be held now, but for those in p_except. It looks at up to 1000 calendars
a call and turns those with nothing due to their next look.';

commit;
