-- Tip-to-tip: a stake on a unanimous vote (RULES 8).

create domain private.proposal_state as text
constraint proposal_state_known check (
  value in ('active', 'completed', 'declined', 'expired', 'withdrawn', 'void')
);

create domain private.vote as text constraint vote_known check (value in ('accept', 'decline'));

create table private.tip_to_tip_proposals (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  proposer_id uuid not null,
  title private.title not null,
  description private.description not null default '',
  stake_amount private.some_coins not null,
  amendment jsonb,
  deadline timestamptz not null,
  remind_at timestamptz,
  status private.proposal_state not null default 'active',
  electors integer not null,
  awaiting integer not null,
  created_at timestamptz not null default private.clock(),
  struck_at timestamptz,
  constraint tip_to_tip_proposals_pkey primary key (community_id, id),
  constraint tip_to_tip_proposals_awaiting_within_roll check (awaiting between 0 and electors)
);
comment on table private.tip_to_tip_proposals is
'Proposals and what became of them; electors is how many are on the roll, awaiting how many of them have yet to vote.
An active one past its deadline is over whether or not the status says so yet. No foreign keys here and below: a roll is
drawn from the members with the day held, who votes is found on it, and no membership''s row is ever deleted.';
create index tip_to_tip_proposals_id_idx on private.tip_to_tip_proposals (id);
create unique index tip_to_tip_proposals_one_active_per_member
on private.tip_to_tip_proposals (community_id, proposer_id) where status = 'active';
create index tip_to_tip_proposals_community_id_number_idx on private.tip_to_tip_proposals (community_id, number);
create index tip_to_tip_proposals_community_id_proposer_id_idx on private.tip_to_tip_proposals (
  community_id, proposer_id, created_at
);
create index tip_to_tip_proposals_deadline_idx on private.tip_to_tip_proposals (deadline) where status = 'active';
create index tip_to_tip_proposals_remind_at_idx on private.tip_to_tip_proposals (remind_at) where status = 'active';
alter table private.tip_to_tip_proposals enable row level security;
create policy members_read_tip_to_tip_proposals on private.tip_to_tip_proposals for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.tip_to_tip_proposals to authenticated;
alter table private.tip_to_tip_proposals replica identity full;

create table private.tip_to_tip_rolls (
  community_id uuid not null,
  proposal_id uuid not null,
  user_id uuid not null,
  constraint tip_to_tip_rolls_pkey primary key (community_id, proposal_id, user_id)
);
comment on table private.tip_to_tip_rolls is
'Who may vote on what: the members when it was proposed, less those who left before they voted.';
create index tip_to_tip_rolls_community_id_user_id_idx on private.tip_to_tip_rolls (community_id, user_id);
alter table private.tip_to_tip_rolls enable row level security;
create policy members_read_tip_to_tip_rolls on private.tip_to_tip_rolls for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.tip_to_tip_rolls to authenticated;

create table private.tip_to_tip_votes (
  community_id uuid not null,
  proposal_id uuid not null,
  user_id uuid not null,
  number bigint generated always as identity,
  vote private.vote not null,
  created_at timestamptz not null default private.clock(),
  constraint tip_to_tip_votes_pkey primary key (community_id, proposal_id, user_id)
);
comment on table private.tip_to_tip_votes is 'Votes, cast openly and finally; number is the order of casting.';
create index tip_to_tip_votes_community_id_user_id_idx on private.tip_to_tip_votes (community_id, user_id);
alter table private.tip_to_tip_votes enable row level security;
create policy members_read_tip_to_tip_votes on private.tip_to_tip_votes for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.tip_to_tip_votes to authenticated;

