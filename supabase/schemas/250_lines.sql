-- The Chamber's lines as they are stored: messages, cards and the system's own words (RULES 3).

create function private.is_sound_line(p_type text, p_user_id uuid, p_event text, p_reference_id uuid)
returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  return case
    when p_type = 'message' then p_user_id is not null and p_event is null
    when p_type = 'system' then p_user_id is null and p_event is not null
    when p_type in ('declaration', 'borrow_request', 'tip_to_tip', 'election')
      then p_user_id is not null and p_event is null and p_reference_id is not null
    else false
  end;
end;
$$;
comment on function private.is_sound_line is
'Whether a line of the Chamber is of a known type and has what its type needs: a system line an event and no author,
every other line an author and no event, a card what it shows.';

create table private.chat_messages (
  id bigint generated always as identity,
  community_id uuid not null,
  user_id uuid,
  type text not null,
  content text not null default '',
  reference_id uuid,
  event text,
  facts jsonb,
  created_at timestamptz not null,
  edited_at timestamptz,
  deleted_at timestamptz,
  struck_reason text,
  constraint chat_messages_pkey primary key (id),
  constraint chat_messages_community_id_fkey foreign key (community_id) references private.communities (id),
  constraint chat_messages_author_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint chat_messages_content_length check (char_length(content) <= 2000),
  constraint chat_messages_line_is_sound check (private.is_sound_line(type, user_id, event, reference_id))
);
comment on table private.chat_messages is
'Every line of every Chamber. A card names what it shows in reference_id; a system line has no author, but an event
and its facts. A deleted or struck line stays as an empty one.';
create index chat_messages_community_id_id_idx on private.chat_messages (community_id, id);
create index chat_messages_community_id_user_id_created_at_idx on private.chat_messages (
  community_id, user_id, created_at
);
create index chat_messages_system_lines_idx on private.chat_messages (community_id, id) where type = 'system';
create index chat_messages_reference_id_idx on private.chat_messages (reference_id) where reference_id is not null;
alter table private.chat_messages enable row level security;
create policy members_read_chat_messages on private.chat_messages for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.chat_messages to authenticated;

create table private.chamber_marks (
  community_id uuid not null,
  user_id uuid not null,
  last_read_id bigint not null,
  constraint chamber_marks_pkey primary key (community_id, user_id),
  constraint chamber_marks_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id)
);
comment on table private.chamber_marks is 'How far each member has read their Chamber.';
alter table private.chamber_marks enable row level security;
create policy people_read_their_marks on private.chamber_marks for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on private.chamber_marks to authenticated;

create function private.take_position()
returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  -- The last id handed to any line of any Chamber, committed or not; null before the first line ever.
  perform pg_advisory_xact_lock_shared(coalesce(pg_sequence_last_value('private.chat_messages_id_seq'), 0));
end;
$$;
comment on function private.take_position is
'Says to readers that lines with ids above the present one are being written and not yet committed.

Ids are handed out before their transactions commit, so id 6 may be readable before id 5. Every writer therefore
holds, from before it takes an id until it commits, a shared lock on a number no greater than that id; see
private.safe_position.';

create function private.safe_position()
returns bigint
language plpgsql volatile security definer set search_path = ''
as $$
declare
  -- In this order: whoever took an id up to v_last had their lock before, so they hold it still or have committed.
  v_last bigint := coalesce(pg_sequence_last_value('private.chat_messages_id_seq'), 0);
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
comment on function private.safe_position is
'A line''s id up to which nothing can appear any more that a later statement would not see: what a reader who pages
forward may be shown (RULES 3.3). It comes late by as much as the longest act now under way, and never skips.';

create function private.post_message(
  p_community_id uuid, p_user_id uuid, p_type text, p_content text, p_reference_id uuid default null,
  p_event text default null, p_facts jsonb default null, p_at timestamptz default private.clock()
)
returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  v_id bigint;
begin
  perform private.take_position();
  insert into private.chat_messages (community_id, user_id, type, content, reference_id, event, facts, created_at)
  values (p_community_id, p_user_id, p_type, p_content, p_reference_id, p_event, p_facts, p_at)
  returning id into v_id;
  perform private.tell_community(p_community_id, 'message', jsonb_build_object('message_id', v_id));
  return v_id;
end;
$$;
comment on function private.post_message is 'Puts one line into a Chamber, the only way there is, and returns its id.';

create function private.announce(
  p_community_id uuid,
  p_event text,
  p_content text,
  p_facts jsonb default '{}',
  p_at timestamptz default private.clock()
)
returns bigint
language plpgsql security definer set search_path = ''
as $$
begin
  return private.post_message(p_community_id, null, 'system', p_content, null, p_event, p_facts, p_at);
