-- What stewards do for a community: look, settle what is overdue, mend a purse. For the service role.

create function private.require_community(p_community_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if not exists (select from private.communities as c where c.id = p_community_id) then
    perform private.refuse('NOT_FOUND', 'There is no such community.');
  end if;
end;
$$;
comment on function private.require_community is 'Asks that a community exists. Refuses: NOT_FOUND.';

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
    from private.community_days as d
    where d.community_id = p_community_id
  );
end;
$$;
comment on function private.show_calendar is
'The day a community lives as it is stored, and how long ago its next Sunset or Dawn should have been.';

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
    'pending', (select c.pending from private.communities as c where c.id = p_community_id),
    'calendar', private.show_calendar(p_community_id),
    'members', (
      select coalesce(jsonb_agg(s.member order by s.joined_at, s.user_id), '[]')
      from private.shown_members(p_community_id, private.member_ids(p_community_id)) as s
    ),
    'open', jsonb_build_object(
      'tip_to_tips', (
        select count(*) from private.tip_to_tip_proposals as t
        where t.community_id = p_community_id and t.status = 'active'
      ),
      'elections', (
        select count(*) from private.elections as e
        where e.community_id = p_community_id and e.status = 'active'
      ),
      'loans', (
        select count(*) from private.loans as l
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
'It looks at what is stored and settles nothing: a day that is late must show as late.';

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
  for v_job in select j.name from private.jobs() as j where j.serves is not null loop
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
'The scheduled jobs themselves, for one community, each in a savepoint of its own.';

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
grant execute on function public.settle_community, private.settle_community to service_role;

create function private.note_correction(
  p_community_id uuid, p_user_id uuid, p_correction_id uuid, p_amount integer, p_reason text, p_steward_id uuid
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_facts jsonb := jsonb_build_object(
    'amount', p_amount, 'reason_id', private.keep_words(p_community_id, p_steward_id, p_reason)
  );
begin
  perform private.record_act(
    p_community_id, p_steward_id, 'steward_corrected', p_user_id,
    v_facts || jsonb_build_object('correction_id', p_correction_id)
  );
  perform private.announce(
    p_community_id, 'balance_corrected', v_facts || jsonb_build_object('user_id', p_user_id)
  );
  perform private.notify(
    array[p_user_id], p_community_id, 'system', 'balance_corrected', 'balance_corrected', p_correction_id, v_facts,
    p_is_ask => true
  );
end;
$$;
comment on function private.note_correction is
'Tells a correction and its reason to the audit log, the Chamber and, muted or not, the member.';

create function private.post_correction(
  p_community_id uuid, p_user_id uuid, p_amount integer, p_reason text, p_request_id uuid, p_steward_id uuid
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_id uuid := gen_random_uuid();
  v_made jsonb;
begin
  perform private.require_steward(p_steward_id);
  perform private.require_community(p_community_id);
  v_made := private.claim(
    p_user_id, 'post_correction', p_request_id, jsonb_build_array(p_community_id, p_user_id, p_amount, p_reason),
    jsonb_build_object('correction_id', v_id)
  );
  if v_made is null then
    perform private.require_text('reason', p_reason, 280);
    perform private.require_number('amount', p_amount, -1000000, 1000000);
    if p_amount = 0 then
      perform private.refuse('INVALID_INPUT', 'amount must not be 0.', jsonb_build_object('field', 'amount'));
    end if;
    perform private.hold_day(p_community_id);
    perform private.require_present(p_community_id, p_user_id);

    if (private.try_entry(p_community_id, p_user_id, 'correction', p_amount, v_id)).user_id is null then
      if p_amount > 0 then
        perform private.refuse_full_purse();
      end if;
      perform private.refuse_shortage(
        p_community_id, p_user_id, -p_amount, private.when_affordable(p_community_id, p_user_id, -p_amount)
      );
    end if;
    perform private.note_correction(p_community_id, p_user_id, v_id, p_amount, p_reason, p_steward_id);
    v_made := jsonb_build_object('correction_id', v_id);
  end if;
  return v_made || jsonb_build_object(
    'amount', p_amount, 'balance', private.show_balance_of(p_community_id, p_user_id)
  );
end;
$$;
comment on function private.post_correction is
'Its request ids are kept with the member''s own: they are theirs to export and erase.';

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
INSUFFICIENT_CC {short_by, largest_possible, possible_at} below zero, CONFLICT {most} (a purse holds at most
1000000000 CC), CONFLICT (request_id), FORBIDDEN (steward_id is no steward).';
grant execute on function public.post_correction, private.post_correction to service_role;
