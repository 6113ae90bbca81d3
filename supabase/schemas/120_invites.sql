-- Invite codes (RULES 1.3 to 1.5). Everything here is for the service role: the edge, and the stewards behind it.

create table private.invites (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  code_hash bytea not null,
  email text,
  email_hash bytea,
  max_uses integer not null,
  uses integer not null default 0,
  expires_at timestamptz,
  revoked_at timestamptz,
  theme text not null,
  welcome_title text,
  welcome_message text,
  note text,
  created_at timestamptz not null default private.clock(),
  constraint invites_pkey primary key (id),
  constraint invites_code_hash_unique unique (code_hash),
  constraint invites_max_uses_range check (max_uses between 1 and 100),
  constraint invites_email_with_its_hash check (email is null or email_hash is not null),
  constraint invites_uses_within_max check (uses between 0 and max_uses),
  constraint invites_theme_known check (theme in ('dawn', 'sunset', 'mint', 'ink'))
);
comment on table private.invites is 'Invites by the SHA-256 of their code: a leak of this table admits nobody.';
create unique index invites_number_idx on private.invites (number);
create index invites_email_hash_idx on private.invites (email_hash) where email_hash is not null;
alter table private.invites enable row level security;
create policy nobody_reads_invites on private.invites for select to authenticated using (false);

create table private.invite_misses (
  id bigint generated always as identity,
  user_id uuid not null,
  missed_at timestamptz not null,
  constraint invite_misses_pkey primary key (id),
  constraint invite_misses_user_id_fkey foreign key (user_id) references private.users (id)
);
comment on table private.invite_misses is 'Unknown codes people tried; ten within an hour close the door to them.';
create index invite_misses_user_id_missed_at_idx on private.invite_misses (user_id, missed_at);
alter table private.invite_misses enable row level security;
create policy nobody_reads_invite_misses on private.invite_misses for select to authenticated using (false);

create function private.code_hash(p_code text)
returns bytea
language plpgsql immutable set search_path = ''
as $$
begin
  return sha256(convert_to(coalesce(private.plain_code(p_code), ''), 'UTF8'));
end;
$$;
comment on function private.code_hash is 'The hash an invite is found by, of the code as it is matched (RULES 1.3).';

create function private.invite_state(p_invite private.invites)
returns text
language sql stable security definer set search_path = ''
begin atomic
  select case
    when p_invite.revoked_at is not null then 'revoked'
    when p_invite.uses >= p_invite.max_uses then 'spent'
    when p_invite.expires_at <= private.clock() then 'expired'
    else 'open'
  end;
end;
comment on function private.invite_state is 'open, spent, expired or revoked; expiry is judged when read.';

create function private.show_invite(p_invite private.invites)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'id', p_invite.id, 'state', private.invite_state(p_invite), 'uses', p_invite.uses, 'max_uses', p_invite.max_uses,
    'email', p_invite.email, 'expires_at', p_invite.expires_at, 'theme', p_invite.theme,
    'welcome_title', p_invite.welcome_title, 'welcome_message', p_invite.welcome_message, 'note', p_invite.note,
    'created_at', p_invite.created_at
  );
end;
comment on function private.show_invite is 'An invite as stewards see it; the code itself is known only when minted.';

create function private.refused(p_code text, p_message text, p_facts jsonb default '{}')
returns jsonb
language sql immutable set search_path = ''
begin atomic
  select jsonb_build_object(
    'refused', jsonb_build_object('code', p_code, 'message', p_message, 'details', p_facts)
  );
end;
comment on function private.refused is
'A refusal that is returned, not raised, so that what was counted before it stays counted.';

create function private.misses_until(p_user_id uuid)
returns timestamptz
language sql stable security definer set search_path = ''
begin atomic
  select min(latest.missed_at) + interval '1 hour'
  from (
    select m.missed_at from private.invite_misses as m
    where m.user_id = p_user_id and m.missed_at > private.clock() - interval '1 hour'
    order by m.missed_at desc
    limit 10
  ) as latest
  having count(*) = 10;
end;
comment on function private.misses_until is
'When a person with ten misses within the hour may try again; null if they may now.';

