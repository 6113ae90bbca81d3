-- What belongs to a person alone: taking it along, and leaving for good (RULES 13).

create function private.export_account(p_user_id uuid)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'profile', (
      select to_jsonb(u) from private.users as u
      where u.id = p_user_id
    ),
    'former_names', (
      select coalesce(jsonb_agg(f.name order by f.name), '[]') from private.former_names as f
      where f.user_id = p_user_id
    ),
    'account', (
      select
        jsonb_build_object(
          'email', a.email, 'phone', a.phone, 'created_at', a.created_at, 'last_sign_in_at', a.last_sign_in_at,
          'user_metadata', a.raw_user_meta_data, 'app_metadata', a.raw_app_meta_data
        )
      from auth.users as a
      where a.id = p_user_id
    ),
    'admission', (
      select to_jsonb(a) from private.admissions as a
      where a.user_id = p_user_id
    ),
    'audit', (
      select coalesce(jsonb_agg(to_jsonb(e) order by e.id), '[]') from private.audit_entries as e
      where e.community_id is null and (e.actor_id = p_user_id or e.subject_id = p_user_id)
    ),
    'invite_misses', (
      select coalesce(jsonb_agg(m.missed_at order by m.id), '[]') from private.invite_misses as m
      where m.user_id = p_user_id
    ),
    'requests', (
      select coalesce(jsonb_agg(to_jsonb(r) - 'arguments_hash' order by r.created_at), '[]')
      from private.repeats as r
      where r.user_id = p_user_id
    )
  );
end;
comment on function private.export_account is 'What the house knows of a person outside any community.';

create function private.export_talk(p_user_id uuid, p_community_id uuid)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'messages', (
      select coalesce(jsonb_agg(to_jsonb(m) order by m.id), '[]') from private.chat_messages as m
      where m.community_id = p_community_id and m.user_id = p_user_id
    ),
    'told_of_me', (
      select coalesce(jsonb_agg(to_jsonb(m) order by m.id), '[]') from private.chat_messages as m
      where m.community_id = p_community_id and m.type = 'system' and strpos(m.facts::text, p_user_id::text) > 0
    ),
    'read_up_to', (
      select c.last_read_id from private.chamber_marks as c
      where c.community_id = p_community_id and c.user_id = p_user_id
    ),
    'notifications', (
      select coalesce(jsonb_agg(to_jsonb(n) order by n.id), '[]') from private.notifications as n
      where n.community_id = p_community_id and n.user_id = p_user_id
    ),
    'muted', (
      select coalesce(jsonb_agg(s.type order by s.type), '[]') from private.notification_mutes as s
      where s.community_id = p_community_id and s.user_id = p_user_id
    ),
    'audit', (
      select coalesce(jsonb_agg(to_jsonb(e) order by e.id), '[]') from private.audit_entries as e
      where e.community_id = p_community_id and (e.actor_id = p_user_id or e.subject_id = p_user_id)
    )
  );
end;
comment on function private.export_talk is
'What a person said in a community, was told there, and what was told of them.';

create function private.export_money(p_user_id uuid, p_community_id uuid)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'purse', (
      select to_jsonb(b) from private.purses as b
      where b.community_id = p_community_id and b.user_id = p_user_id
    ),
    'ledger', (
      select coalesce(jsonb_agg(to_jsonb(e) order by e.id), '[]') from private.ledger_entries as e
      where e.community_id = p_community_id and e.user_id = p_user_id
    ),
    'sunsets', (
      select coalesce(jsonb_agg(to_jsonb(s) order by s.day), '[]') from private.sunset_entries as s
      where s.community_id = p_community_id and s.user_id = p_user_id
    ),
    'stakes', (
      select coalesce(jsonb_agg(to_jsonb(s) order by s.day, s.proposal_id), '[]') from private.stakes as s
      where s.community_id = p_community_id and s.user_id = p_user_id
    ),
    'borrow_requests', (
      select coalesce(jsonb_agg(to_jsonb(r) order by r.number), '[]') from private.borrow_requests as r
      where r.community_id = p_community_id and (r.borrower_id = p_user_id or r.lender_id = p_user_id)
    ),
    'loans', (
      select coalesce(jsonb_agg(to_jsonb(l) order by l.number), '[]') from private.loans as l
      where l.community_id = p_community_id and (l.borrower_id = p_user_id or l.lender_id = p_user_id)
    )
  );
