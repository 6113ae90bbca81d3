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
'Everything the house says: the one list, from which private.say makes sentences. By place (a line of the Chamber, a
notice, an entry of the audit log) and event: what is said, for a notice also what stands below its title. Of several
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
  return (select private.called(u) from private.users as u where u.id = p_user_id);
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
    when 'others' then case
      when (p_facts ->> 'count')::integer = 2 then 'one other'
      when (p_facts ->> 'count')::integer > 2 then format('%s others', (p_facts ->> 'count')::integer - 1)
    end
    when 'joys' then case
      when (p_facts ->> 'total_declarations')::integer = 1 then '1 joy'
      else (p_facts ->> 'total_declarations') || ' joys'
    end
    when 'line' then private.say('line', p_community_id, p_facts ->> 'event', p_facts)
    when 'words' then coalesce(p_facts ->> 'words', '')
    when 'changed' then private.list_settings(p_facts -> 'changed')
    when 'pending' then private.list_settings(p_facts -> 'pending')
    else coalesce(private.call_person((p_facts ->> (p_key || '_id'))::uuid), p_facts ->> p_key)
  end;
end;
$$;
comment on function private.fill_in is
'What stands for one word in braces of a sentence: a person as they are called now, words as they may be read now, or a
fact as it is; null where it is gone.';

create function private.fill_piece(
  p_piece text, p_community_id uuid, p_facts jsonb, p_called jsonb, p_default text
)
returns text
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_said text;
  v_part text;
  v_key text;
begin
  if p_piece = '' then
    return '';
  end if;
  foreach v_part in array string_to_array(p_piece, '{') loop
    if v_said is null then
      v_said := v_part;
    else
      v_key := split_part(v_part, '}', 1);
      v_said := v_said || coalesce(
        p_called ->> (p_facts ->> (v_key || '_id')),
        case when v_key in ('amount', 'stake_amount') then p_facts ->> v_key end,
        private.fill_in(p_community_id, p_facts, v_key), p_default
      ) || split_part(v_part, '}', 2);
    end if;
  end loop;
  return v_said;
end;
$$;
comment on function private.fill_piece is
'Fills in a piece of a sentence; null if something in it is gone and p_default, which stands for it, is null.';

create function private.make_sentence(
  p_template text, p_community_id uuid, p_facts jsonb, p_called jsonb default '{}'
)
returns text
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_said text := '';
  v_part text;
begin
  -- The template is taken apart before anything is filled in: no name and no words can be mistaken for a part of it.
  if strpos(p_template, '[') = 0 then
    return private.fill_piece(p_template, p_community_id, p_facts, p_called, 'somebody');
  end if;
  for v_part in select m[1] from regexp_matches(p_template, '(\[[^]]*\]|[^[]+)', 'g') as m loop
    v_said := v_said || coalesce(
      private.fill_piece(
        btrim(v_part, '[]'), p_community_id, p_facts, p_called,
        case when not starts_with(v_part, '[') then 'somebody' end
      ), ''
    );
  end loop;
  return v_said;
end;
$$;
comment on function private.make_sentence is
'Fills a sentence of private.events in with facts, as names and words are now. What stands in square brackets is left
out where it names something that is gone. p_called holds people who were looked up already: their ids and what they are
called.';

create function private.template_of(p_place text, p_event text, p_facts jsonb)
returns text
language plpgsql immutable set search_path = ''
as $$
declare
  v_cases jsonb := private.events() -> p_place -> p_event;
begin
  for n in 0 .. coalesce(jsonb_array_length(v_cases), 0) - 2 loop
    if p_facts @> (v_cases -> n -> 'when') then
      return v_cases -> n ->> 'say';
    end if;
  end loop;
  return v_cases -> -1 ->> 'say';
end;
$$;
comment on function private.template_of is 'The sentence of private.events for an event with these facts.';

create function private.say(p_place text, p_community_id uuid, p_event text, p_facts jsonb)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return private.make_sentence(private.template_of(p_place, p_event, p_facts), p_community_id, p_facts);
end;
$$;
comment on function private.say is
'The sentence of an event, made of its facts with the names and words of this moment. Only for a door that has asked
whose community it is.';

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
  if not p_facts ?| array['reason_id', 'title_id'] then
    return p_facts;
  end if;
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
