-- A line of the Chamber as it is shown: what the house says is put into words here, and nowhere before.

create view private.shown_messages with (security_invoker = on) as
select
  m.id,
  m.community_id,
  m.type,
  case
    when m.type = 'system' and m.deleted_at is null then private.say('line', m.community_id, m.event, m.facts)
    when p.is_erased then ''
    else m.content
  end as content,
  m.event,
  case when m.type = 'system' then private.show_facts(m.community_id, m.facts) end as facts,
  case when m.type = 'system' then private.show_people(private.people_in(m.facts)) else '[]'::jsonb end as people,
  m.created_at,
  m.edited_at,
  case
    when m.struck_reason_id is not null then private.read_words(m.community_id, m.struck_reason_id)
  end as struck_reason,
  m.reference_id,
  null::jsonb as declaration,
  null::jsonb as borrow_request,
  null::jsonb as tip_to_tip,
  null::jsonb as election,
  p.person as user,
  m.deleted_at is not null or (m.type = 'message' and p.is_erased) as deleted
from private.chat_messages as m
left join private.shown_people as p on m.user_id = p.id;
comment on view private.shown_messages is
'The shape message, key by column, with every card still null: the rooms of the cards fill theirs in. Beside it,
reference_id: what a card shows. Only for the kernel.';

create function private.show_message(p_community_id uuid, p_message_id bigint, p_card jsonb default null)
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
