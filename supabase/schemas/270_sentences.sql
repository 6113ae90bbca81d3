-- What the house says, made from facts when it is read (RULES 3.1): one list of events, one way to make a sentence.

create function private.events(out place text, out event text, out condition jsonb, out sentence text, out body text)
returns setof record
language plpgsql immutable rows 100 set search_path = ''
as $$
begin
  return query
  select
    e.place,
    e.event,
    e.condition,
    e.sentence,
    e.body
  from (
    values
    ('line', 'community_founded', '{}'::jsonb, '{user} founded the community.', null),
    ('line', 'member_joined', '{}', '{user} joined.', null),
    ('line', 'member_returned', '{}', '{user} came back.', null),
    ('line', 'member_left', '{}', '{user} left.', null),
    ('line', 'member_removed', '{}', '{user} was removed by {by}.', null),
    ('line', 'council_appointed', '{}', '{user} was called to the council by {by}.', null),
    ('line', 'council_released', '{}', '{user} was released from the council by {by}.', null),
    ('line', 'moderator_appointed', '{}', '{user} is moderator now, in the place of {by}.', null),
    ('line', 'moderator_stepped_down', '{}', '{user} stepped down as moderator.', null),
    ('line', 'moderator_seated', '{}', '{user} is moderator now, for the seat was empty.', null),
    ('line', 'moderator_named', '{}', 'A steward made {user} moderator[: {reason}].', null),
    (
      'line', 'settings_changed', '{}',
      '{user} changed the settings.[ From now on: a new {changed}.][ From the next Dawn: {pending}.]', null
    ),
    ('line', 'settings_willed', '{}', 'It is the will of all.[ From the next Dawn: {pending}.]', null),
    ('line', 'borrow_approved', '{}', '{lender} lent {amount} CC to {borrower}.', null),
    ('line', 'borrow_declined', '{}', '{lender} declined a request of {borrower}.', null),
    ('line', 'loan_forgiven', '{}', '{lender} forgave {borrower} {amount} CC.', null),
    (
      'line', 'tip_to_tip_completed', '{}',
      'Everyone accepted the proposal of {proposer}: the stake of {stake_amount} CC comes back.', null
    ),
    (
      'line', 'tip_to_tip_declined', '{}',
      'The proposal of {proposer} was declined: the stake of {stake_amount} CC is lost.', null
    ),
    (
      'line', 'tip_to_tip_expired', '{}',
      'The proposal of {proposer} expired: the stake of {stake_amount} CC is lost.', null
    ),
    (
      'line', 'tip_to_tip_withdrawn', '{}',
      'The proposal of {proposer} was withdrawn: the stake of {stake_amount} CC is lost.', null
    ),
    (
      'line', 'tip_to_tip_void', '{}',
      'The proposal of {proposer} is void: the stake of {stake_amount} CC comes back.', null
    ),
    ('line', 'election_closed', '{"winner_id": null}', 'The election[ {title}] ended without a winner.', null),
    (
      'line', 'election_closed', '{"seat_rule": "renew"}',
      '{winner} won the election[ {title}] and is now the only moderator.', null
    ),
    ('line', 'election_closed', '{}', '{winner} won the election[ {title}] and is now a moderator.', null),
    ('line', 'election_cancelled', '{}', '{user} called off the election[ {title}][: {reason}].', null),
    (
      'line', 'jashn_held', '{}',
      'Jashn-e-Chas honours {user}: {joys} for {total_cc_spent} CC in the week of {week_start}.', null
    ),
    ('line', 'balance_corrected', '{}', 'A steward set the purse of {user} {change}[: {reason}].', null),

    ('notice', 'joy_witnessed', '{}', '{by}[ and {others}] witnessed your joy', '{words}'),
    ('notice', 'borrow_requested', '{}', '{by} asks you for {amount} CC', '{words}'),
    ('notice', 'borrow_approved', '{}', '{by} lent you {amount} CC', '{words}'),
    ('notice', 'borrow_declined', '{}', '{by} declined your request', '{words}'),
    ('notice', 'loan_repaid', '{}', '{by} repaid you {amount} CC', ''),
    ('notice', 'council_appointed', '{}', 'You are on the council now', 'By {by}.'),
    ('notice', 'council_released', '{}', 'You are no longer on the council', 'By {by}.'),
    ('notice', 'moderator_appointed', '{}', 'You are moderator now', 'In the place of {by}.'),
    ('notice', 'moderator_seated', '{}', 'You are moderator now', 'The seat was empty.'),
    ('notice', 'moderator_named', '{}', 'You are moderator now', 'A steward named you.'),
    ('notice', 'member_removed', '{}', 'You were removed from {community}', '[{reason}]'),
    ('notice', 'balance_corrected', '{}', 'Your purse was set {change}', '[{reason}]'),
    ('notice', 'vote_asked', '{}', '{by} asks for your vote', '{words}'),
    ('notice', 'vote_reminded', '{}', '{by} still waits for your vote', '{words}'),
    ('notice', 'proposal_ended', '{}', 'Your proposal: {outcome}', '{words}'),
    ('notice', 'election_opened', '{}', '{by} opened an election', '{words}'),
    ('notice', 'election_closed', '{}', 'An election is over', '{line}'),
    ('notice', 'election_cancelled', '{}', 'An election was called off', '{line}'),
    ('notice', 'last_light', '{}', '{total} CC are about to be lost', 'Sunset comes within the hour.'),
    ('notice', 'joy_unwitnessed', '{}', 'Nobody has witnessed this joy of {by} yet', '{words}'),
    ('notice', 'jashn_honours_you', '{}', 'Jashn-e-Chas honours you', 'For joyful restraint in the week of {week_start}.'),
    ('notice', 'jashn_celebrated', '{}', '{by}[ and {others}] celebrates you', '{words}'),

    ('audit', 'community_founded', '{}', '{actor} founded the community.', null),
    ('audit', 'settings_changed', '{}', '{actor} changed the settings.[ At once: {changed}.][ From a Dawn: {pending}.]', null),
    ('audit', 'settings_willed', '{}', 'All willed it.[ From a Dawn: {pending}.]', null),
    ('audit', 'join_code_changed', '{}', '{actor} changed the join code.', null),
    ('audit', 'council_appointed', '{}', '{actor} called {subject} to the council.', null),
    ('audit', 'council_released', '{}', '{actor} released {subject} from the council.', null),
    ('audit', 'moderator_appointed', '{}', '{actor} made {subject} moderator in their place.', null),
    ('audit', 'moderator_stepped_down', '{}', '{actor} stepped down as moderator.', null),
    ('audit', 'moderator_seated', '{}', '{subject} became moderator, for the seat was empty.', null),
    ('audit', 'member_left', '{}', '{actor} left.', null),
    ('audit', 'member_removed', '{"ban": true}', '{actor} removed and banned {subject}[: {reason}].', null),
    ('audit', 'member_removed', '{}', '{actor} removed {subject}[: {reason}].', null),
    ('audit', 'member_banned', '{}', '{actor} banned {subject}[: {reason}].', null),
    ('audit', 'ban_lifted', '{}', '{actor} lifted the ban of {subject}.', null),
    ('audit', 'message_struck', '{}', '{actor} struck a line[ of {subject}][: {reason}].', null),
    ('audit', 'election_opened', '{}', '{actor} opened the election[ {title}].', null),
    ('audit', 'election_closed', '{"winner_id": null}', 'The election[ {title}] ended without a winner.', null),
    ('audit', 'election_closed', '{}', '{winner} won the election[ {title}].', null),
    ('audit', 'election_cancelled', '{}', '{actor} called off the election[ {title}][: {reason}].', null),
    ('audit', 'steward_inspected', '{}', '{actor} looked at the community.', null),
    ('audit', 'steward_settled', '{}', '{actor} settled what was overdue.', null),
    ('audit', 'steward_corrected', '{}', '{actor} set the purse of {subject} {change}[: {reason}].', null),
    ('audit', 'steward_named_moderator', '{}', '{actor} made {subject} moderator[: {reason}].', null),
    ('audit', 'steward_admitted', '{}', '{actor} let {subject} in.', null),
    ('audit', 'steward_suspended', '{}', '{actor} suspended {subject}[: {reason}].', null),
    ('audit', 'steward_restored', '{}', '{actor} restored {subject}.', null)
  ) as e (place, event, condition, sentence, body);
end;
$$;
comment on function private.events is
'Everything the house says: the one list, from which private.say makes sentences. place: a line of the Chamber, a notice
(sentence is its title, body what stands below) or an entry of the audit log. Of several sentences for one event the
first holds whose condition the facts contain.

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

create function private.call_person(p_user_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select case when u.erased_at is null then '“' || u.display_name || '”' else 'a former member' end
    from private.users as u where u.id = p_user_id
  );
end;
$$;
comment on function private.call_person is
'A person as a sentence calls them now: their name in quotation marks, or a former member, without; null for nobody.';

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
  return case p_key
    when 'reason' then private.quote_words(private.read_words(p_community_id, (p_facts ->> 'reason_id')::bigint))
    when 'title' then private.quote_words(private.read_words(p_community_id, (p_facts ->> 'title_id')::bigint))
    when 'community' then (
      select '“' || c.name || '”' from private.communities as c where c.id = p_community_id
    )
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
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select e.sentence from private.events() as e
    where e.place = p_place and e.event = p_event and p_facts @> e.condition
    limit 1
  );
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
