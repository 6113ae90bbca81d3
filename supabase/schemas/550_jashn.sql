-- Jashn-e-Chas, the weekly honouring of joyful restraint (RULES 10.2, 10.3).

create table private.jashns (
  community_id uuid not null,
  id uuid not null default gen_random_uuid(),
  week_start date not null,
  honored_user_id uuid,
  decided_by text,
  held_at timestamptz not null,
  constraint jashns_pkey primary key (community_id, id),
  constraint jashns_honored_fkey foreign key (community_id, honored_user_id)
  references private.community_members (community_id, user_id),
  constraint jashns_community_id_fkey foreign key (community_id) references private.communities (id),
  constraint jashns_week_starts_on_sunday check (extract(dow from week_start) = 0),
  constraint jashns_decided_by_known check (
    decided_by in (
      'only_one', 'total_cc_spent', 'total_declarations', 'witnessed_received', 'joined_at', 'user_id'
    )
  ),
  constraint jashns_decided_if_honored check ((honored_user_id is null) = (decided_by is null))
);
comment on table private.jashns is
'Every Jashn held, one a community and week; nobody honoured is a null. decided_by is the figure in which the
honoured one differed from the next, only_one where nobody else was eligible.';
create index jashns_id_idx on private.jashns (id);
create unique index jashns_one_a_week on private.jashns (community_id, week_start);
create index jashns_community_id_honored_user_id_idx on private.jashns (community_id, honored_user_id);
alter table private.jashns enable row level security;
create policy members_read_jashns on private.jashns for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.jashns to authenticated;

create table private.jashn_entries (
  community_id uuid not null,
  jashn_id uuid not null,
  user_id uuid not null,
  eligible boolean not null,
  total_cc_spent integer not null,
  total_declarations integer not null,
  witnessed_received integer not null,
  joined_at timestamptz not null,
  place integer,
  constraint jashn_entries_pkey primary key (community_id, jashn_id, user_id),
  constraint jashn_entries_jashn_fkey foreign key (community_id, jashn_id) references private.jashns (community_id, id),
  constraint jashn_entries_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint jashn_entries_place_if_eligible check ((place is not null) = eligible)
);
comment on table private.jashn_entries is
'The reckoning of each Jashn: everyone who was a member when it was held, each figure of their week, the place of the
eligible.';
create index jashn_entries_community_id_user_id_idx on private.jashn_entries (community_id, user_id);
alter table private.jashn_entries enable row level security;
create policy members_read_jashn_entries on private.jashn_entries for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.jashn_entries to authenticated;

create table private.jashn_celebrations (
  community_id uuid not null,
  jashn_id uuid not null,
  user_id uuid not null,
  message text not null,
  created_at timestamptz not null default private.clock(),
  edited_at timestamptz,
  constraint jashn_celebrations_pkey primary key (community_id, jashn_id, user_id),
  constraint jashn_celebrations_message_length check (char_length(message) between 1 and 280)
);
comment on table private.jashn_celebrations is
'What members wrote to the honoured one, one message each; user_id is whose words they are. No foreign keys: the act
that writes one has found the Jashn and holds the member''s row.';
create index jashn_celebrations_community_id_user_id_idx on private.jashn_celebrations (community_id, user_id);
alter table private.jashn_celebrations enable row level security;
create policy members_read_jashn_celebrations on private.jashn_celebrations for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.jashn_celebrations to authenticated;

create function private.record_jashn(p_community_id uuid, p_week_start date, p_now timestamptz)
returns private.jashns
language sql security definer set search_path = ''
begin atomic
  with reckoning as materialized (
    select r.* from private.reckon(p_community_id, p_week_start) as r
  ),

  verdict as (
    select
      a.user_id,
      case
        when b.user_id is null then 'only_one'
        when a.total_cc_spent <> b.total_cc_spent then 'total_cc_spent'
        when a.total_declarations <> b.total_declarations then 'total_declarations'
        when a.witnessed_received <> b.witnessed_received then 'witnessed_received'
        when a.joined_at <> b.joined_at then 'joined_at'
        else 'user_id'
      end as decided_by
    from reckoning as a
    left join reckoning as b on b.place = 2
    where a.place = 1
  ),

  held as (
    insert into private.jashns (community_id, week_start, honored_user_id, decided_by, held_at)
    select
      p_community_id,
      p_week_start,
      (select v.user_id from verdict as v),
      (select v.decided_by from verdict as v),
      p_now
    on conflict (community_id, week_start) do nothing
    returning *
  ),

  kept as (
    insert into private.jashn_entries (
      community_id, jashn_id, user_id, eligible, total_cc_spent, total_declarations, witnessed_received, joined_at,
      place
    )
    select
      p_community_id,
      h.id,
      r.user_id,
      r.eligible,
      r.total_cc_spent,
      r.total_declarations,
      r.witnessed_received,
      r.joined_at,
      r.place
    from held as h
    cross join reckoning as r
  )

  select h.* from held as h;
