-- The vocabulary of refusals (RULES 12).

create function private.http_status(p_code text)
returns integer
language sql immutable set search_path = ''
begin atomic
  select
    case
      when p_code = 'INSUFFICIENT_CC' then 400
      when p_code = 'UNAUTHORIZED' then 401
      when p_code in (
        'INVITE_REQUIRED', 'FORBIDDEN', 'NOT_ELECTOR', 'CANNOT_WITNESS_OWN', 'INVITE_EMAIL_MISMATCH',
        'EMAIL_UNCONFIRMED'
      ) then 403
      when p_code = 'NOT_FOUND' then 404
      when p_code in (
        'CONFLICT', 'ALREADY_VOTED', 'ELECTION_CLOSED', 'PROPOSAL_EXPIRED', 'ACTIVE_TIP_TO_TIP_EXISTS', 'NO_ELECTORS',
        'LAST_MODERATOR', 'INVITE_UNAVAILABLE', 'REQUEST_LAPSED', 'EDIT_WINDOW_PASSED', 'DAY_CLOSED', 'DEBT_LIMIT'
      ) then 409
      when p_code = 'INVALID_INPUT' then 422
      when p_code = 'RATE_LIMITED' then 429
    end;
end;
comment on function private.http_status is
'The HTTP status of a refusal code (RULES 12); null for a code that is none.';

create function private.refuse(p_code text, p_message text, p_facts jsonb default '{}')
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- PostgREST takes only a string as details, and wants both status and headers in the detail.
  raise sqlstate 'PGRST' using
    message = json_build_object('code', p_code, 'message', p_message, 'details', p_facts::text, 'hint', null)::text,
    detail = json_build_object('status', private.http_status(p_code), 'headers', json_build_object())::text;
end;
$$;
comment on function private.refuse is
'Refuses an act: PostgREST answers {code, message, details, hint} with the status of the code.

Codes are stable, words may change; p_facts travel in details, so that a frontend can help.';
grant execute on function private.refuse to authenticated, service_role;
