"""What must not be after any load, crash or race: an act half there, or there twice.

Each query finds the offenders; none is the proof. Where every act was made with a request_id, the
remembered calls and the rows they made must be one to one, too.
"""

from typing import LiteralString

from people import House

# The ledger by what its entries are about, and what the Chamber was told of forgiven loans.
LOOKED_UP = """
    create temporary table moves on commit drop as
    select e.*, e.xmin as written_by from private.ledger_entries as e;
    create index on moves (reference_id);
    analyze moves;
    create temporary table forgiven on commit drop as
    select (m.facts ->> 'loan_id')::uuid as loan_id, sum((m.facts ->> 'amount')::integer) as amount
    from private.chat_messages as m where m.event = 'loan_forgiven' group by 1
"""

FLAWS: dict[str, LiteralString] = {
    "a joy without its one entry and card": """
        select d.id from private.declarations as d
        where 1 <> (
            select count(*) from moves as e
            where e.reference_id = d.id and e.type = 'declaration' and e.amount = -d.cc_spent
          )
          or 1 <> (select count(*) from private.chat_messages as m where m.reference_id = d.id)
    """,
    "a line that lacks what its type needs": """
        select m.id from private.chat_messages as m
        where not case
          when m.type = 'message' then m.user_id is not null and m.event is null
          when m.type = 'system' then m.user_id is null and m.event is not null
          when m.type in ('declaration', 'borrow_request', 'tip_to_tip', 'election')
            then m.user_id is not null and m.event is null and m.reference_id is not null
          else false
        end
    """,
    "a line or a joy of nobody": """
        select m.id::text as flaw from private.chat_messages as m
        where m.user_id is not null and not exists (
          select from private.community_members as p
          where p.community_id = m.community_id and p.user_id = m.user_id
        )
        union all
        select d.id::text from private.declarations as d
        where not exists (
          select from private.community_members as p
          where p.community_id = d.community_id and p.user_id = d.user_id
        )
    """,
    "an item of a Gazette that is nobody's": """
        select i.community_id, i.number, i.position from private.gazette_items as i
        where not exists (select from private.communities as c where c.id = i.community_id)
    """,
    "a borrow request without its one card": """
        select b.id from private.borrow_requests as b
        where 1 <> (select count(*) from private.chat_messages as m where m.reference_id = b.id)
    """,
    "as many approved requests as loans": """
        select 1 as flaw
        where (select count(*) from private.borrow_requests where status = 'approved')
          <> (select count(*) from private.loans)
    """,
    "a loan that did not move once from purse to purse": """
        select l.id from private.loans as l
        where array['borrow_given ' || -l.amount, 'borrow_received ' || l.amount]
          is distinct from (
            select array_agg(e.type || ' ' || e.amount order by e.type)
            from moves as e
            where e.reference_id = l.id and e.type::text like 'borrow%'
          )
    """,
    "a loan of which more or less came back than was repaid or forgiven": """
        select l.id from private.loans as l
        cross join lateral (
          select
            coalesce(sum(e.amount) filter (where e.type = 'debt_collected'), 0) as collected,
            coalesce(sum(e.amount), 0) as difference
          from moves as e
          where e.reference_id = l.id and e.type in ('debt_repaid', 'debt_collected')
        ) as e
        left join forgiven as f on f.loan_id = l.id
        where e.difference <> 0
          or (
            l.status <> 'released'
            and l.amount - l.outstanding <> e.collected + coalesce(f.amount, 0)
          )
    """,
    "a proposal without its one stake, entry and card": """
        select t.id from private.tip_to_tip_proposals as t
        where 1 <> (
            select count(*) from moves as e
            where e.reference_id = t.id and e.type = 'tip_to_tip' and e.amount = -t.stake_amount
          )
          or 1 <> (
            select count(*) from private.stakes as s
            where s.proposal_id = t.id and s.amount = t.stake_amount
          )
          or 1 <> (select count(*) from private.chat_messages as m where m.reference_id = t.id)
    """,
    "a proposal whose roll and votes are not as counted": """
        select t.id from private.tip_to_tip_proposals as t
        cross join lateral (
          select count(*) as electors, count(*) - count(v.user_id) as awaiting
          from private.tip_to_tip_rolls as r
          left join private.tip_to_tip_votes as v using (proposal_id, user_id)
          where r.proposal_id = t.id
        ) as r
        where (t.electors, t.awaiting) <> (r.electors, r.awaiting)
    """,
    "a stake that was not settled once, when its proposal ended": """
        select s.proposal_id from private.stakes as s
        join private.tip_to_tip_proposals as t on t.id = s.proposal_id
        where (t.status = 'active') <> (s.status = 'held')
          or coalesce((
            select string_agg(e.type::text, ' ') from moves as e
            where e.reference_id = s.proposal_id and e.type::text like 'stake%'
          ), '') <> case s.status
            when 'refunded' then 'stake_refund' when 'forfeited' then 'stake_forfeit' else ''
          end
    """,
    # No foreign key says these two: whoever writes such a row has just found its parents.
    "something of somebody who was never in its community": """
        select o.what, o.user_id
        from (
          select 'loan', community_id, unnest(array[borrower_id, lender_id]) from private.loans
          union all
          select 'request', community_id, unnest(array[borrower_id, lender_id])
          from private.borrow_requests
          union all
          select 'proposal', community_id, proposer_id from private.tip_to_tip_proposals
          union all
          select 'elector', community_id, user_id from private.tip_to_tip_rolls
          union all
          select 'vote', community_id, user_id from private.tip_to_tip_votes
          union all
          select 'stake', community_id, user_id from private.stakes
          union all
          select 'notice', community_id, user_id from private.notifications
          union all
          select 'celebration', community_id, user_id from private.jashn_celebrations
        ) as o (what, community_id, user_id)
        left join private.community_members as m using (community_id, user_id)
        where m.user_id is null
    """,
    "something of a proposal or a Jashn that is not in its community": """
        select o.what, o.thing_id
        from (
          select 'elector', community_id, proposal_id from private.tip_to_tip_rolls
          union all
          select 'vote', community_id, proposal_id from private.tip_to_tip_votes
          union all
          select 'stake', community_id, proposal_id from private.stakes
          union all
          select 'celebration', community_id, jashn_id from private.jashn_celebrations
        ) as o (what, community_id, thing_id)
        left join private.tip_to_tip_proposals as t
        on t.community_id = o.community_id and t.id = o.thing_id
        left join private.jashns as j on j.community_id = o.community_id and j.id = o.thing_id
        where t.id is null and j.id is null
    """,
    "a day granted twice": """
        select e.user_id, e.day from moves as e
        where e.type = 'daily_reset'
        group by e.community_id, e.user_id, e.day
        having count(*) > 1
    """,
}

