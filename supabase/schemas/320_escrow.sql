-- Stakes held between purse and outcome (RULES 5.1, 8.3). Each settles exactly once.

create domain private.stake_state as text
constraint stake_state_known check (value in ('held', 'due', 'refunded', 'forfeited'));

create table private.stakes (
  community_id uuid not null,
  proposal_id uuid not null,
  user_id uuid not null,
  amount private.some_coins not null,
  day date not null,
  status private.stake_state not null default 'held',
  constraint stakes_pkey primary key (community_id, proposal_id)
);
comment on table private.stakes is
'The escrow: what members staked, on which day, and what became of it. A stake due is one won back while the day was
closed: it stays in escrow until the Dawn that books it. No foreign key: the purse it came from has just been changed.';
create index stakes_community_id_user_id_idx on private.stakes (community_id, user_id);
create index stakes_in_escrow_idx on private.stakes (community_id) where status in ('held', 'due');
alter table private.stakes enable row level security;
create policy people_read_their_stakes on private.stakes for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on private.stakes to authenticated;

create function private.stake_coins(
  p_proposal_id uuid, p_community_id uuid, p_user_id uuid, p_amount integer, p_at timestamptz
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_purse private.purses := private.move_coins(
    p_community_id, p_user_id, 'tip_to_tip', -p_amount, p_proposal_id, p_at, p_amount, null
  );
begin
  if v_purse.user_id is not null then
    insert into private.stakes (community_id, proposal_id, user_id, amount, day)
    values (p_community_id, p_proposal_id, p_user_id, p_amount, v_purse.day);
  end if;
  return v_purse;
end;
$$;
comment on function private.stake_coins is
'Moves a stake from a purse, which it returns, into escrow; a row of nulls where it holds too little. It tells nobody.';

create function private.settle_stake(
  p_community_id uuid, p_proposal_id uuid, p_status private.stake_state, p_at timestamptz
)
returns private.broadcast[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_stake private.stakes;
  v_purse private.purses;
begin
  update private.stakes as s set status = p_status
  where s.community_id = p_community_id and s.proposal_id = p_proposal_id
    and (s.status = 'held' or s.status = 'due' and p_status = 'refunded')
  returning s.* into v_stake;
  if not found or p_status = 'due' then
    return array[]::private.broadcast[];
  end if;
  v_purse := private.move_coins(
    p_community_id, v_stake.user_id, case p_status when 'refunded' then 'stake_refund' else 'stake_forfeit' end,
    case p_status when 'refunded' then v_stake.amount else 0 end, p_proposal_id, p_at, v_stake.amount, v_stake.day
  );
  if v_purse.user_id is null then
    raise exception 'the stake of proposal % does not fit a purse', p_proposal_id;
  end if;
  return array[(
    'user:' || v_stake.user_id::text, 'balance', jsonb_build_object('community_id', p_community_id)
  )::private.broadcast];
end;
$$;
comment on function private.settle_stake is
'Settles a stake: refunded, forfeited, or due, which is refunded at the next Dawn; nothing if it was settled before. It
tells nobody, but returns what is to be told.';

create function private.pay_stakes_due(p_community_id uuid, p_at timestamptz, p_user_id uuid default null)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal_id uuid;
begin
  for v_proposal_id in
    select s.proposal_id from private.stakes as s
    where s.community_id = p_community_id and s.status = 'due' and s.user_id = coalesce(p_user_id, s.user_id)
    order by s.user_id, s.proposal_id
  loop
    perform private.tell(variadic private.settle_stake(p_community_id, v_proposal_id, 'refunded', p_at));
  end loop;
end;
$$;
comment on function private.pay_stakes_due is
'Books the refunds that waited for Dawn, of everyone or of one member. The caller holds the day.';

create function private.stakes_due(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(sum(s.amount), 0)::integer from private.stakes as s
    where s.community_id = p_community_id and s.user_id = p_user_id and s.status = 'due'
  );
end;
$$;
comment on function private.stakes_due is 'What the next Dawn will refund a member, in CC.';
