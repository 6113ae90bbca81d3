-- Notices to one person (RULES 11.1), kept as facts: what they say is made when they are read.

create function private.notice_kinds(out kind text, out is_mutable boolean)
returns setof record
language sql immutable set search_path = ''
begin atomic
  select
    k.kind,
    k.is_mutable
  from (
    values
    ('witnessed', true),
    ('borrow_request', false),
    ('borrow_approved', true),
    ('borrow_declined', true),
    ('tip_to_tip', true),
    ('jashn_e_chas', true),
    ('election', true),
    ('last_light', true),
    ('unwitnessed', true),
    ('system', true)
  ) as k (kind, is_mutable);
end;
comment on function private.notice_kinds is
'The types of notice, and which of them a member may mute: the one list. A call to vote comes through a mute of its
type.';

create domain private.notice_type as text
constraint notice_type_known check (
  value in (
    'witnessed', 'borrow_request', 'borrow_approved', 'borrow_declined', 'tip_to_tip', 'jashn_e_chas', 'election',
    'last_light', 'unwitnessed', 'system'
  )
);

create table private.notifications (
  community_id uuid not null,
  user_id uuid not null,
  id bigint generated always as identity,
  type private.notice_type not null,
  event text not null,
  facts jsonb not null,
  people uuid[] not null,
  ref_kind text not null,
  ref_id uuid not null,
  count integer not null default 1,
  position bigint not null,
  read_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint notifications_pkey primary key (community_id, user_id, id)
);
comment on table private.notifications is
'Notices, each to one person: an event and its facts, the people it is about, latest first and three at the most, and
how many folded into it. position is its place in the list; one that folds moves to the top. Kept 90 days. No foreign
key: its one writer, private.notify, draws whom it tells from the members and holds their rows.';
create sequence private.notifications_position_seq owned by private.notifications.position;
create unique index notifications_one_unread_per_thing on private.notifications (user_id, type, ref_id, ref_kind)
where read_at is null;
create index notifications_user_id_position_idx on private.notifications (user_id, position);
create unique index notifications_id_unique on private.notifications (id);
create index notifications_updated_at_idx on private.notifications (updated_at);
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
  p_user_ids uuid[], p_community_id uuid, p_type text, p_event text, p_ref_kind text, p_ref_id uuid,
  p_facts jsonb default '{}', p_by uuid default null, p_is_ask boolean default false,
  p_at timestamptz default private.clock(), p_besides private.broadcast[] default '{}'
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  -- Their rows are held, in id order: no membership ends meanwhile, and two tellings of the same people never wait for
  -- each other in a ring.
  insert into private.notifications as n (
    community_id, user_id, type, event, facts, people, ref_kind, ref_id, position, created_at, updated_at
  )
  select
    p_community_id, m.user_id, p_type, p_event, p_facts, array_remove(array[p_by], null), p_ref_kind, p_ref_id,
    nextval('private.notifications_position_seq'), p_at, p_at
  from (
    select o.user_id, o.left_at from private.community_members as o
    where o.community_id = p_community_id and o.user_id = any(p_user_ids)
    order by o.user_id
    for key share
  ) as m
  where p_is_ask or (
    m.left_at is null
    and not exists (
      select from private.notification_mutes as s
      where s.community_id = p_community_id and s.user_id = m.user_id and s.type = p_type
    )
    and not exists (select from private.erasures as e where e.user_id = m.user_id)
  )
  on conflict (user_id, type, ref_id, ref_kind) where read_at is null do update
  set
    count = n.count + 1, event = excluded.event, facts = excluded.facts, position = excluded.position,
    updated_at = excluded.updated_at,
    people = (excluded.people || array_remove(n.people, excluded.people[1]))[:3];
  if found and cardinality(p_user_ids) = 1 then
    perform private.tell(variadic p_besides || (
      'user:' || p_user_ids[1]::text, 'notification', jsonb_build_object('ref_kind', p_ref_kind, 'ref_id', p_ref_id)
    )::private.broadcast);
  elsif p_besides <> '{}' then
    perform private.tell(variadic p_besides);
  end if;
end;
$$;
comment on function private.notify is
'Tells members of a community something, in one statement however many they are; what is unread about the same thing
folds. Who has left is not told.

p_by is the person it is about. p_is_ask: what is addressed to them (a vote, a loan request, their own removal), which
no mute silences and which reaches who has just left too. One person told alone also hears a broadcast on their own
topic, together with what else the act tells, p_besides; what is told to many, the community''s topic carries already.';