create function private.purge_misses(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from private.invite_misses as m
  where m.id in (
    select o.id from private.invite_misses as o where o.missed_at <= p_now - interval '1 hour' order by o.id limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.purge_misses is
'Deletes up to p_limit misses older than the hour in which they count; returns how many.';

create function private.erase_invites_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_theirs uuid[] := array(
    select i.id from private.addresses as a
    join private.invites as i on i.email_hash = a.address_hash
    where a.user_id = p_user_id
    union
    select i.id from private.admissions as a
    join private.invites as i on i.id = a.invite_id
    where a.user_id = p_user_id and (i.max_uses = 1 or i.email is not null)
  );
begin
  update private.invites as i
  set
    email = null, email_hash = null, note = null, welcome_title = null, welcome_message = null,
    -- An open invite without its address would let anybody in.
    revoked_at = case when i.uses < i.max_uses then coalesce(i.revoked_at, private.clock()) else i.revoked_at end
  where i.id = any(v_theirs);
  delete from private.invite_misses as m
  where m.user_id = p_user_id;
end;
$$;
comment on function private.erase_invites_of is
'Takes every address a person''s account ever had, and what was written for them alone, off the invites; one to such an
address still open is revoked (RULES 13.3).';

create function private.use_invite(p_user_id uuid, p_invite private.invites)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_email text;
  v_confirmed boolean;
begin
  if private.invite_state(p_invite) <> 'open' then
    return private.refused('INVITE_UNAVAILABLE', 'This invite is no longer open.',
      jsonb_build_object('state', private.invite_state(p_invite)));
  end if;
  if p_invite.email is not null then
    select lower(a.email), a.email_confirmed_at is not null into v_email, v_confirmed
    from auth.users as a where a.id = p_user_id;
    if v_email is distinct from p_invite.email then
      return private.refused('INVITE_EMAIL_MISMATCH', 'This invite was made out to somebody else.');
    elsif not v_confirmed then
      return private.refused('EMAIL_UNCONFIRMED', 'Confirm your e-mail address first.');
    end if;
  end if;

  update private.invites as i set uses = i.uses + 1 where i.id = p_invite.id;
  perform private.admit(p_user_id, p_invite.id);
  return null;
end;
$$;
comment on function private.use_invite is
'Spends one use of a locked invite on a person and lets them in; returns a refusal, or null.

The address is compared with auth.users, never with what a caller says (RULES 1.4).';

create function private.redeem_invite(p_user_id uuid, p_code text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_invite private.invites;
  v_already boolean;
  v_until timestamptz;
  v_refusal jsonb;
begin
  perform private.heal_profile(p_user_id) where not exists (select from private.users as u where u.id = p_user_id);
  -- The person's row is the queue for their own attempts: ten guesses at once are counted as ten.
  if (private.lock_person(p_user_id)).id is null then
    return private.refused('UNAUTHORIZED', 'Sign in first.');
  end if;
  perform private.follow_address(p_user_id, (select a.email from auth.users as a where a.id = p_user_id));
  v_already := private.is_admitted(p_user_id);
  v_until := private.misses_until(p_user_id);
  if v_until is not null and not v_already then
    return private.refused('RATE_LIMITED', 'Too many unknown codes; try again later.', jsonb_build_object(
      'possible_at', v_until, 'retry_after', greatest(ceil(extract(epoch from v_until - private.clock()))::integer, 1)
    ));
  end if;

  select i.* into v_invite from private.invites as i where i.code_hash = private.code_hash(p_code) for update;
  if not v_already then
    if v_invite.id is null then
      insert into private.invite_misses (user_id, missed_at) values (p_user_id, private.clock());
      return private.refused('NOT_FOUND', 'There is no invite with this code.');
    end if;
    if exists (select from private.admissions as a where a.user_id = p_user_id) then
      return private.refused('FORBIDDEN', 'This account is suspended.');
    end if;
    v_refusal := private.use_invite(p_user_id, v_invite);
    if v_refusal is not null then
      return v_refusal;
    end if;
  end if;
  return jsonb_build_object(
    'whitelisted', true, 'already_whitelisted', v_already, 'invite_code', p_code,
    'theme', coalesce(v_invite.theme, 'dawn'), 'welcome_title', v_invite.welcome_title,
    'welcome_message', v_invite.welcome_message
  );
end;
$$;
comment on function private.redeem_invite is
'Whoever is in already gets success whatever the code, and uses nothing up.

A suspended person is not let in again by a new code: that is a steward''s decision.';
create function public.redeem_invite(user_id uuid, code text)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.redeem_invite(redeem_invite.user_id, redeem_invite.code);
end;
comment on function public.redeem_invite is
'Redeems an invite code for a signed-in person. For the service role (the edge) alone.

Returns {whitelisted, already_whitelisted, invite_code, theme, welcome_title, welcome_message}, or {refused: {code,
message, details}}, returned so that the count of misses survives: NOT_FOUND, INVITE_UNAVAILABLE {state},
INVITE_EMAIL_MISMATCH, EMAIL_UNCONFIRMED, RATE_LIMITED {possible_at, retry_after} after ten unknown codes within an
hour, UNAUTHORIZED (no such person), FORBIDDEN (suspended).';
grant execute on function public.redeem_invite, private.redeem_invite to service_role;

create function private.preview_invite(p_code text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_invite private.invites;
begin
  select i.* into v_invite from private.invites as i where i.code_hash = private.code_hash(p_code);
  if not found then
    perform private.refuse('NOT_FOUND', 'There is no invite with this code.');
  end if;
  return jsonb_build_object(
    'state', private.invite_state(v_invite), 'theme', v_invite.theme, 'welcome_title', v_invite.welcome_title,
    'welcome_message', v_invite.welcome_message
  );
end;
$$;

create function public.preview_invite(code text)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.preview_invite(preview_invite.code);
end;
comment on function public.preview_invite is
'What anyone holding a code may see before signing in. For the service role (the edge) alone.

Returns {state, theme, welcome_title, welcome_message}. Refuses: NOT_FOUND.';
grant execute on function public.preview_invite, private.preview_invite to service_role;

create function private.mint_invites(
  p_count integer, p_email text, p_max_uses integer, p_expires_at timestamptz, p_theme text, p_welcome_title text,
  p_welcome_message text, p_note text
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_invites jsonb;
begin
  perform private.require_number('count', p_count, 1, 100);
  perform private.require_number('max_uses', p_max_uses, 1, 100);
  perform private.require_choice('theme', p_theme, array['dawn', 'sunset', 'mint', 'ink']);
  perform private.require_text('welcome_title', coalesce(p_welcome_title, '-'), 120);
  perform private.require_text('welcome_message', coalesce(p_welcome_message, '-'), 1000);
  perform private.require_text('note', coalesce(p_note, '-'), 280);
  if p_email !~ '^[^@[:space:]]+@[^@[:space:]]+$' or char_length(p_email) > 254 then
    perform private.refuse('INVALID_INPUT', 'email must be an e-mail address.', jsonb_build_object('field', 'email'));
  elsif private.require_moment('expires_at', p_expires_at) <= private.clock() then
    perform private.refuse('INVALID_INPUT', 'expires_at must be ahead.', jsonb_build_object('field', 'expires_at'));
  end if;

  with codes as materialized (
    select private.make_code(16) as code from generate_series(1, p_count)
  ), minted as (
    insert into private.invites as i (
      code_hash, email, email_hash, max_uses, expires_at, theme, welcome_title, welcome_message, note
    )
    select
      private.code_hash(c.code), lower(p_email), private.hash_address(p_email), p_max_uses, p_expires_at, p_theme, p_welcome_title, p_welcome_message,
      p_note
    from codes as c
    returning i.*
  )
  select jsonb_agg(private.show_invite(m::private.invites) || jsonb_build_object('code', c.code) order by m.number)
  into v_invites
  from minted as m
  join codes as c on private.code_hash(c.code) = m.code_hash;
  return jsonb_build_object('invites', v_invites);
end;
$$;

create function public.mint_invites(
  count integer default 1,
  email text default null,
  max_uses integer default 1,
  expires_at timestamptz default null,
  theme text default 'dawn',
  welcome_title text default null,
  welcome_message text default null,
  note text default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.mint_invites(
    mint_invites.count, mint_invites.email, mint_invites.max_uses, mint_invites.expires_at, mint_invites.theme,
    mint_invites.welcome_title, mint_invites.welcome_message, mint_invites.note
  );
end;
comment on function public.mint_invites is
'Mints 1 to 100 invites alike, each with a code of 16 characters (80 bits). For the service role alone.

Returns {invites: [{id, code, state, uses, max_uses, email, expires_at, theme, ...}]}, the only time the codes are
shown. Refuses: INVALID_INPUT.';
grant execute on function public.mint_invites, private.mint_invites to service_role;

create function private.list_invites(p_page_size integer, p_before_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_before bigint;
  v_invites private.invites[];
begin
  perform private.require_page_size(p_page_size);
  if p_before_id is not null then
    select i.number into v_before from private.invites as i where i.id = p_before_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such invite.');
    end if;
  end if;
  v_invites := array(
    select i from private.invites as i
    where v_before is null or i.number < v_before
    order by i.number desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'invites', (
      select coalesce(jsonb_agg(private.show_invite(i::private.invites) order by i.number desc), '[]')
      from unnest(v_invites[:p_page_size]) as i
    ),
    'has_more', cardinality(v_invites) > p_page_size
  );
end;
$$;

create function public.list_invites(page_size integer default 50, before_id uuid default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_invites(list_invites.page_size, list_invites.before_id);
end;
comment on function public.list_invites is
'The invites ever minted, newest first. For the service role alone.

Returns {invites: [{id, state, uses, max_uses, email, expires_at, note, created_at, ...}], has_more}. Refuses:
INVALID_INPUT, NOT_FOUND (before_id).';
grant execute on function public.list_invites, private.list_invites to service_role;

create function private.revoke_invite(p_invite_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_invite private.invites;
begin
  update private.invites as i
  set revoked_at = coalesce(i.revoked_at, private.clock())
  where i.id = p_invite_id
  returning i.* into v_invite;
  if not found then
    perform private.refuse('NOT_FOUND', 'There is no such invite.');
  end if;
  return jsonb_build_object('invite', private.show_invite(v_invite));
end;
$$;

create function public.revoke_invite(invite_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.revoke_invite(revoke_invite.invite_id);
end;
comment on function public.revoke_invite is
'Closes an invite for good. For the service role alone.

Whoever came in with it stays; doing it again changes nothing. Returns {invite}. Refuses: NOT_FOUND.';
grant execute on function public.revoke_invite, private.revoke_invite to service_role;
