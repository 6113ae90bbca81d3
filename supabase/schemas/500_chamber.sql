-- The Chamber as members see it: the talk, every act told in full (RULES 3).

create function private.fill_cards(p_community_id uuid, p_lines private.message[])
returns private.message[]
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_types text[];
  v_message_ids bigint[];
  v_ids uuid[];
  v_cards jsonb := jsonb_build_object();
  v_line record;
begin
  -- Joys are what a page is full of. The other cards are asked for only where there are some: to have them all in one
  -- statement would cost a page of talk the setting up of them.
  select array_agg(distinct m.type), array_agg(m.id), array_agg(m.reference_id) into v_types, v_message_ids, v_ids
  from unnest(p_lines) as l
  join private.chat_messages as m on m.community_id = p_community_id and m.id = l.id
  where l.type in ('borrow_request', 'tip_to_tip', 'election', 'system');
  if v_types is null then
    return p_lines;
  end if;
  if 'borrow_request' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(b.id, to_jsonb(b.borrow_request)), '{}') into v_cards
    from private.shown_borrow_requests as b where b.community_id = p_community_id and b.id = any(v_ids);
  end if;
  if 'tip_to_tip' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(t.id, to_jsonb(t.proposal)), '{}') into v_cards
    from private.shown_proposals as t where t.community_id = p_community_id and t.id = any(v_ids);
  end if;
  if 'election' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(e.id, e.election), '{}') into v_cards
    from private.shown_elections as e where e.community_id = p_community_id and e.id = any(v_ids);
  end if;
  for v_line in
    select l.ordinality as place, m.type, v_cards -> m.reference_id::text as card
    from unnest(p_lines) with ordinality as l
    join private.chat_messages as m on m.community_id = p_community_id and m.id = l.id
    where l.type in ('borrow_request', 'tip_to_tip', 'election')
  loop
    case v_line.type
      when 'borrow_request' then p_lines[v_line.place].borrow_request := v_line.card;
      when 'tip_to_tip' then p_lines[v_line.place].tip_to_tip := v_line.card;
      else p_lines[v_line.place].election := v_line.card;
    end case;
  end loop;
  if 'system' = any(v_types) then
    for v_line in
      select l.ordinality as place, o.content, o.facts, o.people
      from private.said_lines(p_community_id, v_message_ids) as o
      join unnest(p_lines) with ordinality as l on l.id = o.id
    loop
      p_lines[v_line.place].content := v_line.content;
      p_lines[v_line.place].facts := v_line.facts;
      p_lines[v_line.place].people := v_line.people;
    end loop;
  end if;
  return p_lines;
end;
$$;
comment on function private.fill_cards is
'These lines with the cards that are still missing, and with the words of the house''s own.

Only for a door that has asked whose Chamber it is: row level security would ask it again for every table a card is
made of.';

create function private.show_line(p_community_id uuid, p_message_id bigint)
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_line private.message[] := array(
    select s.message from private.shown_messages as s where s.community_id = p_community_id and s.id = p_message_id
  );
begin
  return json_build_object('message', (private.fill_cards(p_community_id, v_line))[1]);
end;
$$;
comment on function private.show_line is 'What acts on one line answer: {message}, card and all.';

create function private.list_messages(p_community_id uuid, p_page_size integer, p_before_id bigint, p_after_id bigint)
returns json
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  v_page private.message[];
  v_lacks boolean;
  v_more boolean;
  v_safe bigint;
begin
  perform private.require_member(p_community_id);
  perform private.require_page_size(p_page_size);
  if p_before_id is not null and p_after_id is not null then
    perform private.refuse('INVALID_INPUT', 'Page before a message or after one, not both.',
      '{"field": "after_id"}');
  elsif p_after_id is not null then
    -- Asked before the page is read: this function is volatile so that the page has a later snapshot.
    v_safe := private.safe_position();
    select array_agg(s.message order by s.id), bool_or(s.type not in ('message', 'declaration')) into v_page, v_lacks
    from (
      select s.id, s.type, s.message from private.shown_messages as s
      where s.community_id = p_community_id and s.id > p_after_id and s.id <= v_safe
      order by s.id
      limit p_page_size + 1
    ) as s;
    v_more := cardinality(v_page) > p_page_size;
    v_page := v_page[:p_page_size];
  else
    select array_agg(s.message order by s.id), bool_or(s.type not in ('message', 'declaration')) into v_page, v_lacks
    from (
      select s.id, s.type, s.message from private.shown_messages as s
      where s.community_id = p_community_id and s.id < coalesce(p_before_id, 9223372036854775807)
      order by s.id desc
      limit p_page_size + 1
    ) as s;
    v_more := cardinality(v_page) > p_page_size;
    v_page := v_page[1 + v_more::integer:];
  end if;
  if v_lacks then
    v_page := private.fill_cards(p_community_id, v_page);
  end if;
  return json_build_object('messages', coalesce(to_json(v_page), '[]'), 'has_more', coalesce(v_more, false));
