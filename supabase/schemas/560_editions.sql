-- The Gazette's editions, read and proved (RULES 15).

create view private.shown_items with (security_invoker = on) as
select
  i.community_id,
  i.number,
  i.position,
  i.kind,
  i.digest,
  case when not coalesce(a.is_erased, false) then i.salt end as salt,
  case when not coalesce(a.is_erased, false) then i.content end as content
from private.gazette_items as i
left join private.shown_people as a on i.author_id = a.id
where i.number > 0;
comment on view private.shown_items is
'The sealed items as they may be read now: salt and content are null once the words were struck or their author is
erased. Only for the kernel.';

create function private.read_item(p_content text)
returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return p_content::jsonb;
exception when others then
  return null;
end;
$$;
comment on function private.read_item is
'What an item says; null where it is taken out, or where somebody wrote into it what is no JSON.';

create function private.sunset_of(p_community_id uuid, p_number integer)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select private.read_item(i.content) from private.gazette_items as i
    where i.community_id = p_community_id and i.number = p_number
    order by i.position desc
    limit 1
  );
end;
$$;
comment on function private.sunset_of is 'The last item of an edition, its Sunset, which holds the totals.';

create function private.get_edition(p_community_id uuid, p_number integer)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_edition private.gazette_editions;
  v_items jsonb;
  v_people uuid[];
begin
  perform private.require_member(p_community_id);
  select e.* into v_edition from private.gazette_editions as e
  where e.community_id = p_community_id and e.number = coalesce(p_number, (
    select max(l.number) from private.gazette_editions as l where l.community_id = p_community_id
  ));
  if not found then
    if p_number is not null then
      perform private.refuse('NOT_FOUND', 'There is no such edition.');
    end if;
    return jsonb_build_object('edition', null);
  end if;

  select
    jsonb_agg(
      jsonb_build_object(
        'position', s.position, 'kind', s.kind, 'digest', s.digest, 'salt', s.salt, 'content', s.content
      )
      order by s.position
    ),
    array(
      select distinct p.id
      from unnest(array_agg(s.content)) as c (content), unnest(private.people_in(private.read_item(c.content))) as p (id)
      order by p.id
    )
  into v_items, v_people
  from private.shown_items as s
  where s.community_id = p_community_id and s.number = v_edition.number;
  return jsonb_build_object('edition', jsonb_build_object(
    'number', v_edition.number, 'day', v_edition.day, 'sealed_at', v_edition.sealed_at, 'digest', v_edition.digest,
    'previous_digest', (
      select e.digest from private.gazette_editions as e
      where e.community_id = p_community_id and e.number = v_edition.number - 1
    ),
    'totals', private.sunset_of(p_community_id, v_edition.number) - array['kind', 'day'],
    'items', coalesce(v_items, '[]'), 'people', private.show_people(v_people)
  ));
end;
$$;

