-- Leaving, and being removed (RULES 2.5, 2.6).

create function private.end_membership(
  p_community_id uuid, p_user_id uuid, p_how text, out expired integer, out forfeited integer
)
language plpgsql security definer set search_path = ''
as $$
begin
  forfeited := 0;
  perform private.mark_left(p_community_id, p_user_id);
  perform private.mark_left_notices_read(p_community_id, p_user_id);
  perform private.cut_absence(p_community_id, p_user_id, (private.day_of(p_community_id)).day);
  perform private.cancel_borrows_of(p_community_id, p_user_id);
  perform private.part_with_loans(p_community_id, p_user_id);
  if p_how = 'removed' then
    perform private.void_proposal_of(p_community_id, p_user_id);
  else
    forfeited := private.withdraw_proposal(p_community_id, p_user_id);
  end if;
  perform private.leave_rolls(p_community_id, p_user_id, p_how <> 'left');
  perform private.strike_from_boxes(p_community_id, p_user_id);
  -- What waited for Dawn comes too late for them: it is booked now, and expires with the purse.
  perform private.pay_stakes_due(p_community_id, private.clock(), p_user_id);
  expired := private.expire_purse(p_community_id, p_user_id);
end;
$$;
comment on function private.end_membership is
'Ends a membership with all that hangs on it (RULES 2.5, 2.6, 13.2): roles, notices, requests, loans, own stake, rolls,
ballots, purse. p_how: left, removed or erased; only the going of who left of their own will may complete a proposal.

Returns what expired with the purse and what was forfeited of a stake, in CC. Only under private.lock_membership,
which has also closed the election that is over.';

create function private.depart(
  p_community_id uuid, p_user_id uuid, p_how text, out expired integer, out forfeited integer
)
language plpgsql security definer set search_path = ''
as $$
begin
  if not exists (
    select from private.community_members as m
    where m.community_id = p_community_id and m.user_id = p_user_id and m.left_at is null
  ) then
    return;
  end if;
  select e.expired, e.forfeited into expired, forfeited
  from private.end_membership(p_community_id, p_user_id, p_how) as e;
  perform private.note_item(p_community_id, 'left', p_user_id, jsonb_build_object(
    'user_id', p_user_id, 'how', case when p_how = 'removed' then 'removed' else 'left' end
  ));
  if p_how <> 'removed' then
    perform private.record_act(p_community_id, p_user_id, 'member_left', p_user_id);
    perform private.announce(p_community_id, 'member_left', jsonb_build_object('user_id', p_user_id));
  end if;
  perform private.fill_seat(p_community_id);
  if cardinality(private.member_ids(p_community_id)) = 0 then
    perform private.change_join_code(p_community_id, false, false, null);
  end if;
end;
$$;
comment on function private.depart is
'Somebody goes: their membership ends, the Chamber hears of it (of a removal from who removed them), and a moderator''s
seat left empty is filled. With the very last one the join code is paused: nobody should come into a community without a
moderator. Whose membership has ended already changes nothing more. Only under private.lock_membership.';

