-- The caller's communities at a glance.

create function private.list_my_communities()
returns jsonb
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  v_me uuid := private.require_admitted();
  v_now timestamptz := private.clock();
begin
  -- What costs is asked only where there is something to ask: of roles where an election is over and not written down,
  -- of votes where there is one to cast.
  return jsonb_build_object('communities', (
    select coalesce(jsonb_agg(
      to_jsonb(c.community) || jsonb_build_object(
        'balance', b.balance,
        'roles', r.roles,
        'unread', private.count_unread(m.community_id, v_me),
        'last_activity', (
          select l.created_at from private.chat_messages as l
          where l.community_id = m.community_id
          order by l.id desc
          limit 1
        ),
        'awaiting_my_vote',
        case when e.id is null then 0 else private.elections_awaiting(m.community_id, v_me) end
        + case
          when exists (
            select from private.tip_to_tip_proposals as t
            where t.community_id = m.community_id and t.status = 'active'
          )
            then private.proposals_awaiting(m.community_id, v_me)
          else 0
        end
      )
      || case
        when 'moderator' = any(r.roles)
          then jsonb_build_object(
            'invite_code', (select j.code from private.join_codes as j where j.community_id = m.community_id)
          )
        else '{}'
      end
      order by m.joined_at, m.community_id
    ), '[]')
    from private.community_members as m
    join private.shown_communities as c on c.id = m.community_id
    join private.shown_balances as b on b.community_id = m.community_id and b.user_id = v_me
    left join lateral (
      select o.id, o.ends_at from private.elections as o
      where o.community_id = m.community_id and o.status = 'active'
      limit 1
    ) as e on true
    cross join lateral (
      select case when e.ends_at <= v_now then private.roles_now(m) else m.roles end as roles limit 1
    ) as r
    where m.user_id = v_me and m.left_at is null
  ));
end;
$$;

create function public.list_my_communities()
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.list_my_communities();
end;
$$;
comment on function public.list_my_communities is
'The caller''s communities, first joined first. It settles no day: balance.day says which day it shows.

Returns {communities: [community + {balance, roles, unread, last_activity, awaiting_my_vote}]}: the time of the
latest line of the Chamber, and how many proposals and elections await the caller''s vote.';
grant execute on function public.list_my_communities, private.list_my_communities to authenticated;
