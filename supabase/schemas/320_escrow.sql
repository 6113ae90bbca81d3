-- Stakes held between purse and outcome (RULES 5.1, 8.3). Each settles exactly once.

create table private.stakes (
  proposal_id uuid not null,
  community_id uuid not null,
  user_id uuid not null,
  amount integer not null,
  day date not null,
  status text not null default 'held',
  constraint stakes_pkey primary key (proposal_id),
  constraint stakes_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint stakes_amount_positive check (amount > 0),
  constraint stakes_status_known check (status in ('held', 'due', 'refunded', 'forfeited'))
);
comment on table private.stakes is
'The escrow: what members staked, on which day, and what became of it. A stake due is one won back while the day was
closed: it stays in escrow until the Dawn that books it.';
create index stakes_community_id_user_id_idx on private.stakes (community_id, user_id);
create index stakes_in_escrow_idx on private.stakes (community_id) where status in ('held', 'due');
alter table private.stakes enable row level security;
create policy people_read_their_stakes on private.stakes for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on private.stakes to authenticated;

create function private.stake_coins(p_proposal_id uuid, p_community_id uuid, p_user_id uuid, p_amount integer)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_purse private.purses := private.post_entry(
    p_community_id, p_user_id, 'tip_to_tip', -p_amount, p_proposal_id
  );
begin
  insert into private.stakes (proposal_id, community_id, user_id, amount, day)
  values (p_proposal_id, p_community_id, p_user_id, p_amount, v_purse.day);
end;
$$;
comment on function private.stake_coins is 'Moves a stake from a purse into escrow. Refuses: INSUFFICIENT_CC.';

create function private.pay_stake(p_proposal_id uuid, p_at timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_stake private.stakes;
  v_purse private.purses;
begin
  update private.stakes as s set status = 'refunded'
  where s.proposal_id = p_proposal_id and s.status in ('held', 'due')
  returning s.* into v_stake;
  if not found then
    return 0;
  end if;
  v_purse := private.lock_purse(v_stake.community_id, v_stake.user_id);
  perform private.post_entry(
    v_stake.community_id, v_stake.user_id, 'stake_refund', v_stake.amount, p_proposal_id, null, p_at, null,
    case when v_stake.day = v_purse.day then -v_stake.amount else 0 end
  );
  return v_stake.amount;
end;
$$;
comment on function private.pay_stake is
'Pays a stake back into its purse now and returns the amount; 0 if it was settled before. A refund of an earlier
day''s stake leaves today''s spending alone (RULES 5.6).';

create function private.refund_stake(p_proposal_id uuid, p_at timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.stakes as s set status = 'due'
  from private.community_days as d
  where s.proposal_id = p_proposal_id and s.status = 'held' and d.community_id = s.community_id and not d.is_open;
  if not found then
    perform private.pay_stake(p_proposal_id, p_at);
  end if;
end;
$$;
comment on function private.refund_stake is
'Gives a stake back: at once while the day is open, else at the next Dawn after the grant. The caller holds the day.';

create function private.forfeit_stake(p_proposal_id uuid, p_at timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_stake private.stakes;
begin
  update private.stakes as s set status = 'forfeited'
  where s.proposal_id = p_proposal_id and s.status = 'held'
  returning s.* into v_stake;
  if not found then
    return 0;
  end if;
  perform private.post_entry(
    v_stake.community_id, v_stake.user_id, 'stake_forfeit', 0, p_proposal_id, null, p_at, v_stake.amount
  );
  return v_stake.amount;
end;
$$;
comment on function private.forfeit_stake is
'Loses a stake for good and returns the amount; 0 if it was settled before.';

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
    perform private.pay_stake(v_proposal_id, p_at);
  end loop;
end;
$$;
comment on function private.pay_stakes_due is 'Books the refunds that waited for Dawn, of everyone or of one member.';

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
