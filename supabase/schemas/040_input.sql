-- The checks every input passes (RULES 1.1, 3.2, 12).

create function private.string_in(p_value jsonb)
returns text
language sql immutable set search_path = ''
begin atomic
  select case when jsonb_typeof(p_value) = 'string' then p_value #>> '{}' end;
end;
comment on function private.string_in is 'The text of a JSON string; null for any other JSON.';

create function private.integer_in(p_value jsonb)
returns integer
language sql immutable set search_path = ''
begin atomic
  -- One case within the other: 1e400 is a JSON number, and no integer.
  select case
    when jsonb_typeof(p_value) = 'number'
      then case
        when p_value::numeric between -2147483648 and 2147483647 and p_value::numeric = trunc(p_value::numeric)
          then p_value::integer
      end
  end;
end;
comment on function private.integer_in is 'The whole number a JSON number is; null for any other JSON.';

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

create function private.plain_name(p_name text)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return regexp_replace(p_name, e'[[:cntrl:]\u2028\u2029\u202d\u202e]', '', 'g');
end;
$$;
comment on function private.plain_name is
'A name without line breaks, control characters and overrides of the direction of writing: names stand inside the
house''s own sentences, and must not pass for more of them. What right-to-left names need stays.';

create function private.require_name(p_field text, p_value text, p_longest integer)
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  perform private.require_text(p_field, p_value, p_longest);
  if private.plain_name(p_value) <> p_value then
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

create function private.require_page_size(p_page_size integer)
returns integer
language plpgsql immutable security definer set search_path = ''
as $$
begin
  return private.require_number('page_size', p_page_size, 1, 200)::integer;
end;
$$;
comment on function private.require_page_size is 'Returns a page size of 1 to 200, or refuses it with INVALID_INPUT.';
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

create function private.make_code(p_length integer)
returns text
language sql volatile security definer set search_path = ''
begin atomic
  -- 256 is 8 times 32, so every letter is equally likely.
  select string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', get_byte(b.bytes, n.i - 1) % 32 + 1, 1), '' order by n.i)
  from (select extensions.gen_random_bytes(p_length) as bytes) as b
  cross join generate_series(1, p_length) as n (i);
end;
comment on function private.make_code is
'A random code of p_length characters, 5 bits each, from Crockford''s base 32 alphabet (no I, L, O or U).';

create function private.require_timezone(p_timezone text)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- The view reads every zone's file, so the default goes by it and the shape is looked at first.
  if p_timezone = 'UTC' then
    return p_timezone;
  end if;
  if p_timezone !~ '^[A-Za-z][A-Za-z0-9_+/-]{1,63}$'
    or p_timezone ~ '^(posix|right)/|^(posixrules|localtime|Factory)$'
    or not exists (select from pg_catalog.pg_timezone_names as z where z.name = p_timezone)
    or p_timezone is null
  then
    perform private.refuse('INVALID_INPUT', 'timezone must be an IANA name, such as Europe/Lisbon.',
      jsonb_build_object('field', 'timezone'));
  end if;
  return p_timezone;
end;
$$;
comment on function private.require_timezone is
'Returns the name of a time zone of the IANA database (https://www.iana.org/time-zones) unchanged, or refuses it.

Refuses: INVALID_INPUT {field}. Abbreviations that are no zone of their own and POSIX formulas are refused.';
