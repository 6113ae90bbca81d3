-- Jashn-e-Chas, the weekly honouring of joyful restraint (RULES 10.2, 10.3).

create table private.jashns (
  id uuid not null default gen_random_uuid(),
  community_id uuid not null,
  week_start date not null,
  honored_user_id uuid,
  decided_by text,
  held_at timestamptz not null,
  constraint jashns_pkey primary key (id),
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
create unique index jashns_one_a_week on private.jashns (community_id, week_start);
create index jashns_community_id_honored_user_id_idx on private.jashns (community_id, honored_user_id);
alter table private.jashns enable row level security;
create policy members_read_jashns on private.jashns for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.jashns to authenticated;

create table private.jashn_entries (
  jashn_id uuid not null,
  user_id uuid not null,
  community_id uuid not null,
  eligible boolean not null,
  total_cc_spent integer not null,
  total_declarations integer not null,
  witnessed_received integer not null,
  joined_at timestamptz not null,
  place integer,
  constraint jashn_entries_pkey primary key (jashn_id, user_id),
  constraint jashn_entries_jashn_id_fkey foreign key (jashn_id) references private.jashns (id),
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
  jashn_id uuid not null,
  user_id uuid not null,
  community_id uuid not null,
  message text not null,
  created_at timestamptz not null default private.clock(),
  edited_at timestamptz,
  constraint jashn_celebrations_pkey primary key (jashn_id, user_id),
  constraint jashn_celebrations_jashn_id_fkey foreign key (jashn_id) references private.jashns (id),
  constraint jashn_celebrations_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint jashn_celebrations_message_length check (char_length(message) between 1 and 280)
);
comment on table private.jashn_celebrations is 'What members wrote to the honoured one, one message each.';
create index jashn_celebrations_community_id_user_id_idx on private.jashn_celebrations (community_id, user_id);
alter table private.jashn_celebrations enable row level security;
create policy members_read_jashn_celebrations on private.jashn_celebrations for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.jashn_celebrations to authenticated;

create table private.jashn_calendar (
  community_id uuid not null,
  look_at timestamptz not null,
  constraint jashn_calendar_pkey primary key (community_id),
  constraint jashn_calendar_community_id_fkey foreign key (community_id) references private.communities (id)
)
with (fillfactor = 80);
comment on table private.jashn_calendar is
'When to look next whether a community''s Jashn is due: five minutes after each of its Dawns, and not only on
Sundays, for a Dawn may have brought another zone, where Sunday comes sooner or later.';
create index jashn_calendar_look_at_idx on private.jashn_calendar (look_at);
alter table private.jashn_calendar enable row level security;
create policy nobody_reads_jashn_calendar on private.jashn_calendar for select to authenticated using (false);

create function private.enter_jashn_calendar()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.jashn_calendar (community_id, look_at)
  values (new.community_id, new.dawn_at + interval '5 minutes')
  on conflict (community_id) do nothing;
  return null;
end;
$$;
comment on function private.enter_jashn_calendar is
'Enters a community that begins its first day: founding is a room below and knows nothing of honours. No Jashn can be
due before its first Dawn.';
create trigger community_days_enter_jashn_calendar
after insert on private.community_days
for each row execute function private.enter_jashn_calendar();

create function private.record_jashn(p_community_id uuid, p_week_start date, p_timezone text, p_now timestamptz)
returns private.jashns
language sql security definer set search_path = ''
begin atomic
  with reckoning as materialized (
    select r.* from private.reckon(p_community_id, p_week_start, p_timezone) as r
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
      jashn_id, community_id, user_id, eligible, total_cc_spent, total_declarations, witnessed_received, joined_at,
      place
    )
    select
      h.id,
      p_community_id,
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

create function private.find_jashn_due(
  p_community_id uuid, p_now timestamptz, out week_start date, out zone text, out look_at timestamptz
)
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_today record := private.day_at(p_community_id, p_now);
  v_sunday date := private.week_of(v_today.day);
  v_hour timestamptz := private.dawn_of(v_today.timezone, v_sunday) + interval '5 minutes';
begin
  zone := v_today.timezone;
  if p_now < v_hour then
    look_at := v_hour;
    return;
  end if;
  look_at := private.dawn_of(zone, v_today.day + 1) + interval '5 minutes';
  select v_sunday - 7 into week_start
  from private.communities as c
  where c.id = p_community_id and (c.created_at at time zone zone)::date < v_sunday
    and not exists (
      select from private.jashns as j where j.community_id = p_community_id and j.week_start = v_sunday - 7
    );
end;
$$;
comment on function private.find_jashn_due is
'The week whose Jashn is to be held in a community now, null if none is, and when to look again. Only the last ended
week, from its Sunday 00:05 on, and not one that ended before the community was founded (RULES 10.3).';

create function private.honour_week(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_due record := private.find_jashn_due(p_community_id, p_now);
  v_jashn private.jashns;
  v_entry private.jashn_entries;
begin
  update private.jashn_calendar as k set look_at = v_due.look_at where k.community_id = p_community_id;
  if v_due.week_start is null then
    return 0;
  end if;
  v_jashn := private.record_jashn(p_community_id, v_due.week_start, v_due.zone, p_now);
  if v_jashn.honored_user_id is not null then
    select e.* into v_entry from private.jashn_entries as e
    where e.jashn_id = v_jashn.id and e.user_id = v_jashn.honored_user_id;
    perform private.announce(
      p_community_id, 'jashn_held',
      format(
        'Jashn-e-Chas honours %s: %s joys for %s CC in the week of %s.', private.name_of(v_jashn.honored_user_id),
        v_entry.total_declarations, v_entry.total_cc_spent, v_jashn.week_start
      ),
      jsonb_build_object(
        'jashn_id', v_jashn.id, 'user_id', v_jashn.honored_user_id, 'week_start', v_jashn.week_start
      ),
      p_now
    );
    perform private.notify(
      array[v_jashn.honored_user_id], p_community_id, 'jashn_e_chas', 'jashn', v_jashn.id,
      'Jashn-e-Chas honours you', format('For joyful restraint in the week of %s.', v_jashn.week_start), false, p_now
    );
  end if;
  return (v_jashn.id is not null)::integer;
end;
$$;
comment on function private.honour_week is
'Holds a community''s Jashn if one is due, and tells the honoured one and the Chamber; returns how many it held, 0 or
1. A week in which nobody was eligible is recorded, and told to nobody.';

create function private.jashns_due(p_now timestamptz, p_limit integer, p_except uuid[])
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_community_id uuid;
  v_found record;
  v_due uuid [] := array[]::uuid [];
begin
  for v_community_id in
    select k.community_id from private.jashn_calendar as k
    where k.look_at <= p_now and k.community_id <> all (p_except)
    order by k.look_at
    limit 1000
    for no key update skip locked
  loop
    exit when cardinality(v_due) = p_limit;
    begin
      v_found := private.find_jashn_due(v_community_id, p_now);
      if v_found.week_start is null then
        update private.jashn_calendar as k set look_at = v_found.look_at where k.community_id = v_community_id;
      else
        v_due := v_due || v_community_id;
      end if;
    exception when others then
      -- Whatever is wrong there will be met again, and recorded, when the job serves it alone.
      v_due := v_due || v_community_id;
    end;
  end loop;
  return v_due;
end;
$$;
comment on function private.jashns_due is
'Up to p_limit communities whose Jashn is to be held now, but for those in p_except. It looks at up to 1000 calendars
a call and turns those with nothing due to their next look.';

create view private.shown_celebrations with (security_invoker = on) as
select
  c.jashn_id,
  c.user_id,
  c.created_at,
  jsonb_build_object(
    'user', p.person, 'message', c.message, 'created_at', c.created_at, 'edited_at', c.edited_at
  ) as celebration
from private.jashn_celebrations as c
inner join private.shown_people as p on c.user_id = p.id;
comment on view private.shown_celebrations is 'What get_jashn and celebrate_jashn show of a celebration.';
grant select on private.shown_celebrations to authenticated;

create view private.shown_jashns with (security_invoker = on) as
select
  j.id,
  j.community_id,
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
              order by e.place, w.person ->> 'display_name', e.user_id
            ),
            '[]'
          )
        from private.jashn_entries as e
        inner join private.shown_people as w on e.user_id = w.id
        where e.jashn_id = j.id
      ),
      'decided_by', j.decided_by
    ),
    'celebrations', (
      select coalesce(jsonb_agg(c.celebration order by c.created_at, c.user_id), '[]')
      from private.shown_celebrations as c
      where c.jashn_id = j.id
    ),
    'held_at', j.held_at
  ) as jashn
