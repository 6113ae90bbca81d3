-- What the stewards of the Bureau do for people. Everything here is for the service role; every act is told in the
-- audit log.

create function private.require_steward(p_steward_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if p_steward_id is not null and not (private.get_account(p_steward_id) ->> 'is_steward')::boolean then
    perform private.refuse('FORBIDDEN', 'Only a steward acts as a steward.');
  end if;
end;
$$;
comment on function private.require_steward is
'Asks that whoever is named as acting is a steward; nobody named is the operator with the key. Refuses: NOT_FOUND,
FORBIDDEN.';

create function private.show_act(p_entry private.audit_entries)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', p_entry.id, 'community_id', p_entry.community_id, 'action', p_entry.action,
    'actor', (select p.person from private.shown_people as p where p.id = p_entry.actor_id),
    'subject', (select p.person from private.shown_people as p where p.id = p_entry.subject_id),
    'facts', p_entry.facts, 'created_at', p_entry.created_at
  );
end;
$$;
comment on function private.show_act is 'A line of the audit log as stewards see it.';

create function private.list_steward_acts(p_page_size integer, p_before_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_page private.audit_entries[];
begin
  perform private.require_page_size(p_page_size);
  v_page := array(
    select e from private.audit_entries as e
    where starts_with(e.action, 'steward_') and (p_before_id is null or e.id < p_before_id)
    order by e.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'acts', (
      select coalesce(jsonb_agg(private.show_act(e::private.audit_entries) order by e.id desc), '[]')
      from unnest(v_page[:p_page_size]) as e
    ),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;

create function public.list_steward_acts(page_size integer default 50, before_id bigint default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_steward_acts(list_steward_acts.page_size, list_steward_acts.before_id);
end;
comment on function public.list_steward_acts is
'What stewards did, in communities and in the whole Bureau, newest first. For the service role alone.

Returns {acts: [{id, community_id, action, actor, subject, facts, created_at}], has_more}; community_id is null for
an act of the whole Bureau, actor for one in nobody''s name. Refuses: INVALID_INPUT.';
grant execute on function public.list_steward_acts, private.list_steward_acts to service_role;

---------------------------------------------------------------------------------------------------- people

create function private.show_account(p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      p.person || jsonb_build_object(
        'standing', private.standing_of(u.id),
        'is_steward', coalesce(a.raw_app_meta_data ->> 'chas_role' = 'steward', false),
        'admitted_at', d.admitted_at, 'suspended_at', d.suspended_at, 'created_at', u.created_at,
        'communities', (
          select
            coalesce(
              jsonb_agg(
                jsonb_build_object('id', c.id, 'name', c.name, 'roles', m.roles) order by m.joined_at, c.id
              ), '[]'
            )
          from private.community_members as m
          join private.communities as c on c.id = m.community_id
          where m.user_id = u.id and m.left_at is null
        )
      )
    from private.users as u
    join private.shown_people as p on p.id = u.id
    left join auth.users as a on a.id = u.id
    left join private.admissions as d on d.user_id = u.id
    where u.id = p_user_id
  );
end;
$$;
comment on function private.show_account is
'A person as stewards see them: where they stand and which communities they are in; no e-mail address, which nobody
but its owner sees (RULES 1.1).';

create function private.find_people(p_query text, p_page_size integer, p_before_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_query text := lower(nullif(btrim(p_query), ''));
  v_before timestamptz;
  v_page uuid[];
begin
  perform private.require_page_size(p_page_size);
  if p_before_id is not null then
    select u.created_at into v_before from private.users as u where u.id = p_before_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such person.');
    end if;
  end if;
  v_page := array(
    select u.id from private.users as u
    left join auth.users as a on a.id = u.id
    where u.erased_at is null
      and (v_before is null or (u.created_at, u.id) < (v_before, p_before_id))
      and (
        v_query is null or u.id::text = v_query or a.email = v_query or strpos(lower(u.display_name), v_query) > 0
      )
    order by u.created_at desc, u.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'people', (
      select coalesce(jsonb_agg(private.show_account(f.id) order by f.place), '[]')
      from unnest(v_page[:p_page_size]) with ordinality as f (id, place)
    ),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;
comment on function private.find_people is
'A search reads every profile: it is for a steward, not for a page.';
create function public.find_people(
  query text default null, page_size integer default 50, before_id uuid default null
)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.find_people(find_people.query, find_people.page_size, find_people.before_id);
end;
comment on function public.find_people is
'Finds people by id, whole e-mail address or part of their name. For the service role alone.

Without a query it lists everybody, newest first. Returns {people: [person + {standing, is_steward, admitted_at,
suspended_at, created_at, communities: [{id, name, roles}]}], has_more}; standing is admitted, waiting (for an
invite), suspended, banned (by Auth), anonymous or unknown (their sign-in is gone). An e-mail address finds its
owner but is never shown. Refuses: INVALID_INPUT, NOT_FOUND (before_id).';
grant execute on function public.find_people, private.find_people to service_role;

create function private.admit_person(p_user_id uuid, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  -- The person's row is the queue for whoever decides about them, and for their own tries at a code.
  perform from private.users as u where u.id = p_user_id for no key update;
  perform private.get_account(p_user_id);
  if private.standing_of(p_user_id) = 'suspended' then
    perform private.refuse('CONFLICT', 'This account is suspended: restore it instead.');
  end if;
  if not private.is_admitted(p_user_id) then
    perform private.admit(p_user_id);
    perform private.record_act(null, p_steward_id, 'steward_admitted', p_user_id);
  end if;
  return jsonb_build_object('person', private.show_account(p_user_id));
end;
$$;

create function public.admit_person(user_id uuid, steward_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.admit_person(admit_person.user_id, admit_person.steward_id);
end;
comment on function public.admit_person is
'Lets a person in without an invite; again, it changes nothing. For the service role alone.

steward_id says in whose name, for the audit log. Returns {person}, as find_people shows them. Refuses: NOT_FOUND,
CONFLICT (suspended), FORBIDDEN (steward_id is no steward).';
grant execute on function public.admit_person, private.admit_person to service_role;

create function private.suspend_person(p_user_id uuid, p_reason text, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  perform private.require_text('reason', p_reason, 280);
  perform from private.users as u where u.id = p_user_id for no key update;
  perform private.get_account(p_user_id);
  if private.suspend(p_user_id) then
    perform private.record_act(
      null, p_steward_id, 'steward_suspended', p_user_id, jsonb_build_object('reason', p_reason)
    );
  end if;
  return jsonb_build_object('person', private.show_account(p_user_id));
end;
$$;

create function public.suspend_person(user_id uuid, reason text, steward_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.suspend_person(suspend_person.user_id, suspend_person.reason, suspend_person.steward_id);
end;
comment on function public.suspend_person is
'Takes a person''s admission back, from their next call on. For the service role alone.

It holds whether invites are needed or not. reason (1 to 280 characters) is for the audit log. Nothing else changes:
they stay in their communities, their purse is granted and expires, and what awaits their vote goes on waiting; a
moderator may remove them. Suspended again, nothing changes, the first reason stays. Returns {person}. Refuses:
NOT_FOUND, INVALID_INPUT, FORBIDDEN (steward_id is no steward).';
grant execute on function public.suspend_person, private.suspend_person to service_role;

create function private.restore_person(p_user_id uuid, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  perform from private.users as u where u.id = p_user_id for no key update;
  perform private.get_account(p_user_id);
  if private.restore(p_user_id) then
    perform private.record_act(null, p_steward_id, 'steward_restored', p_user_id);
  end if;
  return jsonb_build_object('person', private.show_account(p_user_id));
end;
$$;

create function public.restore_person(user_id uuid, steward_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.restore_person(restore_person.user_id, restore_person.steward_id);
end;
comment on function public.restore_person is
'Lifts a suspension: who was admitted is so again, who was not waits for an invite. For the service role alone.

Of somebody not suspended it changes nothing. Returns {person}. Refuses: NOT_FOUND, FORBIDDEN (steward_id is no
steward).';
grant execute on function public.restore_person, private.restore_person to service_role;
