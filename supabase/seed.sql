-- One small community to play with: Rain, with Asha (its moderator), Bram, Chloe, Dara and Eli. Never a rule.
--
-- Everything after signing up is done through the doors, as each person themselves. Where the database lets its clock
-- be moved (the local stack sees to that) they have lived a week and more, and held a Jashn; elsewhere all of it is
-- today's. What waits for somebody today: an election, a proposal (for four hours) and a request to borrow.

-- Goes to a day before today and an hour of it, if this database lets itself be moved.
create function pg_temp.at(p_days_ago integer, p_hour time)
returns void
language sql
as $$
  select set_config('chas.now', ((current_date - p_days_ago + p_hour) at time zone 'UTC')::text, true)
$$;

-- The night before that day, with the jobs at their hours; where the clock stays, they find nothing to do.
create function pg_temp.sleep_until(p_days_ago integer)
returns void
language plpgsql
as $$
begin
  perform pg_temp.at(p_days_ago + 1, '23:59');
  perform private.daily_sunset();
  perform pg_temp.at(p_days_ago, '00:00');
  perform private.daily_reset();
end;
$$;

-- As Supabase Auth signs up whoever has a password, which is the same for all: declared joy.
create function pg_temp.sign_up(p_name text)
returns void
language sql
as $$
  with person as (
    insert into auth.users (
      instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data,
      created_at, updated_at, confirmation_token, recovery_token, email_change_token_new, email_change
    )
    values (
      '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'authenticated', 'authenticated',
      lower(p_name) || '@example.org', extensions.crypt('declared joy', extensions.gen_salt('bf', 10)), now(),
      '{"provider": "email", "providers": ["email"]}', jsonb_build_object('full_name', p_name), now(), now(),
      '', '', '', ''
    )
    returning id, email
  )
  insert into auth.identities (provider_id, user_id, provider, identity_data, last_sign_in_at, created_at, updated_at)
  select
    p.id, p.id, 'email', jsonb_build_object('sub', p.id, 'email', p.email, 'email_verified', true), now(), now(), now()
  from person as p
$$;

create function pg_temp.id_of(p_name text)
returns uuid
language sql stable
as $$
  select u.id from auth.users as u where u.email = p_name || '@example.org'
$$;

-- One call of a door, by a person or by `service`, with arguments by name as a frontend gives them.
create function pg_temp.act(p_who text, p_door text, p_arguments jsonb)
returns jsonb
language plpgsql
as $$
declare
  v_role text := case p_who when 'service' then 'service_role' else 'authenticated' end;
  v_named text := (select string_agg(format('%I => %L', a.key, a.value), ', ') from jsonb_each_text(p_arguments) as a);
  v_answer jsonb;
begin
  perform set_config('request.jwt.claims', jsonb_build_object('sub', pg_temp.id_of(p_who), 'role', v_role)::text, true);
  perform set_config('role', v_role, true);
  execute format('select public.%I(%s)', p_door, v_named) into v_answer;
  perform set_config('role', 'postgres', true);
  return v_answer;
end;
$$;

do $$
declare
  v_people text[] := array['asha', 'bram', 'chloe', 'dara', 'eli'];
  v_name text;
  v_code text;
  v_rain jsonb;
  v_joy jsonb;
  v_loan jsonb;
  v_proposal jsonb;
  v_election jsonb;
  -- How long ago the latest Sunday was: its Jashn is for the week that began seven days before, with the community.
  v_sunday integer := extract(dow from current_date);
