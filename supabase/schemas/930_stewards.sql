-- What the stewards of the Bureau do for people. Everything here is for the service role; every act is told in the
-- audit log.

create function private.require_steward(p_steward_id uuid)
returns void
language plpgsql security definer set search_path = ''
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

create function private.show_steward_act(p_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      jsonb_build_object(
        'id', a.id, 'community_id', a.community_id, 'action', a.action,
        'actor', (select p.person from private.shown_people as p where p.id = a.actor_id),
        'subject', (select p.person from private.shown_people as p where p.id = a.subject_id),
        'facts', a.facts || jsonb_strip_nulls(jsonb_build_object('reason', a.reason)), 'created_at', a.created_at
      )
    from (
      select
        e.id, e.community_id, e.action, e.actor_id, e.subject_id, e.facts, e.created_at,
        private.read_words(e.community_id, (e.facts ->> 'reason_id')::bigint) as reason
      from private.audit_entries as e
      where e.id = p_id and starts_with(e.action, 'steward_')
      union all
      select
        b.id, null, b.action, b.actor_id, b.subject_id, b.facts, b.created_at,
        (
          select b.reason where not exists (
            select from private.shown_people as p where p.id = b.actor_id and p.is_erased
          )
        )
      from private.bureau_acts as b
      where b.id = p_id
    ) as a
  );
end;
$$;
comment on function private.show_steward_act is
'What a steward did, as stewards see it; the reason is shown while who gave it is not erased.';