end;
$$;
comment on function private.announce is 'Posts a system line with its event and facts, and returns its id.';

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
from private.chat_messages as m;
comment on view private.shown_messages is
'The shape message, key by column, with every card still null: the rooms of the cards fill theirs in. Beside it,
reference_id: what a card shows. Authors are looked up, not joined, so that no page is ever read by a scan of
everybody. Only for the kernel.';

create function private.show_message(p_message_id bigint, p_card jsonb default null)
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

create function private.lock_line(p_message_id bigint)
returns private.chat_messages
language plpgsql security definer set search_path = ''
as $$
declare
  v_row private.chat_messages;
begin
  select m.* into v_row from private.chat_messages as m
  where m.id = p_message_id for no key update;
  return v_row;
end;
$$;
comment on function private.lock_line is 'Locks a line until the transaction ends and returns it.';

create function private.rewrite_line(p_message_id bigint, p_content text)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_community_id uuid;
begin
  update private.chat_messages as m set content = p_content, edited_at = private.clock()
  where m.id = p_message_id
  returning m.community_id into v_community_id;
  perform private.tell_community(v_community_id, 'message_changed', jsonb_build_object('message_id', p_message_id));
end;
$$;
comment on function private.rewrite_line is 'Gives a locked line new words.';

create function private.blank_line(p_message_id bigint, p_struck_reason text)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_community_id uuid;
begin
  update private.chat_messages as m
  set
    content = '', facts = case when m.type = 'system' then '{}'::jsonb end,
    deleted_at = coalesce(m.deleted_at, private.clock()), struck_reason = coalesce(p_struck_reason, m.struck_reason)
  where m.id = p_message_id
  returning m.community_id into v_community_id;
  perform private.tell_community(v_community_id, 'message_changed', jsonb_build_object('message_id', p_message_id));
end;
$$;
comment on function private.blank_line is
'Empties a locked line for good: deleted by its author or, where a reason is given, struck by a moderator.';

create function private.erase_lines_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.chat_messages as m
  set content = '', deleted_at = coalesce(m.deleted_at, private.clock())
  where
    m.type = 'message' and m.content <> ''
    and (m.community_id, m.user_id) in (
      select o.community_id, o.user_id from private.community_members as o
      where o.user_id = p_user_id
    );
  delete from private.chamber_marks as c
  where (c.community_id, c.user_id) in (
    select o.community_id, o.user_id from private.community_members as o
    where o.user_id = p_user_id
  );
end;
$$;
comment on function private.erase_lines_of is
'Deletes every plain message of a person who is erased, leaving tombstones; their cards stay as they are.';

create function private.erase_in_lines(p_user_id uuid, p_community_ids uuid[], p_names text[])
returns void
language sql security definer set search_path = ''
begin atomic
  update private.chat_messages as m
  set content = private.without_names(m.content, p_names)
  where
    m.community_id = any(p_community_ids) and m.type = 'system'
    and strpos(m.facts::text, p_user_id::text) > 0
    and private.without_names(m.content, p_names) <> m.content;
end;
comment on function private.erase_in_lines is
'Takes an erased person''s names out of the system lines whose facts name them; every line that says a name must.';

create function private.move_mark(p_community_id uuid, p_user_id uuid, p_message_id bigint)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.chamber_marks as c (community_id, user_id, last_read_id)
  values (p_community_id, p_user_id, p_message_id)
  on conflict (community_id, user_id) do update
    set last_read_id = excluded.last_read_id
    where c.last_read_id < excluded.last_read_id;
end;
$$;
comment on function private.move_mark is 'Moves a member''s mark forward to a line, never back.';

create function private.begin_reading(p_community_id uuid, p_user_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  select private.move_mark(p_community_id, p_user_id, (
    select coalesce(max(m.id), 0) from private.chat_messages as m
    where m.community_id = p_community_id
  ));
end;
comment on function private.begin_reading is
'Sets the mark of someone who joins at the end: what was said before is not unread.';

create function private.count_unread(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select count(*)::integer
    from (
      select from private.chat_messages as m
      where
        m.community_id = p_community_id
        and m.id > coalesce((
          select c.last_read_id from private.chamber_marks as c
          where c.community_id = p_community_id and c.user_id = p_user_id
        ), 0)
        and m.user_id <> p_user_id
      order by m.id
      limit 1000
    ) as unread
  );
end;
$$;
comment on function private.count_unread is
'How many lines others wrote since a member''s mark: messages and cards, not system lines. It stops counting at 1000,
so that a Chamber long unread costs no more than that.';
