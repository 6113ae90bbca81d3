-- Notices and the audit log as they are read: what they say is made of facts here (RULES 3.1, 11.1).

create type private.notification as (
  id bigint,
  community_id uuid,
  type text,
  event text,
  title text,
  body text,
  facts jsonb,
  people json [],
  read boolean,
  count integer,
  ref_kind text,
  ref_id uuid,
  created_at timestamptz,
  updated_at timestamptz
);
comment on type private.notification is 'The shape notification, key by attribute.';

create function private.sayings_of(p_notices private.notifications[])
returns private.saying[]
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
begin
  return array(
    select
      row(n.community_id, n.event, n.facts || jsonb_build_object(
        'by', b.called, 'words', coalesce(w.words, ''), 'event', n.event,
        'others', case n.count when 1 then null when 2 then 'one other' else format('%s others', n.count - 1) end
      ))::private.saying
    from unnest(p_notices) with ordinality as n
    left join private.shown_people as b on b.id = n.people[1]
    -- The words of what a notice is about, as they may be read now: gone with whoever gave them.
    left join lateral (
      select d.title as words
      from private.declarations as d
      join private.users as u on u.id = d.user_id and u.erased_at is null
      where n.ref_kind = 'declaration' and d.community_id = n.community_id and d.id = n.ref_id
      union all
      select r.reason
      from private.borrow_requests as r
      join private.users as u on u.id = r.borrower_id and u.erased_at is null
      where n.ref_kind = 'borrow_request' and r.community_id = n.community_id and r.id = n.ref_id
      union all
      select t.title
      from private.tip_to_tip_proposals as t
      join private.users as u on u.id = t.proposer_id and u.erased_at is null
      where n.ref_kind = 'tip_to_tip' and t.community_id = n.community_id and t.id = n.ref_id
      union all
      select private.read_words(e.community_id, e.title_id)
      from private.elections as e
      where n.ref_kind = 'election' and e.community_id = n.community_id and e.id = n.ref_id
      union all
      select c.message
      from private.jashn_celebrations as c
      join private.users as u on u.id = c.user_id and u.erased_at is null
      where n.ref_kind = 'jashn' and c.community_id = n.community_id and c.jashn_id = n.ref_id
        and c.user_id = n.people[1]
    ) as w on true
    order by n.ordinality
  );
end;
$$;
comment on function private.sayings_of is
'What these notices have to say: their own facts and, of this moment, who did it last, how many others, and the words
of the thing: a joy''s, a proposal''s or an election''s title, a request''s reason, what somebody wrote to the honoured one.';

create function private.show_notices(p_notices private.notifications[])
returns private.notification[]
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_sayings private.saying[] := private.sayings_of(p_notices);
  v_titles text[] := private.say_each('notice', v_sayings);
  v_bodies text[] := private.say_each('notice', v_sayings, p_part => 'below');
begin
  return array(
    select
      row(
        n.id, n.community_id, n.type, n.event, v_titles[n.ordinality], v_bodies[n.ordinality],
        case when n.facts ?| '{reason_id,title_id}' then private.show_facts(n.community_id, n.facts) else n.facts end,
        array(
          select p.person from unnest(n.people) with ordinality as o (id, place)
          join private.shown_people as p on p.id = o.id
          order by o.place
        ),
        n.read_at is not null, n.count, n.ref_kind, n.ref_id, n.created_at, n.updated_at
      )::private.notification
    from unnest(p_notices) with ordinality as n
    order by n.ordinality
  );
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
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.list_notifications(
    list_notifications.unread_only, list_notifications.page_size, list_notifications.before_id
  );
end;
$$;
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