create function private.outcome_at_deadline(p_community_id uuid, p_proposal_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_silent uuid[] := array(
    select r.user_id from private.tip_to_tip_rolls as r
    where r.community_id = p_community_id and r.proposal_id = p_proposal_id and not exists (
      select from private.tip_to_tip_votes as v
      where v.community_id = r.community_id and v.proposal_id = r.proposal_id and v.user_id = r.user_id
    )
  );
begin
  if private.able_among(v_silent) = '{}' then
    return 'void';
  end if;
  return 'expired';
end;
$$;
comment on function private.outcome_at_deadline is
'How a proposal ends that nobody has ended by its deadline: expired, but void if all who did not vote are unable to
(RULES 8.2), as they stand when it is asked.';

create function private.proposal_status(
  p_community_id uuid, p_proposal_id uuid, p_state text, p_deadline timestamptz
)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  if p_state = 'active' and p_deadline <= private.clock() then
    return private.outcome_at_deadline(p_community_id, p_proposal_id);
  end if;
  return p_state;
end;
$$;
comment on function private.proposal_status is
'A proposal''s status as it is now: that its deadline has passed is a fact of reading.';
grant execute on function private.proposal_status to authenticated;

create type private.vote_cast as ("user" json, vote text, created_at timestamptz);
comment on type private.vote_cast is 'A vote as the shape proposal shows it.';

create type private.proposal as (
  id uuid,
  community_id uuid,
  proposer json,
  title text,
  description text,
  stake_amount integer,
  amendment jsonb,
  deadline timestamptz,
  status text,
  votes json,
  electors integer,
  awaiting integer,
  can_vote boolean,
  created_at timestamptz
);
comment on type private.proposal is 'The shape proposal, key by attribute.';

create view private.shown_proposals with (security_invoker = on) as
select
  t.id,
  t.number,
  t.community_id,
  s.status,
  row(
    t.id, t.community_id, p.person,
    case when p.is_erased then '' else t.title end, case when p.is_erased then '' else t.description end,
    t.stake_amount, t.amendment, t.deadline, s.status,
    (
      select coalesce(json_agg(row(o.person, v.vote, v.created_at)::private.vote_cast order by v.number), '[]')
      from private.tip_to_tip_votes as v
      inner join private.shown_people as o on v.user_id = o.id
      where v.community_id = t.community_id and v.proposal_id = t.id
    ),
    t.electors, t.awaiting,
    s.status = 'active'
    and exists (
      select from private.tip_to_tip_rolls as r
      where r.community_id = t.community_id and r.proposal_id = t.id and r.user_id = (select private.caller_id())
    )
    and not exists (
      select from private.tip_to_tip_votes as v
      where v.community_id = t.community_id and v.proposal_id = t.id and v.user_id = (select private.caller_id())
    ),
    t.created_at
  )::private.proposal as proposal
from private.tip_to_tip_proposals as t
inner join private.shown_people as p on t.proposer_id = p.id
cross join lateral private.proposal_status(t.community_id, t.id, t.status, t.deadline) as s (status);
comment on view private.shown_proposals is
'The shape proposal, as the caller sees it; status is judged by the clock, and its words are shown only while the
proposer is not erased.';
grant select on private.shown_proposals to authenticated;

create function private.show_proposal(p_proposal private.tip_to_tip_proposals)
returns private.proposal
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      row(
        p_proposal.id, p_proposal.community_id, p.person,
        case when p.is_erased then '' else p_proposal.title end,
        case when p.is_erased then '' else p_proposal.description end,
        p_proposal.stake_amount, p_proposal.amendment, p_proposal.deadline, p_proposal.status,
        (
          select json_agg(row(o.person, v.vote, v.created_at)::private.vote_cast order by v.number)
          from private.tip_to_tip_votes as v
          join private.shown_people as o on o.id = v.user_id
          where v.community_id = p_proposal.community_id and v.proposal_id = p_proposal.id
        ),
        p_proposal.electors, p_proposal.awaiting, false, p_proposal.created_at
      )::private.proposal
    from private.shown_people as p
    where p.id = p_proposal.proposer_id
  );
end;
$$;
comment on function private.show_proposal is
'The shape proposal, for somebody who has just voted, of a proposal in hand, as private.shown_proposals has it.';

create function private.show_new_proposal(p_proposal private.tip_to_tip_proposals, p_proposer private.users)
returns private.proposal
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    p_proposal.id, p_proposal.community_id, p_proposer.person, p_proposal.title, p_proposal.description,
    p_proposal.stake_amount, p_proposal.amendment, p_proposal.deadline, p_proposal.status,
    to_json(array[(p_proposer.person, 'accept', p_proposal.created_at)::private.vote_cast]),
    p_proposal.electors, p_proposal.awaiting, false, p_proposal.created_at
  )::private.proposal;
end;
$$;
comment on function private.show_new_proposal is
'As private.show_proposal, of one just made: nobody has voted but its proposer.';

