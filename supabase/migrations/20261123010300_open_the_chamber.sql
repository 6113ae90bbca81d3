-- Notices and the lines of the Chamber.

-- Notices to one person (RULES 11.1).

create table public.notifications (
  id bigint generated always as identity,
  community_id uuid not null,
  user_id uuid not null,
  type text not null,
  title text not null,
  body text not null default '',
  ref_kind text not null,
  ref_id uuid not null,
  count integer not null default 1,
  read_at timestamptz,
  created_at timestamptz not null,
  constraint notifications_pkey primary key (id),
  constraint notifications_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id),
  constraint notifications_type_known check (
    type in (
      'witnessed', 'borrow_request', 'borrow_approved', 'borrow_declined', 'tip_to_tip', 'jashn_e_chas', 'election',
      'system'
    )
  )
);
comment on table public.notifications is
'Notices, each to one person; created_at is when the latest of those folded into it happened. Kept 90 days.';
create unique index notifications_one_unread_per_thing on public.notifications (user_id, type, ref_id, ref_kind)
where read_at is null;
create index notifications_user_id_id_idx on public.notifications (user_id, id);
create index notifications_community_id_user_id_idx on public.notifications (community_id, user_id);
create index notifications_created_at_idx on public.notifications (created_at);
alter table public.notifications enable row level security;
create policy people_read_their_notifications on public.notifications for select to authenticated
using (user_id = (select private.my_id()));
grant select on public.notifications to authenticated;

create table public.notification_mutes (
  community_id uuid not null,
  user_id uuid not null,
  type text not null,
  constraint notification_mutes_pkey primary key (community_id, user_id, type),
  constraint notification_mutes_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id)
);
comment on table public.notification_mutes is 'Which types of notice a member does not want from a community.';
alter table public.notification_mutes enable row level security;
create policy people_read_their_mutes on public.notification_mutes for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on public.notification_mutes to authenticated;