create function public.get_edition(community_id uuid, number integer default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_edition(get_edition.community_id, get_edition.number);
end;
comment on function public.get_edition is
'One edition of the Gazette, the last one by default, as it may be read now.

Each Sunset closes one for a day on which something happened. An item''s content is the very JSON text its digest
covers: ids, numbers, days and words, with the names in people. content and salt are null where the words were struck
or their author is erased. Returns {edition}: {number, day, sealed_at, digest, previous_digest, totals: {joys,
cc_spent, expired}, items: [{position, kind, digest, salt, content}], people: [person]}, or null before the first. How
the digests are made: verify_gazette. Refuses: NOT_FOUND (the number too).';
grant execute on function public.get_edition, private.get_edition to authenticated;

create function private.list_editions(p_community_id uuid, p_page_size integer, p_before_id integer)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_page jsonb[];
begin
  perform private.require_member(p_community_id);
  perform private.require_page_size(p_page_size);
  v_page := array(
    select
      jsonb_build_object(
        'number', e.number, 'day', e.day, 'digest', e.digest, 'joys', s.sunset -> 'joys',
        'cc_spent', s.sunset -> 'cc_spent'
      )
    from private.gazette_editions as e
    cross join lateral (select private.sunset_of(e.community_id, e.number) as sunset) as s
    where e.community_id = p_community_id and e.number < coalesce(p_before_id, 2147483647)
    order by e.number desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'editions', to_jsonb(v_page[:p_page_size]), 'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;

create function public.list_editions(community_id uuid, page_size integer default 50, before_id integer default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_editions(list_editions.community_id, list_editions.page_size, list_editions.before_id);
end;
comment on function public.list_editions is
'The Gazette''s editions, newest first.

before_id is an edition''s number: only older ones. Returns {editions: [{number, day, digest, joys, cc_spent}],
has_more}. Refuses: NOT_FOUND, INVALID_INPUT.';
grant execute on function public.list_editions, private.list_editions to authenticated;

create function private.may_be_taken_out(p_item private.gazette_items, p_day date)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return case p_item.kind
    when 'declaration' then exists (
      select
      from private.declarations as d
      join private.users as u on u.id = d.user_id
      where d.community_id = p_item.community_id and d.id = p_item.subject_id and d.user_id = p_item.author_id
        and d.day = p_day and (d.struck_at is not null or u.erased_at is not null)
    )
    when 'proposal' then exists (
      select
      from private.tip_to_tip_proposals as t
      join private.users as u on u.id = t.proposer_id
      where t.community_id = p_item.community_id and t.id = p_item.subject_id and t.proposer_id = p_item.author_id
        and t.status <> 'active' and (t.struck_at is not null or u.erased_at is not null)
    )
    when 'election' then exists (
      select
      from private.elections as e
      join private.words as w on w.community_id = e.community_id and w.id = e.title_id
      where e.community_id = p_item.community_id and e.id = p_item.subject_id and e.created_by = p_item.author_id
        and e.status <> 'active' and w.struck_at is not null
    ) or exists (
      select
      from private.elections as e
      join private.users as u on u.id = e.created_by
      where e.community_id = p_item.community_id and e.id = p_item.subject_id and e.created_by = p_item.author_id
        and u.erased_at is not null
    )
    else false
  end;
end;
$$;
comment on function private.may_be_taken_out is
'Whether a strike or an erasure is behind an item of a day that has no content: the thing it was about says so.';

create function private.item_flaw(p_item private.gazette_items, p_day date)
returns text
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_said jsonb;
begin
  if p_item.salt is null or p_item.content is null then
    return case when not private.may_be_taken_out(p_item, p_day) then 'item_taken_out' end;
  elsif p_item.digest <> private.digest_text(p_item.salt || p_item.content) then
    return 'item_changed';
  end if;
  -- What stands beside the content decides who may take it out: it must be what the content says.
  v_said := private.read_item(p_item.content);
  return case
    when v_said ->> 'kind' is distinct from p_item.kind::text
      or coalesce(v_said ->> 'author_id', v_said ->> 'proposer_id') is distinct from p_item.author_id::text
      or coalesce(
        v_said ->> 'declaration_id', v_said ->> 'proposal_id', v_said ->> 'election_id', v_said ->> 'loan_id',
        v_said ->> 'jashn_id', v_said ->> 'user_id'
      ) is distinct from p_item.subject_id::text
    then 'item_changed'
  end;
end;
$$;
comment on function private.item_flaw is
'What is wrong with a sealed item by itself: item_changed, item_taken_out, or null.';

create function private.find_break(p_community_id uuid, p_from integer, p_to integer)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('number', f.number, 'position', f.position, 'why', f.why)
    from (
      select n.number, null::bigint as position, 'edition_missing' as why
      from generate_series(p_from, p_to) as n (number)
      where not exists (
        select from private.gazette_editions as e
        where e.community_id = p_community_id and e.number = n.number
      )
      union all
      select i.number, i.position, private.item_flaw(i, e.day)
      from private.gazette_editions as e
      join private.gazette_items as i on i.community_id = e.community_id and i.number = e.number
      where e.community_id = p_community_id and e.number between p_from and p_to
      union all
      select s.number, s.expected, 'item_missing'
      from (
        select i.number, i.position, row_number() over (partition by i.number order by i.position) as expected
        from private.gazette_items as i
        where i.community_id = p_community_id and i.number between p_from and p_to
      ) as s
      where s.position <> s.expected
      union all
      select e.number, null, 'edition_changed'
      from private.gazette_editions as e
      left join private.gazette_editions as b on b.community_id = e.community_id and b.number = e.number - 1
      where e.community_id = p_community_id and e.number between p_from and p_to
        and e.digest <> private.digest_edition(e.community_id, e.number, e.day, b.digest, array(
          select i.digest from private.gazette_items as i
          where i.community_id = e.community_id and i.number = e.number
          order by i.position
        ))
    ) as f
    where f.why is not null
    order by f.number, f.position nulls last
    limit 1
  );
end;
$$;
comment on function private.find_break is
'The first place where editions do not hold, of an item before that of its edition; null where all do.';

create function private.missing_last(p_community_id uuid, p_last integer)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_day date := (
    select max(e.day) from private.gazette_editions as e where e.community_id = p_community_id and e.number <= p_last
  );
begin
  return (
    select jsonb_build_object('number', p_last + 1, 'position', null, 'why', 'edition_missing')
    from private.community_days as c
    where c.community_id = p_community_id
      and exists (
        select from private.declarations as d
        where d.community_id = p_community_id and d.day <= c.last_closed_day and d.day > coalesce(v_day, '-infinity')
      )
  );
end;
$$;
comment on function private.missing_last is
'A break where a joy was declared on a closed day after the last edition; null where none was.';

create function private.verify_gazette(p_community_id uuid, p_from_number integer, p_to_number integer)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_last integer;
  v_to integer;
  v_break jsonb;
  v_shown record;
begin
  perform private.require_member(p_community_id);
  perform private.take_turn();
  perform private.require_number('from_number', p_from_number, 1, 2147483647);
  if p_to_number < p_from_number then
    perform private.refuse(
      'INVALID_INPUT', 'to_number must not come before from_number.', jsonb_build_object('field', 'to_number')
    );
  end if;
  -- How many there should be is told by the calendar, how many there are by the editions; either may have been cut.
  select greatest(d.editions, coalesce(max(e.number), 0)) into v_last
  from private.community_days as d
  left join private.gazette_editions as e on e.community_id = d.community_id
  where d.community_id = p_community_id
  group by d.editions;
  v_to := least(coalesce(p_to_number, v_last), v_last, p_from_number::bigint + 399);
  v_break := private.find_break(p_community_id, p_from_number, v_to);
  if v_break is null and v_to = v_last and coalesce(p_to_number, v_last) >= v_last then
    v_break := private.missing_last(p_community_id, v_last);
  end if;
  select count(*) as items, count(*) filter (where s.content is null) as taken_out into v_shown
  from private.shown_items as s
  where s.community_id = p_community_id and s.number between p_from_number and v_to;
  return jsonb_build_object(
    'holds', v_break is null,
    'editions', (
      select count(*) from private.gazette_editions as e
      where e.community_id = p_community_id and e.number between p_from_number and v_to
    ),
    'items', v_shown.items, 'taken_out', v_shown.taken_out,
    'head', (
      select e.digest from private.gazette_editions as e where e.community_id = p_community_id and e.number = v_to and v_to >= p_from_number
    ),
    'first_break', v_break,
    'next_number', case when v_to < least(coalesce(p_to_number, v_last), v_last) then v_to + 1 end
  );
end;
$$;
comment on function private.verify_gazette is
'From a later number on, the digest of the edition before the first is taken as it stands. A missing last edition shows
twice: the calendar counted it, and a joy of a closed day after the last edition belongs to one.';

create function public.verify_gazette(
  community_id uuid, from_number integer default 1, to_number integer default null
)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.verify_gazette(
    verify_gazette.community_id, verify_gazette.from_number, verify_gazette.to_number
  );
end;
comment on function public.verify_gazette is
'Recomputes the Gazette''s chain of editions and says whether it holds; at most 400 editions a call.

An item''s digest is the SHA-256, in lower-case hexadecimal, of its salt followed by its content, in UTF-8: of salt
00112233445566778899aabbccddeeff and content {"a": 1} it is
d0eb18e2422a62e22e381d2f5e6ff19d3762e5da50656f71dacae9dfdbadf223.
An edition''s digest is the same of these lines joined by a line feed (U+000A, none at the end): the community''s id,
the number in decimal, the day as YYYY-MM-DD, the digest of the edition before (an empty line for the first), then the
digest of each item in order of position: of community 00000000-0000-4000-8000-000000000001, number 1, day 2026-03-02
and that one item it is
98858de0232e7d5ac9958eba5c4270032b99815706604211c5b9fd0e197456fd.
Items taken out keep their digest. Returns {holds, editions, items, taken_out, head: the last digest recomputed, or
null, first_break: null or {number, position or null, why}, next_number: where to go on, or null}; why is
edition_missing, edition_changed, item_missing, item_changed or item_taken_out (with no strike and no erasure behind
it). One at a time a person. Refuses: NOT_FOUND, INVALID_INPUT, RATE_LIMITED {most}.';
grant execute on function public.verify_gazette, private.verify_gazette to authenticated;
