-- The audit log: who did what to whom, for moderators and stewards (RULES 2.3). Entries are facts; the sentence is made
-- when it is read.

create table private.audit_entries (
  community_id uuid not null,
  id bigint generated always as identity,
  actor_id uuid,
  action text not null,
  subject_id uuid,
  facts jsonb not null default '{}',
  created_at timestamptz not null default private.clock(),
  constraint audit_entries_pkey primary key (community_id, id),
  constraint audit_entries_community_id_fkey foreign key (community_id) references private.communities (id),
  constraint audit_entries_actor_id_fkey foreign key (actor_id) references private.users (id),
  constraint audit_entries_subject_id_fkey foreign key (subject_id) references private.users (id)
);
comment on table private.audit_entries is
'What moderators and stewards did in a community. actor_id is null for the house, and for a steward who gave no name.
What a steward did is called steward_something.';
create index audit_entries_of_stewards_idx on private.audit_entries (id) where starts_with(action, 'steward_');
create index audit_entries_actor_id_idx on private.audit_entries (actor_id);
create index audit_entries_subject_id_idx on private.audit_entries (subject_id);
alter table private.audit_entries enable row level security;
grant select on private.audit_entries to authenticated;
-- Its policy stands in 296_moderators, which knows who moderates.

create table private.bureau_acts (
  id bigint not null default nextval('private.audit_entries_id_seq'),
  actor_id uuid,
  action text not null,
  subject_id uuid,
  reason text,
  facts jsonb not null default '{}',
  created_at timestamptz not null default private.clock(),
  constraint bureau_acts_pkey primary key (id),
  constraint bureau_acts_actor_id_fkey foreign key (actor_id) references private.users (id),
  constraint bureau_acts_subject_id_fkey foreign key (subject_id) references private.users (id)
);
comment on table private.bureau_acts is
'What stewards did in the whole Bureau, in no community; only stewards read it. Ids grow together with those of
audit_entries, so that both are told in one order. The reason''s author is the actor.';
create index bureau_acts_actor_id_idx on private.bureau_acts (actor_id);
create index bureau_acts_subject_id_idx on private.bureau_acts (subject_id);
alter table private.bureau_acts enable row level security;
create policy nobody_reads_bureau_acts on private.bureau_acts for select to authenticated using (false);

create function private.record_act(
  p_community_id uuid, p_actor_id uuid, p_action text, p_subject_id uuid default null, p_facts jsonb default '{}',
  p_at timestamptz default private.clock()
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.audit_entries (community_id, actor_id, action, subject_id, facts, created_at)
  values (p_community_id, p_actor_id, p_action, p_subject_id, p_facts, p_at);
end;
$$;
comment on function private.record_act is 'Writes one entry of a community''s audit log.';

create function private.record_bureau_act(
  p_actor_id uuid, p_action text, p_subject_id uuid, p_reason text default null, p_facts jsonb default '{}'
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.bureau_acts (actor_id, action, subject_id, reason, facts)
  values (p_actor_id, p_action, p_subject_id, p_reason, p_facts);
end;
$$;
comment on function private.record_bureau_act is 'Writes down what a steward did in the whole Bureau.';

create function private.erase_bureau_reasons_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.bureau_acts as a set reason = null where a.actor_id = p_user_id and a.reason is not null;
end;
$$;
comment on function private.erase_bureau_reasons_of is 'Takes away the reasons an erased steward gave.';
