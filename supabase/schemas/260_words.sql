-- Words people give that the house repeats in its own sentences: reasons, and the titles of elections (RULES 3.1,
-- 13.2). They stand here alone, each with its author; what tells of them names them by id, so that words struck or
-- erased are gone everywhere at once.

create table private.words (
  community_id uuid not null,
  id bigint generated always as identity,
  author_id uuid,
  content text not null,
  struck_at timestamptz,
  created_at timestamptz not null default private.clock(),
  constraint words_pkey primary key (community_id, id),
  constraint words_community_id_fkey foreign key (community_id) references private.communities (id),
  constraint words_author_id_fkey foreign key (author_id) references private.users (id),
  constraint words_content_length check (char_length(content) <= 280)
);
comment on table private.words is
'Reasons and titles of elections, with whose words they are; null is a steward who gave no name.';
create index words_author_id_idx on private.words (author_id);
alter table private.words enable row level security;
create policy nobody_reads_words on private.words for select to authenticated using (false);

create function private.keep_words(p_community_id uuid, p_author_id uuid, p_content text)
returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  v_id bigint;
begin
  insert into private.words (community_id, author_id, content) values (p_community_id, p_author_id, p_content)
  returning id into v_id;
  return v_id;
end;
$$;
comment on function private.keep_words is 'Keeps words somebody gave, with their author, and returns their id.';

create function private.read_words(p_community_id uuid, p_id bigint)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select w.content from private.words as w
    left join private.users as u on u.id = w.author_id
    where w.community_id = p_community_id and w.id = p_id and w.struck_at is null and u.erased_at is null
  );
end;
$$;
comment on function private.read_words is
'Words as anybody may read them now; null once they are struck or their author is erased. Only for a door that has asked
whose community it is.';

create function private.strike_words(p_community_id uuid, p_id bigint)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.words as w set content = '', struck_at = private.clock()
  where w.community_id = p_community_id and w.id = p_id and w.struck_at is null;
end;
$$;
comment on function private.strike_words is 'Takes words away for good.';

create function private.erase_words_by(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  update private.words as w set content = '', struck_at = private.clock()
  where (w.community_id, w.id) in (
    select o.community_id, o.id from private.words as o
    where o.author_id = p_user_id and o.struck_at is null
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.erase_words_by is
'Takes away up to p_limit of the words an erased person gave; returns how many.';
