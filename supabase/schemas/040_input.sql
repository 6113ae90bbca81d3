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

create function private.require_text(p_field text, p_value text, p_longest integer, p_shortest integer default 1)
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  if p_value is null
    or char_length(p_value) not between p_shortest and p_longest
    or (p_shortest > 0 and not private.is_visible(p_value))
  then
    perform private.refuse(
      'INVALID_INPUT',
      format('%s needs %s to %s characters, and something to be seen.', p_field, p_shortest, p_longest),
      jsonb_build_object('field', p_field, 'shortest', p_shortest, 'longest', p_longest)
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_text is
'Returns a text unchanged, or refuses one that is null, too long, too short or shows nothing.

Refuses: INVALID_INPUT {field, shortest, longest}, in characters.';

create function private.require_title(p_field text, p_value text)
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  perform private.require_text(p_field, p_value, 120);
  if p_value ~ e'[\u0001-\u001f\u007f-\u009f\u2028\u2029]' then
    perform private.refuse(
      'INVALID_INPUT', format('%s must be one line, without control characters.', p_field),
      jsonb_build_object('field', p_field)
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_title is
'Returns a title of 1 to 120 characters unchanged, or refuses it: titles are one line (RULES 3.1).

Refuses: INVALID_INPUT {field, …}.';

create function private.plain_name(p_name text)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return regexp_replace(
    p_name, e'[\u0001-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\u201c\u201d]', '', 'g'
  );
end;
$$;
comment on function private.plain_name is
'A name without what may not stand in one (RULES 1.1): line breaks and control characters, direction marks that embed,
override or isolate, annotation marks, and the quotation marks in which the house''s sentences set names. Joiners,
variation selectors and what right-to-left writing needs stay.';

create function private.require_name(p_field text, p_value text, p_longest integer)
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  perform private.require_text(p_field, p_value, p_longest);
  if private.plain_name(p_value) <> p_value then
    perform private.refuse(
      'INVALID_INPUT',
      format('%s must be one line, without control characters, direction marks and the marks “ and ”.', p_field),
      jsonb_build_object('field', p_field, 'possible', nullif(left(btrim(private.plain_name(p_value)), p_longest), ''))
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_name is
'Returns a name unchanged, or refuses one that shows nothing, is too long or has what may not stand in a name.

Refuses: INVALID_INPUT {field, possible: what would be left of it}.';

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

create function private.require_moment(p_field text, p_value timestamptz)
returns timestamptz
language plpgsql immutable security definer set search_path = ''
as $$
begin
  -- So far from either end of the calendar that no arithmetic on time can fall off it.
  if p_value not between '0001-01-07Z' and '9999-12-24Z' then
    perform private.refuse('INVALID_INPUT', format('%s must be a moment of our calendar.', p_field),
      jsonb_build_object('field', p_field));
  end if;
  return p_value;
end;
$$;
comment on function private.require_moment is
'Returns a moment or null unchanged, or refuses infinity and what is far out of any calendar. Refuses: INVALID_INPUT
{field}.';

create function private.is_zone(p_timezone text)
returns boolean
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
begin
  -- To set a zone reads its one file, where the view of all zones reads twelve hundred (measured: 75 ms, which anybody
  -- could ask for without end). What is set here is set back at the end. A name comes back as it is spelt; what is no
  -- file may be read as a rule (ABC/DEF+3), and is then told in capitals.
  return set_config('timezone', p_timezone, true) = p_timezone and p_timezone <> upper(p_timezone);
exception
  when invalid_parameter_value then
    return false;
end;
$$;
comment on function private.is_zone is
'Whether there is a time zone of this name, spelt so. Only for names with a region: private.require_timezone.';

create function private.require_timezone(p_timezone text)
returns text
language plpgsql stable security definer set search_path = ''
as $$
declare
  -- What people mean by the names that PostgreSQL reads as abbreviations, which know no summer.
  v_regions constant jsonb := '{
    "CET": "Europe/Brussels", "MET": "Europe/Brussels", "EET": "Europe/Athens", "WET": "Europe/Lisbon",
    "EST": "America/Panama", "MST": "America/Phoenix", "HST": "Pacific/Honolulu", "EST5EDT": "America/New_York",
    "CST6CDT": "America/Chicago", "MST7MDT": "America/Denver", "PST8PDT": "America/Los_Angeles", "GMT": "UTC",
    "CEST": "Europe/Brussels", "MEST": "Europe/Brussels", "EEST": "Europe/Athens", "WEST": "Europe/Lisbon",
    "BST": "Europe/London", "MSK": "Europe/Moscow", "IST": "Asia/Kolkata", "JST": "Asia/Tokyo", "KST": "Asia/Seoul",
    "EDT": "America/New_York", "CST": "America/Chicago", "CDT": "America/Chicago", "MDT": "America/Denver",
    "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles", "NZST": "Pacific/Auckland", "ZULU": "UTC", "UCT": "UTC"
  }'::jsonb;
begin
  if p_timezone = 'UTC' then
    return p_timezone;
  end if;
  if p_timezone !~ '^[A-Za-z][A-Za-z0-9_+-]{1,30}(/[A-Za-z0-9_+-]{1,30}){1,2}$'
    or p_timezone ~ '^(posix|right)/'
    or p_timezone is null
    or not private.is_zone(p_timezone)
  then
    perform private.refuse(
      'INVALID_INPUT', 'timezone must be an IANA name with a region, such as Europe/Lisbon, or UTC.',
      jsonb_strip_nulls(jsonb_build_object('field', 'timezone', 'region', v_regions -> upper(p_timezone)))
    );
  end if;
  return p_timezone;
end;
$$;
comment on function private.require_timezone is
'Returns the name of a time zone of the IANA database (https://www.iana.org/time-zones) unchanged, or refuses it.

Names have a region (Europe/Paris), but for UTC: what has none may be read as an abbreviation of fixed hours.
Refuses: INVALID_INPUT {field, region: the one to use, where it is known}.';