from private.jashns as j
left join private.jashn_entries as h on j.id = h.jashn_id and j.honored_user_id = h.user_id
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

create function private.require_jashn(p_jashn_id uuid)
returns private.jashns
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.users := private.require_user();
  v_jashn private.jashns;
begin
  select j.* into v_jashn from private.jashns as j where j.id = p_jashn_id;
  if not found or not private.is_member(v_jashn.community_id, v_me.id) then
    perform private.refuse('NOT_FOUND', 'There is no such Jashn.');
  end if;
  return v_jashn;
end;
$$;
comment on function private.require_jashn is
'Returns a Jashn of a community the caller is in. Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND.';

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
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_jashn private.jashns := private.require_jashn(p_jashn_id);
  v_me uuid := private.caller_id();
  v_is_new boolean;
begin
  perform private.require_celebrable(v_jashn, v_me);
  perform private.require_text('message', p_message, 280);
  insert into private.jashn_celebrations as c (jashn_id, user_id, community_id, message)
  values (p_jashn_id, v_me, v_jashn.community_id, p_message)
  on conflict (jashn_id, user_id) do update
  set message = excluded.message, edited_at = private.clock()
  returning c.edited_at is null into v_is_new;

  if v_is_new and private.is_member(v_jashn.community_id, v_jashn.honored_user_id) then
    perform private.notify(
      array[v_jashn.honored_user_id], v_jashn.community_id, 'jashn_e_chas', 'jashn', p_jashn_id,
      format('%s celebrates you', private.name_of(v_me)), p_message
    );
  end if;
  return jsonb_build_object('celebration', (
    select s.celebration from private.shown_celebrations as s where s.jashn_id = p_jashn_id and s.user_id = v_me
  ));
end;
$$;
comment on function private.celebrate_jashn is
'An edited message is not told again.';
create function public.celebrate_jashn(jashn_id uuid, message text)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.celebrate_jashn(celebrate_jashn.jashn_id, celebrate_jashn.message);
end;
comment on function public.celebrate_jashn is
'Celebrates the honoured one with the caller''s one message (1 to 280 characters); again, it replaces the first.

Any member may but the honoured one, until the next Jashn is held. Returns {celebration}: {user, message,
created_at, edited_at}. Refuses: NOT_FOUND, FORBIDDEN {closed_at} (the next one was held) or {honored_user} (nobody,
or the caller), INVALID_INPUT.';
grant execute on function public.celebrate_jashn, private.celebrate_jashn to authenticated;

create function private.erase_celebrations_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.jashn_celebrations as c where c.user_id = p_user_id;
end;
$$;
comment on function private.erase_celebrations_of is
'Takes away what a person wrote to honoured ones, with their account.';
