-- Notices to one person (RULES 11.1).

create table private.notifications (
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
  references private.community_members (community_id, user_id),
  constraint notifications_type_known check (
    type in (
      'witnessed', 'borrow_request', 'borrow_approved', 'borrow_declined', 'tip_to_tip', 'jashn_e_chas', 'election',
      'system'
    )
  )
);
comment on table private.notifications is
'Notices, each to one person; created_at is when the latest of those folded into it happened. Kept 90 days.';
create unique index notifications_one_unread_per_thing on private.notifications (user_id, type, ref_id, ref_kind)
where read_at is null;
create index notifications_user_id_id_idx on private.notifications (user_id, id);
create index notifications_community_id_user_id_idx on private.notifications (community_id, user_id);
create index notifications_created_at_idx on private.notifications (created_at);
alter table private.notifications enable row level security;
create policy people_read_their_notifications on private.notifications for select to authenticated
using (user_id = (select private.my_id()));
grant select on private.notifications to authenticated;

create table private.notification_mutes (
  community_id uuid not null,
  user_id uuid not null,
  type text not null,
  constraint notification_mutes_pkey primary key (community_id, user_id, type),
  constraint notification_mutes_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id)
);
comment on table private.notification_mutes is 'Which types of notice a member does not want from a community.';
alter table private.notification_mutes enable row level security;
create policy people_read_their_mutes on private.notification_mutes for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on private.notification_mutes to authenticated;

create function private.notify(
  p_user_ids uuid[], p_community_id uuid, p_type text, p_ref_kind text, p_ref_id uuid, p_title text, p_body text,
  p_is_ask boolean default false, p_at timestamptz default private.clock()
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  -- In id order, so that two tellings of the same people never wait for each other in a ring.
  insert into private.notifications as n (community_id, user_id, type, title, body, ref_kind, ref_id, created_at)
  select p_community_id, u.id, p_type, p_title, p_body, p_ref_kind, p_ref_id, p_at
  from unnest(p_user_ids) as u (id)
  where p_is_ask or not exists (
    select from private.notification_mutes as m
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
from private.notifications as n;
comment on view private.shown_notifications is 'The shape notification.';
grant select on private.shown_notifications to authenticated;

create function public.list_notifications(
  unread_only boolean default false, page_size integer default 50, before_id bigint default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_me private.users := private.require_user();
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
    'unread', (select count(*) from private.notifications as n where n.user_id = v_me.id and n.read_at is null)
  );
end;
$$;
comment on function public.list_notifications is
'The caller''s notices from all their communities, newest first.

New is when a thing was first told: one that folds more in keeps its place and its id. Returns {notifications:
[notification], has_more, unread}. Refuses: INVALID_INPUT.';
grant execute on function public.list_notifications to authenticated;

create function private.mark_notification_read(p_notification_id bigint)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.require_user();
begin
  update private.notifications as n
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
create function public.mark_notification_read(notification_id bigint)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.mark_notification_read(mark_notification_read.notification_id);
end;
comment on function public.mark_notification_read is
'Marks one of the caller''s notices read; doing it again changes nothing.

Returns {notification}. Refuses: NOT_FOUND.';
grant execute on function public.mark_notification_read, private.mark_notification_read to authenticated;

create function private.mark_all_notifications_read()
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.require_user();
  v_count integer;
begin
  update private.notifications as n set read_at = private.clock() where n.user_id = v_me.id and n.read_at is null;
  get diagnostics v_count = row_count;
  return jsonb_build_object('count', v_count);
end;
$$;
comment on function private.mark_all_notifications_read is 'What mark_all_notifications_read does.';
create function public.mark_all_notifications_read()
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.mark_all_notifications_read();
end;
comment on function public.mark_all_notifications_read is
'Marks all the caller''s notices read.

Returns {count}: how many were unread.';
grant execute on function public.mark_all_notifications_read, private.mark_all_notifications_read to authenticated;

create function private.mute_notifications(p_community_id uuid, p_type text, p_muted boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
begin
  perform private.require_choice('type', p_type, array[
    'witnessed', 'borrow_approved', 'borrow_declined', 'tip_to_tip', 'jashn_e_chas', 'election', 'system'
  ]);
  if p_muted is null then
    perform private.refuse('INVALID_INPUT', 'muted must be true or false.', jsonb_build_object('field', 'muted'));
  elsif p_muted then
    insert into private.notification_mutes (community_id, user_id, type)
    values (p_community_id, v_me.user_id, p_type)
    on conflict do nothing;
  else
    delete from private.notification_mutes as m
    where m.community_id = p_community_id and m.user_id = v_me.user_id and m.type = p_type;
  end if;
  return jsonb_build_object('muted', array(
    select m.type from private.notification_mutes as m
    where m.community_id = p_community_id and m.user_id = v_me.user_id
    order by m.type
  ));
end;
$$;
comment on function private.mute_notifications is 'What mute_notifications does.';
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
grant execute on function public.mute_notifications, private.mute_notifications to authenticated;

create function private.erase_notices_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.notifications as n
  where (n.community_id, n.user_id) in (
    select m.community_id, m.user_id from private.community_members as m
    where m.user_id = p_user_id
  );
  delete from private.notification_mutes as s
  where (s.community_id, s.user_id) in (
    select m.community_id, m.user_id from private.community_members as m
    where m.user_id = p_user_id
  );
end;
$$;
comment on function private.erase_notices_of is
'Deletes every notice to a person who is erased, and their mutes.';

create function private.erase_in_notices(
  p_community_ids uuid[], p_names text[], p_refs uuid[], p_own uuid[]
)
returns void
language sql security definer set search_path = ''
begin atomic
  update private.notifications as n
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
comment on function private.erase_in_notices is
'Takes an erased person''s names out of others'' notices about things they had a part in (p_refs), and their words
out of those about things of their own (p_own). Notices go by themselves after 90 days; names should not wait that
long.';

create function private.blank_notices(p_community_id uuid, p_ref_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.notifications as n set body = ''
  where n.community_id = p_community_id and n.ref_id = p_ref_id and n.body <> '';
end;
$$;
comment on function private.blank_notices is 'Takes the words of a struck thing out of the notices that quoted them.';

create function private.purge_notices(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from private.notifications as n
  where n.id in (
    select o.id from private.notifications as o where o.created_at <= p_now - interval '90 days' limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.purge_notices is
'Deletes up to p_limit notices older than 90 days; returns how many.';
