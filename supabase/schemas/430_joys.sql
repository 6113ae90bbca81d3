-- Joys: declared, witnessed, listed in the Gazette (RULES 4).

create function private.require_joy(p_title text, p_cc_spent integer, p_description text, p_image_url text)
returns void
language plpgsql immutable security definer set search_path = ''
as $$
begin
  perform private.require_title('title', p_title);
  perform private.require_text('description', p_description, 1000, 0);
  perform private.require_amount('cc_spent', p_cc_spent);
  perform private.require_link('image_url', p_image_url);
end;
$$;
comment on function private.require_joy is 'Asks that what is declared makes sense. Refuses: INVALID_INPUT.';

create type private.declared as (
  declaration private.declaration,
  message private.message,
  balance private.balance
);
comment on type private.declared is 'What declare_joy answers, key by attribute.';

create function private.show_declared(p_community_id uuid, p_user_id uuid, p_made jsonb)
returns json
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      json_build_object(
        'declaration', (s.message).declaration, 'message', s.message,
        'balance', private.show_balance_of(p_community_id, p_user_id)
      )
    from private.shown_messages as s
    where s.community_id = p_community_id and s.id = (p_made ->> 'message_id')::bigint
  );
end;
$$;
comment on function private.show_declared is
'What declare_joy answers of a joy declared before, as everything stands now.';

create function private.declare_joy(
  p_community_id uuid, p_title text, p_cc_spent integer, p_description text, p_image_url text, p_request_id uuid
)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_act private.act := private.begin_act(p_community_id);
  v_me private.users := v_act.me;
  v_day private.community_days := v_act.day;
  v_now timestamptz := v_act.at;
  v_id uuid := gen_random_uuid();
  v_message_id bigint := private.next_line_id();
  v_made jsonb := private.claim(
    v_me.id, 'declare_joy', p_request_id,
    jsonb_build_array(p_community_id, p_title, p_cc_spent, p_description, p_image_url),
    jsonb_build_object('declaration_id', v_id, 'message_id', v_message_id), v_now
  );
  v_purse private.purses;
  v_told private.declared;
begin
  if v_made is not null then
    return private.show_declared(p_community_id, v_me.id, v_made);
  end if;
  -- One glance for what most joys are; only what does not pass it is looked at closely.
  if (
    p_title ~ '^[ -~]*[!-~][ -~]*$'
    and char_length(p_title) <= 120 and char_length(p_description) <= 1000
    and p_cc_spent between 1 and 1000000000 and p_image_url is null
  ) is not true then
    perform private.require_joy(p_title, p_cc_spent, p_description, p_image_url);
  end if;
  if not v_day.is_open then
    perform private.require_open(v_day);
  end if;

  v_purse := private.move_coins(
    p_community_id, v_me.id, 'declaration', -p_cc_spent, v_id, v_now, p_cc_spent, null, v_day.days_lived
  );
  if v_purse.user_id is null then
    perform private.refuse_shortage(
      p_community_id, v_me.id, p_cc_spent, private.when_affordable(p_community_id, v_me.id, p_cc_spent)
    );
  end if;
  perform private.write_joy(
    v_id, p_community_id, v_me.id, p_title, p_description, p_cc_spent, p_image_url, v_day.day, v_now
  );
  perform private.write_line(
    v_message_id, p_community_id, v_me.id, 'declaration', '', v_id, null, null, null, v_now
  );
  perform private.tell(
    ('user:' || v_me.id::text, 'balance', jsonb_build_object('community_id', p_community_id)),
    ('community:' || p_community_id::text, 'message', jsonb_build_object('message_id', v_message_id))
  );

  -- The act of acts: told from what is in hand. Reading the three shapes back would be a sixth of its cost.
  v_told.declaration := (
    v_id, p_community_id, v_me.person, p_title, p_description, p_cc_spent, p_image_url, 0, false, v_now
  )::private.declaration;
  v_told.message := (
    v_message_id, p_community_id, 'declaration', v_me.person, '', null, null, '[]', v_told.declaration, null, null, null,
    v_now, null, false, null
  )::private.message;
  v_told.balance := private.balance_on(v_purse, v_day);
  return row_to_json(v_told);
end;
$$;
create function public.declare_joy(
  community_id uuid,
  title text,
  cc_spent integer,
  description text default '',
  image_url text default null,
  request_id uuid default null
)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.declare_joy(
    declare_joy.community_id, declare_joy.title, declare_joy.cc_spent, declare_joy.description, declare_joy.image_url,
    declare_joy.request_id
  );
end;
$$;
comment on function public.declare_joy is
'Declares a joy, for at least 1 CC and at most the purse.

Purse, ledger, declaration and card change together or not at all. title 1 to 120 characters, description up to
1000, image_url a web address, cc_spent in CC. Returns {declaration, message, balance}. Refuses: INSUFFICIENT_CC
{short_by, largest_possible, possible_at}, DAY_CLOSED {possible_at}, INVALID_INPUT, NOT_FOUND, CONFLICT
(request_id).';
grant execute on function public.declare_joy, private.declare_joy to authenticated;

