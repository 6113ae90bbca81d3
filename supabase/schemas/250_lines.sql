-- The Chamber's lines as they are stored: messages, cards, and what the house itself says, as facts (RULES 3).

create domain private.line_content as text constraint line_content_length check (char_length(value) <= 2000);
comment on domain private.line_content is 'What somebody said: at most 2000 characters; nothing on every other line.';

create table private.chat_messages (
  community_id uuid not null,
  id bigint generated always as identity,
  user_id uuid,
  type text not null,
  content private.line_content not null default '',
  reference_id uuid,
  event text,
  facts jsonb,
  maker_id uuid,
  created_at timestamptz not null,
  edited_at timestamptz,
  deleted_at timestamptz,
  struck_reason_id bigint,
  constraint chat_messages_pkey primary key (community_id, id)
);
comment on table private.chat_messages is
'Every line of every Chamber. A card names what it shows in reference_id; a system line has no author, but an event and
its facts, never words. A deleted or struck line stays as an empty one. maker_id is whose act made a line that cost them
no coins, for their limit.

No foreign keys and no check of its type: one function writes lines, for a member it has just found or for the house
itself; the look for flaws in the tests holds each line against what its type needs.';
create index chat_messages_id_idx on private.chat_messages (id);
create index chat_messages_community_id_user_id_created_at_idx on private.chat_messages (
  community_id, user_id, created_at
);
create index chat_messages_makers_idx on private.chat_messages (community_id, maker_id, created_at)
where maker_id is not null;
alter table private.chat_messages enable row level security;
create policy members_read_chat_messages on private.chat_messages for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.chat_messages to authenticated;

create table private.chamber_marks (
  community_id uuid not null,
  user_id uuid not null,
  last_read_id bigint not null,
  constraint chamber_marks_pkey primary key (community_id, user_id),
  constraint chamber_marks_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id)
);
comment on table private.chamber_marks is 'How far each member has read their Chamber.';
alter table private.chamber_marks enable row level security;
create policy people_read_their_marks on private.chamber_marks for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on private.chamber_marks to authenticated;

create function private.next_line_id()
returns bigint
language plpgsql volatile security definer set search_path = ''
as $$
begin
  -- The last id handed to any line of any Chamber, committed or not; null before the first line ever. Of it the lock
  -- holds the lower half, with its sign: no two lines under way are so far apart.
  perform pg_advisory_xact_lock_shared(
    1128792066, ((coalesce(pg_sequence_last_value('private.chat_messages_id_seq'), 0) << 32) >> 32)::integer
  );
  return nextval('private.chat_messages_id_seq');
end;
$$;
comment on function private.next_line_id is
'The id of a line about to be written; says to readers that lines with ids above the one before are being written and
not yet committed.

Ids are handed out before their transactions commit, so id 6 may be readable before id 5. Every writer therefore
holds, from before it takes an id until it commits, a shared lock on a number no greater than that id; see
private.safe_position.';

create function private.safe_position()
returns bigint
language plpgsql volatile security definer set search_path = ''
as $$
declare
  -- In this order: whoever took an id up to v_last had their lock before, so they hold it still or have committed.
  v_last bigint := coalesce(pg_sequence_last_value('private.chat_messages_id_seq'), 0);
begin
  if pg_is_in_recovery() then
    perform private.refuse('READ_REPLICA', 'Only the primary knows what is still being written: page forward there.',
      '{"field": "after_id"}');
  end if;
  return least(v_last, (
    select min(v_last - ((v_last - l.objid::bigint) & 4294967295))
    from pg_catalog.pg_locks as l
    where l.locktype = 'advisory' and l.classid = 1128792066 and l.objsubid = 2 and l.mode = 'ShareLock' and l.granted
      and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
  ));
end;
$$;
comment on function private.safe_position is
'A line''s id up to which nothing can appear any more that a later statement would not see: what a reader who pages
forward may be shown (RULES 3.3). It comes late by as much as the longest act now under way, and never skips.

Refuses: READ_REPLICA (a standby does not see the writers'' locks).';