end;
comment on function private.export_money is 'Every coin of a person in a community: purse, movements, stakes, loans.';

create function private.export_deeds(p_user_id uuid, p_community_id uuid)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'declarations', (
      select coalesce(jsonb_agg(to_jsonb(d) order by d.number), '[]') from private.declarations as d
      where d.community_id = p_community_id and d.user_id = p_user_id
    ),
    'joy_runs', (
      select coalesce(jsonb_agg(to_jsonb(r) order by r.first_day), '[]') from private.joy_runs as r
      where r.community_id = p_community_id and r.user_id = p_user_id
    ),
    'witnessed', (
      select coalesce(jsonb_agg(to_jsonb(w) order by w.created_at, w.declaration_id), '[]') from private.witnesses as w
      where w.community_id = p_community_id and w.user_id = p_user_id
    ),
    'tip_to_tips', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.number), '[]') from private.tip_to_tip_proposals as t
      where t.community_id = p_community_id and t.proposer_id = p_user_id
    ),
    'tip_to_tip_rolls', (
      select coalesce(jsonb_agg(r.proposal_id order by r.proposal_id), '[]') from private.tip_to_tip_rolls as r
      where r.community_id = p_community_id and r.user_id = p_user_id
    ),
    'tip_to_tip_votes', (
      select coalesce(jsonb_agg(to_jsonb(v) order by v.created_at, v.proposal_id), '[]')
      from private.tip_to_tip_votes as v
      where v.community_id = p_community_id and v.user_id = p_user_id
    ),
    'elections', (
      select coalesce(jsonb_agg(to_jsonb(e) order by e.number), '[]') from private.elections as e
      where e.community_id = p_community_id and (e.created_by = p_user_id or e.winner_id = p_user_id)
    ),
    'candidacies', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.election_id), '[]') from private.election_candidates as c
      where c.community_id = p_community_id and c.user_id = p_user_id
    ),
    'election_rolls', (
      select coalesce(jsonb_agg(r.election_id order by r.election_id), '[]') from private.election_electors as r
      where r.community_id = p_community_id and r.user_id = p_user_id
    ),
    -- Their own ballots only: one cast for them is another's secret.
    'ballots', (
      select coalesce(jsonb_agg(to_jsonb(b) order by b.number), '[]')
      from private.election_electors as r
      inner join private.ballots as b on r.election_id = b.election_id and r.user_id = b.user_id
      where r.community_id = p_community_id and r.user_id = p_user_id
    ),
    'jashns_honoured', (
      select coalesce(jsonb_agg(to_jsonb(j) order by j.week_start), '[]') from private.jashns as j
      where j.community_id = p_community_id and j.honored_user_id = p_user_id
    ),
    'jashn_reckonings', (
      select coalesce(jsonb_agg(to_jsonb(e) order by e.jashn_id), '[]') from private.jashn_entries as e
      where e.community_id = p_community_id and e.user_id = p_user_id
    ),
    'jashn_celebrations', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.created_at), '[]') from private.jashn_celebrations as c
      where c.community_id = p_community_id and c.user_id = p_user_id
    )
  );
end;
comment on function private.export_deeds is
'What a person declared, witnessed, proposed, voted and celebrated in a community.';

create function private.export_my_data()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.users := private.require_user();
begin
  return private.export_account(v_me.id) || jsonb_build_object(
    'exported_at', private.clock(),
    'communities', (
      select coalesce(jsonb_agg(
        jsonb_build_object(
          'community', jsonb_build_object('id', c.id, 'name', c.name, 'founded_by_me', c.created_by = v_me.id),
          'membership', to_jsonb(m),
          'ban', (
            select to_jsonb(b) from private.bans as b where b.community_id = m.community_id and b.user_id = v_me.id
          )
        )
        || private.export_talk(v_me.id, c.id)
        || private.export_money(v_me.id, c.id)
        || private.export_deeds(v_me.id, c.id)
        order by m.joined_at, c.id
      ), '[]')
      from private.community_members as m
      join private.communities as c on c.id = m.community_id
      where m.user_id = v_me.id
    )
  );