create function private.list_steward_acts(p_page_size integer, p_before_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_before bigint := coalesce(p_before_id, 9223372036854775807);
  v_page bigint[];
begin
  perform private.require_page_size(p_page_size);
  -- Both tables take their ids from one sequence: the newest of both are among the newest of each.
  v_page := array(
    select a.id
    from (
      (
        select e.id from private.audit_entries as e
        where starts_with(e.action, 'steward_') and e.id < v_before
        order by e.id desc
        limit p_page_size + 1
      )
      union all
      (
        select b.id from private.bureau_acts as b
        where b.id < v_before
        order by b.id desc
        limit p_page_size + 1
      )
    ) as a
    order by a.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'acts', (
      select coalesce(jsonb_agg(private.show_steward_act(a.id) order by a.id desc), '[]')
      from unnest(v_page[:p_page_size]) as a (id)
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
language plpgsql security definer set search_path = ''
as $$
declare
  v_standing text := private.standing_of(p_user_id);
  -- Whose sign-in is gone has no account any more.
  v_is_steward boolean := v_standing <> 'unknown' and (private.get_account(p_user_id) ->> 'is_steward')::boolean;
begin
  return (
    select
      to_jsonb(p.person) || jsonb_build_object(
        'standing', v_standing, 'is_steward', v_is_steward,
        'admitted_at', d.admitted_at, 'suspended_at', d.suspended_at, 'created_at', u.created_at,
        'communities', (
          select
            coalesce(
              jsonb_agg(
                jsonb_build_object('id', c.id, 'name', c.name, 'roles', private.roles_now(m)) order by m.joined_at, c.id
              ), '[]'
            )
          from private.community_members as m
          join private.communities as c on c.id = m.community_id
          where m.user_id = u.id and m.left_at is null
        )
      )
    from private.users as u
    join private.shown_people as p on p.id = u.id
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
language plpgsql security definer set search_path = ''
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
    where u.erased_at is null
      and (v_before is null or (u.created_at, u.id) < (v_before, p_before_id))
      and (
        v_query is null or u.id::text = v_query or strpos(lower(u.display_name), v_query) > 0
        or u.id = any(array(
          select a.user_id from private.addresses as a where a.address_hash = private.hash_address(v_query)
        ))
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
'A search reads every profile: it is for a steward, not for a page. An address is found by its hash, one the account
had before too.';

create function public.find_people(
  query text default null, page_size integer default 50, before_id uuid default null
)
returns jsonb
language sql security invoker set search_path = ''
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
  perform private.lock_person(p_user_id);
  perform private.get_account(p_user_id);
  if private.standing_of(p_user_id) = 'suspended' then
    perform private.refuse('CONFLICT', 'This account is suspended: restore it instead.');
  end if;
  if not private.is_admitted(p_user_id) then
    perform private.admit(p_user_id);
    perform private.record_bureau_act(p_steward_id, 'steward_admitted', p_user_id);
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

create function private.fill_seats_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = '' set lock_timeout = '5s'
as $$
declare
  v_community_id uuid;
begin
  for v_community_id in
    select m.community_id from private.community_members as m
    where m.user_id = p_user_id and m.left_at is null and 'moderator' = any(m.roles)
    order by m.community_id
  loop
    begin
      perform private.lock_membership(v_community_id);
      perform private.fill_seat(v_community_id);
    exception when others then
      -- A broken or busy community is no reason not to suspend: its seat is filled at the next Dawn.
      raise warning 'the seat of % is left to the next Dawn: % %', v_community_id, sqlstate, sqlerrm;
    end;
  end loop;
end;
$$;
comment on function private.fill_seats_of is
'Fills the moderators'' seats that a person who can act no more leaves empty (RULES 2.3).';

create function private.suspend_person(p_user_id uuid, p_reason text, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  perform private.require_text('reason', p_reason, 280);
  perform private.lock_person(p_user_id);
  perform private.get_account(p_user_id);
  if private.suspend(p_user_id) then
    perform private.record_bureau_act(p_steward_id, 'steward_suspended', p_user_id, p_reason);
    perform private.fill_seats_of(p_user_id);
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

It holds whether invites are needed or not, and outlives the account: who erases it and signs up again with an address
it had is suspended again. reason (1 to 280 characters) is for the audit log. Where they were the last moderator who
could act, the seat passes. Nothing else changes: they stay in their communities and their purse is granted and
expires; a moderator may remove them. Suspended again, nothing changes, the first reason stays. Returns {person}.
Refuses: NOT_FOUND, INVALID_INPUT, FORBIDDEN (steward_id is no steward).';
grant execute on function public.suspend_person, private.suspend_person to service_role;

create function private.restore_person(p_user_id uuid, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  perform private.lock_person(p_user_id);
  perform private.get_account(p_user_id);
  if private.restore(p_user_id) then
    perform private.record_bureau_act(p_steward_id, 'steward_restored', p_user_id);
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

One that outlived an erased account is lifted too, with the new account''s. Of somebody not suspended it changes
nothing. Returns {person}. Refuses: NOT_FOUND, FORBIDDEN (steward_id is no steward).';
grant execute on function public.restore_person, private.restore_person to service_role;

---------------------------------------------------------------------------------------------------- seats

create function private.seat_moderator(p_community_id uuid, p_user_id uuid, p_reason text, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_reason_id bigint;
begin
  perform private.require_steward(p_steward_id);
  perform private.require_text('reason', p_reason, 280);
  perform private.lock_person(p_user_id);
  perform private.get_account(p_user_id);
  if not exists (select from private.communities as c where c.id = p_community_id) then
    perform private.refuse('NOT_FOUND', 'There is no such community.');
  end if;
  perform private.lock_membership(p_community_id);
  if not private.is_able(p_user_id) then
    perform private.refuse('CONFLICT', 'This person cannot act now.',
      jsonb_build_object('standing', private.standing_of(p_user_id)));
  elsif private.is_banned(p_community_id, p_user_id) then
    perform private.refuse('FORBIDDEN', 'This person is banned from the community.', '{"banned": true}');
  end if;

  if not private.is_member(p_community_id, p_user_id) then
    perform private.require_room_for_one_more(p_user_id);
    perform private.bring_in(private.day_of(p_community_id), p_user_id);
  end if;
  if private.set_role(p_community_id, p_user_id, 'moderator', true) then
    v_reason_id := private.keep_words(p_community_id, p_steward_id, p_reason);
    perform private.record_act(
      p_community_id, p_steward_id, 'steward_named_moderator', p_user_id, jsonb_build_object('reason_id', v_reason_id)
    );
    perform private.announce(
      p_community_id, 'moderator_named', jsonb_build_object('user_id', p_user_id, 'reason_id', v_reason_id)
    );
    perform private.notify(
      array[p_user_id], p_community_id, 'system', 'moderator_named', 'moderator_named', p_community_id,
      jsonb_build_object('reason_id', v_reason_id)
    );
  end if;
  return jsonb_build_object('member', private.show_member(p_community_id, p_user_id));
end;
$$;
comment on function private.seat_moderator is
'A community everyone has left keeps its join code paused; whom a steward seats there may open it. Who is moderator
already stays so, and nobody is told again.';

create function public.seat_moderator(community_id uuid, user_id uuid, reason text, steward_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.seat_moderator(
    seat_moderator.community_id, seat_moderator.user_id, seat_moderator.reason, seat_moderator.steward_id
  );
end;
comment on function public.seat_moderator is
'Names a moderator, also of a community everyone has left. For the service role alone.

Who is not in the community becomes a member first, as by joining: one who was there before waits for Dawn with an empty
purse. Other moderators stay. reason (1 to 280 characters) is told in the Chamber and in the audit log. Returns
{member}. Refuses: NOT_FOUND (community or person), INVALID_INPUT, CONFLICT {standing} (who cannot act) or {most} (in a
hundred communities), FORBIDDEN (banned there, or steward_id is no steward).';
grant execute on function public.seat_moderator, private.seat_moderator to service_role;