create function private.declaration_of(p_declaration_id uuid)
returns private.declarations
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_declaration private.declarations;
begin
  select d.* into v_declaration from private.declarations as d where d.id = p_declaration_id;
  return v_declaration;
end;
$$;
comment on function private.declaration_of is
'The joy with an id, nulls if there is none; private.require_seen then says whether the caller may know.';

create function private.require_declaration(p_declaration_id uuid)
returns private.declarations
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_declaration private.declarations := private.declaration_of(p_declaration_id);
begin
  perform private.require_seen(v_declaration.community_id, 'declaration');
  return v_declaration;
end;
$$;
comment on function private.require_declaration is
'Returns a declaration of a community the caller is in. Refuses: as require_seen.';
grant execute on function private.require_declaration to authenticated;

create function private.witness_declaration(p_declaration_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_joy private.declarations := private.declaration_of(p_declaration_id);
  v_me uuid := private.require_seen(v_joy.community_id, 'declaration');
  v_count integer;
begin
  if v_joy.user_id = v_me then
    perform private.refuse('CANNOT_WITNESS_OWN', 'A joy is witnessed by others.');
  end if;
  v_count := private.write_witness(v_joy.community_id, v_joy.id, v_me);
  if v_count is null then
    perform private.refuse('CONFLICT', 'You have already witnessed this declaration.');
  end if;

  perform private.notify(
    array[v_joy.user_id], v_joy.community_id, 'witnessed', 'joy_witnessed', 'declaration', v_joy.id, p_by => v_me,
    p_besides => array[(
      'community:' || v_joy.community_id::text, 'witness', jsonb_build_object('declaration_id', v_joy.id)
    )::private.broadcast]
  );
  return jsonb_build_object('witnessed', true, 'witnessed_count', v_count);
end;
$$;
create function public.witness_declaration(declaration_id uuid)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.witness_declaration(witness_declaration.declaration_id);
end;
$$;
comment on function public.witness_declaration is
'Bears witness to a declaration, once per member, and tells its author.

Returns {witnessed, witnessed_count}. Refuses: CANNOT_WITNESS_OWN, CONFLICT, NOT_FOUND.';
grant execute on function public.witness_declaration, private.witness_declaration to authenticated;

create function public.get_declaration(declaration_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_joy private.declarations := private.require_declaration(get_declaration.declaration_id);
begin
  return jsonb_build_object(
    'declaration', (
      select s.declaration from private.shown_declarations as s
      where s.community_id = v_joy.community_id and s.id = v_joy.id
    ),
    'witnesses', (
      select coalesce(jsonb_agg(p.person order by w.created_at, w.user_id), '[]')
      from private.witnesses as w
      join private.shown_people as p on p.id = w.user_id
      where w.community_id = v_joy.community_id and w.declaration_id = v_joy.id
    )
  );
end;
$$;
comment on function public.get_declaration is
'One joy and everyone who bore witness to it, first witness first.

Returns {declaration, witnesses: [person]}. Refuses: NOT_FOUND.';
grant execute on function public.get_declaration to authenticated;

create function private.list_gazette(p_community_id uuid, p_page_size integer, p_before_id uuid, p_author_id uuid)
returns json
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  -- Later than any: a bound that is always there is one the index can begin at.
  v_day date := date 'infinity';
  v_number bigint := 9223372036854775807;
  v_page private.declaration[];
begin
  perform private.require_member(p_community_id);
  perform private.require_page_size(p_page_size);
  if p_before_id is not null then
    select d.day, d.number into v_day, v_number from private.declarations as d
    where d.id = p_before_id and d.community_id = p_community_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such declaration.');
    end if;
  end if;

  -- Two questions, each with an index of its own: everybody's, or one author's. Days grow with numbers, for a day is
  -- held while a joy is declared in it.
  if p_author_id is null then
    v_page := array(
      select s.declaration from private.shown_declarations as s
      where s.community_id = p_community_id and (s.day, s.number) < (v_day, v_number)
      order by s.day desc, s.number desc
      limit p_page_size + 1
    );
  else
    v_page := array(
      select s.declaration from private.shown_declarations as s
      where s.community_id = p_community_id and s.user_id = p_author_id and (s.day, s.number) < (v_day, v_number)
      order by s.day desc, s.number desc
      limit p_page_size + 1
    );
  end if;
  return json_build_object(
    'declarations', to_json(v_page[:p_page_size]), 'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;
comment on function private.list_gazette is
'A page is one statement: its rows by the index they are paged by, each with its author, and made into text once. One
plan serves every community, for where a page is small no other is better, and to weigh it anew would cost as much as
the page.';

create function public.list_gazette(
  community_id uuid, page_size integer default 50, before_id uuid default null, author_id uuid default null
)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.list_gazette(
    list_gazette.community_id, list_gazette.page_size, list_gazette.before_id, list_gazette.author_id
  );
end;
$$;
comment on function public.list_gazette is
'A community''s declarations, newest first, all of them or one author''s; before_id pages on from a declaration.

Returns {declarations: [declaration], has_more}. Refuses: NOT_FOUND, INVALID_INPUT.';
grant execute on function public.list_gazette, private.list_gazette to authenticated;