create function private.notify(
  p_user_ids uuid[], p_community_id uuid, p_type text, p_ref_kind text, p_ref_id uuid, p_title text, p_body text,
  p_is_ask boolean default false, p_at timestamptz default private.clock()
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  -- In id order, so that two tellings of the same people never wait for each other in a ring.
  insert into public.notifications as n (community_id, user_id, type, title, body, ref_kind, ref_id, created_at)
  select p_community_id, u.id, p_type, p_title, p_body, p_ref_kind, p_ref_id, p_at
  from unnest(p_user_ids) as u (id)
  where p_is_ask or not exists (
    select from public.notification_mutes as m
    where m.community_id = p_community_id and m.user_id = u.id and m.type = p_type
  )
  order by u.id
  on conflict (user_id, type, ref_id, ref_kind) where read_at is null do update
  set count = n.count + 1, title = excluded.title, body = excluded.body, created_at = excluded.created_at;
  if found and cardinality(p_user_ids) = 1 then
    perform private.tell_user(p_user_ids[1], 'notification', jsonb_build_object('ref_kind', p_ref_kind, 'ref_id', p_ref_id));
  end if;
end;
$$;
comment on function private.notify is
'Tells members of a community something, in one statement however many they are; what is unread about the same thing
folds.

p_is_ask: a vote or a loan request addressed to them, which no mute silences. One person told alone also hears a
broadcast on their own topic; what is told to many, the community''s topic carries already.';
revoke all on function private.notify from public, anon, authenticated, service_role;

create view private.shown_notifications with (security_invoker = on) as
select
  n.id,
  n.user_id,
  n.read_at,
  jsonb_build_object(
    'id', n.id, 'community_id', n.community_id, 'type', n.type, 'title', n.title, 'body', n.body,
    'read', n.read_at is not null, 'count', n.count, 'ref_kind', n.ref_kind, 'ref_id', n.ref_id,
    'created_at', n.created_at
  ) as notification
from public.notifications as n;
comment on view private.shown_notifications is 'The shape notification.';
grant select on private.shown_notifications to authenticated;

create function public.list_notifications(
  unread_only boolean default false, page_size integer default 50, before_id bigint default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_page jsonb[];
begin
  perform private.require_page_size(list_notifications.page_size);
  v_page := array(
    select s.notification from private.shown_notifications as s
    where s.user_id = v_me.id
      and s.id < coalesce(before_id, 9223372036854775807)
      and (s.read_at is null or not coalesce(unread_only, false))
    order by s.id desc
    limit page_size + 1
  );
  return jsonb_build_object(
    'notifications', to_jsonb(v_page[:page_size]),
    'has_more', cardinality(v_page) > page_size,
    'unread', (select count(*) from public.notifications as n where n.user_id = v_me.id and n.read_at is null)
  );
end;
$$;
comment on function public.list_notifications is
'The caller''s notices from all their communities, newest first.

New is when a thing was first told: one that folds more in keeps its place and its id. Returns {notifications:
[notification], has_more, unread}. Refuses: INVALID_INPUT.';
revoke all on function public.list_notifications from public, anon, authenticated, service_role;
grant execute on function public.list_notifications to authenticated;

create function private.mark_notification_read(p_notification_id bigint)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
begin
  update public.notifications as n
  set read_at = coalesce(n.read_at, private.clock())
  where n.id = p_notification_id and n.user_id = v_me.id;
  if not found then
    perform private.refuse('NOT_FOUND', 'There is no such notification.');
  end if;
  return (
    select jsonb_build_object('notification', s.notification)
    from private.shown_notifications as s where s.id = p_notification_id
  );
end;
$$;
comment on function private.mark_notification_read is 'What mark_notification_read does.';
revoke all on function private.mark_notification_read from public, anon, authenticated, service_role;

create function public.mark_notification_read(notification_id bigint)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.mark_notification_read(mark_notification_read.notification_id);
end;
comment on function public.mark_notification_read is
'Marks one of the caller''s notices read; doing it again changes nothing.

Returns {notification}. Refuses: NOT_FOUND.';
revoke all on function public.mark_notification_read from public, anon, authenticated, service_role;
grant execute on function public.mark_notification_read, private.mark_notification_read to authenticated;

create function private.mark_all_notifications_read()
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.users := private.require_user();
  v_count integer;
begin
  update public.notifications as n set read_at = private.clock() where n.user_id = v_me.id and n.read_at is null;
  get diagnostics v_count = row_count;
  return jsonb_build_object('count', v_count);
end;
$$;
comment on function private.mark_all_notifications_read is 'What mark_all_notifications_read does.';
revoke all on function private.mark_all_notifications_read from public, anon, authenticated, service_role;

create function public.mark_all_notifications_read()
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.mark_all_notifications_read();
end;
comment on function public.mark_all_notifications_read is
'Marks all the caller''s notices read.

Returns {count}: how many were unread.';
revoke all on function public.mark_all_notifications_read from public, anon, authenticated, service_role;
grant execute on function public.mark_all_notifications_read, private.mark_all_notifications_read to authenticated;

create function private.mute_notifications(p_community_id uuid, p_type text, p_muted boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me public.community_members := private.require_member(p_community_id);
begin
  perform private.require_choice('type', p_type, array[
    'witnessed', 'borrow_approved', 'borrow_declined', 'tip_to_tip', 'jashn_e_chas', 'election', 'system'
  ]);
  if p_muted is null then
    perform private.refuse('INVALID_INPUT', 'muted must be true or false.', jsonb_build_object('field', 'muted'));
  elsif p_muted then
    insert into public.notification_mutes (community_id, user_id, type)
    values (p_community_id, v_me.user_id, p_type)
    on conflict do nothing;
  else
    delete from public.notification_mutes as m
    where m.community_id = p_community_id and m.user_id = v_me.user_id and m.type = p_type;
  end if;
  return jsonb_build_object('muted', array(
    select m.type from public.notification_mutes as m
    where m.community_id = p_community_id and m.user_id = v_me.user_id
    order by m.type
  ));
end;
$$;
comment on function private.mute_notifications is 'What mute_notifications does.';
revoke all on function private.mute_notifications from public, anon, authenticated, service_role;

create function public.mute_notifications(community_id uuid, type text, muted boolean)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.mute_notifications(
    mute_notifications.community_id, mute_notifications.type, mute_notifications.muted
  );
end;
comment on function public.mute_notifications is
'Mutes a type of notice from a community, or lets it speak again.

Calls to vote come through although their type is muted, and loan requests (borrow_request) cannot be muted at all.
Returns {muted: [text]}: all types muted here now. Refuses: NOT_FOUND, INVALID_INPUT.';
revoke all on function public.mute_notifications from public, anon, authenticated, service_role;
grant execute on function public.mute_notifications, private.mute_notifications to authenticated;

create function private.forget_notifications_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from public.notifications as n
  where (n.community_id, n.user_id) in (
    select m.community_id, m.user_id from public.community_members as m
    where m.user_id = p_user_id
  );
  delete from public.notification_mutes as s
  where (s.community_id, s.user_id) in (
    select m.community_id, m.user_id from public.community_members as m
    where m.user_id = p_user_id
  );
end;
$$;
comment on function private.forget_notifications_of is
'Deletes every notice to a person who is erased, and their mutes.';
revoke all on function private.forget_notifications_of from public, anon, authenticated, service_role;

create function private.forget_in_notifications(
  p_community_ids uuid[], p_names text[], p_refs uuid[], p_own uuid[]
)
returns void
language sql security definer set search_path = ''
begin atomic
  update public.notifications as n
  set
    title = private.without_names(n.title, p_names),
    body = case when r.is_own then '' else private.without_names(n.body, p_names) end
  from (
    select
      o.id,
      bool_or(o.is_own) as is_own
    from (
      select
        unnest(p_refs) as id,
        false as is_own
      union all
      select
        unnest(p_own) as id,
        true as is_own
    ) as o
    group by o.id
  ) as r
  where
    n.community_id = any(p_community_ids) and n.ref_id = r.id
    and (
      r.is_own or private.without_names(n.title, p_names) <> n.title
      or private.without_names(n.body, p_names) <> n.body
    );
end;
comment on function private.forget_in_notifications is
'Takes an erased person''s names out of others'' notices about things they had a part in (p_refs), and their words
out of those about things of their own (p_own). Notices go by themselves after 90 days; names should not wait that
long.';
revoke all on function private.forget_in_notifications from public, anon, authenticated, service_role;

create function private.blank_notices(p_community_id uuid, p_ref_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update public.notifications as n set body = ''
  where n.community_id = p_community_id and n.ref_id = p_ref_id and n.body <> '';
end;
$$;
comment on function private.blank_notices is 'Takes the words of a struck thing out of the notices that quoted them.';
revoke all on function private.blank_notices from public, anon, authenticated, service_role;

create function private.forget_notifications(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from public.notifications as n
  where n.id in (
    select o.id from public.notifications as o where o.created_at <= p_now - interval '90 days' limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.forget_notifications is
'Deletes up to p_limit notices older than 90 days; returns how many.';
revoke all on function private.forget_notifications from public, anon, authenticated, service_role;

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
revoke all on function private.is_sound_line from public, anon, authenticated, service_role;

create table public.chat_messages (
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
  constraint chat_messages_community_id_fkey foreign key (community_id) references public.communities (id),
  constraint chat_messages_author_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id),
  constraint chat_messages_content_length check (char_length(content) <= 2000),
  constraint chat_messages_line_is_sound check (private.is_sound_line(type, user_id, event, reference_id))
);
comment on table public.chat_messages is
'Every line of every Chamber. A card names what it shows in reference_id; a system line has no author, but an event
and its facts. A deleted or struck line stays as an empty one.';
create index chat_messages_community_id_id_idx on public.chat_messages (community_id, id);
create index chat_messages_community_id_user_id_created_at_idx on public.chat_messages (
  community_id, user_id, created_at
);
create index chat_messages_system_lines_idx on public.chat_messages (community_id, id) where type = 'system';
create index chat_messages_reference_id_idx on public.chat_messages (reference_id) where reference_id is not null;
alter table public.chat_messages enable row level security;
create policy members_read_chat_messages on public.chat_messages for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on public.chat_messages to authenticated;

create table public.chamber_marks (
  community_id uuid not null,
  user_id uuid not null,
  last_read_id bigint not null,
  constraint chamber_marks_pkey primary key (community_id, user_id),
  constraint chamber_marks_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id)
);
comment on table public.chamber_marks is 'How far each member has read their Chamber.';
alter table public.chamber_marks enable row level security;
create policy people_read_their_marks on public.chamber_marks for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on public.chamber_marks to authenticated;

create function private.last_position()
returns bigint
language plpgsql volatile security definer set search_path = ''
as $$
begin
  -- Null before the first line ever.
  return coalesce(pg_sequence_last_value('public.chat_messages_id_seq'), 0);
end;
$$;
comment on function private.last_position is 'The last id handed to any line of any Chamber, committed or not.';
revoke all on function private.last_position from public, anon, authenticated, service_role;

create function private.take_position()
returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(private.last_position());
end;
$$;
comment on function private.take_position is
'Says to readers that lines with ids above the present one are being written and not yet committed.

Ids are handed out before their transactions commit, so id 6 may be readable before id 5. Every writer therefore
holds, from before it takes an id until it commits, a shared lock on a number no greater than that id; see
private.settled_position.';
revoke all on function private.take_position from public, anon, authenticated, service_role;

create function private.settled_position()
returns bigint
language plpgsql volatile security definer set search_path = ''
as $$
declare
  -- In this order: whoever took an id up to v_last had their lock before, so they hold it still or have committed.
  v_last bigint := private.last_position();
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
revoke all on function private.settled_position from public, anon, authenticated, service_role;
grant execute on function private.settled_position to authenticated;

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
  insert into public.chat_messages (community_id, user_id, type, content, reference_id, event, facts, created_at)
  values (p_community_id, p_user_id, p_type, p_content, p_reference_id, p_event, p_facts, p_at)
  returning id into v_id;
  perform private.tell_community(p_community_id, 'message', jsonb_build_object('message_id', v_id));
  return v_id;
end;
$$;
comment on function private.post_message is 'Puts one line into a Chamber, the only way there is, and returns its id.';
revoke all on function private.post_message from public, anon, authenticated, service_role;

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
revoke all on function private.announce from public, anon, authenticated, service_role;

create function private.name_of(p_user_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select u.display_name from public.users as u
    where u.id = p_user_id
  );
end;
$$;
comment on function private.name_of is 'A person''s display name, for the system''s sentences.';
revoke all on function private.name_of from public, anon, authenticated, service_role;

create view private.shown_messages with (security_invoker = on) as
select
  m.id,
  m.community_id,
  m.type,
  m.reference_id,
  jsonb_build_object(
    'id', m.id, 'community_id', m.community_id, 'type', m.type, 'user', p.person, 'content', m.content,
    'event', m.event, 'facts', m.facts, 'declaration', null, 'borrow_request', null, 'tip_to_tip', null,
    'election', null, 'created_at', m.created_at, 'edited_at', m.edited_at, 'deleted', m.deleted_at is not null,
    'struck_reason', m.struck_reason
  ) as message
from public.chat_messages as m
left join private.shown_people as p on m.user_id = p.id;
comment on view private.shown_messages is
'The shape message with every card still null; the rooms of the cards fill theirs in.';
grant select on private.shown_messages to authenticated;

create function private.show_message(p_message_id bigint, p_card jsonb default null)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      case
        when p_card is null then s.message
        else s.message || jsonb_build_object(s.type, p_card)
      end
    from private.shown_messages as s
    where s.id = p_message_id
  );
end;
$$;
comment on function private.show_message is 'The shape message of a line just posted, with its card if it is one.';
revoke all on function private.show_message from public, anon, authenticated, service_role;

create function private.show_new_card(
  p_message_id bigint, p_community_id uuid, p_type text, p_person jsonb, p_card jsonb
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', p_message_id, 'community_id', p_community_id, 'type', p_type, 'user', p_person, 'content', '',
    'event', null, 'facts', null, 'declaration', null, 'borrow_request', null, 'tip_to_tip', null,
    'election', null, 'created_at', private.clock(), 'edited_at', null, 'deleted', false,
    'struck_reason', null, p_type, p_card
  );
end;
$$;
comment on function private.show_new_card is
'What private.show_message would say of a card posted in this transaction, without reading it back.';
revoke all on function private.show_new_card from public, anon, authenticated, service_role;

create function private.lock_line(p_message_id bigint)
returns public.chat_messages
language plpgsql security definer set search_path = ''
as $$
declare
  v_row public.chat_messages;
begin
  select m.* into v_row from public.chat_messages as m
  where m.id = p_message_id for no key update;
  return v_row;
end;
$$;
comment on function private.lock_line is 'Locks a line until the transaction ends and returns it.';
revoke all on function private.lock_line from public, anon, authenticated, service_role;

create function private.rewrite_line(p_message_id bigint, p_content text)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_community_id uuid;
begin
  update public.chat_messages as m set content = p_content, edited_at = private.clock()
  where m.id = p_message_id
  returning m.community_id into v_community_id;
  perform private.tell_community(v_community_id, 'message_changed', jsonb_build_object('message_id', p_message_id));
end;
$$;
comment on function private.rewrite_line is 'Gives a locked line new words.';
revoke all on function private.rewrite_line from public, anon, authenticated, service_role;

create function private.blank_line(p_message_id bigint, p_struck_reason text)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_community_id uuid;
begin
  update public.chat_messages as m
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
revoke all on function private.blank_line from public, anon, authenticated, service_role;

create function private.forget_lines_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update public.chat_messages as m
  set content = '', deleted_at = coalesce(m.deleted_at, private.clock())
  where
    m.type = 'message' and m.content <> ''
    and (m.community_id, m.user_id) in (
      select o.community_id, o.user_id from public.community_members as o
      where o.user_id = p_user_id
    );
  delete from public.chamber_marks as c
  where (c.community_id, c.user_id) in (
    select o.community_id, o.user_id from public.community_members as o
    where o.user_id = p_user_id
  );
end;
$$;
comment on function private.forget_lines_of is
'Deletes every plain message of a person who is erased, leaving tombstones; their cards stay as they are.';
revoke all on function private.forget_lines_of from public, anon, authenticated, service_role;

create function private.forget_in_lines(p_user_id uuid, p_community_ids uuid[], p_names text[])
returns void
language sql security definer set search_path = ''
begin atomic
  update public.chat_messages as m
  set content = private.without_names(m.content, p_names)
  where
    m.community_id = any(p_community_ids) and m.type = 'system'
    and strpos(m.facts::text, p_user_id::text) > 0
    and private.without_names(m.content, p_names) <> m.content;
end;
comment on function private.forget_in_lines is
'Takes an erased person''s names out of the system lines whose facts name them; every line that says a name must.';
revoke all on function private.forget_in_lines from public, anon, authenticated, service_role;

create function private.move_mark(p_community_id uuid, p_user_id uuid, p_message_id bigint)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into public.chamber_marks as c (community_id, user_id, last_read_id)
  values (p_community_id, p_user_id, p_message_id)
  on conflict (community_id, user_id) do update
    set last_read_id = excluded.last_read_id
    where c.last_read_id < excluded.last_read_id;
end;
$$;
comment on function private.move_mark is 'Moves a member''s mark forward to a line, never back.';
revoke all on function private.move_mark from public, anon, authenticated, service_role;

create function private.begin_reading(p_community_id uuid, p_user_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  select private.move_mark(p_community_id, p_user_id, (
    select coalesce(max(m.id), 0) from public.chat_messages as m
    where m.community_id = p_community_id
  ));
end;
comment on function private.begin_reading is
'Sets the mark of someone who joins at the end: what was said before is not unread.';
revoke all on function private.begin_reading from public, anon, authenticated, service_role;

create function private.count_unread(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select count(*)::integer
    from (
      select from public.chat_messages as m
      where
        m.community_id = p_community_id
        and m.id > coalesce((
          select c.last_read_id from public.chamber_marks as c
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
revoke all on function private.count_unread from public, anon, authenticated, service_role;
