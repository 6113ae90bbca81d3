-- What the house says, made from facts when it is read (RULES 3.1): one list of events, one way to make a sentence.

create function private.events()
returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  -- One constant, looked into where it lies: a list of rows would be made anew at every look (that was a third of what
  -- a loan's answer cost).
  return '{
    "line": {
      "community_founded": [{"say": "{user} founded the community."}],
      "member_joined": [{"say": "{user} joined."}],
      "member_returned": [{"say": "{user} came back."}],
      "member_left": [{"say": "{user} left."}],
      "member_removed": [{"say": "{user} was removed by {by}."}],
      "council_appointed": [{"say": "{user} was called to the council by {by}."}],
      "council_released": [{"say": "{user} was released from the council by {by}."}],
      "moderator_appointed": [{"say": "{user} is moderator now, in the place of {by}."}],
      "moderator_stepped_down": [{"say": "{user} stepped down as moderator."}],
      "moderator_seated": [{"say": "{user} is moderator now, for the seat was empty."}],
      "moderator_named": [{"say": "A steward made {user} moderator[: {reason}]."}],
      "settings_changed": [
        {"say": "{user} changed the settings.[ From now on: a new {changed}.][ From the next Dawn: {pending}.]"}
      ],
      "settings_willed": [{"say": "It is the will of all.[ From the next Dawn: {pending}.]"}],
      "borrow_approved": [{"say": "{lender} lent {amount} CC to {borrower}."}],
      "borrow_declined": [{"say": "{lender} declined a request of {borrower}."}],
      "loan_forgiven": [{"say": "{lender} forgave {borrower} {amount} CC."}],
      "tip_to_tip_completed": [
        {"say": "Everyone accepted the proposal of {proposer}: the stake of {stake_amount} CC comes back."}
      ],
      "tip_to_tip_declined": [
        {"say": "The proposal of {proposer} was declined: the stake of {stake_amount} CC is lost."}
      ],
      "tip_to_tip_expired": [{"say": "The proposal of {proposer} expired: the stake of {stake_amount} CC is lost."}],
      "tip_to_tip_withdrawn": [
        {"say": "The proposal of {proposer} was withdrawn: the stake of {stake_amount} CC is lost."}
      ],
      "tip_to_tip_void": [{"say": "The proposal of {proposer} is void: the stake of {stake_amount} CC comes back."}],
      "election_closed": [
        {"when": {"winner_id": null}, "say": "The election[ {title}] ended without a winner."},
        {"when": {"seat_rule": "renew"}, "say": "{winner} won the election[ {title}] and is now the only moderator."},
        {"say": "{winner} won the election[ {title}] and is now a moderator."}
      ],
      "election_cancelled": [{"say": "{user} called off the election[ {title}][: {reason}]."}],
      "jashn_held": [
        {"say": "Jashn-e-Chas honours {user}: {joys} for {total_cc_spent} CC in the week of {week_start}."}
      ],
      "balance_corrected": [{"say": "A steward set the purse of {user} {change}[: {reason}]."}]
    },
    "notice": {
      "joy_witnessed": [{"say": "{by}[ and {others}] witnessed your joy", "below": "{words}"}],
      "borrow_requested": [{"say": "{by} asks you for {amount} CC", "below": "{words}"}],
      "borrow_approved": [{"say": "{by} lent you {amount} CC", "below": "{words}"}],
      "borrow_declined": [{"say": "{by} declined your request", "below": "{words}"}],
      "loan_repaid": [{"say": "{by} repaid you {amount} CC", "below": ""}],
      "council_appointed": [{"say": "You are on the council now", "below": "By {by}."}],
      "council_released": [{"say": "You are no longer on the council", "below": "By {by}."}],
      "moderator_appointed": [{"say": "You are moderator now", "below": "In the place of {by}."}],
      "moderator_seated": [{"say": "You are moderator now", "below": "The seat was empty."}],
      "moderator_named": [{"say": "You are moderator now", "below": "A steward named you."}],
      "member_removed": [{"say": "You were removed from {community}", "below": "[{reason}]"}],
      "balance_corrected": [{"say": "Your purse was set {change}", "below": "[{reason}]"}],
      "vote_asked": [{"say": "{by} asks for your vote", "below": "{words}"}],
      "vote_reminded": [{"say": "{by} still waits for your vote", "below": "{words}"}],
      "proposal_ended": [{"say": "Your proposal: {outcome}", "below": "{words}"}],
      "election_opened": [{"say": "{by} opened an election", "below": "{words}"}],
      "election_closed": [{"say": "An election is over", "below": "{line}"}],
      "election_cancelled": [{"say": "An election was called off", "below": "{line}"}],
      "last_light": [{"say": "{total} CC are about to be lost", "below": "Sunset comes within the hour."}],
      "joy_unwitnessed": [{"say": "Nobody has witnessed this joy of {by} yet", "below": "{words}"}],
      "jashn_honours_you": [
        {"say": "Jashn-e-Chas honours you", "below": "For joyful restraint in the week of {week_start}."}
      ],
      "jashn_celebrated": [{"say": "{by}[ and {others}] celebrates you", "below": "{words}"}]
    },
    "audit": {
      "community_founded": [{"say": "{actor} founded the community."}],
      "settings_changed": [{"say": "{actor} changed the settings.[ At once: {changed}.][ From a Dawn: {pending}.]"}],
      "settings_willed": [{"say": "All willed it.[ From a Dawn: {pending}.]"}],
      "join_code_changed": [{"say": "{actor} changed the join code."}],
      "council_appointed": [{"say": "{actor} called {subject} to the council."}],
      "council_released": [{"say": "{actor} released {subject} from the council."}],
      "moderator_appointed": [{"say": "{actor} made {subject} moderator in their place."}],
      "moderator_stepped_down": [{"say": "{actor} stepped down as moderator."}],
      "moderator_seated": [{"say": "{subject} became moderator, for the seat was empty."}],
      "member_left": [{"say": "{actor} left."}],
      "member_removed": [
        {"when": {"ban": true}, "say": "{actor} removed and banned {subject}[: {reason}]."},
        {"say": "{actor} removed {subject}[: {reason}]."}
      ],
      "member_banned": [{"say": "{actor} banned {subject}[: {reason}]."}],
      "ban_lifted": [{"say": "{actor} lifted the ban of {subject}."}],
      "message_struck": [{"say": "{actor} struck a line[ of {subject}][: {reason}]."}],
      "election_opened": [{"say": "{actor} opened the election[ {title}]."}],
      "election_closed": [
        {"when": {"winner_id": null}, "say": "The election[ {title}] ended without a winner."},
        {"say": "{winner} won the election[ {title}]."}
      ],
      "election_cancelled": [{"say": "{actor} called off the election[ {title}][: {reason}]."}],
      "steward_inspected": [{"say": "{actor} looked at the community."}],
      "steward_settled": [{"say": "{actor} settled what was overdue."}],
      "steward_corrected": [{"say": "{actor} set the purse of {subject} {change}[: {reason}]."}],
      "steward_named_moderator": [{"say": "{actor} made {subject} moderator[: {reason}]."}],
      "steward_admitted": [{"say": "{actor} let {subject} in."}],
      "steward_suspended": [{"say": "{actor} suspended {subject}[: {reason}]."}],
      "steward_restored": [{"say": "{actor} restored {subject}."}]
    }
  }'::jsonb;
