-- Joys and lines of the Chamber as they are shown: what the house says is put into words here, and nowhere before.

create type private.declaration as (
  id uuid,
  community_id uuid,
  "user" json,
  title text,
  description text,
  cc_spent integer,
  image_url text,
  witnessed_count integer,
  has_witnessed boolean,
  created_at timestamptz
);
comment on type private.declaration is 'The shape declaration, key by attribute.';

create view private.shown_declarations with (security_invoker = on) as
select
  d.id,
  d.community_id,
  d.user_id,
  d.day,
  d.number,
  row(
    d.id,
    d.community_id,
    a.person,
    case when a.is_erased then '' else d.title end,
    case when a.is_erased then '' else d.description end,
    d.cc_spent,
    case when not a.is_erased then d.image_url end,
    d.witnessed_count,
    d.witnessed_count > 0 and exists (
      select from private.witnesses as w
      where w.community_id = d.community_id and w.declaration_id = d.id and w.user_id = (select private.caller_id())
    ),
    d.created_at
  )::private.declaration as declaration
from private.declarations as d
left join lateral (
  select
    p.person,
    p.is_erased
  from private.shown_people as p
  where p.id = d.user_id
  order by p.id
  limit 1
) as a on true;
comment on view private.shown_declarations is
'The shape declaration of every joy, as the caller sees it; its words only while their author is not erased. Beside it
what pages go by.

Pages make json of it, not jsonb: text written once, where jsonb would be taken apart and put together at every level
(measured: a page of the Chamber in a third of the time). The limit has authors looked up one by one, so that no page is
ever read by a scan of everybody.';
grant select on private.shown_declarations to authenticated;

create function private.said_lines(
  p_community_id uuid, p_message_ids bigint[], out id bigint, out content text, out facts jsonb, out people json
)
returns setof record
language plpgsql stable security definer rows 20 set search_path = ''
as $$
begin
  return query
  with lines as materialized (
    select
      m.id, m.event, m.facts, m.deleted_at is not null as is_gone, private.people_in(m.facts) as named,
      row_number() over (order by m.id) as place
    from private.chat_messages as m
    where m.community_id = p_community_id and m.id = any(p_message_ids) and m.type = 'system'
  ), said as materialized (
    -- All at once, and everybody whom any of them names looked up once.
    select private.say_each(
      'line', array(select (p_community_id, l.event, l.facts)::private.saying from lines as l order by l.place),
      (
        select jsonb_object_agg(p.id, p.called) from private.shown_people as p
        where p.id = any(array(select unnest(l.named) from lines as l))
      )
    ) as sentences
  )
  select
    l.id,
    case when l.is_gone then '' else s.sentences[l.place] end,
    case when l.facts ?| '{reason_id,title_id}' then private.show_facts(p_community_id, l.facts) else l.facts end,
    (
      select coalesce(json_agg(p.person order by array_position(l.named, p.id)), '[]')
      from private.shown_people as p where p.id = any(l.named)
    )
  from lines as l
  cross join said as s;
end;
$$;
comment on function private.said_lines is
'What the house says in those of these lines that are its own: the sentence as of this moment, the facts, and the people
they name. Only for a door that has asked whose Chamber it is.';

create type private.message as (
  id bigint,
  community_id uuid,
  type text,
  "user" json,
  content text,
  event text,
  facts jsonb,
  people json,
  declaration private.declaration,
  borrow_request json,
  tip_to_tip json,
  election json,
  created_at timestamptz,
  edited_at timestamptz,
  deleted boolean,
  struck_reason text
);
comment on type private.message is 'The shape message, key by attribute.';

create view private.shown_messages with (security_invoker = on) as
select
  m.community_id,
  m.id,
  m.type,
  row(
    m.id,
    m.community_id,
    m.type,
    coalesce(a.person, (c.declaration).user),
    case when a.is_erased then '' else m.content end,
    m.event,
    m.facts,
    '[]',
    c.declaration,
    null,
    null,
    null,
    m.created_at,
    m.edited_at,
    m.deleted_at is not null or (m.type = 'message' and a.is_erased),
    case when m.struck_reason_id is not null then private.read_words(m.community_id, m.struck_reason_id) end
  )::private.message as message
from private.chat_messages as m
left join lateral (
  select d.declaration from private.shown_declarations as d
  where m.type = 'declaration' and d.community_id = m.community_id and d.id = m.reference_id
  order by d.id
  limit 1
) as c on true
left join lateral (
  -- Who declared a joy is told by its card.
  select
    p.person,
    p.is_erased
  from private.shown_people as p
  where m.type <> 'declaration' and p.id = m.user_id
  order by p.id
  limit 1
) as a on true;
comment on view private.shown_messages is
'The shape message of every line. The house''s own lines are without words still, and of the cards only the joys, which
the Chamber is full of, are filled in: private.said_lines and the rooms of the other cards do that. Only for the kernel.';

create function private.show_message(p_community_id uuid, p_message_id bigint, p_card jsonb default null)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      to_jsonb(s.message) || case
        when s.type = 'system' then (
          select to_jsonb(o) from private.said_lines(p_community_id, array[p_message_id]) as o
        )
        when p_card is not null then jsonb_build_object(s.type, p_card)
        else '{}'
      end
    from private.shown_messages as s
    where s.community_id = p_community_id and s.id = p_message_id
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
    'event', null, 'facts', null, 'people', '[]'::jsonb, 'declaration', null, 'borrow_request', null, 'tip_to_tip', null,
    'election', null, 'created_at', p_at, 'edited_at', null, 'deleted', false,
    'struck_reason', null, p_type, p_card
  );
end;
$$;
comment on function private.show_new_card is
'What private.show_message would say of a card posted in this transaction, without reading it back.';

create function private.show_new_ask(
  p_message_id bigint, p_community_id uuid, p_type text, p_person json, p_card json, p_at timestamptz
)
returns private.message
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    p_message_id, p_community_id, p_type, p_person, '', null, null, '[]', null,
    case when p_type = 'borrow_request' then p_card end, case when p_type = 'tip_to_tip' then p_card end, null, p_at,
    null, false, null
  )::private.message;
end;
$$;
comment on function private.show_new_ask is
'As private.show_new_card, of a request or a proposal.';

create function private.show_new_line(
  p_message_id bigint, p_community_id uuid, p_event text, p_facts jsonb, p_lender private.users,
  p_borrower private.users, p_at timestamptz
)
returns private.message
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    p_message_id, p_community_id, 'system', null,
    -- The sentence's places are numbered before anything is filled in: no name can be mistaken for one.
    format(
      replace(replace(replace(
        private.events() -> 'line' -> p_event -> -1 ->> 'say', '{lender}', '%1$s'), '{borrower}', '%2$s'), '{amount}', '%3$s'
      ),
      private.called(p_lender), private.called(p_borrower), p_facts ->> 'amount'
    ),
    p_event, p_facts, json_build_array(p_lender.person, p_borrower.person), null, null, null, null, p_at, null, false, null
  )::private.message;
end;
$$;
comment on function private.show_new_line is
'What private.show_message would say of a line about a loan posted in this transaction, without reading it back: its
sentence names lender, borrower and amount, and nothing else.';
