-- The ground: closed defaults, the clock, the refusals, request ids.

-- The ground the rooms stand on: the private schema, closed defaults, the settings and the clock.
--
-- What every call passes through is plpgsql even where it is one statement: a SQL function that is not inlined (none
-- with a search_path of its own is) is read and planned anew for each call, a plpgsql one once for each session. For
-- the same reason a long check on a busy table is one call of an immutable function.

create extension if not exists pgcrypto with schema extensions;
create extension if not exists pg_cron;

create schema private;
comment on schema private is
'The kernel: tables no client reads and the functions behind the doors. Never exposed by the API.';
grant usage on schema private to authenticated, service_role;

-- Nothing is open unless a line beside it opens it, whatever the project''s switch for new entities says.
alter default privileges revoke execute on functions from public;
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;

create table private.settings (
  id boolean not null default true,
  enforce_invites boolean,
  constraint settings_pkey primary key (id),
  constraint settings_single_row check (id)
);
comment on table private.settings is
'The one row of settings of the whole Bureau; no row, or a null, means the default.';
comment on column private.settings.enforce_invites is
'Whether admission needs an invite; null means never set, which means on.';
alter table private.settings enable row level security;
create policy nobody_reads_settings on private.settings for select to authenticated using (false);

create function private.invites_enforced()
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce((select s.enforce_invites from private.settings as s), true)
  );
end;
$$;
comment on function private.invites_enforced is
'Whether the gate of invites is up (RULES 1.2); on unless somebody turned it off.';
revoke all on function private.invites_enforced from public, anon, authenticated, service_role;

create function private.clock()
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_moved text := nullif(current_setting('chas.now', true), '');
begin
  if v_moved is null then
    return now();
  end if;
  -- Anybody may set chas.time_travel for their own session; only a superuser may write it on the database.
  if exists (
    select from pg_catalog.pg_db_role_setting as s
    where s.setdatabase = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
      and s.setrole = 0
      and 'chas.time_travel=on' = any(s.setconfig)
  ) then
    return v_moved::timestamptz;
  end if;
  return now();
end;
$$;
comment on function private.clock is
'The time of the transaction; every rule about time asks here.

In a database on which a superuser has set chas.time_travel = on, a non-empty setting chas.now replaces it.';
revoke all on function private.clock from public, anon, authenticated, service_role;
grant execute on function private.clock to authenticated, service_role;

create function private.initialize_settings(p_enforce_invites boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.settings as s (enforce_invites) values (p_enforce_invites)
  on conflict (id) do update set enforce_invites = excluded.enforce_invites where s.enforce_invites is null;
  return jsonb_build_object('enforce_invites', private.invites_enforced());
end;
$$;
create function public.initialize_settings(enforce_invites boolean)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.initialize_settings(initialize_settings.enforce_invites);
end;
comment on function private.initialize_settings is 'Writes the starting value of a setting nobody has set yet.';
comment on function public.initialize_settings is
'Gives the setting enforce_invites its starting value, once; a value somebody has set stays.

Called by the edge when it starts. Returns {enforce_invites}: what is in force.';
revoke all on function public.initialize_settings, private.initialize_settings
from public, anon, authenticated, service_role;
grant execute on function public.initialize_settings, private.initialize_settings to service_role;

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

-- request_id: the same call made twice happens once (RULES 5.4).

create table private.requests (
  user_id uuid not null,
  rpc text not null,
  request_id uuid not null,
  arguments_hash bytea not null,
  answer jsonb not null,
  created_at timestamptz not null,
  constraint requests_pkey primary key (user_id, rpc, request_id)
);
comment on table private.requests is
'The first answers of calls made with a request_id, kept 7 days. It belongs to the caller, not to a community: the
same id with another community is the same id with other arguments. No foreign key, for it outlives nothing and must
be cheap.';
create index requests_created_at_idx on private.requests (created_at);
alter table private.requests enable row level security;
create policy nobody_reads_requests on private.requests for select to authenticated using (false);

create function private.recall(p_user_id uuid, p_rpc text, p_request_id uuid, p_arguments jsonb)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_request private.requests;
begin
  if p_request_id is null then
    return null;
  end if;
  -- Two deliveries of one call wait for each other here; the second then finds the first one's answer.
  perform pg_advisory_xact_lock(hashtextextended(p_user_id::text || p_rpc || p_request_id::text, 0));
  select r.* into v_request
  from private.requests as r
  where r.user_id = p_user_id and r.rpc = p_rpc and r.request_id = p_request_id
    and r.created_at > private.clock() - interval '7 days';
  if found and v_request.arguments_hash <> sha256(convert_to(p_arguments::text, 'UTF8')) then
    perform private.refuse('CONFLICT', 'This request_id was used before with other arguments.',
      jsonb_build_object('request_id', p_request_id));
  end if;
  return v_request.answer;
end;
$$;
comment on function private.recall is
'Returns the answer a call with this request_id was given, or null if it is new; locks the id until the transaction
ends.

Refuses: CONFLICT (the same id with other arguments).';
revoke all on function private.recall from public, anon, authenticated, service_role;

create function private.remember(p_user_id uuid, p_rpc text, p_request_id uuid, p_arguments jsonb, p_answer jsonb)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  if p_request_id is not null then
    insert into private.requests as r (user_id, rpc, request_id, arguments_hash, answer, created_at)
    values (
      p_user_id, p_rpc, p_request_id, sha256(convert_to(p_arguments::text, 'UTF8')), p_answer, private.clock()
    )
    -- Only an id older than its 7 days can still be here: recall has looked.
    on conflict (user_id, rpc, request_id) do update
    set arguments_hash = excluded.arguments_hash, answer = excluded.answer, created_at = excluded.created_at;
  end if;
  return p_answer;
end;
$$;
comment on function private.remember is
'Keeps an answer under its request_id, if there is one, and returns it. Refusals never get here.';
revoke all on function private.remember from public, anon, authenticated, service_role;

create function private.forget_requests_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.requests as r
  where r.user_id = p_user_id;
end;
$$;
comment on function private.forget_requests_of is 'Deletes every id and answer kept for a person who is erased.';
revoke all on function private.forget_requests_of from public, anon, authenticated, service_role;

create function private.forget_requests(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from private.requests as r
  where (r.user_id, r.rpc, r.request_id) in (
    select o.user_id, o.rpc, o.request_id from private.requests as o
    where o.created_at <= p_now - interval '7 days'
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.forget_requests is 'Deletes up to p_limit ids older than 7 days; returns how many.';
revoke all on function private.forget_requests from public, anon, authenticated, service_role;
