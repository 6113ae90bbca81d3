-- What belongs to a person alone: taking it along, and leaving for good (RULES 13).

create function private.export_account(p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'profile', (
      select to_jsonb(u) from private.users as u
      where u.id = p_user_id
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
      select
        coalesce(
          jsonb_agg(
            to_jsonb(e) || case when a.is_erased then '{"reason": null}'::jsonb else '{}' end
            || case when e.actor_id <> p_user_id then '{"actor_id": null}'::jsonb else '{}' end
            order by e.id
          ), '[]'
        )
      from private.bureau_acts as e
      left join private.shown_people as a on a.id = e.actor_id
      where e.actor_id = p_user_id or e.subject_id = p_user_id
    ),
    'invites', (
      select coalesce(jsonb_agg(private.show_invite(i) order by i.number), '[]') from private.invites as i
      where i.email_hash in (select a.address_hash from private.addresses as a where a.user_id = p_user_id)
    ),
    'invite_misses', (
      select coalesce(jsonb_agg(m.missed_at order by m.id), '[]') from private.invite_misses as m
      where m.user_id = p_user_id
    ),
    'repeats', (
      select coalesce(jsonb_agg(to_jsonb(r) - 'arguments_hash' order by r.created_at), '[]')
      from private.repeats as r
      where r.user_id = p_user_id
    )
  );