end;
$$;
comment on function private.events is
'Everything the house says: the one list, from which private.say_each makes sentences. By place (a line of the Chamber,
a notice, an entry of the audit log) and event: what is said, for a notice also what stands below its title. Of several
sentences for one event the first holds whose condition, when, the facts contain; the last has none.

In braces what is filled in from the facts; what stands in square brackets is left out where a thing it names is gone
(words struck or erased) or not there. A new event is a line here.';

create function private.quote_words(p_text text)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return '“' || translate(
    regexp_replace(
      regexp_replace(p_text, e'[\\u0001-\\u001f\\u007f-\\u009f\\u2028\\u2029]+', ' ', 'g'), e'[\\u202a-\\u202e\\u2066-\\u2069]', '', 'g'
    ), '“”', '‘’'
  ) || '”';
end;
$$;
comment on function private.quote_words is
'Somebody''s words as they stand in a sentence of the house: in quotation marks, on one line, with marks of their own
shown as ‘ and ’ and without direction marks that would run on (RULES 3.1). Null for null.';

create function private.called(p_person private.users)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case when p_person.erased_at is null then '“' || p_person.display_name || '”' else 'a former member' end;
end;
$$;
comment on function private.called is
'What a sentence calls a person: their name in quotation marks, or a former member, without.';

