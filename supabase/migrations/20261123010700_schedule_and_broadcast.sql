-- The scheduled jobs, what the frontend hears, and what stewards do.

-- The scheduled jobs (RULES 6.2, 6.4): each a function of a moment that serves one bounded batch.

create table private.job_runs (
  id bigint generated always as identity,
  job text not null,
  community_id uuid not null,
  day date,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  rows integer,
  error text,
  constraint job_runs_pkey primary key (id)
);
comment on table private.job_runs is
'What each job did for each community: rows it changed, or the error it met. Kept 30 days. No foreign key: a log.';
create index job_runs_started_at_idx on private.job_runs (started_at);
create index job_runs_community_id_idx on private.job_runs (community_id, id);
create index job_runs_errors_idx on private.job_runs (id) where error is not null;
alter table private.job_runs enable row level security;
create policy nobody_reads_job_runs on private.job_runs for select to authenticated using (false);

create table private.job_troubles (
  job text not null,
  community_id uuid not null,
  retry_at timestamptz not null,
  tries integer not null default 1,
  constraint job_troubles_pkey primary key (job, community_id)
);
comment on table private.job_troubles is
'Communities a job failed for, and when it tries again: later each time, up to an hour, so that one broken community
is never in the way of the others.';
alter table private.job_troubles enable row level security;
create policy nobody_reads_job_troubles on private.job_troubles for select to authenticated using (false);

