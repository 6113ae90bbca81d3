-- The caller's communities at a glance.

create function private.list_my_communities()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.require_admitted();
begin
  return jsonb_build_object('communities', (
    select coalesce(jsonb_agg(
      private.show_community_to(m.community_id, 'moderator' = any(r.roles)) || jsonb_build_object(
        'balance', private.show_balance_of(m.community_id, v_me),
        'roles', r.roles,
        'unread', private.count_unread(m.community_id, v_me),
        'last_activity', (
          select c.created_at from private.chat_messages as c
          where c.community_id = m.community_id
          order by c.id desc
          limit 1
        ),
        'awaiting_my_vote',
        private.proposals_awaiting(m.community_id, v_me) + private.elections_awaiting(m.community_id, v_me)
      )
      order by m.joined_at, m.community_id
    ), '[]')
    from private.community_members as m
    cross join lateral (select private.roles_now(m) as roles limit 1) as r
    where m.user_id = v_me and m.left_at is null
  ));
end;
$$;

create function public.list_my_communities()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_my_communities();
end;
comment on function public.list_my_communities is
'The caller''s communities, first joined first. It settles no day: balance.day says which day it shows.

Returns {communities: [community + {balance, roles, unread, last_activity, awaiting_my_vote}]}: the time of the
latest line of the Chamber, and how many proposals and elections await the caller''s vote.';
grant execute on function public.list_my_communities, private.list_my_communities to authenticated;