create function private.call_person(p_user_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (select p.called from private.shown_people as p where p.id = p_user_id);
end;
$$;
comment on function private.call_person is 'What a sentence calls a person now; null for nobody.';

create function private.call_community(p_community_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (select '“' || c.name || '”' from private.communities as c where c.id = p_community_id);
end;
$$;
comment on function private.call_community is 'What a sentence calls a community now.';

create function private.list_settings(p_settings jsonb)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case jsonb_typeof(p_settings)
    when 'array' then (
      select string_agg(replace(e.value, '_', ' '), ' and ' order by e.value) from jsonb_array_elements_text(p_settings) as e
    )
    when 'object' then (
      select string_agg(format('%s %s', replace(e.key, '_', ' '), e.value), ', ' order by e.key)
      from jsonb_each_text(p_settings) as e
    )
  end;
end;
$$;
comment on function private.list_settings is
'Settings in words: the names of those that changed at once, or what pends with its values; null if there are none.';

create function private.fill_in(p_community_id uuid, p_facts jsonb, p_key text)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- Without a query of its own: with one, all of this would be set up for every word (measured: 185 thousand
  -- instructions against 20).
  return case p_key
    when 'reason' then private.quote_words(private.read_words(p_community_id, (p_facts ->> 'reason_id')::bigint))
    when 'title' then private.quote_words(private.read_words(p_community_id, (p_facts ->> 'title_id')::bigint))
    when 'community' then private.call_community(p_community_id)
    when 'actor' then coalesce(private.call_person((p_facts ->> 'actor_id')::uuid), 'A steward')
    when 'change' then format(
      '%s %s CC', case when (p_facts ->> 'amount')::integer > 0 then 'up by' else 'down by' end,
      abs((p_facts ->> 'amount')::integer)
    )
    when 'joys' then case
      when (p_facts ->> 'total_declarations')::integer = 1 then '1 joy'
      else (p_facts ->> 'total_declarations') || ' joys'
    end
    when 'line' then private.say('line', p_community_id, p_facts ->> 'event', p_facts)
    else private.call_person((p_facts ->> (p_key || '_id'))::uuid)
  end;
end;
$$;
comment on function private.fill_in is
'What stands for a word in braces of a sentence that is no fact itself: a person as they are called now, or words as
they may be read now; null where it is gone.';

create type private.saying as (community_id uuid, event text, facts jsonb);
comment on type private.saying is 'Something the house says: an event of private.events, and its facts.';

create function private.say_each(
  p_place text, p_sayings private.saying[], p_called jsonb default '{}', p_part text default 'say'
)
returns text[]
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_events jsonb := private.events() -> p_place;
  v_one private.saying;
  v_cases jsonb;
  v_template text;
  v_pieces text[];
  v_parts text[];
  v_key text;
  v_piece text;
  v_sentence text;
  v_said text[] := array[]::text[];
begin
  foreach v_one in array p_sayings loop
    v_cases := v_events -> v_one.event;
    v_template := v_cases -> -1 ->> p_part;
    for n in reverse coalesce(jsonb_array_length(v_cases), 0) - 2 .. 0 loop
      if v_one.facts @> (v_cases -> n -> 'when') then
        v_template := v_cases -> n ->> p_part;
      end if;
    end loop;
    -- Taken apart before anything is filled in, so that no name and no words can be mistaken for a part of it. Every
    -- second piece stood in square brackets.
    v_pieces := string_to_array(replace(v_template, ']', '['), '[');
    v_sentence := '';
    for n in 1 .. coalesce(cardinality(v_pieces), 0) loop
      v_parts := string_to_array(v_pieces[n], '{');
      v_piece := v_parts[1];
      for m in 2 .. cardinality(v_parts) loop
        v_key := split_part(v_parts[m], '}', 1);
        v_piece := v_piece || coalesce(
          case
            when jsonb_typeof(v_one.facts -> v_key) in ('array', 'object')
              then private.list_settings(v_one.facts -> v_key)
            when v_one.facts ? v_key then v_one.facts ->> v_key
            else coalesce(
              p_called ->> (v_one.facts ->> (v_key || '_id')), private.fill_in(v_one.community_id, v_one.facts, v_key)
            )
          end,
          case when n % 2 = 1 then 'somebody' end
        ) || split_part(v_parts[m], '}', 2);
      end loop;
      v_sentence := v_sentence || coalesce(v_piece, '');
    end loop;
    v_said := v_said || v_sentence;
  end loop;
  return v_said;
end;
$$;
comment on function private.say_each is
'The sentences of these events, made of their facts with the names and words of this moment: many at once, for a page is
full of them. What stands in square brackets is left out where it names something that is gone; a fact stands as it is.
p_called holds people who were looked up already: their ids and what they are called. p_part below is what stands below
a notice''s title. Only for a door that has asked whose communities these are.';

create function private.say(
  p_place text, p_community_id uuid, p_event text, p_facts jsonb, p_called jsonb default '{}'
)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (private.say_each(p_place, array[(p_community_id, p_event, p_facts)::private.saying], p_called))[1];
end;
$$;
comment on function private.say is 'One sentence, as private.say_each.';

create function private.people_in(p_facts jsonb)
returns uuid[]
language plpgsql immutable set search_path = ''
as $$
begin
  return array_remove(
    array[
      p_facts ->> 'user_id', p_facts ->> 'by_id', p_facts ->> 'lender_id', p_facts ->> 'borrower_id',
      p_facts ->> 'proposer_id', p_facts ->> 'author_id', p_facts ->> 'winner_id', p_facts ->> 'actor_id',
      p_facts ->> 'subject_id'
    ]::uuid[] || case
      when jsonb_typeof(p_facts -> 'released') = 'array'
        then array(select r.id::uuid from jsonb_array_elements_text(p_facts -> 'released') as r (id))
    end,
    null
  );
end;
$$;
comment on function private.people_in is 'The ids of all people that facts name.';

create function private.show_people(p_user_ids uuid[])
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(p.person order by array_position(p_user_ids, p.id)), '[]')
    from private.shown_people as p where p.id = any(p_user_ids)
  );
end;
$$;
comment on function private.show_people is 'The shape person of each of these people, in the order given.';

create function private.show_facts(p_community_id uuid, p_facts jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return p_facts
    || case when p_facts ? 'reason_id'
      then jsonb_build_object('reason', private.read_words(p_community_id, (p_facts ->> 'reason_id')::bigint)) else '{}'
    end
    || case when p_facts ? 'title_id'
      then jsonb_build_object('title', private.read_words(p_community_id, (p_facts ->> 'title_id')::bigint)) else '{}'
    end;
end;
$$;
comment on function private.show_facts is
'Facts as they are shown: with the words they name as these may be read now, null where they are gone, so that a
frontend can make a sentence of its own.';
