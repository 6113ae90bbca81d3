-- Bans: keeping out who has gone, and letting them come back (RULES 2.6).

create function private.require_former_member(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if private.is_member(p_community_id, p_user_id) then
    perform private.refuse('CONFLICT', 'They are in this community: remove them.', '{"present": true}');
  elsif not exists (
    select from private.community_members as m
    join private.users as u on u.id = m.user_id and u.erased_at is null
    where m.community_id = p_community_id and m.user_id = p_user_id
  ) then
    perform private.refuse('NOT_FOUND', 'There is no such member.');
  end if;
end;
$$;
comment on function private.require_former_member is
'Asks that a person was in a community, has left it and is not erased. Refuses: CONFLICT {present}, NOT_FOUND.';

create function private.require_bannable(p_community_id uuid, p_user_id uuid, p_reason text)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_moderator(p_community_id);
begin
  perform private.require_text('reason', p_reason, 280);
  perform private.require_former_member(p_community_id, p_user_id);
  if private.is_banned(p_community_id, p_user_id) then
    perform private.refuse('CONFLICT', 'They are banned already.', '{"banned": true}');
  end if;
  perform private.require_quiet_rate(p_community_id, v_me.user_id);
end;
$$;
comment on function private.require_bannable is
'Asks that the caller may ban somebody now. Refuses: as ban_member.';

create function private.ban_member(p_community_id uuid, p_user_id uuid, p_reason text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_reason_id bigint;
begin
  -- Asked before the queue as well, so that nobody waits for who is refused.
  perform private.require_bannable(p_community_id, p_user_id, p_reason);
  -- Nobody comes or goes beside this: whoever is just joining is in already, or finds the ban.
  perform private.lock_membership(p_community_id);
  perform private.require_acting_member(p_community_id);
  perform private.require_bannable(p_community_id, p_user_id, p_reason);
  perform private.count_quiet_act(p_community_id, v_me.user_id);

  v_reason_id := private.keep_words(p_community_id, v_me.user_id, p_reason);
  perform private.ban(p_community_id, p_user_id, v_me.user_id, v_reason_id);
  perform private.record_act(
    p_community_id, v_me.user_id, 'member_banned', p_user_id, jsonb_build_object('reason_id', v_reason_id)
  );
  return jsonb_build_object('banned', true);
end;
$$;
comment on function private.ban_member is
'The audit log alone is told: the Chamber has heard of the leaving, and who is no member is not called back by a
notice.';

create function public.ban_member(community_id uuid, user_id uuid, reason text)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.ban_member(ban_member.community_id, ban_member.user_id, ban_member.reason);
end;
comment on function public.ban_member is
'A moderator keeps somebody who has left from coming back.

reason is 1 to 280 characters, for moderators to read. Returns {banned: true}. Refuses: FORBIDDEN, CONFLICT {present} (a
member: that is a removal) or {banned} (already), NOT_FOUND (never a member, or erased), RATE_LIMITED {most,
possible_at, retry_after} (thirty a minute), INVALID_INPUT.';
grant execute on function public.ban_member, private.ban_member to authenticated;

create function private.lift_ban(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_moderator(p_community_id);
begin
  perform private.require_quiet_rate(p_community_id, v_me.user_id);
  if not private.is_banned(p_community_id, p_user_id) then
    perform private.refuse('NOT_FOUND', 'Nobody is banned by this id.');
  end if;
  perform private.lock_membership(p_community_id);
  perform private.require_acting_member(p_community_id);
  perform private.require_moderator(p_community_id);
  perform private.count_quiet_act(p_community_id, v_me.user_id);
  if not private.unban(p_community_id, p_user_id) then
    perform private.refuse('NOT_FOUND', 'Nobody is banned by this id.');
  end if;
  perform private.record_act(p_community_id, v_me.user_id, 'ban_lifted', p_user_id);
  return jsonb_build_object('banned', false);
end;
$$;

create function public.lift_ban(community_id uuid, user_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.lift_ban(lift_ban.community_id, lift_ban.user_id);
end;
comment on function public.lift_ban is
'A moderator lifts a ban: who was banned may join again with a join code.

Returns {banned: false}. Refuses: FORBIDDEN, NOT_FOUND (community, or nobody of this id is banned), RATE_LIMITED {most,
possible_at, retry_after} (thirty a minute).';
grant execute on function public.lift_ban, private.lift_ban to authenticated;

create function private.list_bans(p_community_id uuid, p_page_size integer, p_before_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_page bigint[];
begin
  perform private.require_moderator(p_community_id);
  perform private.require_page_size(p_page_size);
  v_page := array(
    select b.id from private.bans as b
    where b.community_id = p_community_id and b.id < coalesce(p_before_id, 9223372036854775807)
    order by b.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'bans', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object(
              'id', b.id, 'user', p.person, 'reason', private.read_words(b.community_id, b.reason_id),
              'banned_by', y.person, 'created_at', b.created_at
            )
            order by b.id desc
          ), '[]'
        )
      from private.bans as b
      join private.shown_people as p on p.id = b.user_id
      join private.shown_people as y on y.id = b.banned_by
      where b.community_id = p_community_id and b.id = any(v_page[:p_page_size])
    ),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;

create function public.list_bans(community_id uuid, page_size integer default 50, before_id bigint default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_bans(list_bans.community_id, list_bans.page_size, list_bans.before_id);
end;
comment on function public.list_bans is
'Who may not come back to a community, the latest ban first, for its moderators.

Returns {bans: [{id, user, reason, banned_by, created_at}], has_more}; reason is null once whose words it was is erased.
Refuses: NOT_FOUND, FORBIDDEN, INVALID_INPUT.';
grant execute on function public.list_bans, private.list_bans to authenticated;
