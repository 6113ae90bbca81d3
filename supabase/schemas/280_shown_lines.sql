-- A line of the Chamber as it is shown: what the house says is put into words here, and nowhere before.

create function private.said_lines(
  p_community_id uuid, p_message_ids bigint[], out id bigint, out content text, out facts jsonb, out people jsonb
)
returns setof record
language plpgsql stable security definer rows 20 set search_path = ''
as $$
declare
  v_people jsonb;
  v_called jsonb;
  v_line record;
  v_id uuid;
begin
  -- Everybody whom any of these lines names is looked up once, and the list of sentences is read once.
  select
    jsonb_object_agg(p.id, p.person),
    jsonb_object_agg(p.id, case when p.is_erased then 'a former member' else '“' || (p.person ->> 'display_name') || '”' end)
  into v_people, v_called
  from private.shown_people as p
  where p.id = any(array(
    select distinct unnest(private.people_in(m.facts)) from private.chat_messages as m
    where m.community_id = p_community_id and m.id = any(p_message_ids) and m.type = 'system'
  ));
  for v_line in
    select distinct on (m.id) m.id, m.facts, m.deleted_at is not null as is_gone, e.sentence
    from private.chat_messages as m
    left join private.events() with ordinality as e (place, event, condition, sentence, body, turn)
      on e.place = 'line' and e.event = m.event and m.facts @> e.condition
    where m.community_id = p_community_id and m.id = any(p_message_ids) and m.type = 'system'
    order by m.id, e.turn
  loop
    id := v_line.id;
    facts := private.show_facts(p_community_id, v_line.facts);
    if v_line.is_gone then
      content := '';
    elsif strpos(v_line.sentence, '[') = 0 then
      content := private.fill_piece(v_line.sentence, p_community_id, v_line.facts, v_called, 'somebody');
    else
      content := private.make_sentence(v_line.sentence, p_community_id, v_line.facts, v_called);
    end if;
    people := '[]'::jsonb;
    foreach v_id in array private.people_in(v_line.facts) loop
      if not people @> jsonb_build_array(v_people -> v_id::text) then
        people := people || (v_people -> v_id::text);
      end if;
    end loop;
    return next;
  end loop;
end;
$$;
comment on function private.said_lines is
'What the house says in those of these lines that are its own: the sentence as of this moment, the facts, and the people
they name. Only for a door that has asked whose Chamber it is.';

create view private.shown_messages with (security_invoker = on) as
select
  m.id,
  m.community_id,
  m.type,
  m.event,
  m.facts,
  m.created_at,
  m.edited_at,
  m.reference_id,
  p.person as user,
  '[]'::jsonb as people,
  null::jsonb as declaration,
  null::jsonb as borrow_request,
  null::jsonb as tip_to_tip,
  null::jsonb as election,
  case when p.is_erased then '' else m.content end as content,
  case
    when m.struck_reason_id is not null then private.read_words(m.community_id, m.struck_reason_id)
  end as struck_reason,
  m.deleted_at is not null or (m.type = 'message' and p.is_erased) as deleted
from private.chat_messages as m
left join private.shown_people as p on m.user_id = p.id;
comment on view private.shown_messages is
'The shape message, key by column, with every card still null and the house''s own lines still without words: the rooms
of the cards and private.said_lines fill them in. Beside it, reference_id: what a card shows. Only for the kernel.';

create function private.show_message(p_community_id uuid, p_message_id bigint, p_card jsonb default null)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      to_jsonb(s) - 'reference_id' || case
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