end;
$$;
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
    'quiet_acts', (
      select to_jsonb(q) from private.quiet_acts as q
      where q.community_id = p_community_id and q.user_id = p_user_id
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
      select
        coalesce(
          jsonb_agg(
            to_jsonb(e) || jsonb_build_object(
              'facts', private.show_facts(e.community_id, e.facts),
              -- Which steward it was is no member's affair, here as in the audit log.
              'actor_id', case when e.actor_id = p_user_id or not starts_with(e.action, 'steward_') then e.actor_id end
            )
            order by e.id
          ), '[]'
        )
      from private.audit_entries as e
      where e.community_id = p_community_id and (e.actor_id = p_user_id or e.subject_id = p_user_id)
    ),
    'words', (
      select coalesce(jsonb_agg(to_jsonb(w) order by w.id), '[]') from private.words as w
      where w.community_id = p_community_id and w.author_id = p_user_id
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
      select
        coalesce(
          jsonb_agg(
            to_jsonb(e.entry) || jsonb_build_object('community_id', e.community_id, 'user_id', e.user_id) order by e.id
          ), '[]'
        )
      from private.shown_entries as e
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
      select
        coalesce(
          jsonb_agg(
            -- What another wrote is shown only while they are not erased.
            to_jsonb(r) || case when p.is_erased then '{"reason": ""}'::jsonb else '{}' end order by r.number
          ), '[]'
        )
      from private.borrow_requests as r
      inner join private.shown_people as p on r.borrower_id = p.id
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
    'jashns_honoured', (
      select coalesce(jsonb_agg(to_jsonb(j) order by j.week_start), '[]') from private.jashns as j
      where j.community_id = p_community_id and j.honored_user_id = p_user_id
    ),
    'jashn_reckonings', (
      select coalesce(jsonb_agg(to_jsonb(e) order by e.jashn_id), '[]') from private.jashn_entries as e
      where e.community_id = p_community_id and e.user_id = p_user_id
    ),
    'absences', (
      select coalesce(jsonb_agg(to_jsonb(a) order by a.from_day), '[]') from private.absences as a
      where a.community_id = p_community_id and a.user_id = p_user_id
    ),
    'gazette_items', (
      select coalesce(jsonb_agg(to_jsonb(i) order by i.number, i.position), '[]') from private.gazette_items as i
      where i.community_id = p_community_id and (i.author_id = p_user_id or i.subject_id = p_user_id)
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
  v_me uuid := private.require_admitted();
begin
  perform private.take_turn();
  return private.export_account(v_me) || jsonb_build_object(
    'exported_at', private.clock(),
    'communities', (
      select coalesce(jsonb_agg(
        jsonb_build_object(
          'community', jsonb_build_object(
            'id', c.id, 'name', case when m.left_at is null then c.name end, 'founded_by_me', c.created_by = v_me
          ),
          'membership', to_jsonb(m),
          'ban', (
            select to_jsonb(b) from private.bans as b where b.community_id = m.community_id and b.user_id = v_me
          )
        )
        || private.export_talk(v_me, c.id)
        || private.export_money(v_me, c.id)
        || private.export_deeds(v_me, c.id)
        || private.export_ballots(v_me, c.id)
        order by m.joined_at, c.id
      ), '[]')
      from private.community_members as m
      join private.communities as c on c.id = m.community_id
      where m.user_id = v_me
    )
  );
end;
$$;
comment on function private.export_my_data is
'Rows as they are stored, others in them by their ids. What a community is called now is told only to who is in it.';

create function public.export_my_data()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.export_my_data();
end;
comment on function public.export_my_data is
'Everything the house keeps about the caller, as one document.

Returns {exported_at, profile, account, admission, audit, invites, invite_misses, repeats, communities: [{community,
membership, ban, messages, told_of_me, read_up_to, quiet_acts, notifications, muted, audit, words, purse, ledger, sunsets, stakes,
borrow_requests, loans, declarations, witnessed, tip_to_tips, tip_to_tip_rolls, tip_to_tip_votes, elections,
candidacies, election_rolls, ballots, jashns_honoured, jashn_reckonings, absences,
gazette_items, jashn_celebrations}]}, of communities they have left too. invites are those made out to an address of
theirs, without codes; ballots are the choice and when it was cast. Refuses: INVITE_REQUIRED, RATE_LIMITED {most} (one at
a time, and with it one verify_gazette).';
grant execute on function public.export_my_data, private.export_my_data to authenticated;

create function private.erase(p_user_id uuid, p_email text default null)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  -- Two erasures of one person take turns, and an act of theirs that no membership holds comes before or is refused.
  if (private.lock_person(p_user_id)).id is null then
    return;
  end if;
  perform private.note_address(p_user_id, p_email);
  perform private.erase_invites_of(p_user_id);
  perform private.erase_admission(p_user_id);
  perform private.erase_profile(p_user_id);
end;
$$;
comment on function private.erase is
'Erases a person (RULES 13): from this transaction on nothing shows their name, address or words, to anyone; somebody
erased, or never known, changes nothing more. p_email is an address Auth is just taking away.

It touches a handful of rows, however much they wrote, and waits for nobody''s day: shapes look up whether an author is
erased. Rows, memberships and what hangs on them follow by private.go_on_erasing. What stays, under "a former member":
the numbers (ledger, joys, loans, stakes, votes, ballots, Jashns), that they were there, and what others wrote, to the
letter.';

create function private.erase_rows_of(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer := private.erase_lines_of(p_user_id, p_limit) + private.erase_words_by(p_user_id, p_limit)
    + private.erase_joys_of(p_user_id, p_limit) + private.erase_borrow_reasons_of(p_user_id, p_limit)
    + private.erase_proposals_of(p_user_id, p_limit) + private.erase_celebrations_of(p_user_id, p_limit)
    + private.erase_items_of(p_user_id, p_limit) + private.erase_notices_of(p_user_id, p_limit);
begin
  perform private.erase_repeats_of(p_user_id);
  perform private.erase_bureau_reasons_of(p_user_id);
  return v_gone;
end;
$$;
comment on function private.erase_rows_of is
'Takes a batch of the words of an erased person out of every room that keeps some, and notices to them; returns how many
rows, 0 when nothing is left.';

create function private.leave_as_erased(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = '' set lock_timeout = '10s'
as $$
begin
  perform private.lock_membership(p_community_id);
  perform private.depart(p_community_id, p_user_id, 'erased');
end;
$$;
comment on function private.leave_as_erased is
'A person who is erased leaves one community (RULES 2.5, 13.2).';

create function private.go_on_erasing(p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_erasure private.erasures;
  v_community_id uuid;
begin
  select e.* into v_erasure from private.erasures as e
  where e.retry_at <= p_now
  order by e.retry_at, e.user_id
  limit 1
  for no key update skip locked;
  if not found then
    return 0;
  end if;
  -- Memberships first: once one has ended, nothing of theirs can be written there any more.
  select m.community_id into v_community_id from private.community_members as m
  where m.user_id = v_erasure.user_id and m.left_at is null and m.community_id <> all(v_erasure.stuck)
  order by m.community_id
  limit 1;
  if v_community_id is not null then
    begin
      perform private.leave_as_erased(v_community_id, v_erasure.user_id);
    exception when others then
      raise warning 'leaving % for an erased person failed: % %', v_community_id, sqlstate, sqlerrm;
      perform private.pass_over(v_erasure.user_id, v_community_id);
    end;
  elsif private.erase_rows_of(v_erasure.user_id, 1000) = 0 then
    perform private.end_erasure(v_erasure.user_id, p_now);
  end if;
  return 1;
end;
$$;
comment on function private.go_on_erasing is
'Does the next step of the oldest erasure under way, small enough for a transaction of its own: one community left, or
one batch of rows. Returns 1, or 0 when nothing is left to do now. A community that is busy or broken is passed over and
tried again, and holds up nothing else.';

create function private.erase_departed(p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_id uuid;
  v_done integer := 0;
begin
  for v_id in
    select u.id from private.users as u
    where u.erased_at is null
      and not exists (select from auth.users as a where a.id = u.id and a.deleted_at is null)
    limit p_limit
  loop
    perform private.erase(v_id);
    v_done := v_done + 1;
  end loop;
  return v_done;
end;
$$;
comment on function private.erase_departed is
'Erases up to p_limit people whom Auth has deleted while its trigger was missing; returns how many.';

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

create function public.erase_user(user_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.erase_user(erase_user.user_id);
end;
comment on function public.erase_user is
'Erases a person for good: personal data goes, numbers stay under "a former member". For the service role alone.

At once nothing shows their name, address or words any more; their communities feel the leaving within two minutes.
Their sign-in is deleted apart, by Supabase Auth. Again, or for somebody unknown, it changes nothing. Returns {erased:
true}. Refuses: INVALID_INPUT.';
grant execute on function public.erase_user, private.erase_user to service_role;

create function private.follow_auth_user()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    perform private.erase(old.id, old.email);
  elsif new.deleted_at is not null then
    if old.deleted_at is null then
      perform private.erase(new.id, old.email);
    end if;
  elsif new.email is distinct from old.email then
    perform private.follow_address(new.id, new.email) from private.users as u where u.id = new.id and u.erased_at is null;
  end if;
  return null;
exception when others or query_canceled then
  -- A failure here would break Auth itself; housekeeping makes up for it.
  raise warning 'what Auth did to a person will be followed later: %', sqlstate;
  return null;
end;
$$;
comment on function private.follow_auth_user is
'Follows what Auth does to a person, from the dashboard too: deleted, for good or softly, is erased, and a new address
is remembered as a hash. Never fails, for it runs inside Supabase Auth. No column is named in its triggers, so Auth may
change its table.';