create function private.do_job(p_job text, p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return case p_job
    when 'daily_reset' then private.settle(p_community_id, p_now)
    when 'daily_sunset' then private.close_day(p_community_id, p_now)
    when 'weekly_jashn' then private.crown_week(p_community_id, p_now)
    when 'tip_to_tip_expiry' then private.expire_tips(p_community_id, p_now)
    when 'election_close' then private.close_elections(p_community_id, p_now)
  end;
end;
$$;
comment on function private.do_job is 'Does one job for one community as of p_now; returns the rows it changed.';
revoke all on function private.do_job from public, anon, authenticated, service_role;

create function private.serve_community(p_job text, p_community_id uuid, p_now timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_started timestamptz := clock_timestamp();
  v_rows integer;
  v_error text;
begin
  begin
    v_rows := private.do_job(p_job, p_community_id, p_now);
  exception when others then
    v_error := sqlstate || ' ' || sqlerrm;
    raise warning '% failed for community %: %', p_job, p_community_id, v_error;
  end;

  if v_error is null then
    delete from private.job_troubles as t where t.job = p_job and t.community_id = p_community_id;
  else
    insert into private.job_troubles as t (job, community_id, retry_at)
    values (p_job, p_community_id, p_now + interval '1 minute')
    on conflict (job, community_id) do update
    set retry_at = p_now + least(interval '1 minute' * 2 ^ t.tries, interval '1 hour'), tries = least(t.tries + 1, 10);
  end if;
  insert into private.job_runs (job, community_id, day, started_at, finished_at, rows, error)
  values (
    p_job, p_community_id, (select d.day from public.community_days as d where d.community_id = p_community_id),
    v_started, clock_timestamp(), v_rows, v_error
  );
end;
$$;
comment on function private.serve_community is
'Does one job for one community in a savepoint of its own and records the run. started_at and finished_at are the
wall''s clock; everything else is as of p_now.';
revoke all on function private.serve_community from public, anon, authenticated, service_role;

create function private.serve_batch(p_job text, p_community_ids uuid[], p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_community_id uuid;
begin
  -- In id order, so that two jobs that wait for communities never wait for each other in a ring.
  for v_community_id in select c.id from unnest(p_community_ids) as c (id) order by c.id loop
    perform private.serve_community(p_job, v_community_id, p_now);
  end loop;
  return cardinality(p_community_ids);
end;
$$;
comment on function private.serve_batch is 'Serves a batch of communities one after the other; returns how many.';
revoke all on function private.serve_batch from public, anon, authenticated, service_role;

create function private.in_trouble(p_job text, p_now timestamptz)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select array(
      select t.community_id from private.job_troubles as t
      where t.job = p_job and t.retry_at > p_now
    )
  );
end;
$$;
comment on function private.in_trouble is 'The communities a job leaves alone for now.';
revoke all on function private.in_trouble from public, anon, authenticated, service_role;

create function private.daily_reset(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch('daily_reset', array(
    select d.community_id from public.community_days as d
    where d.dawn_at <= p_now and d.community_id <> all(private.in_trouble('daily_reset', p_now))
    order by d.dawn_at
    limit 20
    for no key update skip locked
  ), p_now);
end;
$$;
comment on function private.daily_reset is
'Dawn, for up to 20 communities whose local clock says so; returns how many it served, 0 when none is due.

A community another worker or a member is just settling is skipped, not waited for.';
revoke all on function private.daily_reset from public, anon, authenticated, service_role;

create function private.daily_sunset(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.lapse_requests(p_now, 1000);
  return private.serve_batch('daily_sunset', array(
    select d.community_id from public.community_days as d
    where d.is_open and d.sunset_at <= p_now and d.community_id <> all(private.in_trouble('daily_sunset', p_now))
    order by d.sunset_at
    limit 20
    for no key update skip locked
  ), p_now);
end;
$$;
comment on function private.daily_sunset is
'Sunset, for up to 20 communities whose local clock says so; returns how many it served, 0 when none is due. It also
writes down which borrow requests have lapsed.';
revoke all on function private.daily_sunset from public, anon, authenticated, service_role;

create function private.tip_to_tip_expiry(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch('tip_to_tip_expiry', array(
    select distinct t.community_id from (
      select o.community_id from public.tip_to_tip_proposals as o
      where o.status = 'active' and o.deadline <= p_now
      union all
      select o.community_id from public.tip_to_tip_proposals as o
      where o.status = 'active' and o.remind_at <= p_now
    ) as t
    where t.community_id <> all(private.in_trouble('tip_to_tip_expiry', p_now))
    limit 20
  ), p_now);
end;
$$;
comment on function private.tip_to_tip_expiry is
'Ends proposals past their deadline and sends the reminders that are due, for up to 20 communities; returns how many
it served, 0 when nothing is due.';
revoke all on function private.tip_to_tip_expiry from public, anon, authenticated, service_role;

create function private.election_close(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch(
    'election_close', private.elections_due(p_now, 20, private.in_trouble('election_close', p_now)), p_now
  );
end;
$$;
comment on function private.election_close is
'Closes the elections that have ended, for up to 20 communities; returns how many it served, 0 when nothing is due.';
revoke all on function private.election_close from public, anon, authenticated, service_role;

create function private.weekly_jashn(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch(
    'weekly_jashn', private.jashns_due(p_now, 20, private.in_trouble('weekly_jashn', p_now)), p_now
  );
end;
$$;
comment on function private.weekly_jashn is
'Holds the Jashn of the week just ended, for up to 20 communities whose Sunday has come to 00:05; returns how many it
served, 0 when nothing is due.';
revoke all on function private.weekly_jashn from public, anon, authenticated, service_role;

create function private.housekeeping(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
  v_all integer := private.forget_requests(p_now, 5000) + private.forget_notifications(p_now, 5000)
    + private.forget_misses(p_now, 5000) + private.finish_erasures(20);
begin
  delete from private.job_runs as r
  where r.id in (
    select o.id from private.job_runs as o where o.started_at <= p_now - interval '30 days' limit 5000
  );
  get diagnostics v_gone = row_count;
  v_all := v_all + v_gone;
  delete from cron.job_run_details as r
  where r.runid in (
    select o.runid from cron.job_run_details as o where o.end_time <= p_now - interval '7 days' limit 5000
  );
  get diagnostics v_gone = row_count;
  return v_all + v_gone;
end;
$$;
comment on function private.housekeeping is
'Deletes a batch of what is kept only for a while: request ids 7 days, notices 90, invite misses an hour, job runs 30
days, pg_cron''s own run records 7 days. Returns how many rows went, 0 when nothing is due.';
revoke all on function private.housekeeping from public, anon, authenticated, service_role;

create function private.schedule_jobs()
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_job record;
begin
  -- Every minute asks whose local hour it is; pg_cron itself knows one zone and never catches up by itself.
  for v_job in
    select * from (values
      ('daily_reset', '* * * * *'),
      ('daily_sunset', '* * * * *'),
      ('weekly_jashn', '* * * * *'),
      ('tip_to_tip_expiry', '*/15 * * * *'),
      ('election_close', '* * * * *'),
      ('housekeeping', '17 * * * *')
    ) as j (name, hour)
  loop
    perform cron.schedule(
      v_job.name, v_job.hour,
      format('do $do$ begin while private.%I() > 0 loop commit; end loop; end $do$', v_job.name)
    );
  end loop;
end;
$$;
comment on function private.schedule_jobs is
'Schedules every job with pg_cron under its own name; doing it again replaces them.

The command commits batch by batch. A run the platform stops after its two minutes has lost nothing: the next one
goes on.';
revoke all on function private.schedule_jobs from public, anon, authenticated, service_role;

create function private.get_health()
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object('status', 'ok', 'dawn_late_seconds', private.dawn_late_seconds(private.clock()));
end;
comment on function private.get_health is 'What get_health answers.';
revoke all on function private.get_health from public, anon, authenticated, service_role;

create function public.get_health()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_health();
end;
comment on function public.get_health is
'Whether the house is well, for the edge''s /health/ready. For the service role alone.

Returns {status, dawn_late_seconds}: how late the most overdue Dawn is, 0 when none is.';
revoke all on function public.get_health from public, anon, authenticated, service_role;
grant execute on function public.get_health, private.get_health to service_role;

select private.schedule_jobs();

-- Live updates: which tables the frontend hears, and who may join which topic (RULES 11.2).

-- What members read anyway, and what changes one act at a time. Purses, ledger, loans, rolls and reckonings change by
-- the thousand at once and would hold up everybody's events; ballots are sealed. A broadcast says when to read again.
alter publication supabase_realtime set table
public.communities,
public.community_members,
public.notifications,
public.chat_messages,
public.declarations,
public.witnesses,
public.borrow_requests,
public.tip_to_tip_proposals,
public.tip_to_tip_votes,
public.elections,
public.jashns,
public.jashn_celebrations;

-- An update sends a long text it did not touch only as part of the old row. These two change (a witness counted, a vote
-- cast) while a description of theirs may lie out of line; everywhere else the key is enough.
alter table public.declarations replica identity full;
alter table public.tip_to_tip_proposals replica identity full;

create function private.may_hear(p_topic text)
returns boolean
language sql stable security definer set search_path = ''
begin atomic
  select coalesce(
    p_topic = 'user:' || private.my_id()::text
    or p_topic in (select 'community:' || c.id::text from private.my_communities() as c (id)),
    false
  );
end;
comment on function private.may_hear is
'Whether the caller may join a topic: user:<id> as that person, community:<id> as a member; nobody who is not
admitted.

Realtime asks when somebody joins and when their token is renewed: until then whoever has gone still hears ids,
which they can no longer read.';
revoke all on function private.may_hear from public, anon, authenticated, service_role;
grant execute on function private.may_hear to authenticated;

-- To hear, never to speak: there is no policy for insert, so that what is heard comes from the house alone.
create policy people_hear_their_topics on realtime.messages for select to authenticated
using (extension = 'broadcast' and (select private.may_hear((select realtime.topic()))));

-- What the stewards of the Bureau do: help a person, look after a community's day, mend a purse, watch the jobs.
-- Everything here is for the service role; every act is told in the audit log.

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
revoke all on function private.require_steward from public, anon, authenticated, service_role;

create function private.require_community(p_community_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if not exists (select from public.communities as c where c.id = p_community_id) then
    perform private.refuse('NOT_FOUND', 'There is no such community.');
  end if;
end;
$$;
comment on function private.require_community is 'Asks that a community exists. Refuses: NOT_FOUND.';
revoke all on function private.require_community from public, anon, authenticated, service_role;

create function private.show_act(p_entry public.audit_entries)
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
revoke all on function private.show_act from public, anon, authenticated, service_role;

create function private.list_steward_acts(p_page_size integer, p_before_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_page public.audit_entries[];
begin
  perform private.require_page_size(p_page_size);
  v_page := array(
    select e from public.audit_entries as e
    where starts_with(e.action, 'steward_') and (p_before_id is null or e.id < p_before_id)
    order by e.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'acts', (
      select coalesce(jsonb_agg(private.show_act(e::public.audit_entries) order by e.id desc), '[]')
      from unnest(v_page[:p_page_size]) as e
    ),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;
comment on function private.list_steward_acts is 'What list_steward_acts answers.';
revoke all on function private.list_steward_acts from public, anon, authenticated, service_role;

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
revoke all on function public.list_steward_acts from public, anon, authenticated, service_role;
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
          from public.community_members as m
          join public.communities as c on c.id = m.community_id
          where m.user_id = u.id and m.left_at is null
        )
      )
    from public.users as u
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
revoke all on function private.show_account from public, anon, authenticated, service_role;

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
    select u.created_at into v_before from public.users as u where u.id = p_before_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such person.');
    end if;
  end if;
  v_page := array(
    select u.id from public.users as u
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
'What find_people answers. A search reads every profile: it is for a steward, not for a page.';
revoke all on function private.find_people from public, anon, authenticated, service_role;

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
revoke all on function public.find_people from public, anon, authenticated, service_role;
grant execute on function public.find_people, private.find_people to service_role;

create function private.admit_person(p_user_id uuid, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  -- The person's row is the queue for whoever decides about them, and for their own tries at a code.
  perform from public.users as u where u.id = p_user_id for no key update;
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
comment on function private.admit_person is 'What admit_person does.';
revoke all on function private.admit_person from public, anon, authenticated, service_role;

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
revoke all on function public.admit_person from public, anon, authenticated, service_role;
grant execute on function public.admit_person, private.admit_person to service_role;

create function private.suspend_person(p_user_id uuid, p_reason text, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  perform private.require_text('reason', p_reason, 280);
  perform from public.users as u where u.id = p_user_id for no key update;
  perform private.get_account(p_user_id);
  if private.suspend(p_user_id) then
    perform private.record_act(
      null, p_steward_id, 'steward_suspended', p_user_id, jsonb_build_object('reason', p_reason)
    );
  end if;
  return jsonb_build_object('person', private.show_account(p_user_id));
end;
$$;
comment on function private.suspend_person is 'What suspend_person does.';
revoke all on function private.suspend_person from public, anon, authenticated, service_role;

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
revoke all on function public.suspend_person from public, anon, authenticated, service_role;
grant execute on function public.suspend_person, private.suspend_person to service_role;

create function private.restore_person(p_user_id uuid, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  perform from public.users as u where u.id = p_user_id for no key update;
  perform private.get_account(p_user_id);
  if private.restore(p_user_id) then
    perform private.record_act(null, p_steward_id, 'steward_restored', p_user_id);
  end if;
  return jsonb_build_object('person', private.show_account(p_user_id));
end;
$$;
comment on function private.restore_person is 'What restore_person does.';
revoke all on function private.restore_person from public, anon, authenticated, service_role;

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
revoke all on function public.restore_person from public, anon, authenticated, service_role;
grant execute on function public.restore_person, private.restore_person to service_role;

---------------------------------------------------------------------------------------------------- communities

create function private.show_calendar(p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      jsonb_build_object(
        'day', d.day, 'day_open', d.is_open, 'next_sunset_at', d.sunset_at, 'next_dawn_at', d.dawn_at,
        'last_closed_day', d.last_closed_day,
        'late_seconds', greatest(extract(epoch from private.clock() - d.due_at)::integer, 0)
      )
    from public.community_days as d
    where d.community_id = p_community_id
  );
end;
$$;
comment on function private.show_calendar is
'The day a community lives as it is stored, and how long ago its next Sunset or Dawn should have been.';
revoke all on function private.show_calendar from public, anon, authenticated, service_role;

create function private.show_runs(p_runs private.job_runs[])
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      coalesce(
        jsonb_agg(
          jsonb_build_object(
            'id', r.id, 'job', r.job, 'community_id', r.community_id, 'day', r.day, 'started_at', r.started_at,
            'finished_at', r.finished_at, 'rows', r.rows, 'error', r.error
          )
          order by r.id desc
        ), '[]'
      )
    from unnest(p_runs) as r
  );
end;
$$;
comment on function private.show_runs is 'What jobs did, as stewards see it, newest first.';
revoke all on function private.show_runs from public, anon, authenticated, service_role;

create function private.inspect_community(p_community_id uuid, p_prove_books boolean, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  perform private.require_community(p_community_id);
  perform private.record_act(p_community_id, p_steward_id, 'steward_inspected');
  return jsonb_build_object(
    'community', private.show_community(p_community_id),
    'pending', (select c.pending from public.communities as c where c.id = p_community_id),
    'calendar', private.show_calendar(p_community_id),
    'members', (
      select jsonb_agg(s.member order by s.joined_at, s.user_id) from private.shown_members as s
      where s.community_id = p_community_id and s.left_at is null
    ),
    'open', jsonb_build_object(
      'tip_to_tips', (
        select count(*) from public.tip_to_tip_proposals as t
        where t.community_id = p_community_id and t.status = 'active'
      ),
      'elections', (
        select count(*) from public.elections as e
        where e.community_id = p_community_id and e.status = 'active'
      ),
      'loans', (
        select count(*) from public.loans as l
        where l.community_id = p_community_id and l.status = 'open'
      )
    ),
    'books', case when coalesce(p_prove_books, true) then private.prove_books(p_community_id) end,
    'runs', private.show_runs(array(
      select r from private.job_runs as r where r.community_id = p_community_id order by r.id desc limit 20
    )),
    'troubles', (
      select
        coalesce(
          jsonb_agg(jsonb_build_object('job', t.job, 'tries', t.tries, 'retry_at', t.retry_at) order by t.job), '[]'
        )
      from private.job_troubles as t
      where t.community_id = p_community_id
    )
  );
end;
$$;
comment on function private.inspect_community is
'What inspect_community answers. It looks at what is stored and settles nothing: a day that is late must show as
late.';
revoke all on function private.inspect_community from public, anon, authenticated, service_role;

create function public.inspect_community(
  community_id uuid, prove_books boolean default true, steward_id uuid default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.inspect_community(
    inspect_community.community_id, inspect_community.prove_books, inspect_community.steward_id
  );
end;
comment on function public.inspect_community is
'A community''s day as it is stored: calendar, members, books, runs and troubles. For the service role alone.

Nothing is settled: what is late shows as late. The community''s moderators see in their audit log that somebody
looked. Returns {community, pending, calendar: {day, day_open, next_sunset_at, next_dawn_at, last_closed_day,
late_seconds}, members: [member], open: {tip_to_tips, elections, loans}, books, runs: [{id, job, community_id, day,
started_at, finished_at, rows, error}], troubles: [{job, tries, retry_at}]}; books as audit_ledger answers, null
with prove_books false: a proof reads the whole ledger. Refuses: NOT_FOUND, FORBIDDEN (steward_id is no steward).';
revoke all on function public.inspect_community from public, anon, authenticated, service_role;
grant execute on function public.inspect_community, private.inspect_community to service_role;

create function private.settle_community(p_community_id uuid, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_last bigint;
  v_job text;
  v_runs jsonb;
begin
  perform private.require_steward(p_steward_id);
  perform private.require_community(p_community_id);
  select coalesce(max(r.id), 0) into v_last from private.job_runs as r where r.community_id = p_community_id;
  foreach v_job in array array[
    'daily_sunset', 'daily_reset', 'tip_to_tip_expiry', 'election_close', 'weekly_jashn'
  ] loop
    perform private.serve_community(v_job, p_community_id, private.clock());
  end loop;
  v_runs := private.show_runs(array(
    select r from private.job_runs as r where r.community_id = p_community_id and r.id > v_last
  ));
  perform private.record_act(
    p_community_id, p_steward_id, 'steward_settled', null,
    jsonb_build_object(
      'rows', (select coalesce(sum((r.run ->> 'rows')::integer), 0) from jsonb_array_elements(v_runs) as r (run)),
      'failed', (select count(r.run ->> 'error') from jsonb_array_elements(v_runs) as r (run))
    )
  );
  return jsonb_build_object('calendar', private.show_calendar(p_community_id), 'runs', v_runs);
end;
$$;
comment on function private.settle_community is
'What settle_community does: the scheduled jobs themselves, for one community, each in a savepoint of its own.';
revoke all on function private.settle_community from public, anon, authenticated, service_role;

create function public.settle_community(community_id uuid, steward_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.settle_community(settle_community.community_id, settle_community.steward_id);
end;
comment on function public.settle_community is
'Does now whatever is overdue in a community, as the scheduled jobs would. For the service role alone.

That is its Sunset and Dawn, proposals, elections and the Jashn, each without waiting for the job''s next try. Time
is the house''s own: what is not due does not happen, and done twice it changes nothing more. Returns {calendar,
runs}, as inspect_community shows them; a run that failed says why in error, and the others went on. Refuses:
NOT_FOUND, FORBIDDEN (steward_id is no steward).';
revoke all on function public.settle_community from public, anon, authenticated, service_role;
grant execute on function public.settle_community, private.settle_community to service_role;

create function private.tell_correction(
  p_community_id uuid, p_user_id uuid, p_correction_id uuid, p_amount integer, p_reason text, p_steward_id uuid
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_amount text := format('%s %s CC', case when p_amount > 0 then 'up by' else 'down by' end, abs(p_amount));
  v_facts jsonb := jsonb_build_object('user_id', p_user_id, 'amount', p_amount);
begin
  perform private.record_act(
    p_community_id, p_steward_id, 'steward_corrected', p_user_id,
    jsonb_build_object('amount', p_amount, 'reason', p_reason, 'correction_id', p_correction_id)
  );
  perform private.announce(
    p_community_id, 'balance_corrected',
    format('A steward set the purse of %s %s: %s', private.name_of(p_user_id), v_amount, p_reason), v_facts
  );
  perform private.notify(
    array[p_user_id], p_community_id, 'system', 'balance_corrected', p_correction_id,
    format('Your purse was set %s', v_amount), p_reason, p_is_ask => true
  );
end;
$$;
comment on function private.tell_correction is
'Tells a correction and its reason to the audit log, the Chamber and, muted or not, the member.';
revoke all on function private.tell_correction from public, anon, authenticated, service_role;

create function private.post_correction(
  p_community_id uuid, p_user_id uuid, p_amount integer, p_reason text, p_request_id uuid, p_steward_id uuid
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_arguments jsonb := jsonb_build_array(p_community_id, p_user_id, p_amount, p_reason);
  v_answer jsonb;
  v_id uuid := gen_random_uuid();
begin
  perform private.require_steward(p_steward_id);
  perform private.require_community(p_community_id);
  v_answer := private.recall(p_user_id, 'post_correction', p_request_id, v_arguments);
  if v_answer is not null then
    return v_answer;
  end if;
  perform private.require_text('reason', p_reason, 280);
  perform private.require_number('amount', p_amount, -1000000, 1000000);
  if p_amount = 0 then
    perform private.refuse('INVALID_INPUT', 'amount must not be 0.', jsonb_build_object('field', 'amount'));
  end if;
  perform private.hold_day(p_community_id);
  perform private.require_fellow(p_community_id, p_user_id);

  perform private.post_entry(p_community_id, p_user_id, 'correction', p_amount, v_id);
  perform private.tell_correction(p_community_id, p_user_id, v_id, p_amount, p_reason, p_steward_id);
  return private.remember(p_user_id, 'post_correction', p_request_id, v_arguments, jsonb_build_object(
    'correction_id', v_id, 'amount', p_amount, 'balance', private.show_balance(p_community_id, p_user_id)
  ));
end;
$$;
comment on function private.post_correction is
'What post_correction does. Its request ids are kept with the member''s own: they are theirs to export and erase.';
revoke all on function private.post_correction from public, anon, authenticated, service_role;

create function public.post_correction(
  community_id uuid,
  user_id uuid,
  amount integer,
  reason text,
  request_id uuid default null,
  steward_id uuid default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.post_correction(
    post_correction.community_id, post_correction.user_id, post_correction.amount, post_correction.reason,
    post_correction.request_id, post_correction.steward_id
  );
end;
comment on function public.post_correction is
'Sets a member''s purse up or down, for a reason told to everyone. For the service role alone.

The reason goes to the member, the Chamber and the audit log. amount is signed, up to 1000000 either way; reason has
1 to 280 characters. The ledger gets a new entry: up counts as minted, down as forfeited (RULES 5.2), neither as
spent. It works by night too; what it leaves in a purse then expires before the next grant. Returns {correction_id,
amount, balance}; the entry has the correction_id as reference_id. Refuses: NOT_FOUND, INVALID_INPUT,
INSUFFICIENT_CC {short_by, largest_possible} below zero, CONFLICT (request_id), FORBIDDEN (steward_id is no
steward).';
revoke all on function public.post_correction from public, anon, authenticated, service_role;
grant execute on function public.post_correction, private.post_correction to service_role;

---------------------------------------------------------------------------------------------------- jobs

create function private.list_job_runs(p_job text, p_failed_only boolean, p_page_size integer, p_before_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_page private.job_runs[];
begin
  perform private.require_page_size(p_page_size);
  v_page := array(
    select r from private.job_runs as r
    where (p_before_id is null or r.id < p_before_id)
      and (p_job is null or r.job = p_job)
      and (r.error is not null or not coalesce(p_failed_only, false))
    order by r.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'runs', private.show_runs(v_page[:p_page_size]),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;
comment on function private.list_job_runs is 'What list_job_runs answers.';
revoke all on function private.list_job_runs from public, anon, authenticated, service_role;

create function public.list_job_runs(
  job text default null, failed_only boolean default false, page_size integer default 50, before_id bigint default null
)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_job_runs(
    list_job_runs.job, list_job_runs.failed_only, list_job_runs.page_size, list_job_runs.before_id
  );
end;
comment on function public.list_job_runs is
'What the jobs did, a line for each community served, newest first. For the service role alone.

Of all jobs or one, all runs or only those that failed. Returns {runs: [{id, job, community_id, day, started_at,
finished_at, rows, error}], has_more}; rows is null where error is not. Kept 30 days. Refuses: INVALID_INPUT.';
revoke all on function public.list_job_runs from public, anon, authenticated, service_role;
grant execute on function public.list_job_runs, private.list_job_runs to service_role;

create function private.due_since(p_job text)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return case p_job
    when 'daily_reset' then (select min(d.dawn_at) from public.community_days as d)
    when 'daily_sunset' then (select min(d.sunset_at) from public.community_days as d where d.is_open)
    when 'weekly_jashn' then (select min(k.look_at) from private.jashn_calendar as k)
    when 'tip_to_tip_expiry' then (
      select min(t.deadline) from public.tip_to_tip_proposals as t where t.status = 'active'
    )
    when 'election_close' then (select min(e.ends_at) from public.elections as e where e.status = 'active')
  end;
end;
$$;
comment on function private.due_since is
'The moment of the earliest thing a job has still to do, past or to come; null if nothing is in sight.';
revoke all on function private.due_since from public, anon, authenticated, service_role;

create function private.get_jobs()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object('jobs', (
    select
      coalesce(
        jsonb_agg(
          jsonb_build_object(
            'name', j.jobname, 'schedule', j.schedule, 'active', j.active,
            'next_due_at', private.due_since(j.jobname),
            'late_seconds', coalesce(
              greatest(extract(epoch from private.clock() - private.due_since(j.jobname))::integer, 0), 0
            ),
            'last_started_at', l.start_time, 'last_status', l.status, 'last_message', l.return_message,
            'failed_in_a_day', (
              select count(*) from private.job_runs as r
              where r.job = j.jobname and r.error is not null
                and r.started_at > private.clock() - interval '1 day'
            ),
            'communities_in_trouble', (select count(*) from private.job_troubles as t where t.job = j.jobname)
          )
          order by j.jobname
        ), '[]'
      )
    from cron.job as j
    left join lateral (
      select d.start_time, d.status, d.return_message from cron.job_run_details as d
      where d.jobid = j.jobid
      order by d.runid desc
      limit 1
    ) as l on true
  ));
end;
$$;
comment on function private.get_jobs is 'What get_jobs answers.';
revoke all on function private.get_jobs from public, anon, authenticated, service_role;

create function public.get_jobs()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_jobs();
end;
comment on function public.get_jobs is
'Every scheduled job: its last run, how late it is with its work, what failed. For the service role alone.

Returns {jobs: [{name, schedule, active, next_due_at, late_seconds, last_started_at, last_status, last_message,
failed_in_a_day, communities_in_trouble}]}. tip_to_tip_expiry runs every 15 minutes, so up to 900 late seconds are
its usual; failed_in_a_day counts runs for one community.';
revoke all on function public.get_jobs from public, anon, authenticated, service_role;
grant execute on function public.get_jobs, private.get_jobs to service_role;