create function private.leave_community(p_community_id uuid, p_successor_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_gone record;
begin
  -- Of many calls at once one goes on, and the others wait here: in the queue of the day everybody would wait for each.
  perform pg_advisory_xact_lock(1128792071, uuid_hash(p_community_id) # uuid_hash(v_me.user_id));
  perform private.require_member(p_community_id);
  perform private.foresee_seat(p_community_id, v_me.user_id, p_successor_id);
  perform private.lock_membership(p_community_id);
  -- Asked again, now that nobody comes or goes beside this: a removal may have come first.
  perform private.require_member(p_community_id);
  perform private.pass_seat(p_community_id, v_me.user_id, p_successor_id);
  v_gone := private.depart(p_community_id, v_me.user_id, 'left');
  return jsonb_build_object('left', true, 'expired', v_gone.expired, 'forfeited', v_gone.forfeited);
end;
$$;

create function public.leave_community(community_id uuid, successor_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.leave_community(leave_community.community_id, leave_community.successor_id);
end;
comment on function public.leave_community is
'Leaves a community; the last moderator names another member as successor, unless nobody else is left.

The purse expires, an active tip-to-tip is withdrawn and its stake forfeited, open requests are cancelled, loans
owed to the leaver are released, loans they owe sleep until they return. A successor counts only where one is
needed. Returns {left: true, expired, forfeited} in CC. Refuses: LAST_MODERATOR {needs}, NOT_FOUND (the successor
too), INVALID_INPUT.';
grant execute on function public.leave_community, private.leave_community to authenticated;

create function private.require_removable(p_community_id uuid, p_user_id uuid, p_reason text)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_moderator(p_community_id);
begin
  perform private.require_text('reason', p_reason, 280);
  if p_user_id = v_me.user_id then
    if private.is_last_moderator(p_community_id, p_user_id) then
      perform private.refuse('LAST_MODERATOR', 'You are the last moderator: leave, and name a successor.',
        '{"needs": "successor_id"}');
    end if;
    perform private.refuse('FORBIDDEN', 'Nobody removes themselves: leave instead.');
  end if;
  perform private.require_present(p_community_id, p_user_id);
end;
$$;
comment on function private.require_removable is
'Asks that the caller may remove somebody, who is there. Refuses: as remove_member.';

create function private.note_removal(
  p_community_id uuid, p_user_id uuid, p_by_id uuid, p_reason_id bigint, p_ban boolean
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.record_act(
    p_community_id, p_by_id, 'member_removed', p_user_id,
    jsonb_build_object('reason_id', p_reason_id, 'ban', p_ban)
  );
  perform private.announce(
    p_community_id, 'member_removed', jsonb_build_object('user_id', p_user_id, 'by_id', p_by_id, 'ban', p_ban)
  );
  -- No mute silences it: a member who is one no more has no other way to learn of it.
  perform private.notify(
    array[p_user_id], p_community_id, 'system', 'member_removed', 'member_removed', p_community_id,
    jsonb_build_object('reason_id', p_reason_id), p_by => p_by_id, p_is_ask => true
  );
end;
$$;
comment on function private.note_removal is
'Tells of a removal. The reason is for the person removed and for the audit log: the Chamber hears who removed whom.';

create function private.remove_member(p_community_id uuid, p_user_id uuid, p_reason text, p_ban boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_ban boolean := coalesce(p_ban, false);
  v_reason_id bigint;
begin
  -- Asked before the queue as well, so that nobody waits for who is refused.
  perform private.require_removable(p_community_id, p_user_id, p_reason);
  perform private.lock_membership(p_community_id);
  perform private.require_acting_member(p_community_id);
  perform private.require_removable(p_community_id, p_user_id, p_reason);

  perform private.depart(p_community_id, p_user_id, 'removed');
  v_reason_id := private.keep_words(p_community_id, v_me.user_id, p_reason);
  if v_ban then
    perform private.ban(p_community_id, p_user_id, v_me.user_id, v_reason_id);
  end if;
  perform private.note_removal(p_community_id, p_user_id, v_me.user_id, v_reason_id, v_ban);
  return jsonb_build_object('removed', true);
end;
$$;
comment on function private.remove_member is
'Moderators may be removed like anyone else; of two who remove each other at once, one is too late.';

create function public.remove_member(community_id uuid, user_id uuid, reason text, ban boolean default false)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.remove_member(
    remove_member.community_id, remove_member.user_id, remove_member.reason, remove_member.ban
  );
end;
comment on function public.remove_member is
'A moderator removes a member, another moderator too.

reason is 1 to 280 characters; ban keeps them from returning. Everything happens as on leaving, except: proposals
still awaiting the removed member are void with their stakes refunded, and the stake of their own proposal comes
back before their purse expires. Returns {removed: true}. Refuses: FORBIDDEN (no moderator; oneself), LAST_MODERATOR
{needs} (oneself, as the last), NOT_FOUND (the member too), INVALID_INPUT.';
grant execute on function public.remove_member, private.remove_member to authenticated;
