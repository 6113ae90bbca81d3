-- The code a community is joined by, and the shape of a community, which shows it to its moderators (RULES 2.2).

create table private.join_codes (
  community_id uuid not null,
  code text not null,
  is_open boolean not null default true,
  expires_at timestamptz,
  constraint join_codes_pkey primary key (community_id),
  constraint join_codes_community_id_fkey foreign key (community_id) references private.communities (id),
  constraint join_codes_code_length check (char_length(code) >= 12)
);
comment on table private.join_codes is
'The code a community is joined by; apart from communities, for only moderators see it.';
-- By its hash, so that how long a search takes tells nothing of how much of a guess was right.
create unique index join_codes_code_unique on private.join_codes (extensions.digest(code, 'sha256'));
alter table private.join_codes enable row level security;
grant select on private.join_codes to authenticated;

create policy moderators_read_join_codes on private.join_codes for select to authenticated
using (community_id = any(array(select private.my_moderated_communities())));

create function private.make_join_code(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.join_codes (community_id, code) values (p_community_id, lower(private.make_code(12)));
end;
$$;
comment on function private.make_join_code is 'Gives a new community its first join code.';

create function private.opened_by(p_code text)
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- By hash: how long the search takes tells nothing of how much of a guess was right.
  return (
    select j.community_id
    from private.join_codes as j
    where extensions.digest(j.code, 'sha256') = extensions.digest(private.plain_code(p_code), 'sha256')
      and j.is_open and (j.expires_at is null or j.expires_at > private.clock())
  );
end;
$$;
comment on function private.opened_by is
'The community a join code opens now, by an exact match of what private.plain_code leaves; null if it opens none.';

create function private.refuse_join_code()
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.refuse('NOT_FOUND', 'No community has this code.');
end;
$$;
comment on function private.refuse_join_code is 'Refuses, always: NOT_FOUND.';

create function private.keep_join_code(p_community_id uuid, p_code text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform from private.join_codes as j where j.community_id = p_community_id for share;
  if private.opened_by(p_code) is distinct from p_community_id then
    perform private.refuse_join_code();
  end if;
end;
$$;
comment on function private.keep_join_code is
'Asks once more, with the community''s day in hand, whether a code opens it, and keeps the code as it is until the
transaction ends: whoever waited for the last member''s leaving, or for the code to be paused, comes too late (RULES
2.2). Refuses: NOT_FOUND.';

create function private.change_join_code(
  p_community_id uuid, p_rotate boolean, p_open boolean, p_expires_at timestamptz
)
returns void
language sql security definer set search_path = ''
begin atomic
  update private.join_codes as j
  set
    code = case when p_rotate then lower(private.make_code(12)) else j.code end,
    is_open = coalesce(p_open, p_rotate or j.is_open),
    expires_at = case
      when p_expires_at is not null then p_expires_at
      when p_rotate or p_open and j.expires_at <= private.clock() then null
      else j.expires_at
    end
  where j.community_id = p_community_id;
end;
comment on function private.change_join_code is
'Changes a join code: what is null stays, or where the code is made anew starts open and without expiry. An expiry that
has passed goes when the code is opened, for it would open nothing.';

create function private.set_join_code(
  p_community_id uuid, p_rotate boolean, p_open boolean, p_expires_at timestamptz
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_acting_moderator(p_community_id);
  v_code private.join_codes;
begin
  perform private.require_moment('expires_at', p_expires_at);
  if p_rotate or p_open is not null or p_expires_at is not null then
    perform private.count_quiet_act(p_community_id, v_me.user_id);
    perform private.change_join_code(p_community_id, coalesce(p_rotate, false), p_open, p_expires_at);
    perform private.record_act(p_community_id, v_me.user_id, 'join_code_changed', null, jsonb_strip_nulls(
      jsonb_build_object('rotated', coalesce(p_rotate, false), 'open', p_open, 'expires_at', p_expires_at)
    ));
  end if;
  select j.* into v_code from private.join_codes as j where j.community_id = p_community_id;
  return jsonb_build_object('invite_code', v_code.code, 'open', v_code.is_open, 'expires_at', v_code.expires_at);
end;
$$;
comment on function private.set_join_code is
'The audit log keeps what was done, never the code; the Chamber is not told.';

create function public.set_join_code(
  community_id uuid, rotate boolean default false, open boolean default null, expires_at timestamptz default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.set_join_code(
    set_join_code.community_id, set_join_code.rotate, set_join_code.open, set_join_code.expires_at
  );
end;
comment on function public.set_join_code is
'Shows the join code to a moderator, and changes it: rotate makes a new one, open pauses (false) or resumes it.

What is left out stays, but for an expiry that has passed, which goes when the code is opened; a new code starts open
and without expiry unless told otherwise. expires_at may be past, which ends the code at once. Returns {invite_code,
open, expires_at}. Refuses: FORBIDDEN, NOT_FOUND, INVALID_INPUT {field: expires_at}, RATE_LIMITED {most, possible_at,
retry_after} (thirty changes a minute).';
grant execute on function public.set_join_code, private.set_join_code to authenticated;

create type private.community as (
  id uuid,
  name text,
  description text,
  timezone text,
  daily_cc_budget integer,
  electorate text,
  created_at timestamptz,
  member_count integer
);
comment on type private.community is
'The shape community, key by attribute, but for the code that its moderators see.';

create view private.shown_communities with (security_invoker = on) as
select
  c.id,
  row(
    c.id,
    c.name,
    c.description,
    c.timezone,
    c.daily_cc_budget,
    c.electorate,
    c.created_at,
    (
      select count(*) from private.community_members as m
      where
        m.community_id = c.id and m.left_at is null
        and not exists (
          select from private.erasures as e
          where e.user_id = m.user_id
        )
    )
  )::private.community as community
from private.communities as c;
comment on view private.shown_communities is 'The shape community of every community. Only for the kernel.';

create function private.show_community_to(p_community_id uuid, p_is_moderator boolean)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      to_jsonb(s.community) || case
        when p_is_moderator
          then jsonb_build_object(
            'invite_code', (select j.code from private.join_codes as j where j.community_id = s.id)
          )
        else '{}'
      end
    from private.shown_communities as s
    where s.id = p_community_id
  );
end;
$$;
comment on function private.show_community_to is
'The shape community, with invite_code for a moderator. Only for who has asked who looks.';

create function private.show_community(p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.caller_id();
  v_member private.community_members;
begin
  if v_me is not null then
    select m.* into v_member from private.community_members as m
    where m.community_id = p_community_id and m.user_id = v_me and m.left_at is null and private.is_able(v_me);
    if not found then
      return null;
    end if;
  end if;
  return private.show_community_to(p_community_id, coalesce('moderator' = any(private.roles_now(v_member)), false));
end;
$$;
comment on function private.show_community is
'The shape community, with invite_code if the caller moderates it; null for a person who is not in it.';
