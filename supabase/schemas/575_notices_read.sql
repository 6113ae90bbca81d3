-- Notices and the audit log as they are read: what they say is made of facts here (RULES 3.1, 11.1).

create function private.words_of(p_community_id uuid, p_ref_kind text, p_ref_id uuid, p_by uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- Statements of their own: all in one would be set up together at every notice.
  case p_ref_kind
    when 'declaration' then
      return (
        select (d.declaration).title from private.shown_declarations as d
        where d.community_id = p_community_id and d.id = p_ref_id
      );
    when 'borrow_request' then
      return (
        select (r.borrow_request).reason from private.shown_borrow_requests as r
        where r.community_id = p_community_id and r.id = p_ref_id
      );
    when 'tip_to_tip' then
      return (
        select (t.proposal).title from private.shown_proposals as t
        where t.community_id = p_community_id and t.id = p_ref_id
      );
    when 'election' then
      return (
        select private.read_words(e.community_id, e.title_id) from private.elections as e
        where e.community_id = p_community_id and e.id = p_ref_id
      );
    when 'jashn' then
      return (
        select (c.celebration).message from private.shown_celebrations as c
        where c.community_id = p_community_id and c.jashn_id = p_ref_id and c.user_id = p_by
      );
    else
      return null;
  end case;
end;
$$;
comment on function private.words_of is
'The words of the thing a notice is about, as they may be read now: a joy''s or a proposal''s title, a request''s
reason, an election''s title, what p_by wrote to the honoured one. Null where they are gone, or the thing has none.';

create type private.notification as (
  id bigint,
  community_id uuid,
  type text,
  event text,
  title text,
  body text,
  facts jsonb,
  people jsonb [],
  read boolean,
  count integer,
  ref_kind text,
  ref_id uuid,
  created_at timestamptz,
  updated_at timestamptz
);
comment on type private.notification is 'The shape notification, key by attribute.';

create function private.show_notices(p_notices private.notifications[])
returns private.notification[]
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_events jsonb := private.events() -> 'notice';
  v_people jsonb;
  v_called jsonb;
  v_notice private.notifications;
  v_said jsonb;
  v_facts jsonb;
  v_shown private.notification[] := array[]::private.notification[];
begin
  -- Everybody whom any of these notices is about is looked up once.
  select jsonb_object_agg(u.id, u.person), jsonb_object_agg(u.id, private.called(u)) into v_people, v_called
  from private.users as u
  where u.id = any(array(select distinct unnest(n.people) from unnest(p_notices) as n));
  foreach v_notice in array p_notices loop
    v_said := v_events -> v_notice.event -> 0;
    v_facts := v_notice.facts || jsonb_build_object(
      'by_id', v_notice.people[1], 'count', v_notice.count, 'event', v_notice.event,
      'words', private.words_of(v_notice.community_id, v_notice.ref_kind, v_notice.ref_id, v_notice.people[1])
    );
    v_shown := v_shown || row(
      v_notice.id, v_notice.community_id, v_notice.type, v_notice.event,
      private.make_sentence(v_said ->> 'say', v_notice.community_id, v_facts, v_called),
      private.make_sentence(v_said ->> 'below', v_notice.community_id, v_facts, v_called),
      private.show_facts(v_notice.community_id, v_notice.facts),
      array_remove(
        array[
          v_people -> v_notice.people[1]::text, v_people -> v_notice.people[2]::text, v_people -> v_notice.people[3]::text
        ], null
      ),
      v_notice.read_at is not null, v_notice.count, v_notice.ref_kind, v_notice.ref_id, v_notice.created_at,
      v_notice.updated_at
    )::private.notification;
  end loop;
  return v_shown;
end;
$$;
comment on function private.show_notices is
'The shape notification of each of these, put into words as things are called now.';

create function private.list_notifications(p_unread_only boolean, p_page_size integer, p_before_id bigint)
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.require_admitted();
  v_before bigint := 9223372036854775807;
  v_page private.notifications[];
begin
  perform private.require_page_size(p_page_size);
  if p_before_id is not null then
    select n.position into v_before from private.notifications as n where n.id = p_before_id and n.user_id = v_me;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such notification.');
    end if;
  end if;
  v_page := array(
    select n from private.notifications as n
    where n.user_id = v_me and n.position < v_before
      and (n.read_at is null or not coalesce(p_unread_only, false))
    order by n.position desc
    limit p_page_size + 1
  );
  return json_build_object(
    'notifications', private.show_notices(v_page[:p_page_size]),
    'has_more', cardinality(v_page) > p_page_size,
    'unread', (select count(*) from private.notifications as n where n.user_id = v_me and n.read_at is null)
  );
end;
$$;

create function public.list_notifications(
  unread_only boolean default false, page_size integer default 50, before_id bigint default null
)
returns json
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_notifications(
    list_notifications.unread_only, list_notifications.page_size, list_notifications.before_id
  );
end;
comment on function public.list_notifications is
'The caller''s notices from all their communities, newest first; one that folds more in moves to the top.

Returns {notifications: [notification], has_more, unread}. Refuses: INVALID_INPUT, NOT_FOUND (before_id).';
grant execute on function public.list_notifications, private.list_notifications to authenticated;

create function private.mark_notification_read(p_notification_id bigint)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := private.require_admitted();
  v_notice private.notifications[];
begin
  if not private.read_notice(v_me, p_notification_id) then
    perform private.refuse('NOT_FOUND', 'There is no such notification.');
  end if;
  v_notice := array(
    select n from private.notifications as n where n.id = p_notification_id and n.user_id = v_me
  );
  return json_build_object('notification', (private.show_notices(v_notice))[1]);
end;
$$;

create function public.mark_notification_read(notification_id bigint)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.mark_notification_read(mark_notification_read.notification_id);
end;
$$;
comment on function public.mark_notification_read is
'Marks one of the caller''s notices read; doing it again changes nothing.

Returns {notification}. Refuses: NOT_FOUND.';
grant execute on function public.mark_notification_read, private.mark_notification_read to authenticated;

create function private.show_audit_entry(p_entry private.audit_entries)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  -- Which steward it was is the Bureau's affair.
  v_actor uuid := case when not starts_with(p_entry.action, 'steward_') then p_entry.actor_id end;
  v_facts jsonb := p_entry.facts || jsonb_build_object('actor_id', v_actor, 'subject_id', p_entry.subject_id);
begin
  return jsonb_build_object(
    'id', p_entry.id, 'community_id', p_entry.community_id, 'action', p_entry.action,
    'actor', (select p.person from private.shown_people as p where p.id = v_actor),
    'subject', (select p.person from private.shown_people as p where p.id = p_entry.subject_id),
    'facts', private.show_facts(p_entry.community_id, p_entry.facts),
    'people', private.show_people(private.people_in(v_facts)),
    'sentence', private.say('audit', p_entry.community_id, p_entry.action, v_facts),
    'created_at', p_entry.created_at
  );
end;
$$;
comment on function private.show_audit_entry is 'An entry of the audit log, put into words as things are called now.';

create function private.list_audit(p_community_id uuid, p_page_size integer, p_before_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_page private.audit_entries[];
begin
  perform private.require_moderator(p_community_id);
  perform private.require_page_size(p_page_size);
  v_page := array(
    select e from private.audit_entries as e
    where e.community_id = p_community_id and e.id < coalesce(p_before_id, 9223372036854775807)
    order by e.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'entries', (
      select coalesce(jsonb_agg(private.show_audit_entry(e::private.audit_entries) order by e.id desc), '[]')
      from unnest(v_page[:p_page_size]) as e
    ),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;

create function public.list_audit(community_id uuid, page_size integer default 50, before_id bigint default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_audit(list_audit.community_id, list_audit.page_size, list_audit.before_id);
end;
comment on function public.list_audit is
'The audit log of a community, newest first, for its moderators.

Returns {entries: [{id, community_id, action, actor, subject, facts, people, sentence, created_at}], has_more}; actor
and subject are persons or null. Refuses: NOT_FOUND, FORBIDDEN, INVALID_INPUT.';
grant execute on function public.list_audit, private.list_audit to authenticated;