end;
$$;
comment on function private.export_my_data is
'What export_my_data answers: rows as they are stored, others in them by their ids.';
create function public.export_my_data()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.export_my_data();
end;
comment on function public.export_my_data is
'Everything the house keeps about the caller, as one document.

Returns {exported_at, profile, former_names, account, admission, audit, invite_misses, requests, communities:
[{community, membership, ban, messages, told_of_me, read_up_to, notifications, muted, audit, purse, ledger, sunsets,
stakes, borrow_requests, loans, declarations, joy_runs, witnessed, tip_to_tips, tip_to_tip_rolls, tip_to_tip_votes,
elections, candidacies, election_rolls, ballots, jashns_honoured, jashn_reckonings, jashn_celebrations}]}, of
communities they have left too. Refuses: INVITE_REQUIRED.';
grant execute on function public.export_my_data, private.export_my_data to authenticated;

create function private.leave_everything(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_community_id uuid;
begin
  -- In id order, so that two who are erased at once never wait for each other in a ring.
  for v_community_id in
    select m.community_id from private.community_members as m
    where m.user_id = p_user_id and m.left_at is null
    order by m.community_id
  loop
    perform private.lock_membership(v_community_id);
    if private.is_member(v_community_id, p_user_id) then
      perform private.pass_seat(v_community_id, p_user_id, private.find_successor(v_community_id, p_user_id));
      perform private.leave(v_community_id, p_user_id);
    end if;
  end loop;
end;
$$;
comment on function private.leave_everything is
'A person who is erased leaves every community as if of their own will; the last moderator''s seat passes to the
longest-serving council member, else to the longest-standing member (RULES 13).';

create function private.own_things(p_user_id uuid)
returns uuid[]
language sql stable security definer set search_path = ''
begin atomic
  select array(
    select d.id from private.community_members as m
    inner join private.declarations as d on m.community_id = d.community_id and m.user_id = d.user_id
    where m.user_id = p_user_id
    union all
    select r.id from private.community_members as m
    inner join private.borrow_requests as r on m.community_id = r.community_id and m.user_id = r.borrower_id
    where m.user_id = p_user_id
    union all
    select t.id from private.community_members as m
    inner join private.tip_to_tip_proposals as t on m.community_id = t.community_id and m.user_id = t.proposer_id
    where m.user_id = p_user_id
    union all
    select c.jashn_id from private.community_members as m
    inner join private.jashn_celebrations as c on m.community_id = c.community_id and m.user_id = c.user_id
    where m.user_id = p_user_id
  );
end;
comment on function private.own_things is
'What a person gave words to: joys, requests, proposals, the Jashns they celebrated.';

create function private.shared_things(p_user_id uuid)
returns uuid[]
language sql stable security definer set search_path = ''
begin atomic
  select array(
    select m.community_id from private.community_members as m
    where m.user_id = p_user_id
    union all
    select w.declaration_id from private.community_members as m
    inner join private.witnesses as w on m.community_id = w.community_id and m.user_id = w.user_id
    where m.user_id = p_user_id
    union all
    select r.id from private.community_members as m
    inner join private.borrow_requests as r on m.community_id = r.community_id and m.user_id = r.lender_id
    where m.user_id = p_user_id
    union all
    select l.id from private.community_members as m
    inner join private.loans as l on m.community_id = l.community_id and m.user_id in (l.borrower_id, l.lender_id)
    where m.user_id = p_user_id
    union all
    select e.id from private.community_members as m
    inner join private.elections as e on m.community_id = e.community_id
    where m.user_id = p_user_id
  );
end;
comment on function private.shared_things is
'Things of others in which a person had a part, so that notices about them may name them.';

create function private.erase_words_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_communities uuid [] := array(
    select m.community_id from private.community_members as m where m.user_id = p_user_id order by m.community_id
  );
  v_names text [] := private.names_of(p_user_id);
  v_own uuid [] := private.own_things(p_user_id);
begin
  perform private.strike_declaration(d.id) from private.declarations as d
  where d.id = any (v_own) and d.struck_at is null;
  perform private.strike_borrow_request(r.id) from private.borrow_requests as r
  where r.id = any (v_own) and r.struck_at is null;
  perform private.strike_proposal(t.id) from private.tip_to_tip_proposals as t
  where t.id = any (v_own) and t.struck_at is null;
  perform private.erase_celebrations_of(p_user_id);
  perform private.erase_lines_of(p_user_id);
  if cardinality(v_names) > 0 then
    perform private.erase_in_lines(p_user_id, v_communities, v_names);
    perform private.erase_in_notices(v_communities, v_names, private.shared_things(p_user_id), v_own);
  end if;
end;
$$;
comment on function private.erase_words_of is
'Takes away what an erased person wrote (messages, and the words of their joys, requests, proposals and celebrations)
and their names wherever the house itself said them.';

create function private.erase(p_user_id uuid, p_email text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  -- Two erasures of one person take turns.
  perform from private.users as u where u.id = p_user_id for no key update;
  if not found then
    return;
  end if;
  perform private.erase_invites_of(p_user_id, p_email);
  perform private.erase_profile(p_user_id);
  perform private.leave_everything(p_user_id);
  perform private.erase_words_of(p_user_id);
  perform private.erase_notices_of(p_user_id);
  perform private.erase_repeats_of(p_user_id);
  perform private.erase_names_of(p_user_id);
end;
$$;
comment on function private.erase is
'Erases a person (RULES 13); somebody erased, or never known, changes nothing more.

What goes: name, avatar, former names, admission, the address and texts of their invites, notices to them, mutes,
marks, request ids, and every word they wrote, in whatever room; they leave every community. What stays, under "a
former member": the numbers (ledger, joys, loans, stakes, votes, ballots, Jashns), that they were there, and what
others wrote, even about them, such as the reason of a removal in the audit log or of an election called off. Titles
of elections stay as the community''s. Answers kept for others'' request ids may say their name until they go by
themselves, within 7 days.';

create function private.erase_user(p_user_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  if p_user_id is null then
    perform private.refuse('INVALID_INPUT', 'user_id is missing.', '{"field": "user_id"}');
  end if;
  perform private.erase(p_user_id, (select a.email from auth.users as a where a.id = p_user_id));
  return jsonb_build_object('erased', true);
end;
$$;
comment on function private.erase_user is 'What erase_user does.';
create function public.erase_user(user_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.erase_user(erase_user.user_id);
end;
comment on function public.erase_user is
'Erases a person for good: personal data goes, numbers stay under "a former member". For the service role alone.

They leave every community as by leave_community; the last moderator''s seat passes to the longest-serving council
member, else the longest-standing member. Their sign-in is deleted apart, by Supabase Auth. Again, or for somebody
unknown, it changes nothing. Returns {erased: true}. Refuses: INVALID_INPUT.';
grant execute on function public.erase_user, private.erase_user to service_role;

create function private.erase_deleted_user()
returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '3s'
as $$
begin
  perform private.erase(old.id, old.email);
  return null;
exception when others or query_canceled then
  raise warning 'a deleted person will be erased later: %', sqlstate;
  begin
    perform private.erase_invites_of(old.id, old.email);
    perform private.erase_profile(old.id);
  exception when others then
    raise warning 'a deleted person was not erased: %', sqlstate;
  end;
  return null;
end;
$$;
comment on function private.erase_deleted_user is
'Erases a person whose sign-in was deleted, from the dashboard too; never fails, for it runs inside Supabase Auth. If
a community is busy or broken, at least name, avatar, admission and address go at once, and private.finish_erasures
does the rest.';
create or replace trigger on_auth_user_deleted
after delete on auth.users
for each row execute function private.erase_deleted_user();

create function private.finish_erasures(p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_user_id uuid;
  v_done integer := 0;
begin
  foreach v_user_id in array private.erasures_begun(p_limit) loop
    begin
      perform private.erase(v_user_id, null);
      v_done := v_done + 1;
    exception when others then
      raise warning 'the erasure of % is not finished: % %', v_user_id, sqlstate, sqlerrm;
    end;
  end loop;
  return v_done;
end;
$$;
comment on function private.finish_erasures is
'Finishes up to p_limit erasures that could not be completed when the sign-in was deleted; returns how many, 0 when
none is left or none can be finished now.';