begin
  if exists (select from auth.users) then
    return;
  end if;

  -- The first day: an invite for five, a community, and everyone in it.
  perform pg_temp.at(v_sunday + 7, '08:00');
  v_code := pg_temp.act('service', 'mint_invites', '{"max_uses": 5, "note": "the people of Rain"}')
    -> 'invites' -> 0 ->> 'code';
  foreach v_name in array v_people loop
    perform pg_temp.sign_up(initcap(v_name));
    perform pg_temp.act('service', 'redeem_invite', jsonb_build_object(
      'user_id', pg_temp.id_of(v_name), 'code', v_code
    ));
  end loop;

  v_rain := pg_temp.act('asha', 'create_community', '{
    "name": "Rain", "description": "Five neighbours under one leaking roof, declaring what was good about it."
  }') -> 'community';
  foreach v_name in array v_people[2:] loop
    perform pg_temp.act(v_name, 'join_community', jsonb_build_object('invite_code', v_rain ->> 'invite_code'));
  end loop;
  v_rain := jsonb_build_object('community_id', v_rain ->> 'id');

  perform pg_temp.at(v_sunday + 7, '09:30');
  perform pg_temp.act('asha', 'send_message', v_rain || '{"content": "Welcome, all. What was good today?"}');
  v_joy := pg_temp.act('bram', 'declare_joy', v_rain || '{
    "title": "First rain", "description": "Three weeks of dust, gone in an afternoon.", "cc_spent": 20
  }') -> 'declaration';
  perform pg_temp.at(v_sunday + 7, '18:00');
  perform pg_temp.act('asha', 'witness_declaration', jsonb_build_object('declaration_id', v_joy ->> 'id'));
  perform pg_temp.act('eli', 'witness_declaration', jsonb_build_object('declaration_id', v_joy ->> 'id'));
  perform pg_temp.act('eli', 'send_message', v_rain || '{"content": "I stood in it until my shoes were full."}');
  perform pg_temp.act('dara', 'declare_joy', v_rain || '{"title": "A frog on the stairs", "cc_spent": 6}');

  for v_days_ago in reverse v_sunday + 6 .. 1 loop
    perform pg_temp.sleep_until(v_days_ago);
    if v_days_ago = v_sunday then
      perform pg_temp.at(v_days_ago, '00:05');
      perform private.weekly_jashn();
    end if;

    if v_days_ago = 2 then
      perform pg_temp.at(2, '12:15');
      v_joy := pg_temp.act('chloe', 'declare_joy', v_rain || '{
        "title": "The bus waited", "description": "The driver saw me run.", "cc_spent": 15
      }') -> 'declaration';
      perform pg_temp.act('dara', 'witness_declaration', jsonb_build_object('declaration_id', v_joy ->> 'id'));
      v_loan := pg_temp.act('chloe', 'request_borrow', v_rain || jsonb_build_object(
        'lender_id', pg_temp.id_of('eli'), 'amount', 10, 'reason', 'To thank the driver in cake.'
      )) -> 'borrow_request';
      perform pg_temp.act('eli', 'respond_borrow', jsonb_build_object(
        'borrow_request_id', v_loan ->> 'id', 'action', 'approved'
      ));
      perform pg_temp.at(2, '20:40');
      perform pg_temp.act('dara', 'declare_joy', v_rain || '{"title": "Soup, the second day", "cc_spent": 8}');
      perform pg_temp.act('bram', 'send_message', v_rain || '{"content": "Soup is always better the second day."}');
    end if;

    if v_days_ago = 1 then
      perform pg_temp.at(1, '07:05');
      v_joy := pg_temp.act('asha', 'declare_joy', v_rain || '{
        "title": "A drum of buckets", "description": "The roof leaks in four notes now.", "cc_spent": 12
      }') -> 'declaration';
      perform pg_temp.act('bram', 'witness_declaration', jsonb_build_object('declaration_id', v_joy ->> 'id'));
      perform pg_temp.act('chloe', 'witness_declaration', jsonb_build_object('declaration_id', v_joy ->> 'id'));
      v_proposal := pg_temp.act('dara', 'propose_tip_to_tip', v_rain || '{
        "title": "Nobody mends the roof before Sunday", "stake_amount": 10
      }') -> 'proposal';
      foreach v_name in array array['asha', 'bram', 'chloe', 'eli'] loop
        perform pg_temp.act(v_name, 'vote_tip_to_tip', jsonb_build_object(
          'proposal_id', v_proposal ->> 'id', 'vote', 'accept'
        ));
      end loop;
      perform pg_temp.at(1, '21:30');
      perform pg_temp.act('bram', 'declare_joy', v_rain || '{"title": "Nobody called", "cc_spent": 5}');
      perform pg_temp.act('eli', 'send_message', v_rain || '{"content": "I nearly did."}');
    end if;
  end loop;

  -- Today, at whatever hour it is. A Jashn may just be due; the next minute's job would hold it too.
  perform pg_temp.sleep_until(0);
  perform set_config('chas.now', '', true);
  perform private.weekly_jashn();
  perform pg_temp.act('eli', 'celebrate_jashn', jsonb_build_object(
    'jashn_id', j.id, 'message', 'Six coins for a frog. Nobody was ever happier for less.'
  ))
  from private.jashns as j;
  perform pg_temp.act('chloe', 'send_message', v_rain || '{"content": "Clouds again. Who has a coin to spare for them?"}');

  foreach v_name in array array['bram', 'chloe'] loop
    perform pg_temp.act('asha', 'set_council', v_rain || jsonb_build_object(
      'user_id', pg_temp.id_of(v_name), 'granted', true
    ));
  end loop;
  v_election := pg_temp.act('asha', 'create_election', v_rain || jsonb_build_object(
    'title', 'Who keeps the buckets?', 'ends_at', now() + interval '3 days'
  )) -> 'election';
  perform pg_temp.act('bram', 'vote_election', jsonb_build_object(
    'election_id', v_election ->> 'id', 'candidate_id', pg_temp.id_of('chloe')
  ));

  -- Between Sunset and Dawn the day is closed, and nobody stakes or asks.
  if (pg_temp.act('bram', 'get_balance', v_rain) -> 'balance' ->> 'day_open')::boolean then
    perform pg_temp.act('bram', 'propose_tip_to_tip', v_rain || '{
      "title": "Soup for the whole stairs tonight", "stake_amount": 5
    }');
    perform pg_temp.act('chloe', 'request_borrow', v_rain || jsonb_build_object(
      'lender_id', pg_temp.id_of('asha'), 'amount', 10, 'reason', 'For the coin the clouds want.'
    ));
  end if;
end;
$$;