end;
$$;
comment on function private.list_messages is
'Of a page the lines, their authors and the joys are one statement, by the index it is paged by; one plan serves every
community, for to weigh it anew would cost as much as a page.';

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
grant execute on function public.list_messages, private.list_messages to authenticated;

create function private.require_line(p_message_id bigint)
returns private.chat_messages
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_line private.chat_messages;
begin
  select m.* into v_line from private.chat_messages as m where m.id = p_message_id;
  perform private.require_seen(v_line.community_id, 'message');
  return v_line;
end;
$$;
comment on function private.require_line is
'Returns a line of a Chamber the caller is in. Refuses: as private.require_seen.';

create function private.get_message(p_message_id bigint)
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_line private.chat_messages := private.require_line(p_message_id);
begin
  return private.show_line(v_line.community_id, p_message_id);
end;
$$;

create function public.get_message(message_id bigint)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.get_message(get_message.message_id);
end;
$$;
comment on function public.get_message is
'One line of a Chamber.

Returns {message}. Refuses: NOT_FOUND.';
grant execute on function public.get_message, private.get_message to authenticated;

create function private.send_message(p_community_id uuid, p_content text, p_request_id uuid)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.begin_words(p_community_id);
  v_now timestamptz := private.clock();
  v_id bigint := private.next_line_id();
  v_made jsonb := private.claim(
    v_me.id, 'send_message', p_request_id, jsonb_build_array(p_community_id, p_content),
    jsonb_build_object('message_id', v_id), v_now
  );
begin
  if v_made is not null then
    return private.show_line(p_community_id, (v_made ->> 'message_id')::bigint);
  end if;
  -- One glance for what most say.
  if (p_content ~ '[A-Za-z0-9]' and char_length(p_content) <= 2000) is not true then
    perform private.require_text('content', p_content, 2000);
  end if;
  perform private.require_message_rate(p_community_id, v_me.id, v_now);
  perform private.write_line(
    v_id, p_community_id, v_me.id, 'message', p_content, null, null, null, null, v_now
  );
  perform private.tell(
    ('community:' || p_community_id::text, 'message', jsonb_build_object('message_id', v_id))
  );
  return json_build_object('message', (
    v_id, p_community_id, 'message', v_me.person, p_content, null, null, '[]', null, null, null, null,
    v_now, null, false, null
  )::private.message);
end;
$$;

create function public.send_message(community_id uuid, content text, request_id uuid default null)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.send_message(send_message.community_id, send_message.content, send_message.request_id);
end;
$$;
comment on function public.send_message is
'Says something in the Chamber: 1 to 2000 characters, at most 20 messages a minute; day or night.

Returns {message}. Refuses: RATE_LIMITED {most, possible_at, retry_after}, INVALID_INPUT, NOT_FOUND, CONFLICT
(request_id).';
grant execute on function public.send_message, private.send_message to authenticated;

create function private.lock_own_message(p_message_id bigint)
returns private.chat_messages
language plpgsql security definer set search_path = ''
as $$
declare
  v_line private.chat_messages := private.require_line(p_message_id);
begin
  perform private.require_acting_member(v_line.community_id);
  if v_line.user_id is distinct from private.caller_id() then
    perform private.refuse('FORBIDDEN', 'Only its author may change a message.');
  elsif v_line.type <> 'message' then
    perform private.refuse('FORBIDDEN', 'A card stands as it was posted.');
  end if;
  return private.lock_line(v_line.community_id, p_message_id);
end;
$$;
comment on function private.lock_own_message is
'Locks a plain message of the caller''s own. Refuses: FORBIDDEN (another''s, or a card), NOT_FOUND.';

create function private.edit_message(p_message_id bigint, p_content text)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_line private.chat_messages := private.lock_own_message(p_message_id);
begin
  perform private.require_text('content', p_content, 2000);
  if v_line.deleted_at is not null then
    perform private.refuse('CONFLICT', 'This message is deleted.');
  elsif v_line.created_at + interval '15 minutes' <= private.clock() then
    perform private.refuse('EDIT_WINDOW_PASSED', 'A message may be edited for 15 minutes.',
      jsonb_build_object('passed_at', v_line.created_at + interval '15 minutes'));
  end if;
  perform private.count_quiet_act(
    v_line.community_id, v_line.user_id, v_line.created_at + interval '15 minutes'
  );
  perform private.rewrite_line(v_line.community_id, p_message_id, p_content);
  return private.show_line(v_line.community_id, p_message_id);
end;
$$;