create function private.require_message_rate(p_community_id uuid, p_user_id uuid, p_at timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_earliest timestamptz;
begin
  -- Lines of one member take turns, or twenty at once would each count nineteen.
  perform pg_advisory_xact_lock(1128792068, uuid_hash(p_community_id) # uuid_hash(p_user_id));
  select min(latest.created_at) into v_earliest
  from (
    select m.created_at from private.chat_messages as m
    where m.community_id = p_community_id and m.user_id = p_user_id and m.type = 'message'
      and m.created_at > p_at - interval '1 minute'
    order by m.created_at desc
    limit 20
  ) as latest
  having count(*) = 20;
  if v_earliest is not null then
    perform private.refuse_for_now(
      'Twenty messages a minute are enough.', v_earliest + interval '1 minute', '{"most": 20}'
    );
  end if;
end;
$$;
comment on function private.require_message_rate is
'Asks that a member has posted fewer than 20 plain messages in the last minute (RULES 3.2); deleted ones count.

Refuses: RATE_LIMITED {most, possible_at, retry_after}.';

create function private.take_turn_of_lines(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(1128792068, uuid_hash(p_community_id) # uuid_hash(p_user_id));
end;
$$;
comment on function private.take_turn_of_lines is
'Lets what one member does that is counted come one after the other, or twenty at once would each count nineteen.';

create function private.next_line_at(p_community_id uuid, p_user_id uuid)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select min(latest.created_at) + interval '1 minute'
    from (
      select m.created_at from private.chat_messages as m
      where m.community_id = p_community_id and m.maker_id = p_user_id
        and m.created_at > private.clock() - interval '1 minute'
      order by m.created_at desc
      limit 30
    ) as latest
    having count(*) = 30
  );
end;
$$;
comment on function private.next_line_at is
'When a member who has made 30 lines in the last minute that cost no coins may make another; null if they may now. Asked
when it is their turn, see private.take_turn_of_lines.';

create function private.require_line_rate(
  p_community_id uuid, p_user_id uuid, p_until timestamptz default 'infinity',
  p_at timestamptz default private.clock()
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_next timestamptz;
begin
  -- As private.take_turn_of_lines does, then one glance; only of who made too many it is asked when they may again.
  perform pg_advisory_xact_lock(1128792068, uuid_hash(p_community_id) # uuid_hash(p_user_id));
  if 30 <= (
    select count(*) from private.chat_messages as m
    where m.community_id = p_community_id and m.maker_id = p_user_id and m.created_at > p_at - interval '1 minute'
  ) then
    v_next := private.next_line_at(p_community_id, p_user_id);
    perform private.refuse_for_now(
      'Thirty such acts a minute are enough.', case when v_next < p_until then v_next end, '{"most": 30}'
    );
  end if;
end;
$$;
comment on function private.require_line_rate is
'Asks that a member has made fewer than 30 lines in the last minute that cost no coins (RULES 3.2). p_until is the
moment from which the same act would not do any more, whatever its rate: nothing is promised then.

Refuses: RATE_LIMITED {most, possible_at, retry_after}.';

create table private.quiet_acts (
  community_id uuid not null,
  user_id uuid not null,
  done_at timestamptz[] not null,
  constraint quiet_acts_pkey primary key (community_id, user_id),
  constraint quiet_acts_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id)
);
comment on table private.quiet_acts is
'When a member did what costs no coins and makes no line, but is heard by others or kept for good: the latest thirty
moments, the newest first. Such acts leave nothing else that could be counted.';
alter table private.quiet_acts enable row level security;
create policy nobody_reads_quiet_acts on private.quiet_acts for select to authenticated using (false);

create function private.require_quiet_rate(
  p_community_id uuid, p_user_id uuid, p_until timestamptz default 'infinity'
)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_next timestamptz := (
    select q.done_at[30] + interval '1 minute' from private.quiet_acts as q
    where q.community_id = p_community_id and q.user_id = p_user_id
  );
begin
  if v_next > private.clock() then
    perform private.refuse_for_now(
      'Thirty such acts a minute are enough.', case when v_next < p_until then v_next end, '{"most": 30}'
    );
  end if;
end;
$$;
comment on function private.require_quiet_rate is
'Asks that a member has done fewer than 30 quiet acts in a community in the last minute; p_until as in
private.require_line_rate. Asked before anything is locked, so that nobody waits for who is refused.

Refuses: RATE_LIMITED {most, possible_at, retry_after}.';

create function private.count_quiet_act(
  p_community_id uuid, p_user_id uuid, p_until timestamptz default 'infinity'
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.quiet_acts as q (community_id, user_id, done_at)
  values (p_community_id, p_user_id, array[private.clock()])
  on conflict (community_id, user_id) do update
  set done_at = (excluded.done_at || q.done_at)[:30]
  where cardinality(q.done_at) < 30 or q.done_at[30] <= excluded.done_at[1] - interval '1 minute';
  if not found then
    perform private.require_quiet_rate(p_community_id, p_user_id, p_until);
  end if;
end;
$$;
comment on function private.count_quiet_act is
'Counts one quiet act, or refuses the thirty-first of a minute: an edit, a strike, a ban and its lifting, a change of
the join code, an absence and its end, a celebration. RULES 3.2 limits lines; these make none, yet everybody hears of them
or the house keeps them, so the same number holds.

Refuses: RATE_LIMITED {most, possible_at, retry_after}.';

create function private.write_line(
  p_id bigint, p_community_id uuid, p_user_id uuid, p_type text, p_content text, p_reference_id uuid,
  p_event text, p_facts jsonb, p_maker_id uuid, p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.chat_messages (
    id, community_id, user_id, type, content, reference_id, event, facts, maker_id, created_at
  )
  overriding system value
  values (p_id, p_community_id, p_user_id, p_type, p_content, p_reference_id, p_event, p_facts, p_maker_id, p_at);
end;
$$;
comment on function private.write_line is
'Writes one line of a Chamber, under an id of private.next_line_id: the only way there is. Tells nobody.';

create function private.post_message(
  p_community_id uuid, p_user_id uuid, p_type text, p_content text, p_reference_id uuid default null,
  p_event text default null, p_facts jsonb default null, p_at timestamptz default private.clock(),
  p_until timestamptz default 'infinity', p_id bigint default null
)
returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  -- Joys and stakes are limited by the purse, messages by a limit of their own; what follows from an act (an outcome, a
  -- seat that passes) is not counted again.
  v_maker uuid := case
    when p_type in ('borrow_request', 'election') then p_user_id
    when p_event in (
      'community_founded', 'member_joined', 'member_returned', 'member_left', 'member_removed', 'council_appointed',
      'council_released',
      'moderator_stepped_down', 'settings_changed', 'borrow_approved', 'borrow_declined', 'loan_forgiven',
      'election_cancelled'
    ) then private.caller_id()
  end;
  v_id bigint;
begin
  -- Leaving is always possible (RULES 2.5); it counts all the same.
  if v_maker is not null and p_event is distinct from 'member_left' then
    perform private.require_line_rate(p_community_id, v_maker, p_until, p_at);
  end if;
  v_id := coalesce(p_id, private.next_line_id());
  perform private.write_line(
    v_id, p_community_id, p_user_id, p_type, p_content, p_reference_id, p_event, p_facts, v_maker, p_at
  );
  perform private.tell_community(p_community_id, 'message', jsonb_build_object('message_id', v_id));
  return v_id;
end;
$$;
comment on function private.post_message is
'Puts one line into a Chamber, under p_id where an id was taken before, tells everyone there, and returns its id.
p_until as private.require_line_rate.

Refuses: RATE_LIMITED {most, possible_at, retry_after}: 30 a minute of a member''s lines that cost no coins.';

create function private.announce(
  p_community_id uuid, p_event text, p_facts jsonb default '{}', p_at timestamptz default private.clock(),
  p_until timestamptz default 'infinity'
)
returns bigint
language plpgsql security definer set search_path = ''
as $$
begin
  return private.post_message(p_community_id, null, 'system', '', null, p_event, p_facts, p_at, p_until);
end;
$$;
comment on function private.announce is
'Posts a system line, an event and its facts, and returns its id. Refuses: as private.post_message.';

create function private.lock_line(p_community_id uuid, p_message_id bigint)
returns private.chat_messages
language plpgsql security definer set search_path = ''
as $$
declare
  v_row private.chat_messages;
begin
  select m.* into v_row from private.chat_messages as m
  where m.community_id = p_community_id and m.id = p_message_id for no key update;
  return v_row;
end;
$$;
comment on function private.lock_line is 'Locks a line until the transaction ends and returns it.';

create function private.rewrite_line(p_community_id uuid, p_message_id bigint, p_content text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.chat_messages as m set content = p_content, edited_at = private.clock()
  where m.community_id = p_community_id and m.id = p_message_id;
  perform private.tell_community(p_community_id, 'message_changed', jsonb_build_object('message_id', p_message_id));
end;
$$;
comment on function private.rewrite_line is 'Gives a locked line new words.';

create function private.blank_line(p_community_id uuid, p_message_id bigint, p_struck_reason_id bigint)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.chat_messages as m
  set
    content = '', facts = case when m.type = 'system' then '{}'::jsonb end,
    deleted_at = coalesce(m.deleted_at, private.clock()),
    struck_reason_id = coalesce(p_struck_reason_id, m.struck_reason_id)
  where m.community_id = p_community_id and m.id = p_message_id;
  perform private.tell_community(p_community_id, 'message_changed', jsonb_build_object('message_id', p_message_id));
end;
$$;
comment on function private.blank_line is
'Empties a locked line for good: deleted by its author or, where a reason is given, struck by a moderator.';

create function private.erase_lines_of(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  update private.chat_messages as m
  set content = '', deleted_at = coalesce(m.deleted_at, private.clock())
  where (m.community_id, m.id) in (
    select o.community_id, o.id
    from private.community_members as s
    join private.chat_messages as o on o.community_id = s.community_id and o.user_id = s.user_id
    where s.user_id = p_user_id and o.content <> ''
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  if v_gone = 0 then
    delete from private.chamber_marks as c
    where (c.community_id, c.user_id) in (
      select o.community_id, o.user_id from private.community_members as o where o.user_id = p_user_id
    );
    delete from private.quiet_acts as q
    where (q.community_id, q.user_id) in (
      select o.community_id, o.user_id from private.community_members as o where o.user_id = p_user_id
    );
  end if;
  return v_gone;
end;
$$;
comment on function private.erase_lines_of is
'Takes the words of up to p_limit plain messages of a person who is erased, leaving tombstones, and with the last of
them their marks and counts; returns how many.';

create function private.move_mark(p_community_id uuid, p_user_id uuid, p_message_id bigint)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.chamber_marks as c (community_id, user_id, last_read_id)
  values (p_community_id, p_user_id, p_message_id)
  on conflict (community_id, user_id) do update
    set last_read_id = excluded.last_read_id
    where c.last_read_id < excluded.last_read_id;
end;
$$;
comment on function private.move_mark is 'Moves a member''s mark forward to a line, never back.';

create function private.begin_reading(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.move_mark(p_community_id, p_user_id, (
    select coalesce(max(m.id), 0) from private.chat_messages as m
    where m.community_id = p_community_id
  ));
end;
$$;
comment on function private.begin_reading is
'Sets the mark of someone who joins at the end: what was said before is not unread.';

create function private.count_unread(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select count(*)::integer
    from (
      select from private.chat_messages as m
      where
        m.community_id = p_community_id and m.user_id <> p_user_id and m.deleted_at is null
        and m.id > coalesce((
          select c.last_read_id from private.chamber_marks as c
          where c.community_id = p_community_id and c.user_id = p_user_id
        ), 0)
        -- Nearly always nobody: asked once, not for each line.
        and m.user_id <> all(array(select e.user_id from private.erasures as e))
      order by m.id
      limit 1000
    ) as unread
  );
end;
$$;
comment on function private.count_unread is
'How many lines others wrote since a member''s mark that still stand: messages and cards, not system lines, nothing
deleted, struck or erased (RULES 3.5). It stops counting at 1000, so that a Chamber long unread costs no more than
that.';