create function private.notify_each(
  p_user_ids uuid[], p_community_id uuid, p_type text, p_event text, p_ref_kind text, p_ref_ids uuid[],
  p_by_ids uuid[], p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.notifications as n (
    community_id, user_id, type, event, facts, people, ref_kind, ref_id, position, created_at, updated_at
  )
  select
    p_community_id, u.id, p_type, p_event, '{}', array[u.by_id], p_ref_kind, u.ref_id,
    nextval('private.notifications_position_seq'), p_at, p_at
  from unnest(p_user_ids, p_ref_ids, p_by_ids) with ordinality as u (id, ref_id, by_id, turn)
  where not exists (
    select from private.notification_mutes as m
    where m.community_id = p_community_id and m.user_id = u.id and m.type = p_type
  )
  order by u.id, u.turn
  on conflict (user_id, type, ref_id, ref_kind) where read_at is null do nothing;
end;
$$;
comment on function private.notify_each is
'As private.notify, of many things at once: who is told, of what, and whom it is about, side by side. What somebody has
been told already and not read is not told again. Nobody hears a broadcast of it.';

create function private.read_notice(p_user_id uuid, p_notification_id bigint)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  update private.notifications as n set read_at = private.clock()
  where n.id = p_notification_id and n.user_id = p_user_id and n.read_at is null;
  return found or exists (
    select from private.notifications as n where n.id = p_notification_id and n.user_id = p_user_id
  );
end;
$$;
comment on function private.read_notice is
'Marks a person''s notice read, unless it is: every write is told to who listens. Returns whether there is one.';

create function private.mark_all_notifications_read()
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := private.require_admitted();
  v_count integer;
begin
  update private.notifications as n set read_at = private.clock() where n.user_id = v_me and n.read_at is null;
  get diagnostics v_count = row_count;
  return jsonb_build_object('count', v_count);
end;
$$;

create function public.mark_all_notifications_read()
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.mark_all_notifications_read();
end;
$$;
comment on function public.mark_all_notifications_read is
'Marks all the caller''s notices read.

Returns {count}: how many were unread.';
grant execute on function public.mark_all_notifications_read, private.mark_all_notifications_read to authenticated;

create function private.mark_left_notices_read(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.notifications as n set read_at = private.clock()
  where n.community_id = p_community_id and n.user_id = p_user_id and n.read_at is null;
end;
$$;
comment on function private.mark_left_notices_read is
'Marks the notices of a community read for somebody who leaves it (RULES 11.1): what they are about, they see no more.';

create function private.mute_notifications(p_community_id uuid, p_type text, p_muted boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_acting_member(p_community_id);
begin
  perform private.require_choice('type', p_type, array(select k.kind from private.notice_kinds() as k where k.is_mutable));
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
Returns {muted: [text]}: all types muted here now. Refuses: NOT_FOUND, INVALID_INPUT {field, choices}.';
grant execute on function public.mute_notifications, private.mute_notifications to authenticated;

create function public.list_mutes(community_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform private.require_member(list_mutes.community_id);
  return jsonb_build_object('muted', array(
    select m.type from private.notification_mutes as m
    where m.community_id = list_mutes.community_id and m.user_id = private.my_id()
    order by m.type
  ));
end;
$$;
comment on function public.list_mutes is
'The types of notice the caller has muted in a community.

A door of its own: only who opens these settings asks, and what every screen reads pays nothing for it. Returns {muted:
[text]}, as mute_notifications does after a change. Refuses: NOT_FOUND.';
grant execute on function public.list_mutes to authenticated;

create function private.erase_notices_of(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from private.notifications as n
  where (n.community_id, n.user_id, n.id) in (
    select o.community_id, o.user_id, o.id from private.notifications as o where o.user_id = p_user_id limit p_limit
  );
  get diagnostics v_gone = row_count;
  if v_gone = 0 then
    delete from private.notification_mutes as s
    where (s.community_id, s.user_id) in (
      select m.community_id, m.user_id from private.community_members as m where m.user_id = p_user_id
    );
  end if;
  return v_gone;
end;
$$;
comment on function private.erase_notices_of is
'Deletes up to p_limit notices to a person who is erased, and with the last of them their mutes; returns how many.';

create function private.purge_notices(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from private.notifications as n
  where (n.community_id, n.user_id, n.id) in (
    select o.community_id, o.user_id, o.id from private.notifications as o
    where o.updated_at <= p_now - interval '90 days'
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.purge_notices is 'Deletes up to p_limit notices older than 90 days; returns how many.';