create function public.edit_message(message_id bigint, content text)
returns json
language sql security invoker set search_path = ''
begin atomic
  select private.edit_message(edit_message.message_id, edit_message.content);
end;
comment on function public.edit_message is
'The author rewrites a plain message within 15 minutes of posting it.

Returns {message}. Refuses: EDIT_WINDOW_PASSED {passed_at}, FORBIDDEN (another''s, or a card), CONFLICT (deleted),
RATE_LIMITED {most, possible_at, retry_after} (thirty a minute), INVALID_INPUT, NOT_FOUND.';
grant execute on function public.edit_message, private.edit_message to authenticated;

create function private.delete_message(p_message_id bigint)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_line private.chat_messages := private.lock_own_message(p_message_id);
begin
  if v_line.deleted_at is null then
    perform private.blank_line(v_line.community_id, p_message_id, null);
  end if;
  return private.show_line(v_line.community_id, p_message_id);
end;
$$;

create function public.delete_message(message_id bigint)
returns json
language sql security invoker set search_path = ''
begin atomic
  select private.delete_message(delete_message.message_id);
end;
comment on function public.delete_message is
'Deletes a plain message of the caller''s own, at any time.

Its words are gone for good, an empty line stays; doing it again changes nothing. Returns {message}. Refuses:
FORBIDDEN (another''s, or a card), NOT_FOUND.';
grant execute on function public.delete_message, private.delete_message to authenticated;

create function private.strike_words_of(p_line private.chat_messages)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  case p_line.type
    when 'declaration' then perform private.strike_declaration(p_line.community_id, p_line.reference_id);
    when 'borrow_request' then perform private.strike_borrow_request(p_line.community_id, p_line.reference_id);
    when 'tip_to_tip' then perform private.strike_proposal(p_line.community_id, p_line.reference_id);
    when 'election' then perform private.strike_election(p_line.community_id, p_line.reference_id);
    when 'system' then perform private.strike_words(p_line.community_id, (p_line.facts ->> 'reason_id')::bigint);
    else null;
  end case;
end;
$$;
comment on function private.strike_words_of is
'Takes away the words of the thing a card shows, or the reason a system line repeats: they are gone from every list and
notice, for these look them up.';

create function private.strike_message(p_message_id bigint, p_reason text)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_line private.chat_messages := private.require_line(p_message_id);
  v_me private.community_members := private.require_acting_moderator(v_line.community_id);
  v_reason_id bigint;
begin
  perform private.require_text('reason', p_reason, 280);
  v_line := private.lock_line(v_line.community_id, p_message_id);
  perform private.count_quiet_act(v_line.community_id, v_me.user_id);
  v_reason_id := private.keep_words(v_line.community_id, v_me.user_id, p_reason);
  perform private.strike_words_of(v_line);
  perform private.blank_line(v_line.community_id, p_message_id, v_reason_id);
  perform private.record_act(
    v_line.community_id, v_me.user_id, 'message_struck', v_line.user_id,
    jsonb_build_object('message_id', p_message_id, 'type', v_line.type, 'reason_id', v_reason_id)
  );
  return private.show_line(v_line.community_id, p_message_id);
end;
$$;

create function public.strike_message(message_id bigint, reason text)
returns json
language sql security invoker set search_path = ''
begin atomic
  select private.strike_message(strike_message.message_id, strike_message.reason);
end;
comment on function public.strike_message is
'A moderator strikes any line, with a reason of 1 to 280 characters that stays beside it.

Its words vanish, a card''s in every list too; its money stays. Kept in the audit log. Returns {message}. Refuses:
FORBIDDEN, RATE_LIMITED {most, possible_at, retry_after} (thirty a minute), INVALID_INPUT, NOT_FOUND.';
grant execute on function public.strike_message, private.strike_message to authenticated;

create function private.mark_chamber_read(p_community_id uuid, p_message_id bigint)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_acting_member(p_community_id);
begin
  if not exists (
    select from private.chat_messages as m where m.id = p_message_id and m.community_id = p_community_id
  ) then
    perform private.refuse('NOT_FOUND', 'There is no such message here.');
  end if;
  perform private.move_mark(p_community_id, v_me.user_id, p_message_id);
  return jsonb_build_object('unread', private.count_unread(p_community_id, v_me.user_id));
end;
$$;

create function public.mark_chamber_read(community_id uuid, message_id bigint)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.mark_chamber_read(mark_chamber_read.community_id, mark_chamber_read.message_id);
end;
$$;
comment on function public.mark_chamber_read is
'Sets the caller''s mark at a message; it moves forward only.

A line that is committed late, by an act under way while the mark was set past it, counts as read. Returns {unread}:
what others wrote since, at most 1000. Refuses: NOT_FOUND.';
grant execute on function public.mark_chamber_read, private.mark_chamber_read to authenticated;