end;
comment on function private.record_jashn is
'Holds the Jashn of a week with its reckoning, in one statement, so of one moment; null if it was held before.';

create function private.note_jashn(p_jashn private.jashns)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_entry private.jashn_entries;
begin
  select e.* into v_entry from private.jashn_entries as e
  where e.community_id = p_jashn.community_id and e.jashn_id = p_jashn.id and e.user_id = p_jashn.honored_user_id;
  if not found then
    return;
  end if;
  perform private.announce(
    p_jashn.community_id, 'jashn_held',
    jsonb_build_object(
      'jashn_id', p_jashn.id, 'user_id', p_jashn.honored_user_id, 'week_start', p_jashn.week_start,
      'total_declarations', v_entry.total_declarations, 'total_cc_spent', v_entry.total_cc_spent
    ),
    p_jashn.held_at
  );
  perform private.notify(
    array[p_jashn.honored_user_id], p_jashn.community_id, 'jashn_e_chas', 'jashn_honours_you', 'jashn', p_jashn.id,
    jsonb_build_object('week_start', p_jashn.week_start), p_at => p_jashn.held_at
  );
end;
$$;
comment on function private.note_jashn is
'Tells of a Jashn the Chamber and the honoured one. A week in which nobody was eligible is told to nobody.';

create function private.honour_week(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  -- Alone, for the calendar's row is written: a late Dawn is settled first, which may have brought another zone.
  v_day private.community_days := private.hold_day_alone(p_community_id, p_now);
  v_timezone text;
  v_jashn private.jashns;
begin
  if v_day.jashn_look_at > p_now then
    return 0;
  end if;
  v_timezone := (select c.timezone from private.communities as c where c.id = p_community_id);
  perform private.turn_jashn_look(p_community_id, private.next_jashn_look(v_timezone, v_day.day));
  v_jashn := private.record_jashn(p_community_id, private.week_of(v_day.day) - 7, p_now);
  if v_jashn.id is null then
    return 0;
  end if;
  perform private.note_jashn(v_jashn);
  perform private.note_item(p_community_id, 'jashn', v_jashn.id, (
    select jsonb_build_object(
      'jashn_id', v_jashn.id, 'week_start', v_jashn.week_start, 'user_id', v_jashn.honored_user_id,
      'total_declarations', coalesce(sum(e.total_declarations), 0), 'total_cc_spent', coalesce(sum(e.total_cc_spent), 0)
    )
    from private.jashn_entries as e
    where e.community_id = p_community_id and e.jashn_id = v_jashn.id and e.user_id = v_jashn.honored_user_id
  ), p_at => p_now);
  return 1;
end;
$$;
comment on function private.honour_week is
'Holds a community''s Jashn if one is due, and tells of it; returns how many it held, 0 or 1. Only that of the last
week that has ended, however late (RULES 10.3).';

create function private.jashns_due(p_now timestamptz, p_limit integer, p_except uuid[])
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(
    select d.community_id from private.community_days as d
    where d.jashn_look_at <= p_now and d.community_id <> all(p_except)
    order by d.jashn_look_at
    limit p_limit
  );
end;
$$;
comment on function private.jashns_due is
'Up to p_limit communities whose Jashn is to be held now, but for those in p_except. Nobody is locked here: a busy
community would be skipped for ever.';

create type private.celebration as ("user" json, message text, created_at timestamptz, edited_at timestamptz);
comment on type private.celebration is 'A celebration as get_jashn and celebrate_jashn show it, key by attribute.';

create view private.shown_celebrations with (security_invoker = on) as
select
  c.community_id,
  c.jashn_id,
  c.user_id,
  c.created_at,
  row(p.person, c.message, c.created_at, c.edited_at)::private.celebration as celebration
from private.jashn_celebrations as c
inner join private.shown_people as p on c.user_id = p.id and not p.is_erased;
comment on view private.shown_celebrations is
'What get_jashn and celebrate_jashn show of a celebration; none of an erased person.';
grant select on private.shown_celebrations to authenticated;

create view private.shown_jashns with (security_invoker = on) as
select
  j.community_id,
  j.id,
  j.week_start,
  jsonb_build_object(
    'id', j.id, 'community_id', j.community_id, 'week_start', j.week_start, 'week_end', j.week_start + 6,
    'honored_user', p.person,
    'total_declarations', coalesce(h.total_declarations, 0), 'total_cc_spent', coalesce(h.total_cc_spent, 0),
    'reckoning', jsonb_build_object(
      'entries', (
        select
          coalesce(
            jsonb_agg(
              jsonb_build_object(
                'user', w.person, 'eligible', e.eligible, 'total_cc_spent', e.total_cc_spent,
                'total_declarations', e.total_declarations, 'witnessed_received', e.witnessed_received,
                'joined_at', e.joined_at
              )
              order by e.place, w.display_name, e.user_id
            ),
            '[]'
          )
        from private.jashn_entries as e
        inner join private.shown_people as w on e.user_id = w.id
        where e.community_id = j.community_id and e.jashn_id = j.id
      ),
      'decided_by', j.decided_by
    ),
    'celebrations', (
      select coalesce(jsonb_agg(c.celebration order by c.created_at, c.user_id), '[]')
      from private.shown_celebrations as c
      where c.community_id = j.community_id and c.jashn_id = j.id
    ),
    'held_at', j.held_at
  ) as jashn
from private.jashns as j
left join private.jashn_entries as h
  on j.community_id = h.community_id and j.id = h.jashn_id and j.honored_user_id = h.user_id
left join private.shown_people as p on j.honored_user_id = p.id;
comment on view private.shown_jashns is
'The shape jashn; its figures are the honoured one''s, 0 where nobody was. The reckoning shows the eligible first, in
the order that decided.';
grant select on private.shown_jashns to authenticated;

create function public.get_jashn(community_id uuid, week_start date default null)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_week date;
begin
  perform private.require_member(get_jashn.community_id);
  v_week := coalesce(
    private.require_week(get_jashn.week_start),
    (select max(j.week_start) from private.jashns as j where j.community_id = get_jashn.community_id)
  );
  return jsonb_build_object('jashn', (
    select s.jashn from private.shown_jashns as s
    where s.community_id = get_jashn.community_id and s.week_start = v_week
  ));
end;
$$;
comment on function public.get_jashn is
'The Jashn of one week, the last one held by default.

week_start, any of its days, names the week; reading never holds one. Returns {jashn}: {id, community_id,
week_start, week_end, honored_user, total_declarations, total_cc_spent, reckoning: {entries: [{user, eligible,
total_cc_spent, total_declarations, witnessed_received, joined_at}], decided_by}, celebrations: [{user, message,
created_at, edited_at}], held_at}, or null if none was held. decided_by: only_one, total_cc_spent,
total_declarations, witnessed_received, joined_at, user_id; null, like honored_user, where nobody was eligible.
Refuses: NOT_FOUND, INVALID_INPUT.';
grant execute on function public.get_jashn to authenticated;

create function private.require_celebrable(p_jashn private.jashns, p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_next timestamptz := (
    select min(j.held_at) from private.jashns as j
    where j.community_id = p_jashn.community_id and j.week_start > p_jashn.week_start
  );
begin
  if v_next is not null then
    perform private.refuse('FORBIDDEN', 'The next Jashn has been held: this one is celebrated no more.',
      jsonb_build_object('closed_at', v_next));
  elsif p_jashn.honored_user_id is null then
    perform private.refuse('FORBIDDEN', 'Nobody was honoured in that week.', '{"honored_user": null}');
  elsif p_jashn.honored_user_id = p_user_id then
    perform private.refuse('FORBIDDEN', 'The others celebrate you.', jsonb_build_object('honored_user', p_user_id));
  end if;
end;
$$;
comment on function private.require_celebrable is
'Asks that a Jashn honours somebody else and is still the last one held. Refuses: FORBIDDEN {closed_at} or
{honored_user}.';

create function private.celebrate_jashn(p_jashn_id uuid, p_message text)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_me uuid := private.caller_id();
  v_jashn private.jashns;
  v_celebration private.celebration;
begin
  -- The Jashn, and a membership that does not end meanwhile.
  select j.* into v_jashn
  from private.jashns as j
  join private.community_members as m on m.community_id = j.community_id and m.user_id = v_me and m.left_at is null
  where j.id = p_jashn_id and private.is_able(v_me)
  for key share of m;
  if not found then
    perform private.require_seen(null, 'Jashn');
  end if;
  perform private.require_celebrable(v_jashn, v_me);
  perform private.require_text('message', p_message, 280);
  perform private.count_quiet_act(v_jashn.community_id, v_me, (
    select d.jashn_look_at from private.community_days as d where d.community_id = v_jashn.community_id
  ));
  insert into private.jashn_celebrations as c (community_id, jashn_id, user_id, message, created_at)
  values (v_jashn.community_id, p_jashn_id, v_me, p_message, v_now)
  on conflict (community_id, jashn_id, user_id) do update
  set message = excluded.message, edited_at = v_now
  returning (private.find_person(v_me)).person, c.message, c.created_at, c.edited_at into v_celebration;

  if v_celebration.edited_at is null then
    perform private.notify(
      array[v_jashn.honored_user_id], v_jashn.community_id, 'jashn_e_chas', 'jashn_celebrated', 'jashn', p_jashn_id,
      p_by => v_me, p_at => v_now
    );
  end if;
  return json_build_object('celebration', v_celebration);
end;
$$;
comment on function private.celebrate_jashn is 'An edited message is not told again.';

create function public.celebrate_jashn(jashn_id uuid, message text)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.celebrate_jashn(celebrate_jashn.jashn_id, celebrate_jashn.message);
end;
$$;
comment on function public.celebrate_jashn is
'Celebrates the honoured one with the caller''s one message (1 to 280 characters); again, it replaces the first.

Any member may but the honoured one, until the next Jashn is held. Returns {celebration}: {user, message,
created_at, edited_at}. Refuses: NOT_FOUND, FORBIDDEN {closed_at} (the next one was held) or {honored_user} (nobody,
or the caller), RATE_LIMITED {most, possible_at, retry_after} (thirty a minute), INVALID_INPUT.';
grant execute on function public.celebrate_jashn, private.celebrate_jashn to authenticated;

create function private.erase_celebrations_of(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from private.jashn_celebrations as c
  where (c.community_id, c.jashn_id, c.user_id) in (
    select o.community_id, o.jashn_id, o.user_id
    from private.community_members as m
    join private.jashn_celebrations as o on o.community_id = m.community_id and o.user_id = m.user_id
    where m.user_id = p_user_id
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.erase_celebrations_of is
'Deletes up to p_limit of what a person who is erased wrote to honoured ones; returns how many.';

create function private.list_honours(p_community_id uuid, p_page_size integer, p_before_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_before date := date 'infinity';
  v_page jsonb[];
begin
  perform private.require_member(p_community_id);
  perform private.require_page_size(p_page_size);
  if p_before_id is not null then
    select j.week_start into v_before from private.jashns as j
    where j.community_id = p_community_id and j.id = p_before_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such Jashn.');
    end if;
  end if;
  v_page := array(
    select
      jsonb_build_object(
        'id', j.id, 'week_start', j.week_start, 'week_end', j.week_start + 6, 'honored_user', p.person,
        'total_cc_spent', coalesce(h.total_cc_spent, 0),
        'celebrations', (
          select count(*) from private.shown_celebrations as c
          where c.community_id = j.community_id and c.jashn_id = j.id
        )
      )
    from private.jashns as j
    left join private.jashn_entries as h
      on h.community_id = j.community_id and h.jashn_id = j.id and h.user_id = j.honored_user_id
    left join private.shown_people as p on p.id = j.honored_user_id
    where j.community_id = p_community_id and j.week_start < v_before
    order by j.week_start desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'honours', to_jsonb(v_page[:p_page_size]), 'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;

create function public.list_honours(community_id uuid, page_size integer default 50, before_id uuid default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_honours(list_honours.community_id, list_honours.page_size, list_honours.before_id);
end;
comment on function public.list_honours is
'Every Jashn held in a community, newest first, those that honoured nobody too.

before_id is a Jashn''s id: only older ones. Returns {honours: [{id, week_start, week_end, honored_user (a person or
null), total_cc_spent, celebrations (how many)}], has_more}. Refuses: NOT_FOUND (the anchor too), INVALID_INPUT.';
grant execute on function public.list_honours, private.list_honours to authenticated;
