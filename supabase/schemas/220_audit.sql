-- The audit log: who did what to whom, for moderators and stewards (RULES 2.3).

create table private.audit_entries (
  id bigint generated always as identity,
  community_id uuid,
  actor_id uuid,
  action text not null,
  subject_id uuid,
  facts jsonb not null default '{}',
  created_at timestamptz not null default private.clock(),
  constraint audit_entries_pkey primary key (id),
  constraint audit_entries_community_id_fkey foreign key (community_id) references private.communities (id),
  constraint audit_entries_actor_id_fkey foreign key (actor_id) references private.users (id),
  constraint audit_entries_subject_id_fkey foreign key (subject_id) references private.users (id)
);
comment on table private.audit_entries is
'What moderators and stewards did in a community or, where community_id is null, stewards in the whole Bureau; the
latter only stewards read. actor_id is null for the house, and for a steward who gave no name. What a steward did is
called steward_something.';
create index audit_entries_community_id_id_idx on private.audit_entries (community_id, id);
create index audit_entries_of_stewards_idx on private.audit_entries (id) where starts_with(action, 'steward_');
create index audit_entries_actor_id_idx on private.audit_entries (actor_id);
create index audit_entries_subject_id_idx on private.audit_entries (subject_id);
alter table private.audit_entries enable row level security;
create policy moderators_read_audit_entries on private.audit_entries for select to authenticated
using (community_id = any(array(select private.my_moderated_communities())));
grant select on private.audit_entries to authenticated;

create function private.record_act(
  p_community_id uuid, p_actor_id uuid, p_action text, p_subject_id uuid default null, p_facts jsonb default '{}',
  p_at timestamptz default private.clock()
)
returns void
language sql security definer set search_path = ''
begin atomic
  insert into private.audit_entries (community_id, actor_id, action, subject_id, facts, created_at)
  values (p_community_id, p_actor_id, p_action, p_subject_id, p_facts, p_at);
end;
comment on function private.record_act is 'Writes one line of the audit log, of a community or (null) of the Bureau.';

create function public.list_audit(community_id uuid, page_size integer default 50, before_id bigint default null)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_page private.audit_entries[];
begin
  perform private.require_moderator(list_audit.community_id);
  perform private.require_page_size(list_audit.page_size);
  v_page := array(
    select e from private.audit_entries as e
    where e.community_id = list_audit.community_id and (before_id is null or e.id < before_id)
    order by e.id desc
    limit page_size + 1
  );
  return jsonb_build_object(
    'entries', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', e.id, 'community_id', e.community_id, 'action', e.action, 'actor', a.person, 'subject', s.person,
        'facts', e.facts, 'created_at', e.created_at
      ) order by e.id desc), '[]')
      from unnest(v_page[:page_size]) as e
      left join private.shown_people as a on a.id = e.actor_id
      left join private.shown_people as s on s.id = e.subject_id
    ),
    'has_more', cardinality(v_page) > page_size
  );
end;
$$;
comment on function public.list_audit is
'The audit log of a community, newest first, for its moderators.

Returns {entries: [{id, community_id, action, actor, subject, facts, created_at}], has_more}; actor and subject are
persons or null. Refuses: NOT_FOUND, FORBIDDEN, INVALID_INPUT.';
grant execute on function public.list_audit to authenticated;
