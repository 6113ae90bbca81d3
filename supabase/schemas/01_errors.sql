-- The vocabulary of refusals (RULES 12) and the checks every input passes.

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
revoke all on function private.http_status from public, anon, authenticated, service_role;

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
revoke all on function private.refuse from public, anon, authenticated, service_role;
grant execute on function private.refuse to authenticated, service_role;

create function private.is_blank(p_text text)
returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  -- Spaces of every script and the invisible marks people paste count as nothing.
  return btrim(
      p_text,
      e' \t\n\r\f\v\u0085\u00a0\u1680\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b'
      || e'\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u202f\u205f\u2060\u2061\u2062'
      || e'\u2063\u2064\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\u00ad\u034f\u061c\u115f'
      || e'\u1160\u180b\u180c\u180d\u2800\u3000\u3164\ufe0e\ufe0f\ufeff\uffa0'
    ) = '';
end;
$$;
comment on function private.is_blank is 'Whether a text shows nothing at all; null for null.';
revoke all on function private.is_blank from public, anon, authenticated, service_role;

create function private.require_text(p_field text, p_value text, p_longest integer, p_shortest integer default 1)
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  if p_value is null
    or char_length(p_value) not between p_shortest and p_longest
    or (p_shortest > 0 and private.is_blank(p_value))
  then
    perform private.refuse(
      'INVALID_INPUT',
      format('%s needs %s to %s characters, and not only blanks.', p_field, p_shortest, p_longest),
      jsonb_build_object('field', p_field, 'shortest', p_shortest, 'longest', p_longest)
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_text is
'Returns a text unchanged, or refuses one that is null, too long, too short or blank.

Refuses: INVALID_INPUT {field, shortest, longest}, in characters.';
revoke all on function private.require_text from public, anon, authenticated, service_role;

create function private.without_tricks(p_name text)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return regexp_replace(p_name, e'[[:cntrl:]\u2028\u2029\u202d\u202e]', '', 'g');
end;
$$;
comment on function private.without_tricks is
'A name without line breaks, control characters and overrides of the direction of writing: names stand inside the
house''s own sentences, and must not pass for more of them. What right-to-left names need stays.';
revoke all on function private.without_tricks from public, anon, authenticated, service_role;

create function private.require_name(p_field text, p_value text, p_longest integer)
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  perform private.require_text(p_field, p_value, p_longest);
  if private.without_tricks(p_value) <> p_value then
    perform private.refuse(
      'INVALID_INPUT', format('%s must be one line, without control characters.', p_field),
      jsonb_build_object('field', p_field)
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_name is
'Returns a name unchanged, or refuses one that is blank, too long or more than a plain line.

Refuses: INVALID_INPUT {field}.';
revoke all on function private.require_name from public, anon, authenticated, service_role;

create function private.require_number(p_field text, p_value bigint, p_least bigint, p_most bigint)
returns bigint
language plpgsql immutable security definer set search_path = ''
as $$
begin
  if p_value is null or p_value not between p_least and p_most then
    perform private.refuse(
      'INVALID_INPUT',
      format('%s must be a whole number from %s to %s.', p_field, p_least, p_most),
      jsonb_build_object('field', p_field, 'least', p_least, 'most', p_most)
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_number is
'Returns a number unchanged, or refuses one that is null or out of range.

Refuses: INVALID_INPUT {field, least, most}.';
revoke all on function private.require_number from public, anon, authenticated, service_role;

create function private.require_amount(p_field text, p_value bigint)
returns integer
language plpgsql immutable security definer set search_path = ''
as $$
begin
  return private.require_number(p_field, p_value, 1, 1000000000)::integer;
end;
$$;
comment on function private.require_amount is
'Returns an amount of CC, a whole number from 1 up, or refuses it with INVALID_INPUT.

The upper bound, a thousand million, is far above any purse and keeps every sum an honest number.';
revoke all on function private.require_amount from public, anon, authenticated, service_role;

create function private.require_page_size(p_page_size integer)
returns integer
language plpgsql immutable security definer set search_path = ''
as $$
begin
  return private.require_number('page_size', p_page_size, 1, 200)::integer;
end;
$$;
comment on function private.require_page_size is 'Returns a page size of 1 to 200, or refuses it with INVALID_INPUT.';
revoke all on function private.require_page_size from public, anon, authenticated, service_role;
grant execute on function private.require_page_size to authenticated, service_role;

create function private.require_choice(p_field text, p_value text, p_choices text[])
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  if p_value is null or p_value <> all(p_choices) then
    perform private.refuse(
      'INVALID_INPUT',
      format('%s must be one of: %s.', p_field, array_to_string(p_choices, ', ')),
      jsonb_build_object('field', p_field, 'choices', p_choices)
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_choice is
'Returns a word that is one of the choices, or refuses it.

Refuses: INVALID_INPUT {field, choices}.';
revoke all on function private.require_choice from public, anon, authenticated, service_role;
grant execute on function private.require_choice to authenticated, service_role;

create function private.require_link(p_field text, p_value text)
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  -- Only the web: a javascript: or data: address shown by a frontend would run in a reader's browser.
  if p_value is not null and (char_length(p_value) > 2048 or p_value !~* '^https?://[^[:space:][:cntrl:]]+$') then
    perform private.refuse(
      'INVALID_INPUT',
      format('%s must be a web address (http or https) of at most 2048 characters.', p_field),
      jsonb_build_object('field', p_field, 'longest', 2048)
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_link is
'Returns a web address or null unchanged, or refuses it.

Refuses: INVALID_INPUT {field, longest}.';
revoke all on function private.require_link from public, anon, authenticated, service_role;