create function private.strike_proposal(p_community_id uuid, p_proposal_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.tip_to_tip_proposals as t
  set title = '', description = '', struck_at = private.clock()
  where t.community_id = p_community_id and t.id = p_proposal_id;
  perform private.strike_item(p_community_id, p_proposal_id);
end;
$$;
comment on function private.strike_proposal is 'Takes a proposal''s words away; its stake and its vote go on.';

create function private.erase_proposals_of(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  update private.tip_to_tip_proposals as t
  set title = '', description = ''
  where (t.community_id, t.id) in (
    select o.community_id, o.id
    from private.community_members as s
    join private.tip_to_tip_proposals as o on o.community_id = s.community_id and o.proposer_id = s.user_id
    where s.user_id = p_user_id and (o.title <> '' or o.description <> '')
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.erase_proposals_of is
'Takes the words of up to p_limit proposals of a person who is erased; returns how many.';

create function private.note_outcome(
  p_proposal private.tip_to_tip_proposals, p_day private.community_days, p_at timestamptz,
  p_besides private.broadcast[] default '{}'
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_facts jsonb := jsonb_build_object(
    'proposal_id', p_proposal.id, 'proposer_id', p_proposal.proposer_id, 'outcome', p_proposal.status,
    'stake_amount', p_proposal.stake_amount
  );
  v_told private.broadcast[] := private.settle_stake(
    p_proposal.community_id, p_proposal.id, case
      when p_proposal.status not in ('completed', 'void') then 'forfeited'
      when p_day.is_open then 'refunded'
      else 'due'
    end, p_at
  );
  v_line bigint := private.next_line_id();
begin
  perform private.write_line(
    v_line, p_proposal.community_id, null, 'system', '', null, 'tip_to_tip_' || p_proposal.status, v_facts, null, p_at
  );
  perform private.note_item(
    p_proposal.community_id, 'proposal', p_proposal.id, v_facts || jsonb_build_object(
      'title', p_proposal.title, 'description', p_proposal.description, 'amendment', p_proposal.amendment
    ),
    p_proposal.proposer_id, least(p_at, p_proposal.deadline)
  );
  if p_proposal.status = 'completed' and p_proposal.amendment is not null then
    perform private.will_settings(p_proposal.community_id, p_proposal.amendment, p_proposal.id, p_at);
  end if;
  perform private.notify(
    array[p_proposal.proposer_id], p_proposal.community_id, 'tip_to_tip', 'proposal_ended', 'tip_to_tip',
    p_proposal.id, jsonb_build_object('outcome', p_proposal.status), p_at => p_at,
    p_besides => v_told || (
      'community:' || p_proposal.community_id::text, 'message', jsonb_build_object('message_id', v_line)
    )::private.broadcast || p_besides
  );
end;
$$;
comment on function private.note_outcome is
'What follows when a proposal has just ended, on a day that is held: completed and void refund the stake (by night, at
the next Dawn), declined, expired and withdrawn forfeit it; the Chamber and the proposer are told, together with what
else the act tells, p_besides.';

create function private.end_proposal(
  p_proposal private.tip_to_tip_proposals, p_outcome text, p_day private.community_days,
  p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_ended private.tip_to_tip_proposals;
begin
  update private.tip_to_tip_proposals as t set status = p_outcome, remind_at = null
  where t.community_id = p_proposal.community_id and t.id = p_proposal.id
  returning t.* into v_ended;
  perform private.note_outcome(v_ended, p_day, p_at);
end;
$$;
comment on function private.end_proposal is 'Ends a locked, active proposal on a day that is held.';

create function private.end_overdue_proposal(
  p_proposal private.tip_to_tip_proposals, p_day private.community_days, p_at timestamptz
)
returns text
language plpgsql security definer set search_path = ''
as $$
declare
  v_outcome text := private.outcome_at_deadline(p_proposal.community_id, p_proposal.id);
begin
  perform private.end_proposal(p_proposal, v_outcome, p_day, p_at);
  return v_outcome;
end;
$$;
comment on function private.end_overdue_proposal is
'Ends a locked, active proposal that is past its deadline, on a day that is held; returns how.';

create function private.open_roll(p_proposal private.tip_to_tip_proposals, p_electors uuid[])
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.tip_to_tip_rolls (community_id, proposal_id, user_id)
  select p_proposal.community_id, p_proposal.id, e.id from unnest(p_electors) as e (id);
  insert into private.tip_to_tip_votes (community_id, proposal_id, user_id, vote, created_at)
  values (p_proposal.community_id, p_proposal.id, p_proposal.proposer_id, 'accept', p_proposal.created_at);
  perform private.notify(
    array_remove(p_electors, p_proposal.proposer_id), p_proposal.community_id, 'tip_to_tip', 'vote_asked', 'tip_to_tip',
    p_proposal.id, p_by => p_proposal.proposer_id, p_is_ask => true, p_at => p_proposal.created_at
  );
end;
$$;
comment on function private.open_roll is
'Draws up the roll of a new proposal, casts the proposer''s accept, calls the others to vote: one statement each.';

create function private.require_no_active_proposal(
  p_community_id uuid, p_proposer_id uuid, p_day private.community_days
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals;
begin
  select t.* into v_proposal from private.tip_to_tip_proposals as t
  where t.community_id = p_community_id and t.proposer_id = p_proposer_id and t.status = 'active'
  for no key update;
  if v_proposal.deadline <= private.clock() then
    perform private.end_overdue_proposal(v_proposal, p_day, private.clock());
  elsif v_proposal.id is not null then
    perform private.refuse('ACTIVE_TIP_TO_TIP_EXISTS', 'You have an active proposal already.',
      jsonb_build_object('proposal_id', v_proposal.id, 'possible_at', v_proposal.deadline));
  end if;
end;
$$;
comment on function private.require_no_active_proposal is
'Makes sure a member has no active proposal; one that is past its deadline is ended first, job or no job.

Refuses: ACTIVE_TIP_TO_TIP_EXISTS {proposal_id, possible_at: its deadline}.';

create function private.require_proposal_rate(p_day private.community_days, p_proposer_id uuid, p_stake_amount integer)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_next timestamptz := (
    select min(latest.created_at) + interval '1 day'
    from (
      select t.created_at from private.tip_to_tip_proposals as t
      where t.community_id = p_day.community_id and t.proposer_id = p_proposer_id
        and t.created_at > private.clock() - interval '1 day'
      order by t.created_at desc
      limit 20
    ) as latest
    having count(*) = 20
  );
begin
  if v_next is null then
    return;
  end if;
  -- Still today, where the purse holds the stake; else the first such moment from the next Dawn on.
  if v_next >= p_day.sunset_at or not exists (
    select from private.purses as b
    where b.community_id = p_day.community_id and b.user_id = p_proposer_id and b.remaining >= p_stake_amount
  ) then
    v_next := private.when_affordable(p_day.community_id, p_proposer_id, p_stake_amount, v_next);
  end if;
  perform private.refuse_for_now('Twenty proposals a day are enough.', v_next, '{"most": 20}');
end;
$$;
comment on function private.require_proposal_rate is
'Asks that a member has made fewer than 20 proposals in this community in the last 24 hours (RULES 3.2). Of two at once
one finds the other active: so nobody comes past the twentieth.

Refuses: RATE_LIMITED {most, possible_at, retry_after}.';

create function private.require_input_of_proposal(p_title text, p_description text, p_stake_amount integer)
returns void
language plpgsql immutable security definer set search_path = ''
as $$
begin
  -- One glance for what most proposals are; only what does not pass it is looked at closely.
  if (
    p_title ~ e'^[^\u0001-\u001f\u007f-\u009f\u2028\u2029]*[A-Za-z0-9][^\u0001-\u001f\u007f-\u009f\u2028\u2029]*$'
    and char_length(p_title) <= 120 and char_length(p_description) <= 1000
    and p_stake_amount between 1 and 1000000000
  ) is not true then
    perform private.require_title('title', p_title);
    perform private.require_text('description', p_description, 1000, 0);
    perform private.require_amount('stake_amount', p_stake_amount);
  end if;
end;
$$;
comment on function private.require_input_of_proposal is
'Asks that what is proposed makes sense. Refuses: INVALID_INPUT.';

create function private.find_electors(
  p_day private.community_days, p_proposer_id uuid, p_stake_amount integer, p_at timestamptz
)
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  -- Read once: who joins from here on is neither counted nor on the roll.
  v_electors uuid[] := private.present_able_ids(p_day.community_id);
  v_active boolean;
  v_made bigint;
begin
  -- Of two at once the second counts the first, though it be over by then.
  perform private.take_turn_of_lines(p_day.community_id, p_proposer_id);
  -- One glance: the proposer is on the roll with somebody else, nothing of theirs is active, and they propose rarely.
  select coalesce(bool_or(t.status = 'active'), false), count(*) into v_active, v_made
  from private.tip_to_tip_proposals as t
  where t.community_id = p_day.community_id and t.proposer_id = p_proposer_id
    and t.created_at > p_at - interval '1 day';
  if not v_active and v_made < 20 and p_proposer_id = any(v_electors) and cardinality(v_electors) > 1 then
    return v_electors;
  end if;

  perform private.require_no_active_proposal(p_day.community_id, p_proposer_id, p_day);
  -- Who was removed meanwhile proposes nothing.
  perform private.require_member(p_day.community_id);
  if p_proposer_id <> all(v_electors) then
    perform private.refuse('CONFLICT', 'You are away, and so on no roll.', '{"away": true}');
  elsif cardinality(v_electors) < 2 then
    perform private.refuse('NO_ELECTORS', 'There is nobody else here who could vote.',
      jsonb_build_object('electors', cardinality(v_electors), 'needed', 2));
  end if;
  perform private.require_proposal_rate(p_day, p_proposer_id, p_stake_amount);
  return v_electors;
end;
$$;
comment on function private.find_electors is
'Who is on the roll of a proposal its proposer may make now, in id order, they among them; the day is held.

Refuses: ACTIVE_TIP_TO_TIP_EXISTS {proposal_id, possible_at}, CONFLICT {away}, NO_ELECTORS {electors, needed},
RATE_LIMITED {most, possible_at, retry_after}, NOT_FOUND.';

create function private.open_proposal(
  p_id uuid, p_day private.community_days, p_proposer_id uuid, p_title text, p_description text, p_stake_amount integer,
  p_amendment jsonb, p_electors integer, p_at timestamptz
)
returns private.tip_to_tip_proposals
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals;
begin
  insert into private.tip_to_tip_proposals (
    community_id, id, proposer_id, title, description, stake_amount, amendment, deadline, remind_at, electors, awaiting,
    created_at
  )
  values (
    p_day.community_id, p_id, p_proposer_id, p_title, p_description, p_stake_amount, p_amendment,
    p_at + interval '4 hours', p_at + interval '3 hours', p_electors, p_electors - 1, p_at
  )
  on conflict (community_id, proposer_id) where status = 'active' do nothing
  returning * into v_proposal;
  if not found then
    -- Made a moment ago, or long over and not written down as such: then it is, and makes room.
    perform private.require_no_active_proposal(p_day.community_id, p_proposer_id, p_day);
    perform private.require_proposal_rate(p_day, p_proposer_id, p_stake_amount);
    return private.open_proposal(
      p_id, p_day, p_proposer_id, p_title, p_description, p_stake_amount, p_amendment, p_electors, p_at
    );
  end if;
  return v_proposal;
end;
$$;
comment on function private.open_proposal is
'Writes down a proposal and returns it. Refuses: ACTIVE_TIP_TO_TIP_EXISTS {proposal_id, possible_at}, RATE_LIMITED.';

create function private.show_proposed(p_community_id uuid, p_user_id uuid, p_made jsonb)
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_proposal jsonb := (
    select to_jsonb(s.proposal) from private.shown_proposals as s
    where s.community_id = p_community_id and s.id = (p_made ->> 'proposal_id')::uuid
  );
begin
  return json_build_object(
    'proposal', v_proposal,
    'message', private.show_message(p_community_id, (p_made ->> 'message_id')::bigint, v_proposal),
    'balance', private.show_balance_of(p_community_id, p_user_id)
  );
end;
$$;
comment on function private.show_proposed is
'What propose_tip_to_tip answers of a proposal made before, as everything stands now.';

create function private.propose_tip_to_tip(
  p_community_id uuid, p_title text, p_stake_amount integer, p_description text, p_request_id uuid, p_amendment jsonb
)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_act private.act := private.begin_act(p_community_id);
  v_me uuid := (v_act.me).id;
  v_now timestamptz := v_act.at;
  v_day private.community_days := v_act.day;
  v_id uuid := gen_random_uuid();
  v_message_id bigint := private.next_line_id();
  v_made jsonb := private.claim(
    v_me, 'propose_tip_to_tip', p_request_id,
    jsonb_build_array(p_community_id, p_title, p_stake_amount, p_description, p_amendment),
    jsonb_build_object('proposal_id', v_id, 'message_id', v_message_id), v_now
  );
  v_amendment jsonb;
  v_electors uuid[];
  v_proposal private.tip_to_tip_proposals;
  v_purse private.purses;
  v_card json;
begin
  if v_made is not null then
    return private.show_proposed(p_community_id, v_me, v_made);
  end if;
  perform private.require_input_of_proposal(p_title, p_description, p_stake_amount);
  if p_amendment is not null then
    v_amendment := private.require_amendment(p_amendment);
  end if;
  if not v_day.is_open then
    perform private.require_open(v_day);
  end if;
  if v_amendment is not null then
    perform private.require_change(p_community_id, v_amendment);
  end if;
  v_electors := private.find_electors(v_day, v_me, p_stake_amount, v_now);

  v_proposal := private.open_proposal(
    v_id, v_day, v_me, p_title, p_description, p_stake_amount, v_amendment, cardinality(v_electors), v_now
  );
  v_purse := private.stake_coins(v_id, p_community_id, v_me, p_stake_amount, v_now);
  if v_purse.user_id is null then
    perform private.refuse_shortage(
      p_community_id, v_me, p_stake_amount, private.when_affordable(p_community_id, v_me, p_stake_amount)
    );
  end if;
  perform private.write_line(
    v_message_id, p_community_id, v_me, 'tip_to_tip', '', v_id, null, null, null, v_now
  );
  perform private.tell(
    ('user:' || v_me::text, 'balance', jsonb_build_object('community_id', p_community_id)),
    ('community:' || p_community_id::text, 'message', jsonb_build_object('message_id', v_message_id))
  );
  perform private.open_roll(v_proposal, v_electors);

  v_card := row_to_json(private.show_new_proposal(v_proposal, v_act.me));
  return json_build_object(
    'proposal', v_card,
    'message', private.show_new_ask(v_message_id, p_community_id, 'tip_to_tip', (v_act.me).person, v_card, v_now),
    'balance', private.balance_on(v_purse, v_day)
  );
end;
$$;
comment on function private.propose_tip_to_tip is
'Of two proposals of one member at once the unique index lets one in; the other waits, finds it and is refused with
its stake untouched. The proposal is locked before the purse, as voters do.';
create function public.propose_tip_to_tip(
  community_id uuid,
  title text,
  stake_amount integer,
  description text default '',
  request_id uuid default null,
  amendment jsonb default null
)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.propose_tip_to_tip(
    propose_tip_to_tip.community_id, propose_tip_to_tip.title, propose_tip_to_tip.stake_amount,
    propose_tip_to_tip.description, propose_tip_to_tip.request_id, propose_tip_to_tip.amendment
  );
end;
$$;
comment on function public.propose_tip_to_tip is
'Stakes CC on a unanimous vote of everyone in the community who can act now.

The proposer''s accept is cast at once, the deadline is 4 hours later. title 1 to 120 characters, description up to
1000; at most 20 a day. amendment, a change of daily_cc_budget, timezone or electorate in the form update_community
takes, pends from the moment all have accepted, in place of what pended for the same thing, and takes force at the next
Dawn; until then no moderator sets the same. Returns {proposal, message, balance}. Refuses: ACTIVE_TIP_TO_TIP_EXISTS
{proposal_id, possible_at}, RATE_LIMITED {most, possible_at, retry_after}, INSUFFICIENT_CC {short_by, largest_possible,
possible_at}, NO_ELECTORS {electors, needed}, DAY_CLOSED {possible_at}, NOT_FOUND, INVALID_INPUT, CONFLICT
(request_id) or {away} (who is away is on no roll, not even of their own proposal).';
grant execute on function public.propose_tip_to_tip, private.propose_tip_to_tip to authenticated;

create function private.require_proposal(p_proposal_id uuid)
returns private.tip_to_tip_proposals
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals;
begin
  select t.* into v_proposal from private.tip_to_tip_proposals as t where t.id = p_proposal_id;
  perform private.require_seen(v_proposal.community_id, 'proposal');
  return v_proposal;
end;
$$;
comment on function private.require_proposal is
'Returns a proposal of a community the caller is in. Refuses: as require_seen.';
grant execute on function private.require_proposal to authenticated;

create function private.refuse_vote(p_community_id uuid, p_proposal_id uuid, p_voter_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals;
begin
  if not exists (
    select from private.tip_to_tip_rolls as r
    where r.community_id = p_community_id and r.proposal_id = p_proposal_id and r.user_id = p_voter_id
  ) then
    perform private.refuse('NOT_ELECTOR', 'You are not on the roll of this proposal.');
  end if;
  select t.* into v_proposal from private.tip_to_tip_proposals as t
  where t.community_id = p_community_id and t.id = p_proposal_id;
  if v_proposal.status = 'active' and v_proposal.deadline > private.clock() then
    perform private.refuse('ALREADY_VOTED', 'Your vote is cast, and final.');
  end if;
  perform private.refuse('PROPOSAL_EXPIRED', 'This proposal is over.', jsonb_build_object(
    'status', private.proposal_status(p_community_id, p_proposal_id, v_proposal.status, v_proposal.deadline),
    'deadline', v_proposal.deadline
  ));
end;
$$;
comment on function private.refuse_vote is
'Says why somebody''s vote on a proposal does not count. Refuses, always: NOT_ELECTOR, PROPOSAL_EXPIRED {status,
deadline}, ALREADY_VOTED.';

create function private.awaits_vote(p_community_id uuid, p_proposal_id uuid, p_voter_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return exists (
    select from private.tip_to_tip_proposals as t
    where t.community_id = p_community_id and t.id = p_proposal_id and t.status = 'active'
      and t.deadline > private.clock()
  ) and exists (
    select from private.tip_to_tip_rolls as r
    where r.community_id = p_community_id and r.proposal_id = p_proposal_id and r.user_id = p_voter_id
  ) and not exists (
    select from private.tip_to_tip_votes as v
    where v.community_id = p_community_id and v.proposal_id = p_proposal_id and v.user_id = p_voter_id
  );
end;
$$;
comment on function private.awaits_vote is 'Whether somebody may vote on a proposal now.';

create function private.vote_tip_to_tip(p_proposal_id uuid, p_vote text)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_proposal private.tip_to_tip_proposals;
  v_me uuid;
  v_day private.community_days;
  v_told private.broadcast;
begin
  select t.* into v_proposal from private.tip_to_tip_proposals as t where t.id = p_proposal_id;
  v_me := private.require_seen(v_proposal.community_id, 'proposal');
  if (p_vote in ('accept', 'decline')) is not true then
    perform private.require_choice('vote', p_vote, array['accept', 'decline']);
  end if;
  -- An accept may be the last, and then another zone moves the next Dawn: nobody else holds the day, nor waits for who
  -- is refused.
  if v_proposal.amendment ? 'timezone' then
    if not private.awaits_vote(v_proposal.community_id, p_proposal_id, v_me) then
      perform private.refuse_vote(v_proposal.community_id, p_proposal_id, v_me);
    end if;
    v_day := private.hold_day_alone(v_proposal.community_id, v_now);
  else
    v_day := private.hold_day(v_proposal.community_id, v_now);
  end if;
  update private.tip_to_tip_proposals as t
  set
    awaiting = t.awaiting - 1,
    status = case when p_vote = 'decline' then 'declined' when t.awaiting = 1 then 'completed' else t.status end,
    remind_at = case when p_vote = 'accept' and t.awaiting > 1 then t.remind_at end
  where t.community_id = v_day.community_id and t.id = p_proposal_id and t.status = 'active' and t.deadline > v_now
    and exists (
      select from private.tip_to_tip_rolls as r
      where r.community_id = v_day.community_id and r.proposal_id = p_proposal_id and r.user_id = v_me
    )
    and not exists (
      select from private.tip_to_tip_votes as v
      where v.community_id = v_day.community_id and v.proposal_id = p_proposal_id and v.user_id = v_me
    )
  returning t.* into v_proposal;
  if not found then
    perform private.refuse_vote(v_day.community_id, p_proposal_id, v_me);
  end if;
  insert into private.tip_to_tip_votes (community_id, proposal_id, user_id, vote, created_at)
  values (v_day.community_id, p_proposal_id, v_me, p_vote, v_now)
  on conflict do nothing;
  if not found then
    perform private.refuse('ALREADY_VOTED', 'Your vote is cast, and final.');
  end if;

  v_told := (
    'community:' || v_day.community_id::text, 'tip_to_tip', jsonb_build_object('proposal_id', p_proposal_id)
  );
  if v_proposal.status = 'active' then
    perform private.tell(v_told);
  else
    perform private.note_outcome(v_proposal, v_day, v_now, array[v_told]);
  end if;
  return json_build_object(
    'proposal', private.show_proposal(v_proposal), 'resolved', v_proposal.status <> 'active',
    'outcome', nullif(v_proposal.status, 'active')
  );
end;
$$;
comment on function private.vote_tip_to_tip is
'Voters queue on the proposal''s row, so exactly one of two last votes finds itself the last; who has voted already does
not get that far. The count comes before the vote: of two votes of one member at once the second is refused, and the
count with it.';
create function public.vote_tip_to_tip(proposal_id uuid, vote text)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.vote_tip_to_tip(vote_tip_to_tip.proposal_id, vote_tip_to_tip.vote);
end;
$$;
comment on function public.vote_tip_to_tip is
'Votes accept or decline, openly and finally; the first decline, or the last accept, ends the proposal.

Returns {proposal, resolved, outcome: null, completed or declined}. Refuses: NOT_ELECTOR, ALREADY_VOTED,
PROPOSAL_EXPIRED {status, deadline}, NOT_FOUND, INVALID_INPUT.';
grant execute on function public.vote_tip_to_tip, private.vote_tip_to_tip to authenticated;

create function public.get_tip_to_tip(proposal_id uuid)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals := private.require_proposal(get_tip_to_tip.proposal_id);
begin
  perform private.require_member_today(v_proposal.community_id);
  return jsonb_build_object('proposal', (
    select to_jsonb(s.proposal) from private.shown_proposals as s
    where s.community_id = v_proposal.community_id and s.id = v_proposal.id
  ));
end;
$$;
comment on function public.get_tip_to_tip is
'One proposal with its votes.

Returns {proposal}. Refuses: NOT_FOUND.';
grant execute on function public.get_tip_to_tip to authenticated;

create function public.list_tip_to_tips(
  community_id uuid, status text default null, page_size integer default 50, before_id uuid default null
)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_before bigint;
  v_page uuid[];
begin
  perform private.require_member_today(list_tip_to_tips.community_id);
  perform private.require_page_size(list_tip_to_tips.page_size);
  if list_tip_to_tips.status is not null then
    perform private.require_choice('status', list_tip_to_tips.status, array[
      'active', 'completed', 'declined', 'expired', 'withdrawn', 'void'
    ]);
  end if;
  if before_id is not null then
    select t.number into v_before from private.tip_to_tip_proposals as t
    where t.id = before_id and t.community_id = list_tip_to_tips.community_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such proposal.');
    end if;
  end if;
  v_page := array(
    select t.id from private.tip_to_tip_proposals as t
    where t.community_id = list_tip_to_tips.community_id
      and t.number < coalesce(v_before, 9223372036854775807)
      and (
        list_tip_to_tips.status is null
        -- Only of those not written down as over the clock must be asked.
        or t.status <> 'active' and t.status = list_tip_to_tips.status
        or t.status = 'active'
        and private.proposal_status(t.community_id, t.id, t.status, t.deadline) = list_tip_to_tips.status
      )
    order by t.number desc
    limit page_size + 1
  );
  return jsonb_build_object(
    'proposals', (
      select coalesce(jsonb_agg(s.proposal order by s.number desc), '[]')
      from private.shown_proposals as s
      where s.community_id = list_tip_to_tips.community_id and s.id = any(v_page[:page_size])
    ),
    'has_more', cardinality(v_page) > page_size
  );
end;
$$;
comment on function public.list_tip_to_tips is
'A community''s proposals, newest first, of every status or one; before_id pages on from a proposal.

Returns {proposals: [proposal], has_more}. Refuses: NOT_FOUND, INVALID_INPUT.';
grant execute on function public.list_tip_to_tips to authenticated;

create function private.remind_electors(p_proposal private.tip_to_tip_proposals, p_now timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.tip_to_tip_proposals as t set remind_at = null
  where t.community_id = p_proposal.community_id and t.id = p_proposal.id;
  perform private.notify(
    array(
      select r.user_id from private.tip_to_tip_rolls as r
      where r.community_id = p_proposal.community_id and r.proposal_id = p_proposal.id and not exists (
        select from private.tip_to_tip_votes as v
        where v.community_id = r.community_id and v.proposal_id = r.proposal_id and v.user_id = r.user_id
      )
      order by r.user_id
    ),
    p_proposal.community_id, 'tip_to_tip', 'vote_reminded', 'tip_to_tip', p_proposal.id,
    p_by => p_proposal.proposer_id, p_is_ask => true, p_at => p_now
  );
end;
$$;
comment on function private.remind_electors is 'Reminds, once, those who have yet to vote on a locked proposal.';

create function private.expire_proposals(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.hold_day_alone(p_community_id, p_now);
  v_proposal private.tip_to_tip_proposals;
  v_rows integer := 0;
begin
  for v_proposal in
    select t.* from private.tip_to_tip_proposals as t
    where t.community_id = p_community_id and t.status = 'active' and (t.deadline <= p_now or t.remind_at <= p_now)
    order by t.id
    for no key update
  loop
    if v_proposal.deadline <= p_now then
      perform private.end_overdue_proposal(v_proposal, v_day, p_now);
    else
      perform private.remind_electors(v_proposal, p_now);
    end if;
    v_rows := v_rows + 1;
  end loop;
  return v_rows;
end;
$$;
comment on function private.expire_proposals is
'Ends a community''s proposals that are past their deadline and reminds the electors of those with an hour left;
returns how many proposals it touched. It holds the day alone, for it may settle many stakes.';

create function private.lock_own_proposal(p_community_id uuid, p_user_id uuid)
returns private.tip_to_tip_proposals
language plpgsql security definer set search_path = ''
as $$
declare
  v_row private.tip_to_tip_proposals;
begin
  select t.* into v_row from private.tip_to_tip_proposals as t
  where t.community_id = p_community_id and t.proposer_id = p_user_id and t.status = 'active'
  for no key update;
  return v_row;
end;
$$;
comment on function private.lock_own_proposal is 'Locks and returns a member''s active proposal, or a row of nulls.';

create function private.withdraw_proposal(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals := private.lock_own_proposal(p_community_id, p_user_id);
  v_outcome text;
begin
  if v_proposal.id is null then
    return 0;
  elsif v_proposal.deadline <= private.clock() then
    v_outcome := private.end_overdue_proposal(v_proposal, private.day_of(p_community_id), private.clock());
    return case when v_outcome = 'void' then 0 else v_proposal.stake_amount end;
  end if;
  perform private.end_proposal(v_proposal, 'withdrawn', private.day_of(p_community_id), private.clock());
  return v_proposal.stake_amount;
end;
$$;
comment on function private.withdraw_proposal is
'On leaving: an own active proposal is withdrawn and its stake forfeited (RULES 2.5); returns the CC lost. The caller
holds the day alone.';

create function private.void_proposal_of(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals := private.lock_own_proposal(p_community_id, p_user_id);
  v_day private.community_days := private.day_of(p_community_id);
begin
  if v_proposal.id is null then
    return;
  elsif v_proposal.deadline <= private.clock() then
    perform private.end_overdue_proposal(v_proposal, v_day, private.clock());
    return;
  end if;
  -- The purse is about to expire, so a refund that waited for Dawn would come to nobody.
  perform private.tell(
    variadic private.settle_stake(p_community_id, v_proposal.id, 'refunded', private.clock())
  );
  perform private.end_proposal(v_proposal, 'void', v_day, private.clock());
end;
$$;
comment on function private.void_proposal_of is
'On removal: an own active proposal is void and its stake back in the purse at once, day or night (RULES 2.6). The
caller holds the day alone.';

create function private.leave_rolls(p_community_id uuid, p_user_id uuid, p_is_removal boolean)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.day_of(p_community_id);
  v_proposal private.tip_to_tip_proposals;
  v_status text;
begin
  -- Nobody votes meanwhile: who votes holds the day, and the caller holds it alone.
  for v_proposal in
    select t.* from private.tip_to_tip_proposals as t
    where t.community_id = p_community_id and t.status = 'active'
      and exists (
        select from private.tip_to_tip_rolls as r
        where r.community_id = p_community_id and r.proposal_id = t.id and r.user_id = p_user_id
      )
      and not exists (
        select from private.tip_to_tip_votes as v
        where v.community_id = p_community_id and v.proposal_id = t.id and v.user_id = p_user_id
      )
    order by t.id
    for no key update
  loop
    -- Asked while they are still on the roll: one that is over ended with them there.
    v_status := private.proposal_status(p_community_id, v_proposal.id, v_proposal.status, v_proposal.deadline);
    delete from private.tip_to_tip_rolls as r
    where r.community_id = p_community_id and r.proposal_id = v_proposal.id and r.user_id = p_user_id;
    update private.tip_to_tip_proposals as t set electors = t.electors - 1, awaiting = t.awaiting - 1
    where t.community_id = p_community_id and t.id = v_proposal.id
    returning t.* into v_proposal;
    if v_status <> 'active' then
      perform private.end_proposal(v_proposal, v_status, v_day, private.clock());
    elsif p_is_removal then
      perform private.end_proposal(v_proposal, 'void', v_day, private.clock());
    elsif v_proposal.awaiting = 0 then
      perform private.end_proposal(v_proposal, 'completed', v_day, private.clock());
    end if;
  end loop;
end;
$$;
comment on function private.leave_rolls is
'Strikes somebody who goes from the rolls they have not voted on. What then awaits nobody is completed; what still
awaited a person who is removed is void, so that no removal makes a vote unanimous (RULES 2.5, 2.6). A vote already
cast stands. The caller holds the day alone.';

create function private.proposals_awaiting(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select count(*)::integer from private.tip_to_tip_proposals as t
    where
      t.community_id = p_community_id and t.status = 'active' and t.deadline > private.clock()
      and exists (
        select from private.tip_to_tip_rolls as r
        where r.community_id = p_community_id and r.proposal_id = t.id and r.user_id = p_user_id
      )
      and not exists (
        select from private.tip_to_tip_votes as v
        where v.community_id = p_community_id and v.proposal_id = t.id and v.user_id = p_user_id
      )
  );
end;
$$;
comment on function private.proposals_awaiting is 'How many active proposals of a community await a member''s vote.';
