-- The vocabulary of refusals (RULES 12).

create function private.refusal_codes(out code text, out status integer)
returns setof record
language sql immutable set search_path = ''
begin atomic
  select
    r.code,
    r.status
  from (
    values
    ('INSUFFICIENT_CC', 400),
    ('UNAUTHORIZED', 401),
    ('INVITE_REQUIRED', 403),
    ('FORBIDDEN', 403),
    ('NOT_ELECTOR', 403),
    ('CANNOT_WITNESS_OWN', 403),
    ('INVITE_EMAIL_MISMATCH', 403),
    ('EMAIL_UNCONFIRMED', 403),
    ('NOT_FOUND', 404),
    ('CONFLICT', 409),
    ('ALREADY_VOTED', 409),
    ('ELECTION_CLOSED', 409),
    ('PROPOSAL_EXPIRED', 409),
    ('ACTIVE_TIP_TO_TIP_EXISTS', 409),
    ('NO_ELECTORS', 409),
    ('LAST_MODERATOR', 409),
    ('INVITE_UNAVAILABLE', 409),
    ('REQUEST_LAPSED', 409),
    ('EDIT_WINDOW_PASSED', 409),
    ('DAY_CLOSED', 409),
    ('DEBT_LIMIT', 409),
    ('INVALID_INPUT', 422),
    ('RATE_LIMITED', 429),
    ('READ_REPLICA', 503)
  ) as r (code, status);
end;
comment on function private.refusal_codes is
'Every refusal code with its HTTP status: the one list. The edge, the tests, the types and the reference are held
against it.';

create function private.refuse(p_code text, p_message text, p_facts jsonb default '{}')
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- PostgREST takes only a string as details, and wants both status and headers in the detail.
  raise sqlstate 'PGRST' using
    message = json_build_object('code', p_code, 'message', p_message, 'details', p_facts::text, 'hint', null)::text,
    detail = json_build_object(
      'status', (select r.status from private.refusal_codes() as r where r.code = p_code),
      'headers', json_build_object()
    )::text;
end;
$$;
comment on function private.refuse is
'Refuses an act: PostgREST answers {code, message, details, hint} with the status of the code.

Codes are stable, words may change; p_facts travel in details, so that a frontend can help.';
grant execute on function private.refuse to authenticated, service_role;

create function private.refuse_for_now(p_message text, p_possible_at timestamptz, p_facts jsonb default '{}')
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.refuse('RATE_LIMITED', p_message, p_facts || jsonb_build_object(
    'possible_at', p_possible_at,
    'retry_after', case
      when p_possible_at is not null then greatest(ceil(extract(epoch from p_possible_at - private.clock()))::integer, 1)
    end
  ));
end;
$$;
comment on function private.refuse_for_now is
'Refuses what was done too often: RATE_LIMITED {possible_at, retry_after}, the latter in whole seconds (RULES 3.2);
both null where no moment is known at which the same act would do (RULES 5.5).';