# Only where nobody acts without a request_id.
DOUBLES: dict[str, LiteralString] = {
    "joys that are not one to one with their calls": """
        select coalesce(d.id::text, r.request_id::text) as flaw from private.declarations as d
        full join (select * from private.repeats where rpc = 'declare_joy') as r
        on r.made ->> 'declaration_id' = d.id::text
        where d.id is null or r.request_id is null
    """,
    "borrow requests that are not one to one with their calls": """
        select coalesce(b.id::text, r.request_id::text) as flaw from private.borrow_requests as b
        full join (select * from private.repeats where rpc = 'request_borrow') as r
        on r.made ->> 'borrow_request_id' = b.id::text
        where b.id is null or r.request_id is null
    """,
    "proposals that are not one to one with their calls": """
        select coalesce(t.id::text, r.request_id::text) as flaw
        from private.tip_to_tip_proposals as t
        full join (select * from private.repeats where rpc = 'propose_tip_to_tip') as r
        on r.made ->> 'proposal_id' = t.id::text
        where t.id is null or r.request_id is null
    """,
    "messages that are not one to one with their calls": """
        select coalesce(m.id::text, r.request_id::text) as flaw
        from (select * from private.chat_messages where type = 'message') as m
        full join (select * from private.repeats where rpc = 'send_message') as r
        on r.made ->> 'message_id' = m.id::text
        where m.id is null or r.request_id is null
    """,
    # The entry and the remembered call were written by the same transaction.
    "an early repayment without its one entry": """
        select r.request_id from private.repeats as r
        where r.rpc = 'repay_loan' and 1 <> (
          select count(*) from moves as e
          where e.written_by = r.xmin and e.type = 'debt_repaid' and e.user_id = r.user_id
            and e.reference_id = (r.made ->> 'loan_id')::uuid
        )
    """,
}


def assert_flawless(house: House, *, all_with_request_id: bool = False) -> None:
    queries = FLAWS | (DOUBLES if all_with_request_id else {})
    with house.owner.transaction() as inside:
        inside.sql(LOOKED_UP)
        for flaw, query in queries.items():
            found = inside.sql(query)
            assert found == [], f"{flaw}: {found[:3]}"
