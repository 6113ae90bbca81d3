-- CHAS 0.2.0: the rooms of supabase/schemas, one after the other, as they were released.

-- The ground the rooms stand on: the private schema, closed defaults and the settings of the whole Bureau.
--
-- What every call passes through is plpgsql even where it is one statement: a SQL function that is not inlined (none
-- with a search_path of its own is) is read and planned anew for each call, a plpgsql one once for each session. For
-- the same reason a long check on a busy table is one call of an immutable function.
--
-- Advisory locks, the only list of them. Each family has a class of its own, the first of two keys, so that no lock of
-- another program and no lock of another family is ever mistaken for one of these:
--   1128792066  a position: a line of a Chamber is being written (250_lines)
--   1128792067  a day: shared by whoever acts in it, alone for whoever turns it or changes its members (330_days)
--   1128792068  a member's lines: counted against the limits one after the other (250_lines)
--   1128792069  a person's turn: of readings that are much work, one at a time (110_standing)
--   1128792070  a move: a community is coming into this database (supabase/local/move.py)
--   1128792071  a member's leaving: asked for twice, it waits here and for nobody's day (490_leaving)

create extension if not exists pgcrypto with schema extensions;
create extension if not exists pg_cron;

create schema private;
comment on schema private is
'Everything but the doors: tables, row level security, and the functions behind the doors. Never exposed by the API.';
grant usage on schema private to authenticated, service_role;

-- Nothing is open unless a line beside it opens it, whatever the project's switch for new entities says.
alter default privileges revoke execute on functions from public;
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;

create table private.settings (
  id boolean not null default true,
  enforce_invites boolean,
  address_key bytea,
  database_number integer,
  constraint settings_pkey primary key (id),
  constraint settings_single_row check (id),
  constraint settings_database_number_range check (database_number between 0 and 1023)
);
comment on table private.settings is
'The one row of settings of the whole Bureau, made when first needed; no row, or a null, means the default.';
comment on column private.settings.enforce_invites is
'Whether admission needs an invite; null means never set, which means on.';
comment on column private.settings.address_key is
'The secret under which e-mail addresses are hashed; drawn at random when first needed, and never shown.';
comment on column private.settings.database_number is
'Which of several databases of one Bureau this is (private.number_database); null while it is the only one.';
alter table private.settings enable row level security;
create policy nobody_reads_settings on private.settings for select to authenticated using (false);

create function private.invites_enforced()
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((select s.enforce_invites from private.settings as s), true);
end;
$$;
comment on function private.invites_enforced is
'Whether the gate of invites is up (RULES 1.2); on unless somebody turned it off.';

create function private.initialize_settings(p_enforce_invites boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.settings as s (enforce_invites) values (p_enforce_invites)
  on conflict (id) do update set enforce_invites = excluded.enforce_invites where s.enforce_invites is null;
  return jsonb_build_object('enforce_invites', private.invites_enforced());
end;
$$;

create function public.initialize_settings(enforce_invites boolean)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.initialize_settings(initialize_settings.enforce_invites);
end;
comment on function public.initialize_settings is
'Gives the setting enforce_invites its starting value, once; a value somebody has set stays.

Called by the edge when it starts. Returns {enforce_invites}: what is in force.';
grant execute on function public.initialize_settings, private.initialize_settings to service_role;

create function private.hash_address(p_email text)
returns bytea
language plpgsql security definer set search_path = ''
as $$
declare
  v_key bytea := (select s.address_key from private.settings as s);
begin
  if v_key is null then
    insert into private.settings as s (address_key) values (extensions.gen_random_bytes(32))
    on conflict (id) do update set address_key = coalesce(s.address_key, excluded.address_key)
    returning s.address_key into v_key;
  end if;
  return extensions.hmac(convert_to(lower(btrim(p_email)), 'UTF8'), v_key, 'sha256');
end;
$$;
comment on function private.hash_address is
'An e-mail address as the house remembers it: a keyed hash without regard to case and blanks around it; null for null.
Whoever has the database without its key cannot try addresses against it.';

create function private.note_number(p_number integer, p_address_key bytea)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.settings as s (database_number, address_key)
  values (p_number, coalesce(p_address_key, extensions.gen_random_bytes(32)))
  on conflict (id) do update
  set database_number = excluded.database_number, address_key = coalesce(s.address_key, excluded.address_key);
end;
$$;
comment on function private.note_number is
'Writes down which of several databases this is, and the key it hashes addresses under if it has none.';

-- The one clock every rule about time asks.

create function private.clock()
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_moved text := nullif(current_setting('chas.now', true), '');
begin
  if v_moved is null then
    return now();
  end if;
  -- Anybody may set chas.time_travel for their own session; only a superuser may write it on the database.
  if exists (
    select from pg_catalog.pg_db_role_setting as s
    where s.setdatabase = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
      and s.setrole = 0
      and 'chas.time_travel=on' = any(s.setconfig)
  ) then
    return v_moved::timestamptz;
  end if;
  return now();
end;
$$;
comment on function private.clock is
'The time of the transaction; every rule about time asks here.

In a database on which a superuser has set chas.time_travel = on, a non-empty setting chas.now replaces it.';
grant execute on function private.clock to authenticated, service_role;

-- The vocabulary of refusals (RULES 12).

create function private.refusal_codes(out code text, out status integer)
returns setof record
language sql immutable set search_path = ''
begin atomic
  select
    r.code,
    r.status
  from (
    values
    ('INSUFFICIENT_CC', 400),
    ('UNAUTHORIZED', 401),
    ('INVITE_REQUIRED', 403),
    ('FORBIDDEN', 403),
    ('NOT_ELECTOR', 403),
    ('CANNOT_WITNESS_OWN', 403),
    ('INVITE_EMAIL_MISMATCH', 403),
    ('EMAIL_UNCONFIRMED', 403),
    ('NOT_FOUND', 404),
    ('CONFLICT', 409),
    ('ALREADY_VOTED', 409),
    ('ELECTION_CLOSED', 409),
    ('PROPOSAL_EXPIRED', 409),
    ('ACTIVE_TIP_TO_TIP_EXISTS', 409),
    ('NO_ELECTORS', 409),
    ('LAST_MODERATOR', 409),
    ('INVITE_UNAVAILABLE', 409),
    ('REQUEST_LAPSED', 409),
    ('EDIT_WINDOW_PASSED', 409),
    ('DAY_CLOSED', 409),
    ('DEBT_LIMIT', 409),
    ('INVALID_INPUT', 422),
    ('RATE_LIMITED', 429),
    ('READ_REPLICA', 503)
  ) as r (code, status);
end;
comment on function private.refusal_codes is
'Every refusal code with its HTTP status: the one list. The edge, the tests, the types and the reference are held
against it.';

create function private.refuse(p_code text, p_message text, p_facts jsonb default '{}')
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- PostgREST takes only a string as details, and wants both status and headers in the detail.
  raise sqlstate 'PGRST' using
    message = json_build_object('code', p_code, 'message', p_message, 'details', p_facts::text, 'hint', null)::text,
    detail = json_build_object(
      'status', (select r.status from private.refusal_codes() as r where r.code = p_code),
      'headers', json_build_object()
    )::text;
end;
$$;
comment on function private.refuse is
'Refuses an act: PostgREST answers {code, message, details, hint} with the status of the code.

Codes are stable, words may change; p_facts travel in details, so that a frontend can help.';
grant execute on function private.refuse to authenticated, service_role;

create function private.refuse_for_now(p_message text, p_possible_at timestamptz, p_facts jsonb default '{}')
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.refuse('RATE_LIMITED', p_message, p_facts || jsonb_build_object(
    'possible_at', p_possible_at,
    'retry_after', case
      when p_possible_at is not null then greatest(ceil(extract(epoch from p_possible_at - private.clock()))::integer, 1)
    end
  ));
end;
$$;
comment on function private.refuse_for_now is
'Refuses what was done too often: RATE_LIMITED {possible_at, retry_after}, the latter in whole seconds (RULES 3.2);
both null where no moment is known at which the same act would do (RULES 5.5).';

-- Which characters show something (RULES, Words: visible).

create function private.shows_nothing()
returns int4multirange
language plpgsql immutable set search_path = ''
as $$
begin
  return '{[0,33),[127,161),[173,174),[847,848),[888,890),[896,900),[907,908),[909,910),[930,931),[1328,1329),[1367,1368),
    [1424,1425),[1482,1488),[1515,1519),[1525,1536),[1564,1565),[1806,1807),[1867,1869),[1970,1984),[2043,2045),
    [2094,2096),[2111,2112),[2140,2142),[2143,2144),[2155,2160),[2194,2199),[2436,2437),[2445,2447),[2449,2451),
    [2473,2474),[2481,2482),[2483,2486),[2490,2492),[2501,2503),[2505,2507),[2511,2519),[2520,2524),[2526,2527),
    [2532,2534),[2559,2561),[2564,2565),[2571,2575),[2577,2579),[2601,2602),[2609,2610),[2612,2613),[2615,2616),
    [2618,2620),[2621,2622),[2627,2631),[2633,2635),[2638,2641),[2642,2649),[2653,2654),[2655,2662),[2679,2689),
    [2692,2693),[2702,2703),[2706,2707),[2729,2730),[2737,2738),[2740,2741),[2746,2748),[2758,2759),[2762,2763),
    [2766,2768),[2769,2784),[2788,2790),[2802,2809),[2816,2817),[2820,2821),[2829,2831),[2833,2835),[2857,2858),
    [2865,2866),[2868,2869),[2874,2876),[2885,2887),[2889,2891),[2894,2899),[2904,2908),[2910,2911),[2916,2918),
    [2936,2946),[2948,2949),[2955,2958),[2961,2962),[2966,2969),[2971,2972),[2973,2974),[2976,2979),[2981,2984),
    [2987,2990),[3002,3006),[3011,3014),[3017,3018),[3022,3024),[3025,3031),[3032,3046),[3067,3072),[3085,3086),
    [3089,3090),[3113,3114),[3130,3132),[3141,3142),[3145,3146),[3150,3157),[3159,3160),[3163,3164),[3166,3168),
    [3172,3174),[3184,3191),[3213,3214),[3217,3218),[3241,3242),[3252,3253),[3258,3260),[3269,3270),[3273,3274),
    [3278,3285),[3287,3292),[3295,3296),[3300,3302),[3312,3313),[3316,3328),[3341,3342),[3345,3346),[3397,3398),
    [3401,3402),[3408,3412),[3428,3430),[3456,3457),[3460,3461),[3479,3482),[3506,3507),[3516,3517),[3518,3520),
    [3527,3530),[3531,3535),[3541,3542),[3543,3544),[3552,3558),[3568,3570),[3573,3585),[3643,3647),[3676,3713),
    [3715,3716),[3717,3718),[3723,3724),[3748,3749),[3750,3751),[3774,3776),[3781,3782),[3783,3784),[3791,3792),
    [3802,3804),[3808,3840),[3912,3913),[3949,3953),[3992,3993),[4029,4030),[4045,4046),[4059,4096),[4294,4295),
    [4296,4301),[4302,4304),[4447,4449),[4681,4682),[4686,4688),[4695,4696),[4697,4698),[4702,4704),[4745,4746),
    [4750,4752),[4785,4786),[4790,4792),[4799,4800),[4801,4802),[4806,4808),[4823,4824),[4881,4882),[4886,4888),
    [4955,4957),[4989,4992),[5018,5024),[5110,5112),[5118,5120),[5760,5761),[5789,5792),[5881,5888),[5910,5919),
    [5943,5952),[5972,5984),[5997,5998),[6001,6002),[6004,6016),[6068,6070),[6110,6112),[6122,6128),[6138,6144),
    [6155,6160),[6170,6176),[6265,6272),[6315,6320),[6390,6400),[6431,6432),[6444,6448),[6460,6464),[6465,6468),
    [6510,6512),[6517,6528),[6572,6576),[6602,6608),[6619,6622),[6684,6686),[6751,6752),[6781,6783),[6794,6800),
    [6810,6816),[6830,6832),[6897,6912),[6989,6990),[7156,7164),[7224,7227),[7242,7245),[7307,7312),[7355,7357),
    [7368,7376),[7419,7424),[7958,7960),[7966,7968),[8006,8008),[8014,8016),[8024,8025),[8026,8027),[8028,8029),
    [8030,8031),[8062,8064),[8117,8118),[8133,8134),[8148,8150),[8156,8157),[8176,8178),[8181,8182),[8191,8208),
    [8232,8240),[8287,8304),[8306,8308),[8389,8400),[8433,8448),[8588,8592),[9258,9280),[9291,9312),[10240,10241),
    [11124,11126),[11508,11513),[11558,11559),[11560,11565),[11566,11568),[11624,11631),[11633,11647),[11671,11680),
    [11687,11688),[11695,11696),[11703,11704),[11711,11712),[11719,11720),[11727,11728),[11735,11736),[11743,11744),
    [11870,11872),[11876,11904),[11930,11931),[12020,12032),[12246,12272),[12288,12289),[12352,12353),[12439,12441),
    [12544,12549),[12592,12593),[12644,12645),[12687,12688),[12774,12783),[12831,12832),[42125,42128),[42183,42192),
    [42540,42560),[42744,42752),[42974,42978),[42979,42993),[43053,43056),[43066,43072),[43128,43136),[43206,43214),
    [43226,43232),[43348,43359),[43389,43392),[43470,43471),[43482,43486),[43519,43520),[43575,43584),[43598,43600),
    [43610,43612),[43715,43739),[43767,43777),[43783,43785),[43791,43793),[43799,43808),[43815,43816),[43823,43824),
    [43886,43888),[44014,44016),[44026,44032),[55204,55216),[55239,55243),[55292,57344),[64110,64112),[64218,64256),
    [64263,64275),[64280,64285),[64311,64312),[64317,64318),[64319,64320),[64322,64323),[64325,64326),[64976,65008),
    [65024,65040),[65050,65056),[65107,65108),[65127,65128),[65132,65136),[65141,65142),[65277,65281),[65440,65441),
    [65471,65474),[65480,65482),[65488,65490),[65496,65498),[65501,65504),[65511,65512),[65519,65532),[65534,65536),
    [65548,65549),[65575,65576),[65595,65596),[65598,65599),[65614,65616),[65630,65664),[65787,65792),[65795,65799),
    [65844,65847),[65935,65936),[65949,65952),[65953,66000),[66046,66176),[66205,66208),[66257,66272),[66300,66304),
    [66340,66349),[66379,66384),[66427,66432),[66462,66463),[66500,66504),[66518,66560),[66718,66720),[66730,66736),
    [66772,66776),[66812,66816),[66856,66864),[66916,66927),[66939,66940),[66955,66956),[66963,66964),[66966,66967),
    [66978,66979),[66994,66995),[67002,67003),[67005,67008),[67060,67072),[67383,67392),[67414,67424),[67432,67456),
    [67462,67463),[67505,67506),[67520,67584),[67590,67592),[67593,67594),[67638,67639),[67641,67644),[67645,67647),
    [67670,67671),[67743,67751),[67760,67808),[67827,67828),[67830,67835),[67868,67871),[67898,67903),[67930,67968),
    [68024,68028),[68048,68050),[68100,68101),[68103,68108),[68116,68117),[68120,68121),[68150,68152),[68155,68159),
    [68169,68176),[68185,68192),[68256,68288),[68327,68331),[68343,68352),[68406,68409),[68438,68440),[68467,68472),
    [68498,68505),[68509,68521),[68528,68608),[68681,68736),[68787,68800),[68851,68858),[68904,68912),[68922,68928),
    [68966,68969),[68998,69006),[69008,69216),[69247,69248),[69290,69291),[69294,69296),[69298,69314),[69320,69321),
    [69359,69360),[69416,69424),[69466,69488),[69514,69552),[69580,69600),[69623,69632),[69710,69714),[69750,69759),
    [69827,69837),[69838,69840),[69865,69872),[69882,69888),[69941,69942),[69960,69968),[70007,70016),[70112,70113),
    [70133,70144),[70162,70163),[70210,70272),[70279,70280),[70281,70282),[70286,70287),[70302,70303),[70314,70320),
    [70379,70384),[70394,70400),[70404,70405),[70413,70415),[70417,70419),[70441,70442),[70449,70450),[70452,70453),
    [70458,70459),[70469,70471),[70473,70475),[70478,70480),[70481,70487),[70488,70493),[70500,70502),[70509,70512),
    [70517,70528),[70538,70539),[70540,70542),[70543,70544),[70582,70583),[70593,70594),[70595,70597),[70598,70599),
    [70603,70604),[70614,70615),[70617,70625),[70627,70656),[70748,70749),[70754,70784),[70856,70864),[70874,71040),
    [71094,71096),[71134,71168),[71237,71248),[71258,71264),[71277,71296),[71354,71360),[71370,71376),[71396,71424),
    [71451,71453),[71468,71472),[71495,71680),[71740,71840),[71923,71935),[71943,71945),[71946,71948),[71956,71957),
    [71959,71960),[71990,71991),[71993,71995),[72007,72016),[72026,72096),[72104,72106),[72152,72154),[72165,72192),
    [72264,72272),[72355,72368),[72441,72448),[72459,72544),[72552,72640),[72674,72688),[72698,72704),[72713,72714),
    [72759,72760),[72774,72784),[72813,72816),[72848,72850),[72872,72873),[72887,72960),[72967,72968),[72970,72971),
    [73015,73018),[73019,73020),[73022,73023),[73032,73040),[73050,73056),[73062,73063),[73065,73066),[73103,73104),
    [73106,73107),[73113,73120),[73130,73136),[73180,73184),[73194,73200),[73202,73440),[73465,73472),[73489,73490),
    [73531,73534),[73563,73648),[73649,73664),[73714,73727),[74650,74752),[75076,75088),[75399,77712),[77811,77824),
    [78934,78944),[82939,82944),[83527,90368),[90426,92160),[92729,92736),[92767,92768),[92778,92782),[92863,92864),
    [92874,92880),[92910,92912),[92918,92928),[92998,93008),[93018,93019),[93026,93027),[93048,93053),[93072,93504),
    [93562,93760),[93851,93856),[93881,93883),[93908,93952),[94027,94031),[94088,94095),[94112,94176),[94181,94192),
    [94199,94208),[101595,101631),[101665,101760),[101875,101888),[102802,102816),[102867,110576),[110580,110581),
    [110588,110589),[110591,110592),[110889,110898),[110899,110928),[110931,110933),[110934,110948),[110953,110960),
    [111356,113664),[113771,113776),[113789,113792),[113801,113808),[113818,113820),[113824,117760),[118013,118016),
    [118452,118458),[118481,118482),[118485,118493),[118526,118528),[118574,118576),[118599,118608),[118724,118784),
    [119030,119040),[119155,119163),[119366,119376),[119426,119488),[119508,119520),[119540,119552),[119639,119648),
    [119673,119808),[119893,119894),[119965,119966),[119968,119970),[119971,119973),[119975,119977),[119981,119982),
    [119994,119995),[119996,119997),[120004,120005),[120070,120071),[120075,120077),[120085,120086),[120093,120094),
    [120122,120123),[120127,120128),[120133,120134),[120135,120138),[120145,120146),[120487,120488),[120780,120782),
    [121484,121499),[121504,121505),[121520,121600),[121629,122624),[122754,122768),[122775,122829),[122887,122888),
    [122905,122907),[122914,122915),[122917,122918),[122923,122928),[122990,123023),[123024,123136),[123181,123184),
    [123198,123200),[123210,123214),[123216,123536),[123567,123584),[123642,123647),[123648,124112),[124154,124368),
    [124411,124415),[124416,124608),[124639,124640),[124662,124670),[124672,124896),[124903,124904),[124908,124909),
    [124911,124912),[124927,124928),[125125,125127),[125143,125184),[125260,125264),[125274,125278),[125280,126065),
    [126133,126209),[126270,126464),[126468,126469),[126496,126497),[126499,126500),[126501,126503),[126504,126505),
    [126515,126516),[126520,126521),[126522,126523),[126524,126530),[126531,126535),[126536,126537),[126538,126539),
    [126540,126541),[126544,126545),[126547,126548),[126549,126551),[126552,126553),[126554,126555),[126556,126557),
    [126558,126559),[126560,126561),[126563,126564),[126565,126567),[126571,126572),[126579,126580),[126584,126585),
    [126589,126590),[126591,126592),[126602,126603),[126620,126625),[126628,126629),[126634,126635),[126652,126704),
    [126706,126976),[127020,127024),[127124,127136),[127151,127153),[127168,127169),[127184,127185),[127222,127232),
    [127407,127462),[127491,127504),[127548,127552),[127561,127568),[127570,127584),[127590,127744),[128730,128732),
    [128749,128752),[128765,128768),[128988,128992),[129004,129008),[129036,129040),[129096,129104),[129114,129120),
    [129160,129168),[129198,129200),[129212,129216),[129218,129232),[129241,129280),[129624,129632),[129646,129648),
    [129661,129664),[129735,129736),[129737,129740),[129758,129759),[129772,129775),[129787,129792),[129939,129940),
    [130043,131072),[173792,173824),[178207,178208),[183982,183984),[191457,191472),[192094,194560),[195102,196608),
    [201547,201552),[210042,249856),[261184,983040),[1048574,1048576),[1114110,1114112)}'::int4multirange;
end;
$$;
comment on function private.shows_nothing is
'The code points that show nothing: white space, default-ignorable, control and unassigned ones by the Unicode
Character Database 18.0 (https://www.unicode.org/ucd), surrogates, annotations (U+FFF9 to FFFB) and the empty braille
cell (U+2800). PostgreSQL knows Unicode''s properties only from 17 on, and hosted collations differ.';

create function private.is_visible(p_text text)
returns boolean
language plpgsql immutable set search_path = ''
as $$
declare
  v_nothing constant int4multirange := private.shows_nothing();
begin
  -- Nearly every text has a plain letter, and that is settled without a look at the table.
  return p_text ~ '[!-~]' or exists (
    select from string_to_table(p_text, null) as t (one) where not ascii(t.one) <@ v_nothing
  );
end;
$$;
comment on function private.is_visible is 'Whether a text shows anything at all; null for null.';

create function private.plain_code(p_code text)
returns text
language plpgsql immutable set search_path = ''
as $$
declare
  -- Every hyphen and dash of Unicode (the property Dash).
  v_dashes constant int4multirange := '{[45,46),[1418,1419),[1470,1471),[5120,5121),[6150,6151),[8208,8214),[8275,8276),
    [8315,8316),[8331,8332),[8722,8723),[11799,11800),[11802,11803),[11834,11836),[11840,11841),[11869,11870),
    [12316,12317),[12336,12337),[12448,12449),[65073,65075),[65112,65113),[65123,65124),[65293,65294),[69293,69294)}'::int4multirange;
  v_skipped constant int4multirange := private.shows_nothing() + v_dashes;
begin
  -- Longer than anybody pastes: no code at all.
  return case when char_length(p_code) <= 500 then (
    select lower(string_agg(t.one, '' order by t.place))
    from string_to_table(p_code, null) with ordinality as t (one, place)
    where not ascii(t.one) <@ v_skipped
  ) end;
end;
$$;
comment on function private.plain_code is
'A code as it is matched: in lower case, without blanks of every script, hyphens and dashes of every kind and invisible
characters, which people paste along (RULES 1.3, 2.2). Null where nothing is left, or too much was given.';

-- The checks every input passes (RULES 1.1, 3.2, 12).

create function private.string_in(p_value jsonb)
returns text
language sql immutable set search_path = ''
begin atomic
  select case when jsonb_typeof(p_value) = 'string' then p_value #>> '{}' end;
end;
comment on function private.string_in is 'The text of a JSON string; null for any other JSON.';

create function private.integer_in(p_value jsonb)
returns integer
language sql immutable set search_path = ''
begin atomic
  -- One case within the other: 1e400 is a JSON number, and no integer.
  select case
    when jsonb_typeof(p_value) = 'number'
      then case
        when p_value::numeric between -2147483648 and 2147483647 and p_value::numeric = trunc(p_value::numeric)
          then p_value::integer
      end
  end;
end;
comment on function private.integer_in is 'The whole number a JSON number is; null for any other JSON.';

create function private.require_text(p_field text, p_value text, p_longest integer, p_shortest integer default 1)
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  if p_value is null
    or char_length(p_value) not between p_shortest and p_longest
    or (p_shortest > 0 and not private.is_visible(p_value))
  then
    perform private.refuse(
      'INVALID_INPUT',
      format('%s needs %s to %s characters, and something to be seen.', p_field, p_shortest, p_longest),
      jsonb_build_object('field', p_field, 'shortest', p_shortest, 'longest', p_longest)
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_text is
'Returns a text unchanged, or refuses one that is null, too long, too short or shows nothing.

Refuses: INVALID_INPUT {field, shortest, longest}, in characters.';

create function private.require_title(p_field text, p_value text)
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  perform private.require_text(p_field, p_value, 120);
  if p_value ~ e'[\u0001-\u001f\u007f-\u009f\u2028\u2029]' then
    perform private.refuse(
      'INVALID_INPUT', format('%s must be one line, without control characters.', p_field),
      jsonb_build_object('field', p_field)
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_title is
'Returns a title of 1 to 120 characters unchanged, or refuses it: titles are one line (RULES 3.1).

Refuses: INVALID_INPUT {field, …}.';

create function private.plain_name(p_name text)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return regexp_replace(
    p_name, e'[\u0001-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\u201c\u201d]', '', 'g'
  );
end;
$$;
comment on function private.plain_name is
'A name without what may not stand in one (RULES 1.1): line breaks and control characters, direction marks that embed,
override or isolate, annotation marks, and the quotation marks in which the house''s sentences set names. Joiners,
variation selectors and what right-to-left writing needs stay.';

create function private.require_name(p_field text, p_value text, p_longest integer)
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  perform private.require_text(p_field, p_value, p_longest);
  if private.plain_name(p_value) <> p_value then
    perform private.refuse(
      'INVALID_INPUT',
      format('%s must be one line, without control characters, direction marks and the marks “ and ”.', p_field),
      jsonb_build_object('field', p_field, 'possible', nullif(left(btrim(private.plain_name(p_value)), p_longest), ''))
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_name is
'Returns a name unchanged, or refuses one that shows nothing, is too long or has what may not stand in a name.

Refuses: INVALID_INPUT {field, possible: what would be left of it}.';

create function private.require_number(p_field text, p_value bigint, p_least bigint, p_most bigint)
returns bigint
language plpgsql immutable security definer set search_path = ''
as $$
begin
  if p_value is null or p_value not between p_least and p_most then
    perform private.refuse(
      'INVALID_INPUT',
      format('%s must be a whole number from %s to %s.', p_field, p_least, p_most),
      jsonb_build_object('field', p_field, 'least', p_least, 'most', p_most)
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_number is
'Returns a number unchanged, or refuses one that is null or out of range.

Refuses: INVALID_INPUT {field, least, most}.';

create function private.require_amount(p_field text, p_value bigint)
returns integer
language plpgsql immutable security definer set search_path = ''
as $$
begin
  return private.require_number(p_field, p_value, 1, 1000000000)::integer;
end;
$$;
comment on function private.require_amount is
'Returns an amount of CC, a whole number from 1 up, or refuses it with INVALID_INPUT.

The upper bound, a thousand million, is far above any purse and keeps every sum an honest number.';

create function private.require_page_size(p_page_size integer)
returns integer
language plpgsql immutable security definer set search_path = ''
as $$
begin
  return private.require_number('page_size', p_page_size, 1, 200)::integer;
end;
$$;
comment on function private.require_page_size is 'Returns a page size of 1 to 200, or refuses it with INVALID_INPUT.';
grant execute on function private.require_page_size to authenticated, service_role;

create function private.require_choice(p_field text, p_value text, p_choices text[])
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  if p_value is null or p_value <> all(p_choices) then
    perform private.refuse(
      'INVALID_INPUT',
      format('%s must be one of: %s.', p_field, array_to_string(p_choices, ', ')),
      jsonb_build_object('field', p_field, 'choices', p_choices)
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_choice is
'Returns a word that is one of the choices, or refuses it.

Refuses: INVALID_INPUT {field, choices}.';
grant execute on function private.require_choice to authenticated, service_role;

create function private.require_link(p_field text, p_value text)
returns text
language plpgsql immutable security definer set search_path = ''
as $$
begin
  -- Only the web: a javascript: or data: address shown by a frontend would run in a reader's browser.
  if p_value is not null and (char_length(p_value) > 2048 or p_value !~* '^https?://[^[:space:][:cntrl:]]+$') then
    perform private.refuse(
      'INVALID_INPUT',
      format('%s must be a web address (http or https) of at most 2048 characters.', p_field),
      jsonb_build_object('field', p_field, 'longest', 2048)
    );
  end if;
  return p_value;
end;
$$;
comment on function private.require_link is
'Returns a web address or null unchanged, or refuses it.

Refuses: INVALID_INPUT {field, longest}.';

create function private.make_code(p_length integer)
returns text
language sql volatile security definer set search_path = ''
begin atomic
  -- 256 is 8 times 32, so every letter is equally likely.
  select string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', get_byte(b.bytes, n.i - 1) % 32 + 1, 1), '' order by n.i)
  from (select extensions.gen_random_bytes(p_length) as bytes) as b
  cross join generate_series(1, p_length) as n (i);
end;
comment on function private.make_code is
'A random code of p_length characters, 5 bits each, from Crockford''s base 32 alphabet (no I, L, O or U).';

create function private.require_moment(p_field text, p_value timestamptz)
returns timestamptz
language plpgsql immutable security definer set search_path = ''
as $$
begin
  -- So far from either end of the calendar that no arithmetic on time can fall off it.
  if p_value not between '0001-01-07Z' and '9999-12-24Z' then
    perform private.refuse('INVALID_INPUT', format('%s must be a moment of our calendar.', p_field),
      jsonb_build_object('field', p_field));
  end if;
  return p_value;
end;
$$;
comment on function private.require_moment is
'Returns a moment or null unchanged, or refuses infinity and what is far out of any calendar. Refuses: INVALID_INPUT
{field}.';

create function private.is_zone(p_timezone text)
returns boolean
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
begin
  -- To set a zone reads its one file, where the view of all zones reads twelve hundred (measured: 75 ms, which anybody
  -- could ask for without end). What is set here is set back at the end. A name comes back as it is spelt; what is no
  -- file may be read as a rule (ABC/DEF+3), and is then told in capitals.
  return set_config('timezone', p_timezone, true) = p_timezone and p_timezone <> upper(p_timezone);
exception
  when invalid_parameter_value then
    return false;
end;
$$;
comment on function private.is_zone is
'Whether there is a time zone of this name, spelt so. Only for names with a region: private.require_timezone.';

create function private.require_timezone(p_timezone text)
returns text
language plpgsql stable security definer set search_path = ''
as $$
declare
  -- What people mean by the names that PostgreSQL reads as abbreviations, which know no summer.
  v_regions constant jsonb := '{
    "CET": "Europe/Brussels", "MET": "Europe/Brussels", "EET": "Europe/Athens", "WET": "Europe/Lisbon",
    "EST": "America/Panama", "MST": "America/Phoenix", "HST": "Pacific/Honolulu", "EST5EDT": "America/New_York",
    "CST6CDT": "America/Chicago", "MST7MDT": "America/Denver", "PST8PDT": "America/Los_Angeles", "GMT": "UTC",
    "CEST": "Europe/Brussels", "MEST": "Europe/Brussels", "EEST": "Europe/Athens", "WEST": "Europe/Lisbon",
    "BST": "Europe/London", "MSK": "Europe/Moscow", "IST": "Asia/Kolkata", "JST": "Asia/Tokyo", "KST": "Asia/Seoul",
    "EDT": "America/New_York", "CST": "America/Chicago", "CDT": "America/Chicago", "MDT": "America/Denver",
    "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles", "NZST": "Pacific/Auckland", "ZULU": "UTC", "UCT": "UTC"
  }'::jsonb;
begin
  if p_timezone = 'UTC' then
    return p_timezone;
  end if;
  if p_timezone !~ '^[A-Za-z][A-Za-z0-9_+-]{1,30}(/[A-Za-z0-9_+-]{1,30}){1,2}$'
    or p_timezone ~ '^(posix|right)/'
    or p_timezone is null
    or not private.is_zone(p_timezone)
  then
    perform private.refuse(
      'INVALID_INPUT', 'timezone must be an IANA name with a region, such as Europe/Lisbon, or UTC.',
      jsonb_strip_nulls(jsonb_build_object('field', 'timezone', 'region', v_regions -> upper(p_timezone)))
    );
  end if;
  return p_timezone;
end;
$$;
comment on function private.require_timezone is
'Returns the name of a time zone of the IANA database (https://www.iana.org/time-zones) unchanged, or refuses it.

Names have a region (Europe/Paris), but for UTC: what has none may be read as an abbreviation of fixed hours.
Refuses: INVALID_INPUT {field, region: the one to use, where it is known}.';

-- request_id: the same call made twice happens once (RULES 5.4).

create table private.repeats (
  user_id uuid not null,
  rpc text not null,
  request_id uuid not null,
  arguments_hash bytea not null,
  made jsonb not null,
  created_at timestamptz not null,
  constraint repeats_pkey primary key (user_id, rpc, request_id)
);
comment on table private.repeats is
'What calls with a request_id made, by id, kept 7 days: never the words of an answer, which is made again. It belongs to
the caller, not to a community: the same id with another community is the same id with other arguments. No foreign key,
for it outlives nothing and must be cheap.';
create index repeats_created_at_idx on private.repeats (created_at);
alter table private.repeats enable row level security;
create policy nobody_reads_repeats on private.repeats for select to authenticated using (false);

create function private.claim(
  p_user_id uuid, p_rpc text, p_request_id uuid, p_arguments jsonb, p_makes jsonb,
  p_at timestamptz default private.clock()
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_hash bytea;
  v_repeat private.repeats;
begin
  if p_request_id is null then
    return null;
  end if;
  v_hash := sha256(convert_to(p_arguments::text, 'UTF8'));
  loop
    -- The key is the queue: of two deliveries of one call the second waits here for the first, and finds its row.
    insert into private.repeats (user_id, rpc, request_id, arguments_hash, made, created_at)
    values (p_user_id, p_rpc, p_request_id, v_hash, p_makes, p_at)
    on conflict (user_id, rpc, request_id) do nothing;
    if found then
      return null;
    end if;
    -- What is older than 7 days housekeeping has not come by yet to take away.
    delete from private.repeats as r
    where r.user_id = p_user_id and r.rpc = p_rpc and r.request_id = p_request_id
      and r.created_at <= p_at - interval '7 days';
    select r.* into v_repeat
    from private.repeats as r
    where r.user_id = p_user_id and r.rpc = p_rpc and r.request_id = p_request_id;
    exit when found;
  end loop;
  if v_repeat.arguments_hash <> v_hash then
    perform private.refuse('CONFLICT', 'This request_id was used before with other arguments.',
      jsonb_build_object('request_id', p_request_id));
  end if;
  return v_repeat.made;
end;
$$;
comment on function private.claim is
'Takes a request_id for a call that is about to make p_makes, the ids of what it makes: returns null if the call is new
(or has no request_id), else what it made the first time. Who is refused later has claimed nothing.

Refuses: CONFLICT {request_id} (the same id with other arguments).';

create function private.erase_repeats_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.repeats as r
  where r.user_id = p_user_id;
end;
$$;
comment on function private.erase_repeats_of is 'Deletes every id kept for a person who is erased.';

create function private.purge_repeats(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from private.repeats as r
  where (r.user_id, r.rpc, r.request_id) in (
    select o.user_id, o.rpc, o.request_id from private.repeats as o
    where o.created_at <= p_now - interval '7 days'
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.purge_repeats is 'Deletes up to p_limit ids older than 7 days; returns how many.';

-- People: their profiles and how they are shown (RULES 1.1).

create function private.show_person(p_id uuid, p_display_name text, p_avatar_url text)
returns json
language plpgsql immutable set search_path = ''
as $$
begin
  return json_build_object('id', p_id, 'display_name', p_display_name, 'avatar_url', p_avatar_url);
end;
$$;
comment on function private.show_person is 'The shape person.';

create table private.users (
  id uuid not null,
  display_name text not null,
  avatar_url text,
  -- Made once for each name somebody takes, for nothing is shown so often (measured: a tenth of a page of the Chamber).
  person json not null generated always as (private.show_person(id, display_name, avatar_url)) stored,
  created_at timestamptz not null default private.clock(),
  renamed_at timestamptz[] not null default '{}',
  erased_at timestamptz,
  constraint users_pkey primary key (id),
  constraint users_display_name_length check (char_length(display_name) between 1 and 80)
);
comment on table private.users is
'The public profile of everyone who ever signed up. No e-mail address, and no foreign key to auth.users: an erased
person stays here as "a former member" (RULES 13). renamed_at holds the latest ten renamings, newest first.';
create index users_created_at_id_idx on private.users (created_at, id);
alter table private.users enable row level security;
grant select on private.users to authenticated;
-- Its policy stands in 200_communities: whom one may see depends on whom one shares a community with.

create table private.addresses (
  user_id uuid not null,
  address_hash bytea not null,
  constraint addresses_pkey primary key (user_id, address_hash),
  constraint addresses_user_id_fkey foreign key (user_id) references private.users (id)
);
comment on table private.addresses is
'Every e-mail address an account has had, as a keyed hash: an erasure finds the invites made out to any of them, and no
address is kept.';
create index addresses_address_hash_idx on private.addresses (address_hash);
alter table private.addresses enable row level security;
create policy nobody_reads_addresses on private.addresses for select to authenticated using (false);

create table private.erasures (
  user_id uuid not null,
  begun_at timestamptz not null,
  retry_at timestamptz not null,
  stuck uuid[] not null default '{}',
  constraint erasures_pkey primary key (user_id),
  constraint erasures_user_id_fkey foreign key (user_id) references private.users (id)
);
comment on table private.erasures is
'Who is erased and whose rows still follow; stuck are communities whose leaving failed and is tried again.';
create index erasures_retry_at_idx on private.erasures (retry_at);
alter table private.erasures enable row level security;
create policy nobody_reads_erasures on private.erasures for select to authenticated using (false);

create function private.profile_name(p_email text, p_meta jsonb)
returns text
language plpgsql immutable set search_path = ''
as $$
declare
  v_full_name text := case when jsonb_typeof(p_meta -> 'full_name') = 'string' then p_meta ->> 'full_name' end;
  v_given text;
begin
  foreach v_given in array array[v_full_name, split_part(p_email, '@', 1)] loop
    v_given := btrim(left(btrim(private.plain_name(v_given)), 80));
    if private.is_visible(v_given) then
      return v_given;
    end if;
  end loop;
  return 'Somebody';
end;
$$;
comment on function private.profile_name is
'The display name a sign-up starts with: full_name, else the part of the e-mail before @ (RULES 1.1), else Somebody;
what may not stand in a name is left out, what is too long cut off.';

create function private.profile_avatar(p_meta jsonb)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case
    when p_meta ->> 'avatar_url' ~* '^https?://[^[:space:][:cntrl:]]+$' and char_length(p_meta ->> 'avatar_url') <= 2048
      then p_meta ->> 'avatar_url'
  end;
end;
$$;
comment on function private.profile_avatar is
'The avatar a sign-up starts with: avatar_url if it is a web address, else none.';

create function private.make_profile(p_user_id uuid, p_email text, p_meta jsonb)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.users (id, display_name, avatar_url)
  values (p_user_id, private.profile_name(p_email, p_meta), private.profile_avatar(p_meta))
  on conflict (id) do nothing;
  return found;
end;
$$;
comment on function private.make_profile is
'Makes the profile an account begins with; returns whether it was missing. Who is erased has one still.';

create function private.note_address(p_user_id uuid, p_email text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.addresses (user_id, address_hash)
  select p_user_id, private.hash_address(p_email)
  where nullif(btrim(p_email), '') is not null
  on conflict do nothing;
end;
$$;
comment on function private.note_address is 'Remembers, as a hash, an address an account has or had.';

create function private.find_person(p_user_id uuid)
returns private.users
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_person private.users;
begin
  select u.* into v_person from private.users as u where u.id = p_user_id;
  return v_person;
end;
$$;
comment on function private.find_person is 'A person''s row, erased or not; nulls if they are unknown.';

create function private.lock_person(p_user_id uuid)
returns private.users
language plpgsql security definer set search_path = ''
as $$
declare
  v_person private.users;
begin
  select u.* into v_person from private.users as u
  where u.id = p_user_id and u.erased_at is null
  for no key update;
  return v_person;
end;
$$;
comment on function private.lock_person is
'Locks a person''s row until the transaction ends and returns it, nulls if they are unknown or erased: the queue for
whatever is decided about them, and for what they do that no membership holds yet. It comes before every other lock.';

create function private.change_profile(p_user_id uuid, p_display_name text, p_avatar_url text, p_renames boolean)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.users as u
  set
    display_name = coalesce(p_display_name, u.display_name),
    renamed_at = case when p_renames then (private.clock() || u.renamed_at)[:10] else u.renamed_at end,
    avatar_url = case when p_avatar_url is null then u.avatar_url else nullif(p_avatar_url, '') end
  where u.id = p_user_id;
end;
$$;
comment on function private.change_profile is
'Gives a locked person another name or avatar: what is null stays, an empty avatar goes.';

create function private.keep_person(p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  perform from private.users as u where u.id = p_user_id for share skip locked;
  return found;
end;
$$;
comment on function private.keep_person is
'Keeps whatever is decided about a person from being decided until the transaction ends; returns false, and waits for
nobody, where something is being decided just now.';

create view private.shown_people with (security_invoker = on) as
select
  u.id,
  u.display_name,
  u.person,
  u.erased_at is not null as is_erased,
  case when u.erased_at is null then '“' || u.display_name || '”' else 'a former member' end as called
from private.users as u;
comment on view private.shown_people is
'The shape person of everyone the reader may see, and what sentences call them. Words of somebody who is_erased are
shown to nobody.';
grant select on private.shown_people to authenticated;

create function private.erase_profile(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.users as u
  set display_name = 'a former member', avatar_url = null, renamed_at = '{}', erased_at = private.clock()
  where u.id = p_user_id;
  delete from private.addresses as a where a.user_id = p_user_id;
  insert into private.erasures (user_id, begun_at, retry_at) values (p_user_id, private.clock(), private.clock());
end;
$$;
comment on function private.erase_profile is
'Makes a locked person "a former member": no name, no avatar, no address. Their id stays, for what others did with
them; what else is theirs follows.';

create function private.replace_profile(p_profile private.users)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.users as u
  set
    display_name = p_profile.display_name, avatar_url = p_profile.avatar_url, created_at = p_profile.created_at,
    renamed_at = p_profile.renamed_at
  where u.id = p_profile.id;
end;
$$;
comment on function private.replace_profile is
'Gives somebody, where they have a profile, the one they have in another database.';

create function private.erase_again(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.erasures (user_id, begun_at, retry_at) values (p_user_id, private.clock(), private.clock())
  on conflict do nothing;
end;
$$;
comment on function private.erase_again is
'Has the rows of an erased person looked through once more, for some have come from elsewhere.';

create function private.pass_over(p_user_id uuid, p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.erasures as e set stuck = e.stuck || p_community_id where e.user_id = p_user_id;
end;
$$;
comment on function private.pass_over is 'Leaves a community whose leaving failed for the end of an erasure''s round.';

create function private.end_erasure(p_user_id uuid, p_now timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.erasures as e where e.user_id = p_user_id and e.stuck = '{}';
  update private.erasures as e set stuck = '{}', retry_at = p_now + interval '1 minute' where e.user_id = p_user_id;
end;
$$;
comment on function private.end_erasure is
'Ends an erasure that has nothing left to do, or begins its next round in a minute where communities were passed over.';

-- Where everybody stands with the Bureau, from the sign-up on, and who is calling (RULES 1.2).

create table private.admissions (
  user_id uuid not null,
  invite_id uuid,
  admitted_at timestamptz default private.clock(),
  suspended_at timestamptz,
  constraint admissions_pkey primary key (user_id),
  constraint admissions_user_id_fkey foreign key (user_id) references private.users (id),
  constraint admissions_admitted_or_suspended check (admitted_at is not null or suspended_at is not null)
);
comment on table private.admissions is
'Who has been let in, with which invite; suspended_at takes it back, and keeps out somebody never let in (whose
admitted_at is null). No client role can read or write it.';
alter table private.admissions enable row level security;
create policy nobody_reads_admissions on private.admissions for select to authenticated using (false);

create table private.suspended_addresses (
  address_hash bytea not null,
  suspended_at timestamptz not null,
  constraint suspended_addresses_pkey primary key (address_hash)
);
comment on table private.suspended_addresses is
'Every address of suspended accounts that were erased, as a keyed hash: a suspension outlives the account (RULES 1.2).';
alter table private.suspended_addresses enable row level security;
create policy nobody_reads_suspended_addresses on private.suspended_addresses for select to authenticated using (false);

create function private.caller_id()
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_digits text := replace(coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub'
  ), '-', '');
begin
  -- auth.uid() raises on a sub that is no uuid; here such a caller is simply nobody. Two questions, for one expression of
  -- the whole shape would cost four times as much (measured).
  if length(v_digits) = 32 and v_digits !~ '[^0-9A-Fa-f]' then
    return v_digits::uuid;
  end if;
  return null;
end;
$$;
comment on function private.caller_id is 'The id in the caller''s token, or null; says nothing about admission.';
grant execute on function private.caller_id to authenticated, service_role;

create function private.able_person(p_user_id uuid)
returns private.users
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_person private.users;
begin
  select u.* into v_person
  from private.users as u
  join auth.users as a on a.id = u.id
  left join private.admissions as d on d.user_id = u.id
  where
    u.id = p_user_id and u.erased_at is null
    and a.deleted_at is null and (a.banned_until is null or a.banned_until <= now()) and not a.is_anonymous
    and d.suspended_at is null and (d.user_id is not null or not private.invites_enforced());
  return v_person;
end;
$$;
comment on function private.able_person is
'The profile of a person who can act now: admitted (or no invite is needed), not suspended by a steward, not banned or
deleted by Auth, not erased; nulls for anybody else. The one place that says so.

Asked afresh by every call and every policy, so taking an admission back bites at once (RULES 1.2). It reads Auth''s own
table inside plpgsql, which leaves nothing in the catalogue that could keep Auth from changing it (RULES 14.3).';

create function private.is_able(p_user_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (private.able_person(p_user_id)).id is not null;
end;
$$;
comment on function private.is_able is 'Whether a person can act now, as private.able_person says.';

create function private.able_among(p_user_ids uuid[])
returns uuid[]
-- Few people or many, the plan is the same: to make it anew for each length would cost more than the looking.
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_open boolean := not private.invites_enforced();
begin
  -- One by one (the limit keeps it so): a few index probes each, whatever the planner thinks of the tables.
  return array(
    select p.id
    from unnest(p_user_ids) as p (id)
    cross join lateral (
      select
      from private.users as u
      join auth.users as a on a.id = u.id
      left join private.admissions as d on d.user_id = u.id
      where
        u.id = p.id and u.erased_at is null
        and a.deleted_at is null and (a.banned_until is null or a.banned_until <= now()) and not a.is_anonymous
        and d.suspended_at is null and (d.user_id is not null or v_open)
      limit 1
    ) as able
    order by p.id
  );
end;
$$;
comment on function private.able_among is
'Those of these people who can act now, in id order: private.is_able of many, for a fifth of its cost each. A test holds
the two together.';

create function private.standing_of(p_user_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((
    select
      case
        when a.banned_until > now() then 'banned'
        when a.is_anonymous then 'anonymous'
        when d.suspended_at is not null then 'suspended'
        when d.user_id is not null or not private.invites_enforced() then 'admitted'
        else 'waiting'
      end
    from private.users as u
    join auth.users as a on a.id = u.id
    left join private.admissions as d on d.user_id = u.id
    where u.id = p_user_id and u.erased_at is null and a.deleted_at is null
  ), 'unknown');
end;
$$;
comment on function private.standing_of is
'Where one person stands with the Bureau, to explain a refusal: banned or unknown (by Auth), anonymous, suspended (by a
steward), waiting (for an invite) or admitted, which is who is able.';

create function private.my_id()
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (private.able_person(private.caller_id())).id;
end;
$$;
comment on function private.my_id is
'The caller''s id if they are able, else null; what policies on one''s own rows ask.';
grant execute on function private.my_id to authenticated;

create function private.require_signed_in()
returns private.users
language plpgsql security definer set search_path = ''
as $$
declare
  v_id uuid := private.caller_id();
  v_standing text := private.standing_of(v_id);
  v_me private.users;
begin
  if v_standing = 'unknown' then
    -- Of calls at once one makes the profile, and the others find it.
    perform private.heal_profile(v_id);
    v_standing := private.standing_of(v_id);
  end if;
  case v_standing
    when 'unknown' then perform private.refuse('UNAUTHORIZED', 'Sign in first.');
    when 'banned' then perform private.refuse('FORBIDDEN', 'This account is suspended.');
    when 'anonymous' then perform private.refuse('FORBIDDEN', 'Sign in with an account of your own first.');
    else null;
  end case;
  select u.* into v_me from private.users as u
  where u.id = v_id;
  return v_me;
end;
$$;
comment on function private.require_signed_in is
'Returns the caller''s profile, admitted or not; one that is missing is made where the call may write.

Refuses: UNAUTHORIZED (no such person), FORBIDDEN (banned by Auth, or an anonymous sign-in).';

create function private.require_admitted()
returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := (private.able_person(private.caller_id())).id;
begin
  if v_me is null then
    v_me := (private.require_signed_in()).id;
    case private.standing_of(v_me)
      when 'admitted' then null;
      when 'suspended' then perform private.refuse('INVITE_REQUIRED', 'A steward has suspended this account.');
      else perform private.refuse('INVITE_REQUIRED', 'CHAS is by invitation: redeem an invite first.');
    end case;
  end if;
  return v_me;
end;
$$;
comment on function private.require_admitted is
'Returns the caller''s id if they are signed in and admitted.

Refuses: UNAUTHORIZED, FORBIDDEN, INVITE_REQUIRED.';
grant execute on function private.require_admitted to authenticated;

create function private.lock_me()
returns private.users
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.lock_person(private.require_admitted());
begin
  -- Whoever waited here for their own erasure, or a suspension, learns of it now.
  perform private.require_admitted();
  return v_me;
end;
$$;
comment on function private.lock_me is
'Locks the caller''s own row and returns it: how an act begins that no membership holds yet (founding, joining, a new
name). An erasure of theirs is waited for, or waits (RULES 13.4). Refuses: as require_admitted.';

create function private.take_turn()
returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  -- Tried, never waited for: who waits would keep a connection that others need.
  if not pg_try_advisory_xact_lock(1128792069, uuid_hash(private.caller_id())) then
    perform private.refuse_for_now('You are being answered already: one at a time.', null, '{"most": 1}');
  end if;
end;
$$;
comment on function private.take_turn is
'Lets one person''s readings that are much work come one at a time, so that nobody keeps the house busy with them from
many connections. Refuses: RATE_LIMITED {most, possible_at: null, retry_after: null} (until the other has ended).';

create function private.is_steward()
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- app_metadata is written by the server alone; user_metadata is the person's own and proves nothing.
  return coalesce(
    nullif(current_setting('request.jwt.claims', true), '')::jsonb -> 'app_metadata' ->> 'chas_role' = 'steward', false
  );
end;
$$;
comment on function private.is_steward is
'Whether the caller''s token names them a steward, an operator of the whole Bureau.';

create function private.admit(p_user_id uuid, p_invite_id uuid default null)
returns void
language sql security definer set search_path = ''
begin atomic
  insert into private.admissions (user_id, invite_id) values (p_user_id, p_invite_id)
  on conflict (user_id) do nothing;
end;
comment on function private.admit is
'Lets a person in. One who is in, or whose admission was suspended, stays as they are.';

create function private.suspend(p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.admissions as a (user_id, admitted_at, suspended_at) values (p_user_id, null, private.clock())
  on conflict (user_id) do update set suspended_at = excluded.suspended_at where a.suspended_at is null;
  return found;
end;
$$;
comment on function private.suspend is
'Takes an admission back, or keeps out somebody who has none; returns whether that changed anything.';

create function private.follow_address(p_user_id uuid, p_email text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.note_address(p_user_id, p_email);
  if not private.is_admitted(p_user_id)
    and exists (select from private.suspended_addresses as s where s.address_hash = private.hash_address(p_email))
  then
    perform private.suspend(p_user_id);
  end if;
end;
$$;
comment on function private.follow_address is
'Remembers, as a hash, an address an account has, and suspends an account nobody has let in yet whose address is that of
a suspended one that was erased (RULES 1.2). Somebody who is in already stays so: an address may come to belong to
another person.';

create function private.heal_profile(p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  v_account record;
begin
  -- A read-only call cannot mend anything, and an erased person is not healed back: their row is there.
  if current_setting('transaction_read_only')::boolean then
    return false;
  end if;
  select a.* into v_account from auth.users as a where a.id = p_user_id and a.deleted_at is null;
  if not found or not private.make_profile(v_account.id, v_account.email, v_account.raw_user_meta_data) then
    return false;
  end if;
  perform private.follow_address(p_user_id, v_account.email);
  return true;
end;
$$;
comment on function private.heal_profile is
'Makes the profile of somebody Auth knows and the house does not, because the trigger of their sign-up was missing;
returns whether it did (RULES 1.2).';

create function private.heal_profiles(p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return (
    select count(*)::integer from (
      select a.id from auth.users as a
      where a.deleted_at is null and not exists (select from private.users as u where u.id = a.id)
      limit p_limit
    ) as missing
    where private.heal_profile(missing.id)
  );
end;
$$;
comment on function private.heal_profiles is 'Heals up to p_limit profiles that are missing; returns how many.';

create function private.welcome_user()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.make_profile(new.id, new.email, new.raw_user_meta_data);
  perform private.follow_address(new.id, new.email);
  return null;
exception when others then
  -- A failure here would break signing up itself; the profile is made at the next call.
  raise warning 'no profile was made for a new sign-up: %', sqlstate;
  return null;
end;
$$;
comment on function private.welcome_user is
'Makes the profile of a new sign-up; never fails, for it runs inside Supabase Auth.';

create function private.restore(p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.suspended_addresses as s
  where s.address_hash in (select a.address_hash from private.addresses as a where a.user_id = p_user_id);
  -- Who was never let in waits for an invite again.
  delete from private.admissions as a where a.user_id = p_user_id and a.admitted_at is null;
  if found then
    return true;
  end if;
  update private.admissions as a set suspended_at = null
  where a.user_id = p_user_id and a.suspended_at is not null;
  return found;
end;
$$;
comment on function private.restore is
'Lifts a suspension, also one that outlived an account with the same address: everything is as it was before; returns
whether that changed anything.';

create function private.is_admitted(p_user_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select exists(
      select from private.admissions as a
      where a.user_id = p_user_id and a.suspended_at is null
    )
  );
end;
$$;
comment on function private.is_admitted is 'Whether a person holds an admission that is not suspended.';

create function private.erase_admission(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.suspended_addresses (address_hash, suspended_at)
  select a.address_hash, d.suspended_at
  from private.admissions as d
  join private.addresses as a on a.user_id = d.user_id
  where d.user_id = p_user_id and d.suspended_at is not null
  on conflict (address_hash) do nothing;
  delete from private.admissions as a where a.user_id = p_user_id;
end;
$$;
comment on function private.erase_admission is
'Takes away the admission of a person who is erased; what stays of a suspension are the hashes of their addresses.';

create function private.get_access()
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.require_signed_in();
begin
  return jsonb_build_object(
    'whitelisted', private.is_admitted(v_me.id),
    'whitelist_required', private.invites_enforced(),
    'is_steward', private.is_steward()
  );
end;
$$;

create function public.get_access()
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.get_access();
end;
$$;
comment on function public.get_access is
'Tells the caller whether they are admitted; works before admission.

Returns {whitelisted, whitelist_required, is_steward}. Refuses: UNAUTHORIZED, FORBIDDEN.';
grant execute on function public.get_access, private.get_access to authenticated;

create function private.get_me()
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := private.require_admitted();
begin
  return (
    select to_jsonb(p.person) || jsonb_build_object('email', a.email, 'created_at', u.created_at)
    from private.users as u
    join private.shown_people as p on p.id = u.id
    join auth.users as a on a.id = u.id
    where u.id = v_me
  );
end;
$$;
comment on function private.get_me is
'The caller''s profile; the e-mail address is read from Auth''s own table and shown to its owner only.';

create function public.get_me()
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.get_me();
end;
$$;
comment on function public.get_me is
'The caller''s own profile.

Returns person + {email, created_at}. Refuses: UNAUTHORIZED, INVITE_REQUIRED.';
grant execute on function public.get_me, private.get_me to authenticated;

create function private.update_me(p_display_name text, p_avatar_url text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.lock_me();
  v_renames boolean := coalesce(p_display_name <> v_me.display_name, false);
  v_earliest timestamptz := v_me.renamed_at[10] + interval '1 day';
begin
  if p_display_name is not null then
    perform private.require_name('display_name', p_display_name, 80);
  end if;
  perform private.require_link('avatar_url', nullif(p_avatar_url, ''));
  if v_renames and v_earliest > private.clock() then
    perform private.refuse_for_now('Ten new names a day are enough.', v_earliest, '{"most": 10}');
  end if;
  perform private.change_profile(v_me.id, p_display_name, p_avatar_url, v_renames);
  return private.get_me();
end;
$$;

create function public.update_me(display_name text default null, avatar_url text default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.update_me(update_me.display_name, update_me.avatar_url);
end;
comment on function public.update_me is
'Changes the caller''s display name or avatar.

A name is 1 to 80 characters on one visible line, an avatar a web address; an empty text removes it.

What is left out or null stays; a new name shows everywhere at once, and ten a day are enough. Returns as get_me.
Refuses: INVALID_INPUT {field, possible}, RATE_LIMITED {most, possible_at, retry_after}.';
grant execute on function public.update_me, private.update_me to authenticated;

create function private.get_account(p_user_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_account jsonb;
begin
  if not exists (select from private.users as u where u.id = p_user_id) then
    perform private.heal_profile(p_user_id);
  end if;
  select jsonb_build_object(
    'id', u.id, 'email', a.email, 'email_confirmed', a.email_confirmed_at is not null,
    'display_name', u.display_name, 'avatar_url', u.avatar_url,
    'is_steward', coalesce(a.raw_app_meta_data ->> 'chas_role' = 'steward', false),
    'banned', coalesce(a.banned_until > now(), false),
    'whitelisted', private.is_admitted(u.id), 'whitelist_required', private.invites_enforced(),
    'created_at', u.created_at
  ) into v_account
  from private.users as u
  join auth.users as a on a.id = u.id
  where u.id = p_user_id and u.erased_at is null and a.deleted_at is null;
  if not found then
    perform private.refuse('NOT_FOUND', 'There is no such person.');
  end if;
  return v_account;
end;
$$;

create function public.get_account(user_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.get_account(get_account.user_id);
end;
comment on function public.get_account is
'A person as the edge needs to know them. For the service role alone.

Returns {id, email, email_confirmed, display_name, avatar_url, is_steward, banned, whitelisted, whitelist_required,
created_at}. Refuses: NOT_FOUND.';
grant execute on function public.get_account, private.get_account to service_role;

-- Invite codes (RULES 1.3 to 1.5). Everything here is for the service role: the edge, and the stewards behind it.

create table private.invites (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  code_hash bytea not null,
  email text,
  email_hash bytea,
  max_uses integer not null,
  uses integer not null default 0,
  expires_at timestamptz,
  revoked_at timestamptz,
  theme text not null,
  welcome_title text,
  welcome_message text,
  note text,
  created_at timestamptz not null default private.clock(),
  constraint invites_pkey primary key (id),
  constraint invites_code_hash_unique unique (code_hash),
  constraint invites_max_uses_range check (max_uses between 1 and 100),
  constraint invites_email_with_its_hash check (email is null or email_hash is not null),
  constraint invites_uses_within_max check (uses between 0 and max_uses),
  constraint invites_theme_known check (theme in ('dawn', 'sunset', 'mint', 'ink'))
);
comment on table private.invites is 'Invites by the SHA-256 of their code: a leak of this table admits nobody.';
create unique index invites_number_idx on private.invites (number);
create index invites_email_hash_idx on private.invites (email_hash) where email_hash is not null;
alter table private.invites enable row level security;
create policy nobody_reads_invites on private.invites for select to authenticated using (false);

create table private.invite_misses (
  id bigint generated always as identity,
  user_id uuid not null,
  missed_at timestamptz not null,
  constraint invite_misses_pkey primary key (id),
  constraint invite_misses_user_id_fkey foreign key (user_id) references private.users (id)
);
comment on table private.invite_misses is 'Unknown codes people tried; ten within an hour close the door to them.';
create index invite_misses_user_id_missed_at_idx on private.invite_misses (user_id, missed_at);
alter table private.invite_misses enable row level security;
create policy nobody_reads_invite_misses on private.invite_misses for select to authenticated using (false);

create function private.code_hash(p_code text)
returns bytea
language plpgsql immutable set search_path = ''
as $$
begin
  return sha256(convert_to(coalesce(private.plain_code(p_code), ''), 'UTF8'));
end;
$$;
comment on function private.code_hash is 'The hash an invite is found by, of the code as it is matched (RULES 1.3).';

create function private.invite_state(p_invite private.invites)
returns text
language sql stable security definer set search_path = ''
begin atomic
  select case
    when p_invite.revoked_at is not null then 'revoked'
    when p_invite.uses >= p_invite.max_uses then 'spent'
    when p_invite.expires_at <= private.clock() then 'expired'
    else 'open'
  end;
end;
comment on function private.invite_state is 'open, spent, expired or revoked; expiry is judged when read.';

create function private.show_invite(p_invite private.invites)
returns jsonb
language sql stable security definer set search_path = ''
begin atomic
  select jsonb_build_object(
    'id', p_invite.id, 'state', private.invite_state(p_invite), 'uses', p_invite.uses, 'max_uses', p_invite.max_uses,
    'email', p_invite.email, 'expires_at', p_invite.expires_at, 'theme', p_invite.theme,
    'welcome_title', p_invite.welcome_title, 'welcome_message', p_invite.welcome_message, 'note', p_invite.note,
    'created_at', p_invite.created_at
  );
end;
comment on function private.show_invite is 'An invite as stewards see it; the code itself is known only when minted.';

create function private.refused(p_code text, p_message text, p_facts jsonb default '{}')
returns jsonb
language sql immutable set search_path = ''
begin atomic
  select jsonb_build_object(
    'refused', jsonb_build_object('code', p_code, 'message', p_message, 'details', p_facts)
  );
end;
comment on function private.refused is
'A refusal that is returned, not raised, so that what was counted before it stays counted.';

create function private.misses_until(p_user_id uuid)
returns timestamptz
language sql stable security definer set search_path = ''
begin atomic
  select min(latest.missed_at) + interval '1 hour'
  from (
    select m.missed_at from private.invite_misses as m
    where m.user_id = p_user_id and m.missed_at > private.clock() - interval '1 hour'
    order by m.missed_at desc
    limit 10
  ) as latest
  having count(*) = 10;
end;
comment on function private.misses_until is
'When a person with ten misses within the hour may try again; null if they may now.';

create function private.purge_misses(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from private.invite_misses as m
  where m.id in (
    select o.id from private.invite_misses as o where o.missed_at <= p_now - interval '1 hour' order by o.id limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.purge_misses is
'Deletes up to p_limit misses older than the hour in which they count; returns how many.';

create function private.erase_invites_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_theirs uuid[] := array(
    select i.id from private.addresses as a
    join private.invites as i on i.email_hash = a.address_hash
    where a.user_id = p_user_id
    union
    select i.id from private.admissions as a
    join private.invites as i on i.id = a.invite_id
    where a.user_id = p_user_id and (i.max_uses = 1 or i.email is not null)
  );
begin
  update private.invites as i
  set
    email = null, email_hash = null, note = null, welcome_title = null, welcome_message = null,
    -- An open invite without its address would let anybody in.
    revoked_at = case when i.uses < i.max_uses then coalesce(i.revoked_at, private.clock()) else i.revoked_at end
  where i.id = any(v_theirs);
  delete from private.invite_misses as m
  where m.user_id = p_user_id;
end;
$$;
comment on function private.erase_invites_of is
'Takes every address a person''s account ever had, and what was written for them alone, off the invites; one to such an
address still open is revoked (RULES 13.3).';

create function private.use_invite(p_user_id uuid, p_invite private.invites)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_email text;
  v_confirmed boolean;
begin
  if private.invite_state(p_invite) <> 'open' then
    return private.refused('INVITE_UNAVAILABLE', 'This invite is no longer open.',
      jsonb_build_object('state', private.invite_state(p_invite)));
  end if;
  if p_invite.email is not null then
    select lower(a.email), a.email_confirmed_at is not null into v_email, v_confirmed
    from auth.users as a where a.id = p_user_id;
    if v_email is distinct from p_invite.email then
      return private.refused('INVITE_EMAIL_MISMATCH', 'This invite was made out to somebody else.');
    elsif not v_confirmed then
      return private.refused('EMAIL_UNCONFIRMED', 'Confirm your e-mail address first.');
    end if;
  end if;

  update private.invites as i set uses = i.uses + 1 where i.id = p_invite.id;
  perform private.admit(p_user_id, p_invite.id);
  return null;
end;
$$;
comment on function private.use_invite is
'Spends one use of a locked invite on a person and lets them in; returns a refusal, or null.

The address is compared with auth.users, never with what a caller says (RULES 1.4).';

create function private.redeem_invite(p_user_id uuid, p_code text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_invite private.invites;
  v_already boolean;
  v_until timestamptz;
  v_refusal jsonb;
begin
  perform private.heal_profile(p_user_id) where not exists (select from private.users as u where u.id = p_user_id);
  -- The person's row is the queue for their own attempts: ten guesses at once are counted as ten.
  if (private.lock_person(p_user_id)).id is null then
    return private.refused('UNAUTHORIZED', 'Sign in first.');
  end if;
  perform private.follow_address(p_user_id, (select a.email from auth.users as a where a.id = p_user_id));
  v_already := private.is_admitted(p_user_id);
  v_until := private.misses_until(p_user_id);
  if v_until is not null and not v_already then
    return private.refused('RATE_LIMITED', 'Too many unknown codes; try again later.', jsonb_build_object(
      'possible_at', v_until, 'retry_after', greatest(ceil(extract(epoch from v_until - private.clock()))::integer, 1)
    ));
  end if;

  select i.* into v_invite from private.invites as i where i.code_hash = private.code_hash(p_code) for update;
  if not v_already then
    if v_invite.id is null then
      insert into private.invite_misses (user_id, missed_at) values (p_user_id, private.clock());
      return private.refused('NOT_FOUND', 'There is no invite with this code.');
    end if;
    if exists (select from private.admissions as a where a.user_id = p_user_id) then
      return private.refused('FORBIDDEN', 'This account is suspended.');
    end if;
    v_refusal := private.use_invite(p_user_id, v_invite);
    if v_refusal is not null then
      return v_refusal;
    end if;
  end if;
  return jsonb_build_object(
    'whitelisted', true, 'already_whitelisted', v_already, 'invite_code', p_code,
    'theme', coalesce(v_invite.theme, 'dawn'), 'welcome_title', v_invite.welcome_title,
    'welcome_message', v_invite.welcome_message
  );
end;
$$;
comment on function private.redeem_invite is
'Whoever is in already gets success whatever the code, and uses nothing up.

A suspended person is not let in again by a new code: that is a steward''s decision.';
create function public.redeem_invite(user_id uuid, code text)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.redeem_invite(redeem_invite.user_id, redeem_invite.code);
end;
comment on function public.redeem_invite is
'Redeems an invite code for a signed-in person. For the service role (the edge) alone.

Returns {whitelisted, already_whitelisted, invite_code, theme, welcome_title, welcome_message}, or {refused: {code,
message, details}}, returned so that the count of misses survives: NOT_FOUND, INVITE_UNAVAILABLE {state},
INVITE_EMAIL_MISMATCH, EMAIL_UNCONFIRMED, RATE_LIMITED {possible_at, retry_after} after ten unknown codes within an
hour, UNAUTHORIZED (no such person), FORBIDDEN (suspended).';
grant execute on function public.redeem_invite, private.redeem_invite to service_role;

create function private.preview_invite(p_code text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_invite private.invites;
begin
  select i.* into v_invite from private.invites as i where i.code_hash = private.code_hash(p_code);
  if not found then
    perform private.refuse('NOT_FOUND', 'There is no invite with this code.');
  end if;
  return jsonb_build_object(
    'state', private.invite_state(v_invite), 'theme', v_invite.theme, 'welcome_title', v_invite.welcome_title,
    'welcome_message', v_invite.welcome_message
  );
end;
$$;

create function public.preview_invite(code text)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.preview_invite(preview_invite.code);
end;
comment on function public.preview_invite is
'What anyone holding a code may see before signing in. For the service role (the edge) alone.

Returns {state, theme, welcome_title, welcome_message}. Refuses: NOT_FOUND.';
grant execute on function public.preview_invite, private.preview_invite to service_role;

create function private.mint_invites(
  p_count integer, p_email text, p_max_uses integer, p_expires_at timestamptz, p_theme text, p_welcome_title text,
  p_welcome_message text, p_note text
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_invites jsonb;
begin
  perform private.require_number('count', p_count, 1, 100);
  perform private.require_number('max_uses', p_max_uses, 1, 100);
  perform private.require_choice('theme', p_theme, array['dawn', 'sunset', 'mint', 'ink']);
  perform private.require_text('welcome_title', coalesce(p_welcome_title, '-'), 120);
  perform private.require_text('welcome_message', coalesce(p_welcome_message, '-'), 1000);
  perform private.require_text('note', coalesce(p_note, '-'), 280);
  if p_email !~ '^[^@[:space:]]+@[^@[:space:]]+$' or char_length(p_email) > 254 then
    perform private.refuse('INVALID_INPUT', 'email must be an e-mail address.', jsonb_build_object('field', 'email'));
  elsif private.require_moment('expires_at', p_expires_at) <= private.clock() then
    perform private.refuse('INVALID_INPUT', 'expires_at must be ahead.', jsonb_build_object('field', 'expires_at'));
  end if;

  with codes as materialized (
    select private.make_code(16) as code from generate_series(1, p_count)
  ), minted as (
    insert into private.invites as i (
      code_hash, email, email_hash, max_uses, expires_at, theme, welcome_title, welcome_message, note
    )
    select
      private.code_hash(c.code), lower(p_email), private.hash_address(p_email), p_max_uses, p_expires_at, p_theme, p_welcome_title, p_welcome_message,
      p_note
    from codes as c
    returning i.*
  )
  select jsonb_agg(private.show_invite(m::private.invites) || jsonb_build_object('code', c.code) order by m.number)
  into v_invites
  from minted as m
  join codes as c on private.code_hash(c.code) = m.code_hash;
  return jsonb_build_object('invites', v_invites);
end;
$$;

create function public.mint_invites(
  count integer default 1,
  email text default null,
  max_uses integer default 1,
  expires_at timestamptz default null,
  theme text default 'dawn',
  welcome_title text default null,
  welcome_message text default null,
  note text default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.mint_invites(
    mint_invites.count, mint_invites.email, mint_invites.max_uses, mint_invites.expires_at, mint_invites.theme,
    mint_invites.welcome_title, mint_invites.welcome_message, mint_invites.note
  );
end;
comment on function public.mint_invites is
'Mints 1 to 100 invites alike, each with a code of 16 characters (80 bits). For the service role alone.

Returns {invites: [{id, code, state, uses, max_uses, email, expires_at, theme, ...}]}, the only time the codes are
shown. Refuses: INVALID_INPUT.';
grant execute on function public.mint_invites, private.mint_invites to service_role;

create function private.list_invites(p_page_size integer, p_before_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_before bigint;
  v_invites private.invites[];
begin
  perform private.require_page_size(p_page_size);
  if p_before_id is not null then
    select i.number into v_before from private.invites as i where i.id = p_before_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such invite.');
    end if;
  end if;
  v_invites := array(
    select i from private.invites as i
    where v_before is null or i.number < v_before
    order by i.number desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'invites', (
      select coalesce(jsonb_agg(private.show_invite(i::private.invites) order by i.number desc), '[]')
      from unnest(v_invites[:p_page_size]) as i
    ),
    'has_more', cardinality(v_invites) > p_page_size
  );
end;
$$;

create function public.list_invites(page_size integer default 50, before_id uuid default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_invites(list_invites.page_size, list_invites.before_id);
end;
comment on function public.list_invites is
'The invites ever minted, newest first. For the service role alone.

Returns {invites: [{id, state, uses, max_uses, email, expires_at, note, created_at, ...}], has_more}. Refuses:
INVALID_INPUT, NOT_FOUND (before_id).';
grant execute on function public.list_invites, private.list_invites to service_role;

create function private.revoke_invite(p_invite_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_invite private.invites;
begin
  update private.invites as i
  set revoked_at = coalesce(i.revoked_at, private.clock())
  where i.id = p_invite_id
  returning i.* into v_invite;
  if not found then
    perform private.refuse('NOT_FOUND', 'There is no such invite.');
  end if;
  return jsonb_build_object('invite', private.show_invite(v_invite));
end;
$$;

create function public.revoke_invite(invite_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.revoke_invite(revoke_invite.invite_id);
end;
comment on function public.revoke_invite is
'Closes an invite for good. For the service role alone.

Whoever came in with it stays; doing it again changes nothing. Returns {invite}. Refuses: NOT_FOUND.';
grant execute on function public.revoke_invite, private.revoke_invite to service_role;

-- Communities that lived here once and have moved to another database of the Bureau (945_moving). Nobody asks before a
-- refusal is due: who is at home here pays nothing for those who left.

create table private.departures (
  community_id uuid not null,
  database_number integer not null,
  member_ids uuid[] not null,
  departed_at timestamptz not null,
  constraint departures_pkey primary key (community_id)
);
comment on table private.departures is
'Where communities have gone that lived here: the number of their new home, and who was in them, for nobody else is
told. The row is written with the last of a community''s rows, and goes when it comes back.';
alter table private.departures enable row level security;
create policy nobody_reads_departures on private.departures for select to authenticated using (false);

create function private.refuse_absent(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_number integer;
begin
  select d.database_number into v_number from private.departures as d
  where d.community_id = p_community_id and p_user_id = any(d.member_ids);
  if found then
    perform private.refuse('NOT_FOUND', 'This community has moved to another database.',
      jsonb_build_object('moved_to', v_number));
  end if;
  perform private.refuse('NOT_FOUND', 'There is no such community.');
end;
$$;
comment on function private.refuse_absent is
'Refuses a community to somebody who is not in it: NOT_FOUND, whether it exists or not; with {moved_to}, the number of
its new home, to whoever was in it when it moved.';

create function private.let_go(p_community_id uuid, p_number integer, p_member_ids uuid[])
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.departures (community_id, database_number, member_ids, departed_at)
  values (p_community_id, p_number, p_member_ids, private.clock());
end;
$$;
comment on function private.let_go is 'Writes down that a community moves to the database of this number.';

create function private.welcome_back(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.departures as d where d.community_id = p_community_id;
end;
$$;
comment on function private.welcome_back is 'Forgets that a community left, if it did: it is at home here.';

-- Communities, their members and roles, and the guards every other room asks (RULES 2).

create table private.communities (
  id uuid not null default gen_random_uuid(),
  name text not null,
  description text not null default '',
  timezone text not null default 'UTC',
  daily_cc_budget integer not null default 100,
  electorate text not null default 'council',
  pending jsonb not null default '{}',
  willed text[] not null default '{}',
  created_by uuid not null,
  created_at timestamptz not null default private.clock(),
  constraint communities_pkey primary key (id),
  constraint communities_created_by_fkey foreign key (created_by) references private.users (id),
  constraint communities_name_length check (char_length(name) between 1 and 50),
  constraint communities_description_length check (char_length(description) <= 200),
  constraint communities_daily_cc_budget_range check (daily_cc_budget between 10 and 1000),
  constraint communities_electorate_known check (electorate in ('council', 'members'))
);
comment on table private.communities is
'The communities and their settings in force; pending holds what takes force at the next Dawn, willed
which of it all have willed, so that no moderator overrides it (RULES 2.4, 16.1).';
create index communities_created_by_idx on private.communities (created_by);
alter table private.communities enable row level security;
grant select on private.communities to authenticated;

create table private.community_members (
  community_id uuid not null,
  user_id uuid not null,
  roles text[] not null default '{member}',
  joined_at timestamptz not null default private.clock(),
  joined_day date not null,
  left_at timestamptz,
  council_since timestamptz,
  constraint community_members_pkey primary key (community_id, user_id),
  constraint community_members_community_id_fkey foreign key (community_id) references private.communities (id),
  constraint community_members_user_id_fkey foreign key (user_id) references private.users (id),
  constraint community_members_roles_known check (
    'member' = any(roles) and roles <@ array['member', 'moderator', 'council']
  )
);
comment on table private.community_members is
'Everyone who is or ever was in a community; left_at is null while they are. What people did refers to this row, so
it stays when they leave, and joined_at is their latest joining; joined_day the community''s day then, as it was called:
no change of zone rewrites it. roles are those written down; private.roles_now knows an election whose end has come.';
create index community_members_user_id_community_id_idx on private.community_members (user_id, community_id);
create index community_members_present_idx on private.community_members (community_id, joined_at) where left_at is null;
create index community_members_moderators_idx on private.community_members (community_id, user_id)
where left_at is null and 'moderator' = any(roles);
alter table private.community_members enable row level security;
grant select on private.community_members to authenticated;

create function private.my_communities()
returns setof uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.users := private.able_person(private.caller_id());
begin
  return query
  select m.community_id
  from private.community_members as m
  where m.user_id = v_me.id and m.left_at is null;
end;
$$;
comment on function private.my_communities is
'The communities the caller is in; empty unless they are admitted. Policies ask it once per query: community_id =
any(array(select private.my_communities())).';
grant execute on function private.my_communities to authenticated;

create policy members_read_communities on private.communities for select to authenticated
using (id = any(array(select private.my_communities())));

create policy members_read_members on private.community_members for select to authenticated
using (community_id = any(array(select private.my_communities())));

create policy people_read_themselves_and_those_they_met on private.users for select to authenticated
using (
  id = (select private.my_id())
  or exists (
    select from private.community_members as m
    where m.user_id = users.id and m.community_id = any(array(select private.my_communities()))
  )
);

create function private.require_member(p_community_id uuid)
returns private.community_members
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.users := private.able_person(private.caller_id());
  v_member private.community_members;
begin
  select m.* into v_member
  from private.community_members as m
  where m.community_id = p_community_id and m.user_id = v_me.id and m.left_at is null;
  -- Who gets no answer learns first who they are.
  if not found then
    perform private.require_admitted();
    perform private.refuse_absent(p_community_id, v_me.id);
  end if;
  return v_member;
end;
$$;
comment on function private.require_member is
'Returns the caller''s membership of a community. A stranger gets the same answer whether the community exists or
not.

Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND {moved_to} (to whoever was in it when it moved, see 195_departures).';
grant execute on function private.require_member to authenticated;

create function private.require_acting_member(p_community_id uuid)
returns private.community_members
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.able_person(private.caller_id());
  v_member private.community_members;
begin
  select m.* into v_member
  from private.community_members as m
  where m.community_id = p_community_id and m.user_id = v_me.id and m.left_at is null
  for key share;
  if not found then
    return private.require_member(p_community_id);
  end if;
  return v_member;
end;
$$;
comment on function private.require_acting_member is
'As private.require_member, and keeps the membership from ending until the transaction ends: how an act begins that
writes words. Whoever ends a membership, an erasure too, waits for it or is found to have come first (RULES 13.4).';

create function private.begin_words(p_community_id uuid)
returns private.users
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.able_person(private.caller_id());
begin
  perform
  from private.community_members as m
  where m.community_id = p_community_id and m.user_id = v_me.id and m.left_at is null
  for key share;
  if not found then
    perform private.require_member(p_community_id);
  end if;
  return v_me;
end;
$$;
comment on function private.begin_words is
'As private.require_acting_member, and returns the caller''s profile: how one begins who speaks and is shown speaking.';

create function private.require_seen(p_community_id uuid, p_noun text)
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.users := private.able_person(private.caller_id());
begin
  perform
  from private.community_members as m
  where m.community_id = p_community_id and m.user_id = v_me.id and m.left_at is null;
  if not found then
    perform private.require_admitted();
    perform private.refuse('NOT_FOUND', format('There is no such %s.', p_noun));
  end if;
  return v_me.id;
end;
$$;
comment on function private.require_seen is
'Asks that the caller is in the community of a thing that was looked up by its id, and returns the caller''s id; a null
community means that nothing was found. A stranger gets the same answer whether the thing exists or not.

Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND.';
grant execute on function private.require_seen to authenticated;

create function private.member_ids(p_community_id uuid)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(
    select m.user_id from private.community_members as m
    where m.community_id = p_community_id and m.left_at is null
      and not exists (select from private.erasures as e where e.user_id = m.user_id)
    order by m.user_id
  );
end;
$$;
comment on function private.member_ids is
'The ids of everyone in a community now, in id order. Who is erased is in no community from that moment on, though the
leaving itself follows.';

create function private.is_member(p_community_id uuid, p_user_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return exists (
    select from private.community_members as m
    where m.community_id = p_community_id and m.user_id = p_user_id and m.left_at is null
      and not exists (select from private.erasures as e where e.user_id = m.user_id)
  );
end;
$$;
comment on function private.is_member is 'Whether a person is in a community now, able or not.';

create function private.able_member_ids(p_community_id uuid)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return private.able_among(private.member_ids(p_community_id));
end;
$$;
comment on function private.able_member_ids is
'The ids of everyone in a community who can act now, in id order: of whom rolls, candidates and heirs are made.';

create function private.next_budget(p_community_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce((c.pending ->> 'daily_cc_budget')::integer, c.daily_cc_budget)
    from private.communities as c
    where c.id = p_community_id
  );
end;
$$;
comment on function private.next_budget is 'What the next Dawn will grant, in CC, as pending settings stand.';

create function private.next_timezone(p_community_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(c.pending ->> 'timezone', c.timezone) from private.communities as c where c.id = p_community_id
  );
end;
$$;
comment on function private.next_timezone is 'The zone of the day that the next Dawn opens, as pending settings stand.';

create function private.apply_pending(p_community_id uuid)
returns private.communities
language plpgsql security definer set search_path = ''
as $$
declare
  v_community private.communities;
begin
  select c.* into v_community from private.communities as c where c.id = p_community_id;
  if v_community.pending <> '{}' or v_community.willed <> '{}' then
    update private.communities as c
    set
      timezone = coalesce(c.pending ->> 'timezone', c.timezone),
      daily_cc_budget = coalesce((c.pending ->> 'daily_cc_budget')::integer, c.daily_cc_budget),
      electorate = coalesce(c.pending ->> 'electorate', c.electorate),
      pending = '{}',
      willed = '{}'
    where c.id = p_community_id
    returning c.* into v_community;
  end if;
  return v_community;
end;
$$;
comment on function private.apply_pending is 'Puts pending settings in force and returns the community as it now is.';

create function private.lock_community(p_community_id uuid)
returns private.communities
language sql security definer set search_path = ''
begin atomic
  select c.* from private.communities as c
  where c.id = p_community_id for no key update;
end;
comment on function private.lock_community is
'Locks a community until the transaction ends and returns it; the day, if it matters, is held before.';

create function private.hold_roll(p_community_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  select from private.communities as c
  where c.id = p_community_id for share;
end;
comment on function private.hold_roll is
'Keeps members from leaving until the transaction ends, by holding the community''s row: what draws up a roll, or
names a member, takes it after the day; who leaves or is removed locks the row as private.lock_community does.';

create function private.change_community(
  p_community_id uuid, p_name text, p_description text, p_pending jsonb, p_willed text[] default '{}'
)
returns void
language sql security definer set search_path = ''
begin atomic
  update private.communities as c
  set
    name = coalesce(p_name, c.name), description = coalesce(p_description, c.description), pending = p_pending,
    willed = c.willed || p_willed
  where c.id = p_community_id;
end;
comment on function private.change_community is
'Changes name and description at once (null: as it was) and says what pends, and what of it all have willed now.';

create function private.with_role(p_roles text[], p_role text, p_granted boolean)
returns text[]
language plpgsql immutable set search_path = ''
as $$
begin
  return array(
    select r.role from unnest(array['member', 'moderator', 'council']) with ordinality as r (role, place)
    where case when r.role = p_role then p_granted else r.role = any(p_roles) end
    order by r.place
  );
end;
$$;
comment on function private.with_role is 'Roles with one more or one less, in the order in which they are always told.';

create function private.set_role(p_community_id uuid, p_user_id uuid, p_role text, p_granted boolean)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  update private.community_members as m
  set
    roles = private.with_role(m.roles, p_role, p_granted),
    council_since = case
      when p_role <> 'council' then m.council_since
      when p_granted then private.clock()
    end
  where m.community_id = p_community_id and m.user_id = p_user_id and m.left_at is null
    and (p_role = any(m.roles)) <> p_granted;
  return found;
end;
$$;
comment on function private.set_role is
'Gives a standing member a role or takes it; returns whether that changed anything. Who may, and that one moderator
stays, is the caller''s affair, who has locked the community.';

create function private.make_community(
  p_id uuid, p_founder_id uuid, p_name text, p_description text, p_timezone text, p_daily_cc_budget integer
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.communities (id, name, description, timezone, daily_cc_budget, created_by)
  values (p_id, p_name, p_description, p_timezone, p_daily_cc_budget, p_founder_id);
end;
$$;
comment on function private.make_community is 'Makes a community, with nobody in it yet.';

create function private.mark_joined(p_community_id uuid, p_user_id uuid, p_roles text[], p_day date)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.community_members as m (community_id, user_id, roles, joined_day)
  values (p_community_id, p_user_id, p_roles, p_day)
  on conflict (community_id, user_id) do update
  set roles = excluded.roles, joined_at = private.clock(), joined_day = excluded.joined_day, left_at = null
  where m.left_at is not null;
  return found;
end;
$$;
comment on function private.mark_joined is
'Makes a person a member from a day of the community on; returns false, and changes nothing, if they are one.';

create function private.mark_left(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  -- Alone: an act of theirs under way holds the row, is waited for, and is then found by whatever follows.
  perform from private.community_members as m
  where m.community_id = p_community_id and m.user_id = p_user_id
  for update;
  update private.community_members as m
  set roles = '{member}', council_since = null, left_at = private.clock()
  where m.community_id = p_community_id and m.user_id = p_user_id and m.left_at is null;
end;
$$;
comment on function private.mark_left is 'Makes a member one who was; every role goes with the membership.';

-- The calendar: which day each community lives, and when its next Sunset and Dawn fall (RULES, Words and 6).

create table private.community_days (
  community_id uuid not null,
  day date not null,
  sunset_at timestamptz not null,
  dawn_at timestamptz not null,
  is_open boolean not null generated always as (sunset_at < dawn_at) stored,
  due_at timestamptz not null generated always as (least(sunset_at, dawn_at)) stored,
  jashn_look_at timestamptz not null,
  last_light_at timestamptz,
  days_lived integer not null default 1,
  daily_budget integer not null,
  last_closed_day date,
  editions integer not null default 0,
  constraint community_days_pkey primary key (community_id),
  constraint community_days_community_id_fkey foreign key (community_id) references private.communities (id)
)
with (fillfactor = 50);
comment on table private.community_days is
'One row per community: the day it lives and the instants of its next Sunset and next Dawn, so that one index serves
every zone and every change of the clocks. While the day is open its Sunset comes first; while it is closed, the
Dawn. jashn_look_at is when the next Jashn is to be held; each Dawn reckons it anew, for it may have brought another
zone, where Sunday comes sooner or later. last_light_at is when the last hour begins,
null once that has been told or is over. days_lived counts the days, this one included; editions those of the Gazette.
daily_budget is that of the community, copied by each Dawn: every act that tells a balance holds this row anyway.';
create index community_days_sunset_at_idx on private.community_days (sunset_at) where is_open;
create index community_days_dawn_at_idx on private.community_days (dawn_at);
create index community_days_jashn_look_at_idx on private.community_days (jashn_look_at);
create index community_days_last_light_at_idx on private.community_days (last_light_at) where last_light_at is not null;
alter table private.community_days enable row level security;
create policy members_read_community_days on private.community_days for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.community_days to authenticated;

create function private.dawn_of(p_timezone text, p_day date)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
declare
  -- A midnight the clocks jump over reads as the instant of the jump; one they live twice, as the second.
  v_guess timestamptz := p_day::timestamp at time zone p_timezone;
  v_before timestamptz := v_guess - interval '3 hours';
begin
  if v_guess at time zone p_timezone - v_before at time zone p_timezone = interval '3 hours'
    and (v_guess at time zone p_timezone)::date = p_day
  then
    return v_guess;
  end if;
  return (
    select min(t.moment) from generate_series(v_before, v_guess, interval '1 minute') as t (moment)
    where (t.moment at time zone p_timezone)::date >= p_day
  );
end;
$$;
comment on function private.dawn_of is
'The first instant whose local date in a zone is p_day or, where the zone skips that date, later.

Near a change of the clocks every minute of the three hours before is looked at: a midnight may be skipped or come
twice.';

create function private.next_dawn(p_timezone text, p_next_timezone text, p_day date)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return greatest(private.dawn_of(p_timezone, p_day + 1), private.dawn_of(p_next_timezone, p_day + 1));
end;
$$;
comment on function private.next_dawn is
'When the day after p_day really begins, where p_next_timezone will be the zone from then on: the old date must be over
where it was lived, and the new one begun where it will be (RULES 6.2). West of here that is hours later; to the east it
is this zone''s own midnight, and the new date is then the other zone''s.';

create function private.next_day(p_day private.community_days, p_timezone text)
returns date
language plpgsql stable security definer set search_path = ''
as $$
begin
  return greatest((p_day.dawn_at at time zone p_timezone)::date, p_day.day + 1);
end;
$$;
comment on function private.next_day is
'The date that a day''s next Dawn opens, where p_timezone is the zone from then on.';

create function private.sunset_after(p_timezone text, p_dawn_at timestamptz, p_day date)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return greatest(
    private.dawn_of(p_timezone, greatest((p_dawn_at at time zone p_timezone)::date, p_day + 1) + 1) - interval '1 minute',
    p_dawn_at
  );
end;
$$;
comment on function private.sunset_after is
'The Sunset of the day that the Dawn at p_dawn_at opens in a zone, p_day being the last one lived.';

create function private.turn_to_night(p_day private.community_days, p_timezone text, p_closed_day date)
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days;
begin
  update private.community_days as d
  set
    sunset_at = private.sunset_after(p_timezone, p_day.dawn_at, p_day.day),
    last_light_at = null,
    last_closed_day = coalesce(p_closed_day, d.last_closed_day)
  where d.community_id = p_day.community_id
  returning d.* into v_day;
  return v_day;
end;
$$;
comment on function private.turn_to_night is
'Closes an open, locked day in the calendar and returns it. p_timezone is the zone from the next Dawn on: the next
Sunset is then that of the day it opens.';

create function private.turn_to_day(
  p_day private.community_days, p_timezone text, p_daily_budget integer, p_now timestamptz
)
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_date date := greatest((p_now at time zone p_timezone)::date, p_day.day + 1);
  v_dawn timestamptz := private.dawn_of(p_timezone, v_date + 1);
  v_day private.community_days;
begin
  update private.community_days as d
  set
    day = v_date,
    days_lived = d.days_lived + 1,
    daily_budget = p_daily_budget,
    dawn_at = v_dawn,
    sunset_at = v_dawn - interval '1 minute',
    last_light_at = v_dawn - interval '1 hour 1 minute',
    -- Where nobody has turned to night before, the day that was open is closed by this.
    last_closed_day = case when p_day.is_open then p_day.day else d.last_closed_day end,
    -- One that should have been held in the days before this Dawn is owed still.
    jashn_look_at = case
      when p_day.jashn_look_at < p_day.dawn_at then p_day.jashn_look_at
      else private.next_jashn_look(p_timezone, p_day.day)
    end
  where d.community_id = p_day.community_id
  returning d.* into v_day;
  return v_day;
end;
$$;
comment on function private.turn_to_day is
'Opens in the calendar the local date of p_now, always later than the last one lived; days missed whole are passed over.
Returns the locked day as it then is. private.next_dawn has seen to it that the zone has such a date by now.';

create function private.await_zone(p_day private.community_days, p_timezone text, p_next_timezone text)
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  -- A zone in the west that is called off in the night it made longer: the Dawn it kept waiting is due at once.
  v_dawn timestamptz := greatest(private.next_dawn(p_timezone, p_next_timezone, p_day.day), private.clock());
  v_day private.community_days;
begin
  update private.community_days as d
  set
    dawn_at = v_dawn,
    sunset_at = case
      when p_day.is_open then p_day.sunset_at else private.sunset_after(p_next_timezone, v_dawn, p_day.day)
    end,
    -- No week is honoured before the Dawn that ends it.
    jashn_look_at = case
      when p_day.jashn_look_at < p_day.dawn_at then p_day.jashn_look_at
      else greatest(private.next_jashn_look(p_next_timezone, p_day.day), v_dawn)
    end
  where d.community_id = p_day.community_id
  returning d.* into v_day;
  return v_day;
end;
$$;
comment on function private.await_zone is
'Reckons the next Dawn anew, and by night the Sunset after it, when another zone pends or pends no more; returns the
day, which the caller holds alone. So what the calendar says is always what will come, and nothing takes force before it
(RULES 5.5, 6.2).';

create function private.begin_calendar(p_community_id uuid, p_timezone text, p_daily_budget integer)
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_today date := (private.clock() at time zone p_timezone)::date;
  v_dawn timestamptz := private.dawn_of(p_timezone, v_today + 1);
  v_day private.community_days;
begin
  insert into private.community_days as d (
    community_id, day, sunset_at, dawn_at, jashn_look_at, daily_budget, last_light_at
  )
  values (
    p_community_id, v_today, v_dawn - interval '1 minute', v_dawn, private.next_jashn_look(p_timezone, v_today),
    p_daily_budget,
    -- Founded within that hour, nobody has let anything lie.
    case when v_dawn - private.clock() > interval '1 hour 1 minute' then v_dawn - interval '1 hour 1 minute' end
  )
  returning d.* into v_day;
  if v_day.sunset_at <= private.clock() then
    v_day := private.turn_to_night(v_day, p_timezone, null);
  end if;
  return v_day;
end;
$$;
comment on function private.begin_calendar is
'Starts the calendar of a new community on its local date and returns it; one founded between Sunset and Dawn starts
closed. The first Jashn is that of the week it was founded in.';

create function private.pass_last_light(p_community_id uuid, p_now timestamptz)
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days;
begin
  update private.community_days as d set last_light_at = null
  where d.community_id = p_community_id and d.last_light_at <= p_now
  returning d.* into v_day;
  return v_day;
end;
$$;
comment on function private.pass_last_light is
'Locks the day of a community whose last hour has begun and has not been told, and returns it; nulls where it has.';

create function private.last_lights_due(p_now timestamptz, p_limit integer, p_except uuid[])
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(
    select d.community_id from private.community_days as d
    where d.last_light_at <= p_now and d.community_id <> all(p_except)
    order by d.last_light_at
    limit p_limit
  );
end;
$$;
comment on function private.last_lights_due is
'Up to p_limit communities whose last hour has begun and has not been told, but for those in p_except.';

create function private.count_edition(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.community_days as d set editions = d.editions + 1 where d.community_id = p_community_id;
end;
$$;
comment on function private.count_edition is
'Counts an edition of the Gazette on a locked day: kept apart from the editions, so that the last one is missed too.';

create function private.turn_jashn_look(p_community_id uuid, p_at timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.community_days as d set jashn_look_at = p_at where d.community_id = p_community_id;
end;
$$;
comment on function private.turn_jashn_look is 'Says when to look next whether a community''s Jashn is due.';

create function private.dawn_late_seconds(p_now timestamptz)
returns integer
language sql stable security definer set search_path = ''
begin atomic
  select coalesce(greatest(extract(epoch from p_now - min(d.dawn_at))::integer, 0), 0) from private.community_days as d;
end;
comment on function private.dawn_late_seconds is
'How many seconds the most overdue Dawn is late, 0 when none is; one index probe.';

create function private.day_at(p_community_id uuid, p_at timestamptz, out timezone text, out day date)
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_dawn_at timestamptz;
begin
  select
    d.day,
    d.dawn_at,
    case when d.dawn_at <= p_at then coalesce(c.pending ->> 'timezone', c.timezone) else c.timezone end
  into day, v_dawn_at, timezone
  from private.community_days as d
  join private.communities as c on c.id = d.community_id
  where d.community_id = p_community_id;
  if v_dawn_at <= p_at then
    day := greatest(day + 1, (p_at at time zone timezone)::date);
  end if;
end;
$$;
comment on function private.day_at is
'The day a community lives at a moment, and the zone it lives it in, whether or not its Dawn has been settled: what a
read, which settles nothing, must go by.';

create function private.week_of(p_day date)
returns date
language plpgsql immutable set search_path = ''
as $$
begin
  return p_day - extract(dow from p_day)::integer;
end;
$$;
comment on function private.week_of is 'The Sunday a day''s week begins with.';
grant execute on function private.week_of to authenticated;

create function private.next_jashn_look(p_timezone text, p_day date)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return private.dawn_of(p_timezone, private.week_of(p_day) + 7) + interval '5 minutes';
end;
$$;
comment on function private.next_jashn_look is
'When the week of a day has ended and its Jashn is to be held: the Sunday after it, 00:05 (RULES 10.2).';

-- Absences: who is away from which day to which (RULES 16.2).

create table private.absences (
  community_id uuid not null,
  user_id uuid not null,
  from_day date not null,
  to_day date not null,
  declared_at timestamptz not null default private.clock(),
  constraint absences_pkey primary key (community_id, user_id, from_day),
  constraint absences_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint absences_days_in_order check (from_day <= to_day)
);
comment on table private.absences is
'Every absence of a member, both days included, in days of the community; those that are over stay, for streaks and
weeks go by them.';
create index absences_community_id_to_day_idx on private.absences (community_id, to_day);
alter table private.absences enable row level security;
create policy members_read_absences on private.absences for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.absences to authenticated;

create function private.away_ids(p_community_id uuid, p_from_day date, p_to_day date)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(
    select distinct a.user_id from private.absences as a
    where a.community_id = p_community_id and a.to_day >= p_from_day and a.from_day <= p_to_day
    order by a.user_id
  );
end;
$$;
comment on function private.away_ids is 'Who is away on a day from p_from_day to p_to_day, in id order.';

create function private.present_able_ids(p_community_id uuid)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_day date := (select d.day from private.community_days as d where d.community_id = p_community_id);
begin
  return private.able_among(array(
    select m.user_id from private.community_members as m
    where m.community_id = p_community_id and m.left_at is null
      and not exists (select from private.erasures as e where e.user_id = m.user_id)
      and not exists (
        select from private.absences as a
        where a.community_id = p_community_id and a.user_id = m.user_id and v_day between a.from_day and a.to_day
      )
  ));
end;
$$;
comment on function private.present_able_ids is
'Who in a community can act now and is not away on the day it lives, in id order: of whom rolls and candidates are
made.';

create function private.absence_of(p_community_id uuid, p_user_id uuid, p_day date)
returns private.absences
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_absence private.absences;
begin
  select a.* into v_absence from private.absences as a
  where a.community_id = p_community_id and a.user_id = p_user_id and a.to_day >= p_day;
  return v_absence;
end;
$$;
comment on function private.absence_of is
'A member''s absence that is not over on a day, begun or not; nulls if there is none. There is never more than one.';

create function private.write_absence(p_community_id uuid, p_user_id uuid, p_from_day date, p_to_day date)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.absences (community_id, user_id, from_day, to_day)
  values (p_community_id, p_user_id, p_from_day, p_to_day);
end;
$$;
comment on function private.write_absence is 'Writes down an absence.';

create function private.cut_absence(p_community_id uuid, p_user_id uuid, p_day date)
returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  v_absence private.absences := private.absence_of(p_community_id, p_user_id, p_day);
begin
  if v_absence.from_day > p_day then
    delete from private.absences as a
    where a.community_id = p_community_id and a.user_id = p_user_id and a.from_day = v_absence.from_day;
  elsif v_absence.to_day > p_day then
    update private.absences as a set to_day = p_day
    where a.community_id = p_community_id and a.user_id = p_user_id and a.from_day = v_absence.from_day;
  end if;
  return v_absence.user_id is not null;
end;
$$;
comment on function private.cut_absence is
'Takes back an absence that has not begun on a day, or ends one that has with that day; returns whether there is one
that is not over.';

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

-- Live updates: compact broadcasts on the private topics community:<id> and user:<id> (RULES 11.2). They carry ids
-- only: who may read what those name is the tables' affair. Whoever missed one reads again.

create type private.broadcast as (topic text, kind text, ids jsonb);
comment on type private.broadcast is
'What one topic is told: a kind, and the ids of what it is about. Nothing sealed and nothing private.';

create function private.tell(variadic p_broadcasts private.broadcast[])
returns void
language plpgsql security definer set search_path = '' set lock_timeout = '450ms'
as $$
declare
  v_until timestamptz := clock_timestamp() + interval '400 ms';
begin
  if current_setting('chas.silent', true) = 'on' then
    return;
  end if;
  -- One after the other: whoever waited once does not wait again for the other topics of the same act. realtime.send
  -- makes a warning of every error of its own, a lock it did not get in time among them.
  perform realtime.send(jsonb_build_object('kind', b.kind, 'ids', b.ids), b.kind, b.topic, true)
  from unnest(p_broadcasts) as b
  where clock_timestamp() < v_until;
  if clock_timestamp() > v_until then
    perform set_config('chas.silent', 'on', true);
  end if;
exception
  when others then
    -- It is missing, or closed to us, or its own net has a hole.
    raise warning 'no broadcast: % %', sqlstate, sqlerrm;
end;
$$;
comment on function private.tell is
'Broadcasts {kind, ids} on each of these topics, with the transaction. It never fails an act, nor keeps it longer than
half a second: a broadcast lost is a warning.';

create function private.tell_community(p_community_id uuid, p_kind text, p_ids jsonb default '{}')
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.tell(('community:' || p_community_id::text, p_kind, p_ids));
end;
$$;
comment on function private.tell_community is
'Broadcasts {kind, ids} to everyone in a community. Nothing sealed and nothing private travels here.';

create function private.tell_user(p_user_id uuid, p_kind text, p_ids jsonb default '{}')
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.tell(('user:' || p_user_id::text, p_kind, p_ids));
end;
$$;
comment on function private.tell_user is 'Broadcasts {kind, ids} to one person.';

-- Notices to one person (RULES 11.1), kept as facts: what they say is made when they are read.

create function private.notice_kinds(out kind text, out is_mutable boolean)
returns setof record
language sql immutable set search_path = ''
begin atomic
  select
    k.kind,
    k.is_mutable
  from (
    values
    ('witnessed', true),
    ('borrow_request', false),
    ('borrow_approved', true),
    ('borrow_declined', true),
    ('tip_to_tip', true),
    ('jashn_e_chas', true),
    ('election', true),
    ('last_light', true),
    ('unwitnessed', true),
    ('system', true)
  ) as k (kind, is_mutable);
end;
comment on function private.notice_kinds is
'The types of notice, and which of them a member may mute: the one list. A call to vote comes through a mute of its
type.';

create domain private.notice_type as text
constraint notice_type_known check (
  value in (
    'witnessed', 'borrow_request', 'borrow_approved', 'borrow_declined', 'tip_to_tip', 'jashn_e_chas', 'election',
    'last_light', 'unwitnessed', 'system'
  )
);

create table private.notifications (
  community_id uuid not null,
  user_id uuid not null,
  id bigint generated always as identity,
  type private.notice_type not null,
  event text not null,
  facts jsonb not null,
  people uuid[] not null,
  ref_kind text not null,
  ref_id uuid not null,
  count integer not null default 1,
  position bigint not null,
  read_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint notifications_pkey primary key (community_id, user_id, id)
);
comment on table private.notifications is
'Notices, each to one person: an event and its facts, the people it is about, latest first and three at the most, and
how many folded into it. position is its place in the list; one that folds moves to the top. Kept 90 days. No foreign
key: its one writer, private.notify, draws whom it tells from the members and holds their rows.';
create sequence private.notifications_position_seq owned by private.notifications.position;
create unique index notifications_one_unread_per_thing on private.notifications (user_id, type, ref_id, ref_kind)
where read_at is null;
create index notifications_user_id_position_idx on private.notifications (user_id, position);
create unique index notifications_id_unique on private.notifications (id);
create index notifications_updated_at_idx on private.notifications (updated_at);
alter table private.notifications enable row level security;
create policy people_read_their_notifications on private.notifications for select to authenticated
using (user_id = (select private.my_id()));
grant select on private.notifications to authenticated;

create table private.notification_mutes (
  community_id uuid not null,
  user_id uuid not null,
  type text not null,
  constraint notification_mutes_pkey primary key (community_id, user_id, type),
  constraint notification_mutes_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id)
);
comment on table private.notification_mutes is 'Which types of notice a member does not want from a community.';
alter table private.notification_mutes enable row level security;
create policy people_read_their_mutes on private.notification_mutes for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on private.notification_mutes to authenticated;

create function private.notify(
  p_user_ids uuid[], p_community_id uuid, p_type text, p_event text, p_ref_kind text, p_ref_id uuid,
  p_facts jsonb default '{}', p_by uuid default null, p_is_ask boolean default false,
  p_at timestamptz default private.clock(), p_besides private.broadcast[] default '{}'
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  -- Their rows are held, in id order: no membership ends meanwhile, and two tellings of the same people never wait for
  -- each other in a ring.
  insert into private.notifications as n (
    community_id, user_id, type, event, facts, people, ref_kind, ref_id, position, created_at, updated_at
  )
  select
    p_community_id, m.user_id, p_type, p_event, p_facts, array_remove(array[p_by], null), p_ref_kind, p_ref_id,
    nextval('private.notifications_position_seq'), p_at, p_at
  from (
    select o.user_id, o.left_at from private.community_members as o
    where o.community_id = p_community_id and o.user_id = any(p_user_ids)
    order by o.user_id
    for key share
  ) as m
  where p_is_ask or (
    m.left_at is null
    and not exists (
      select from private.notification_mutes as s
      where s.community_id = p_community_id and s.user_id = m.user_id and s.type = p_type
    )
    and not exists (select from private.erasures as e where e.user_id = m.user_id)
  )
  on conflict (user_id, type, ref_id, ref_kind) where read_at is null do update
  set
    count = n.count + 1, event = excluded.event, facts = excluded.facts, position = excluded.position,
    updated_at = excluded.updated_at,
    people = (excluded.people || array_remove(n.people, excluded.people[1]))[:3];
  if found and cardinality(p_user_ids) = 1 then
    perform private.tell(variadic p_besides || (
      'user:' || p_user_ids[1]::text, 'notification', jsonb_build_object('ref_kind', p_ref_kind, 'ref_id', p_ref_id)
    )::private.broadcast);
  elsif p_besides <> '{}' then
    perform private.tell(variadic p_besides);
  end if;
end;
$$;
comment on function private.notify is
'Tells members of a community something, in one statement however many they are; what is unread about the same thing
folds. Who has left is not told.

p_by is the person it is about. p_is_ask: what is addressed to them (a vote, a loan request, their own removal), which
no mute silences and which reaches who has just left too. One person told alone also hears a broadcast on their own
topic, together with what else the act tells, p_besides; what is told to many, the community''s topic carries already.';

create function private.notify_each(
  p_user_ids uuid[], p_community_id uuid, p_type text, p_event text, p_ref_kind text, p_ref_ids uuid[],
  p_by_ids uuid[], p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.notifications as n (
    community_id, user_id, type, event, facts, people, ref_kind, ref_id, position, created_at, updated_at
  )
  select
    p_community_id, u.id, p_type, p_event, '{}', array[u.by_id], p_ref_kind, u.ref_id,
    nextval('private.notifications_position_seq'), p_at, p_at
  from unnest(p_user_ids, p_ref_ids, p_by_ids) with ordinality as u (id, ref_id, by_id, turn)
  where not exists (
    select from private.notification_mutes as m
    where m.community_id = p_community_id and m.user_id = u.id and m.type = p_type
  )
  order by u.id, u.turn
  on conflict (user_id, type, ref_id, ref_kind) where read_at is null do nothing;
end;
$$;
comment on function private.notify_each is
'As private.notify, of many things at once: who is told, of what, and whom it is about, side by side. What somebody has
been told already and not read is not told again. Nobody hears a broadcast of it.';

create function private.read_notice(p_user_id uuid, p_notification_id bigint)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  update private.notifications as n set read_at = private.clock()
  where n.id = p_notification_id and n.user_id = p_user_id and n.read_at is null;
  return found or exists (
    select from private.notifications as n where n.id = p_notification_id and n.user_id = p_user_id
  );
end;
$$;
comment on function private.read_notice is
'Marks a person''s notice read, unless it is: every write is told to who listens. Returns whether there is one.';

create function private.mark_all_notifications_read()
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := private.require_admitted();
  v_count integer;
begin
  update private.notifications as n set read_at = private.clock() where n.user_id = v_me and n.read_at is null;
  get diagnostics v_count = row_count;
  return jsonb_build_object('count', v_count);
end;
$$;

create function public.mark_all_notifications_read()
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.mark_all_notifications_read();
end;
$$;
comment on function public.mark_all_notifications_read is
'Marks all the caller''s notices read.

Returns {count}: how many were unread.';
grant execute on function public.mark_all_notifications_read, private.mark_all_notifications_read to authenticated;

create function private.mark_left_notices_read(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.notifications as n set read_at = private.clock()
  where n.community_id = p_community_id and n.user_id = p_user_id and n.read_at is null;
end;
$$;
comment on function private.mark_left_notices_read is
'Marks the notices of a community read for somebody who leaves it (RULES 11.1): what they are about, they see no more.';

create function private.mute_notifications(p_community_id uuid, p_type text, p_muted boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_acting_member(p_community_id);
begin
  perform private.require_choice('type', p_type, array(select k.kind from private.notice_kinds() as k where k.is_mutable));
  if p_muted is null then
    perform private.refuse('INVALID_INPUT', 'muted must be true or false.', jsonb_build_object('field', 'muted'));
  elsif p_muted then
    insert into private.notification_mutes (community_id, user_id, type)
    values (p_community_id, v_me.user_id, p_type)
    on conflict do nothing;
  else
    delete from private.notification_mutes as m
    where m.community_id = p_community_id and m.user_id = v_me.user_id and m.type = p_type;
  end if;
  return jsonb_build_object('muted', array(
    select m.type from private.notification_mutes as m
    where m.community_id = p_community_id and m.user_id = v_me.user_id
    order by m.type
  ));
end;
$$;

create function public.mute_notifications(community_id uuid, type text, muted boolean)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.mute_notifications(
    mute_notifications.community_id, mute_notifications.type, mute_notifications.muted
  );
end;
comment on function public.mute_notifications is
'Mutes a type of notice from a community, or lets it speak again.

Calls to vote come through although their type is muted, and loan requests (borrow_request) cannot be muted at all.
Returns {muted: [text]}: all types muted here now. Refuses: NOT_FOUND, INVALID_INPUT {field, choices}.';
grant execute on function public.mute_notifications, private.mute_notifications to authenticated;

create function public.list_mutes(community_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform private.require_member(list_mutes.community_id);
  return jsonb_build_object('muted', array(
    select m.type from private.notification_mutes as m
    where m.community_id = list_mutes.community_id and m.user_id = private.my_id()
    order by m.type
  ));
end;
$$;
comment on function public.list_mutes is
'The types of notice the caller has muted in a community.

A door of its own: only who opens these settings asks, and what every screen reads pays nothing for it. Returns {muted:
[text]}, as mute_notifications does after a change. Refuses: NOT_FOUND.';
grant execute on function public.list_mutes to authenticated;

create function private.erase_notices_of(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from private.notifications as n
  where (n.community_id, n.user_id, n.id) in (
    select o.community_id, o.user_id, o.id from private.notifications as o where o.user_id = p_user_id limit p_limit
  );
  get diagnostics v_gone = row_count;
  if v_gone = 0 then
    delete from private.notification_mutes as s
    where (s.community_id, s.user_id) in (
      select m.community_id, m.user_id from private.community_members as m where m.user_id = p_user_id
    );
  end if;
  return v_gone;
end;
$$;
comment on function private.erase_notices_of is
'Deletes up to p_limit notices to a person who is erased, and with the last of them their mutes; returns how many.';

create function private.purge_notices(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  delete from private.notifications as n
  where (n.community_id, n.user_id, n.id) in (
    select o.community_id, o.user_id, o.id from private.notifications as o
    where o.updated_at <= p_now - interval '90 days'
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.purge_notices is 'Deletes up to p_limit notices older than 90 days; returns how many.';

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

-- What the house says, made from facts when it is read (RULES 3.1): one list of events, one way to make a sentence.

create function private.events()
returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  -- One constant, looked into where it lies: a list of rows would be made anew at every look (that was a third of what
  -- a loan's answer cost).
  return '{
    "line": {
      "community_founded": [{"say": "{user} founded the community."}],
      "member_joined": [{"say": "{user} joined."}],
      "member_returned": [{"say": "{user} came back."}],
      "member_left": [{"say": "{user} left."}],
      "member_removed": [{"say": "{user} was removed by {by}."}],
      "council_appointed": [{"say": "{user} was called to the council by {by}."}],
      "council_released": [{"say": "{user} was released from the council by {by}."}],
      "moderator_appointed": [{"say": "{user} is moderator now, in the place of {by}."}],
      "moderator_stepped_down": [{"say": "{user} stepped down as moderator."}],
      "moderator_seated": [{"say": "{user} is moderator now, for the seat was empty."}],
      "moderator_named": [{"say": "A steward made {user} moderator[: {reason}]."}],
      "settings_changed": [
        {"say": "{user} changed the settings.[ From now on: a new {changed}.][ From the next Dawn: {pending}.]"}
      ],
      "settings_willed": [{"say": "It is the will of all.[ From the next Dawn: {pending}.]"}],
      "borrow_approved": [{"say": "{lender} lent {amount} CC to {borrower}."}],
      "borrow_declined": [{"say": "{lender} declined a request of {borrower}."}],
      "loan_forgiven": [{"say": "{lender} forgave {borrower} {amount} CC."}],
      "tip_to_tip_completed": [
        {"say": "Everyone accepted the proposal of {proposer}: the stake of {stake_amount} CC comes back."}
      ],
      "tip_to_tip_declined": [
        {"say": "The proposal of {proposer} was declined: the stake of {stake_amount} CC is lost."}
      ],
      "tip_to_tip_expired": [{"say": "The proposal of {proposer} expired: the stake of {stake_amount} CC is lost."}],
      "tip_to_tip_withdrawn": [
        {"say": "The proposal of {proposer} was withdrawn: the stake of {stake_amount} CC is lost."}
      ],
      "tip_to_tip_void": [{"say": "The proposal of {proposer} is void: the stake of {stake_amount} CC comes back."}],
      "election_closed": [
        {"when": {"winner_id": null}, "say": "The election[ {title}] ended without a winner."},
        {"when": {"seat_rule": "renew"}, "say": "{winner} won the election[ {title}] and is now the only moderator."},
        {"say": "{winner} won the election[ {title}] and is now a moderator."}
      ],
      "election_cancelled": [{"say": "{user} called off the election[ {title}][: {reason}]."}],
      "jashn_held": [
        {"say": "Jashn-e-Chas honours {user}: {joys} for {total_cc_spent} CC in the week of {week_start}."}
      ],
      "balance_corrected": [{"say": "A steward set the purse of {user} {change}[: {reason}]."}]
    },
    "notice": {
      "joy_witnessed": [{"say": "{by}[ and {others}] witnessed your joy", "below": "{words}"}],
      "borrow_requested": [{"say": "{by} asks you for {amount} CC", "below": "{words}"}],
      "borrow_approved": [{"say": "{by} lent you {amount} CC", "below": "{words}"}],
      "borrow_declined": [{"say": "{by} declined your request", "below": "{words}"}],
      "loan_repaid": [{"say": "{by} repaid you {amount} CC", "below": ""}],
      "council_appointed": [{"say": "You are on the council now", "below": "By {by}."}],
      "council_released": [{"say": "You are no longer on the council", "below": "By {by}."}],
      "moderator_appointed": [{"say": "You are moderator now", "below": "In the place of {by}."}],
      "moderator_seated": [{"say": "You are moderator now", "below": "The seat was empty."}],
      "moderator_named": [{"say": "You are moderator now", "below": "A steward named you."}],
      "member_removed": [{"say": "You were removed from {community}", "below": "[{reason}]"}],
      "balance_corrected": [{"say": "Your purse was set {change}", "below": "[{reason}]"}],
      "vote_asked": [{"say": "{by} asks for your vote", "below": "{words}"}],
      "vote_reminded": [{"say": "{by} still waits for your vote", "below": "{words}"}],
      "proposal_ended": [{"say": "Your proposal: {outcome}", "below": "{words}"}],
      "election_opened": [{"say": "{by} opened an election", "below": "{words}"}],
      "election_closed": [{"say": "An election is over", "below": "{line}"}],
      "election_cancelled": [{"say": "An election was called off", "below": "{line}"}],
      "last_light": [{"say": "{total} CC are about to be lost", "below": "Sunset comes within the hour."}],
      "joy_unwitnessed": [{"say": "Nobody has witnessed this joy of {by} yet", "below": "{words}"}],
      "jashn_honours_you": [
        {"say": "Jashn-e-Chas honours you", "below": "For joyful restraint in the week of {week_start}."}
      ],
      "jashn_celebrated": [{"say": "{by}[ and {others}] celebrates you", "below": "{words}"}]
    },
    "audit": {
      "community_founded": [{"say": "{actor} founded the community."}],
      "settings_changed": [{"say": "{actor} changed the settings.[ At once: {changed}.][ From a Dawn: {pending}.]"}],
      "settings_willed": [{"say": "All willed it.[ From a Dawn: {pending}.]"}],
      "join_code_changed": [{"say": "{actor} changed the join code."}],
      "council_appointed": [{"say": "{actor} called {subject} to the council."}],
      "council_released": [{"say": "{actor} released {subject} from the council."}],
      "moderator_appointed": [{"say": "{actor} made {subject} moderator in their place."}],
      "moderator_stepped_down": [{"say": "{actor} stepped down as moderator."}],
      "moderator_seated": [{"say": "{subject} became moderator, for the seat was empty."}],
      "member_left": [{"say": "{actor} left."}],
      "member_removed": [
        {"when": {"ban": true}, "say": "{actor} removed and banned {subject}[: {reason}]."},
        {"say": "{actor} removed {subject}[: {reason}]."}
      ],
      "member_banned": [{"say": "{actor} banned {subject}[: {reason}]."}],
      "ban_lifted": [{"say": "{actor} lifted the ban of {subject}."}],
      "message_struck": [{"say": "{actor} struck a line[ of {subject}][: {reason}]."}],
      "election_opened": [{"say": "{actor} opened the election[ {title}]."}],
      "election_closed": [
        {"when": {"winner_id": null}, "say": "The election[ {title}] ended without a winner."},
        {"say": "{winner} won the election[ {title}]."}
      ],
      "election_cancelled": [{"say": "{actor} called off the election[ {title}][: {reason}]."}],
      "steward_inspected": [{"say": "{actor} looked at the community."}],
      "steward_settled": [{"say": "{actor} settled what was overdue."}],
      "steward_corrected": [{"say": "{actor} set the purse of {subject} {change}[: {reason}]."}],
      "steward_named_moderator": [{"say": "{actor} made {subject} moderator[: {reason}]."}],
      "steward_admitted": [{"say": "{actor} let {subject} in."}],
      "steward_suspended": [{"say": "{actor} suspended {subject}[: {reason}]."}],
      "steward_restored": [{"say": "{actor} restored {subject}."}]
    }
  }'::jsonb;
end;
$$;
comment on function private.events is
'Everything the house says: the one list, from which private.say_each makes sentences. By place (a line of the Chamber,
a notice, an entry of the audit log) and event: what is said, for a notice also what stands below its title. Of several
sentences for one event the first holds whose condition, when, the facts contain; the last has none.

In braces what is filled in from the facts; what stands in square brackets is left out where a thing it names is gone
(words struck or erased) or not there. A new event is a line here.';

create function private.quote_words(p_text text)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return '“' || translate(
    regexp_replace(
      regexp_replace(p_text, e'[\\u0001-\\u001f\\u007f-\\u009f\\u2028\\u2029]+', ' ', 'g'), e'[\\u202a-\\u202e\\u2066-\\u2069]', '', 'g'
    ), '“”', '‘’'
  ) || '”';
end;
$$;
comment on function private.quote_words is
'Somebody''s words as they stand in a sentence of the house: in quotation marks, on one line, with marks of their own
shown as ‘ and ’ and without direction marks that would run on (RULES 3.1). Null for null.';

create function private.called(p_person private.users)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case when p_person.erased_at is null then '“' || p_person.display_name || '”' else 'a former member' end;
end;
$$;
comment on function private.called is
'What a sentence calls a person: their name in quotation marks, or a former member, without.';

create function private.call_person(p_user_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (select p.called from private.shown_people as p where p.id = p_user_id);
end;
$$;
comment on function private.call_person is 'What a sentence calls a person now; null for nobody.';

create function private.call_community(p_community_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (select '“' || c.name || '”' from private.communities as c where c.id = p_community_id);
end;
$$;
comment on function private.call_community is 'What a sentence calls a community now.';

create function private.list_settings(p_settings jsonb)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case jsonb_typeof(p_settings)
    when 'array' then (
      select string_agg(replace(e.value, '_', ' '), ' and ' order by e.value) from jsonb_array_elements_text(p_settings) as e
    )
    when 'object' then (
      select string_agg(format('%s %s', replace(e.key, '_', ' '), e.value), ', ' order by e.key)
      from jsonb_each_text(p_settings) as e
    )
  end;
end;
$$;
comment on function private.list_settings is
'Settings in words: the names of those that changed at once, or what pends with its values; null if there are none.';

create function private.fill_in(p_community_id uuid, p_facts jsonb, p_key text)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- Without a query of its own: with one, all of this would be set up for every word (measured: 185 thousand
  -- instructions against 20).
  return case p_key
    when 'reason' then private.quote_words(private.read_words(p_community_id, (p_facts ->> 'reason_id')::bigint))
    when 'title' then private.quote_words(private.read_words(p_community_id, (p_facts ->> 'title_id')::bigint))
    when 'community' then private.call_community(p_community_id)
    when 'actor' then coalesce(private.call_person((p_facts ->> 'actor_id')::uuid), 'A steward')
    when 'change' then format(
      '%s %s CC', case when (p_facts ->> 'amount')::integer > 0 then 'up by' else 'down by' end,
      abs((p_facts ->> 'amount')::integer)
    )
    when 'joys' then case
      when (p_facts ->> 'total_declarations')::integer = 1 then '1 joy'
      else (p_facts ->> 'total_declarations') || ' joys'
    end
    when 'line' then private.say('line', p_community_id, p_facts ->> 'event', p_facts)
    else private.call_person((p_facts ->> (p_key || '_id'))::uuid)
  end;
end;
$$;
comment on function private.fill_in is
'What stands for a word in braces of a sentence that is no fact itself: a person as they are called now, or words as
they may be read now; null where it is gone.';

create type private.saying as (community_id uuid, event text, facts jsonb);
comment on type private.saying is 'Something the house says: an event of private.events, and its facts.';

create function private.say_each(
  p_place text, p_sayings private.saying[], p_called jsonb default '{}', p_part text default 'say'
)
returns text[]
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_events jsonb := private.events() -> p_place;
  v_one private.saying;
  v_cases jsonb;
  v_template text;
  v_pieces text[];
  v_parts text[];
  v_key text;
  v_piece text;
  v_sentence text;
  v_said text[] := array[]::text[];
begin
  foreach v_one in array p_sayings loop
    v_cases := v_events -> v_one.event;
    v_template := v_cases -> -1 ->> p_part;
    for n in reverse coalesce(jsonb_array_length(v_cases), 0) - 2 .. 0 loop
      if v_one.facts @> (v_cases -> n -> 'when') then
        v_template := v_cases -> n ->> p_part;
      end if;
    end loop;
    -- Taken apart before anything is filled in, so that no name and no words can be mistaken for a part of it. Every
    -- second piece stood in square brackets.
    v_pieces := string_to_array(replace(v_template, ']', '['), '[');
    v_sentence := '';
    for n in 1 .. coalesce(cardinality(v_pieces), 0) loop
      v_parts := string_to_array(v_pieces[n], '{');
      v_piece := v_parts[1];
      for m in 2 .. cardinality(v_parts) loop
        v_key := split_part(v_parts[m], '}', 1);
        v_piece := v_piece || coalesce(
          case
            when jsonb_typeof(v_one.facts -> v_key) in ('array', 'object')
              then private.list_settings(v_one.facts -> v_key)
            when v_one.facts ? v_key then v_one.facts ->> v_key
            else coalesce(
              p_called ->> (v_one.facts ->> (v_key || '_id')), private.fill_in(v_one.community_id, v_one.facts, v_key)
            )
          end,
          case when n % 2 = 1 then 'somebody' end
        ) || split_part(v_parts[m], '}', 2);
      end loop;
      v_sentence := v_sentence || coalesce(v_piece, '');
    end loop;
    v_said := v_said || v_sentence;
  end loop;
  return v_said;
end;
$$;
comment on function private.say_each is
'The sentences of these events, made of their facts with the names and words of this moment: many at once, for a page is
full of them. What stands in square brackets is left out where it names something that is gone; a fact stands as it is.
p_called holds people who were looked up already: their ids and what they are called. p_part below is what stands below
a notice''s title. Only for a door that has asked whose communities these are.';

create function private.say(
  p_place text, p_community_id uuid, p_event text, p_facts jsonb, p_called jsonb default '{}'
)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (private.say_each(p_place, array[(p_community_id, p_event, p_facts)::private.saying], p_called))[1];
end;
$$;
comment on function private.say is 'One sentence, as private.say_each.';

create function private.people_in(p_facts jsonb)
returns uuid[]
language plpgsql immutable set search_path = ''
as $$
begin
  return array_remove(
    array[
      p_facts ->> 'user_id', p_facts ->> 'by_id', p_facts ->> 'lender_id', p_facts ->> 'borrower_id',
      p_facts ->> 'proposer_id', p_facts ->> 'author_id', p_facts ->> 'winner_id', p_facts ->> 'actor_id',
      p_facts ->> 'subject_id'
    ]::uuid[] || case
      when jsonb_typeof(p_facts -> 'released') = 'array'
        then array(select r.id::uuid from jsonb_array_elements_text(p_facts -> 'released') as r (id))
    end,
    null
  );
end;
$$;
comment on function private.people_in is 'The ids of all people that facts name.';

create function private.show_people(p_user_ids uuid[])
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(p.person order by array_position(p_user_ids, p.id)), '[]')
    from private.shown_people as p where p.id = any(p_user_ids)
  );
end;
$$;
comment on function private.show_people is 'The shape person of each of these people, in the order given.';

create function private.show_facts(p_community_id uuid, p_facts jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return p_facts
    || case when p_facts ? 'reason_id'
      then jsonb_build_object('reason', private.read_words(p_community_id, (p_facts ->> 'reason_id')::bigint)) else '{}'
    end
    || case when p_facts ? 'title_id'
      then jsonb_build_object('title', private.read_words(p_community_id, (p_facts ->> 'title_id')::bigint)) else '{}'
    end;
end;
$$;
comment on function private.show_facts is
'Facts as they are shown: with the words they name as these may be read now, null where they are gone, so that a
frontend can make a sentence of its own.';

-- The Gazette's editions as they are stored: what happened, noted as it happens and sealed at Sunset (RULES 15).

create type private.item_kind as enum (
  'joined', 'declaration', 'loan', 'forgiveness', 'proposal', 'election', 'left', 'jashn', 'sunset'
);

create table private.gazette_editions (
  community_id uuid not null,
  number integer not null,
  day date not null,
  digest text not null,
  sealed_at timestamptz not null,
  constraint gazette_editions_pkey primary key (community_id, number),
  constraint gazette_editions_community_id_fkey foreign key (community_id) references private.communities (id),
  constraint gazette_editions_number_positive check (number > 0)
);
comment on table private.gazette_editions is
'Every edition closed, numbered from 1 without a gap; the digest is made of the one before and of all its items.';
create unique index gazette_editions_one_a_day on private.gazette_editions (community_id, day);
alter table private.gazette_editions enable row level security;
create policy nobody_reads_gazette_editions on private.gazette_editions for select to authenticated using (false);

create table private.gazette_items (
  community_id uuid not null,
  number integer not null default 0,
  position bigint generated by default as identity,
  kind private.item_kind not null,
  subject_id uuid,
  author_id uuid,
  happened_at timestamptz not null,
  digest text,
  salt text,
  content text,
  constraint gazette_items_pkey primary key (community_id, number, position),
  constraint gazette_items_sealed_whole check (
    (number > 0) = (digest is not null) and (number = 0 or (salt is null) = (content is null))
  )
);
comment on table private.gazette_items is
'The items of all editions. Number 0 is the edition being written: its items wait, in the order they were noted, for the
next Sunset to give them number, position, salt and digest. author_id is whose words an item holds, null where it holds
none; salt and content of a sealed one are null once its words were struck or its author is erased. No foreign
keys: whoever notes an item has its community in hand, and a digest vouches for what it says, whatever becomes of the
rest.';
create unique index gazette_items_words_once on private.gazette_items (community_id, subject_id)
where author_id is not null;
create index gazette_items_community_id_author_id_idx on private.gazette_items (community_id, author_id)
where author_id is not null;
alter table private.gazette_items enable row level security;
create policy nobody_reads_gazette_items on private.gazette_items for select to authenticated using (false);

create type private.item_draft as (
  kind private.item_kind, subject_id uuid, author_id uuid, happened_at timestamptz, content jsonb
);
comment on type private.item_draft is 'An item before it is sealed.';

create function private.note_item(
  p_community_id uuid, p_kind private.item_kind, p_subject_id uuid, p_content jsonb, p_author_id uuid default null,
  p_at timestamptz default private.clock()
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.gazette_items (community_id, kind, subject_id, author_id, happened_at, content)
  values (p_community_id, p_kind, p_subject_id, p_author_id, p_at, p_content || jsonb_build_object('kind', p_kind));
end;
$$;
comment on function private.note_item is
'Notes something for the next edition: ids, numbers, days and, of p_author_id, a title and a description; never a name.
Joys are not noted, their day names them.';

create function private.without_words(p_content jsonb)
returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return p_content || '{"title": ""}' || case when p_content ? 'description' then '{"description": ""}' else '{}' end::jsonb;
end;
$$;
comment on function private.without_words is 'An item that is not sealed yet, with its words taken away.';

create function private.digest_text(p_text text)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return encode(sha256(convert_to(p_text, 'UTF8')), 'hex');
end;
$$;
comment on function private.digest_text is 'The SHA-256 of a text in UTF-8, in lower-case hexadecimal.';

create function private.digest_edition(
  p_community_id uuid, p_number integer, p_day date, p_previous text, p_items text[]
)
returns text
language plpgsql stable set search_path = ''
as $$
begin
  return private.digest_text(array_to_string(
    array[p_community_id::text, p_number::text, to_char(p_day, 'YYYY-MM-DD'), coalesce(p_previous, '')] || p_items, e'\n'
  ));
end;
$$;
comment on function private.digest_edition is
'The digest of an edition: of community, number, day, the digest of the edition before (empty for the first) and each
item''s digest in order, joined by line feeds (RULES 15.3).';

create function private.seal_edition(
  p_day private.community_days, p_joys private.item_draft[], p_expired bigint, p_now timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_before private.gazette_editions;
  v_joys integer := coalesce(cardinality(p_joys), 0);
  v_digests text[];
begin
  if v_joys = 0 and not exists (
    select from private.gazette_items as i
    where i.community_id = p_day.community_id and i.number = 0 and i.happened_at < p_day.sunset_at
  ) then
    return;
  end if;
  select e.* into v_before from private.gazette_editions as e
  where e.community_id = p_day.community_id
  order by e.number desc
  limit 1;
  v_before.number := coalesce(v_before.number, 0);

  with drafts as (
    select d.*, null::bigint as noted, d.ordinality as place
    from unnest(p_joys) with ordinality as d
    union all
    select i.kind, i.subject_id, i.author_id, i.happened_at, i.content::jsonb, i.position, i.position, i.position
    from private.gazette_items as i
    where i.community_id = p_day.community_id and i.number = 0 and i.happened_at < p_day.sunset_at
    union all
    select
      'sunset', null, null, p_day.sunset_at,
      jsonb_build_object(
        'kind', 'sunset', 'day', p_day.day, 'joys', v_joys, 'expired', p_expired,
        'cc_spent', (select coalesce(sum((j.content ->> 'cc_spent')::integer), 0) from unnest(p_joys) as j)
      ),
      null, null, null
  ), items as materialized (
    select
      d.kind,
      d.subject_id,
      d.author_id,
      d.happened_at,
      d.noted,
      row_number() over (order by d.happened_at, d.kind, d.place) as position,
      encode(extensions.gen_random_bytes(16), 'hex') as salt,
      -- An erasure may have committed whose batches have not come here yet.
      (case when u.erased_at is null then d.content else private.without_words(d.content) end)::text as content
    from drafts as d
    left join private.users as u on u.id = d.author_id
  ), digested as materialized (
    select i.*, private.digest_text(i.salt || i.content) as digest from items as i
  ), noted as (
    update private.gazette_items as o
    set
      number = v_before.number + 1, position = i.position, digest = i.digest, salt = i.salt, content = i.content
    from digested as i
    where o.community_id = p_day.community_id and o.number = 0 and o.position = i.noted
  ), added as (
    insert into private.gazette_items (
      community_id, number, position, kind, subject_id, author_id, happened_at, digest, salt, content
    )
    select
      p_day.community_id, v_before.number + 1, i.position, i.kind, i.subject_id, i.author_id, i.happened_at, i.digest,
      i.salt, i.content
    from digested as i
    where i.noted is null
  )
  select array_agg(i.digest order by i.position) into v_digests from digested as i;

  insert into private.gazette_editions (community_id, number, day, digest, sealed_at)
  values (
    p_day.community_id, v_before.number + 1, p_day.day,
    private.digest_edition(
      p_day.community_id, v_before.number + 1, p_day.day, v_before.digest, v_digests
    ),
    p_now
  );
  perform private.count_edition(p_day.community_id);
end;
$$;
comment on function private.seal_edition is
'Closes the edition of a locked day that is over: the joys given, what was noted before the day''s Sunset, and the
Sunset''s total last; without joys and notes there is none. What is noted from Sunset on waits for the next.';

create function private.strike_item(p_community_id uuid, p_subject_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.gazette_items as i
  set salt = null, content = case when i.number = 0 then private.without_words(i.content::jsonb)::text end
  where i.community_id = p_community_id and i.subject_id = p_subject_id and i.author_id is not null;
end;
$$;
comment on function private.strike_item is
'Takes the words of a joy, proposal or election that is struck out of its edition: salt and content go, the digest stays
and the chain holds. One that waits to be sealed is sealed without them.';

create function private.erase_items_of(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  update private.gazette_items as i
  set salt = null, content = case when i.number = 0 then private.without_words(i.content::jsonb)::text end
  where (i.community_id, i.number, i.position) in (
    select o.community_id, o.number, o.position
    from private.community_members as s
    join private.gazette_items as o on o.community_id = s.community_id and o.author_id = s.user_id
    where s.user_id = p_user_id
      and case
        when o.number = 0 then private.without_words(o.content::jsonb) <> o.content::jsonb
        else o.content is not null
      end
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.erase_items_of is
'Takes the words of up to p_limit items of a person who is erased, as private.strike_item does; returns how many.';

-- Elections for moderator, as everyone reads them (RULES 9).

create table private.elections (
  community_id uuid not null,
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  title_id bigint not null,
  status text not null default 'active',
  seat_rule text not null,
  created_by uuid not null,
  winner_id uuid,
  created_at timestamptz not null default private.clock(),
  ends_at timestamptz not null,
  closed_at timestamptz,
  constraint elections_pkey primary key (community_id, id),
  constraint elections_title_fkey foreign key (community_id, title_id) references private.words (community_id, id),
  constraint elections_opener_fkey foreign key (community_id, created_by)
  references private.community_members (community_id, user_id),
  constraint elections_winner_fkey foreign key (community_id, winner_id)
  references private.community_members (community_id, user_id),
  constraint elections_status_known check (status in ('active', 'completed', 'cancelled')),
  constraint elections_seat_rule_known check (seat_rule in ('add', 'renew')),
  constraint elections_winner_only_when_completed check (winner_id is null or status = 'completed'),
  constraint elections_closed_unless_active check ((status = 'active') = (closed_at is null))
);
comment on table private.elections is
'The elections, as every member reads them; a title is words somebody gave. Nothing here changes between the opening
and the close: a vote leaves no trace in this table, not even a lock. One that is active past ends_at has closed
whether or not the status says so yet.';
create index elections_id_idx on private.elections (id);
create unique index elections_one_active_per_community on private.elections (community_id) where status = 'active';
create index elections_community_id_number_idx on private.elections (community_id, number);
create index elections_community_id_title_id_idx on private.elections (community_id, title_id);
create index elections_community_id_created_by_idx on private.elections (community_id, created_by);
create index elections_community_id_winner_id_idx on private.elections (community_id, winner_id);
create index elections_ends_at_idx on private.elections (ends_at) where status = 'active';
alter table private.elections enable row level security;
create policy members_read_elections on private.elections for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.elections to authenticated;

create function private.election_status(p_status text, p_ends_at timestamptz)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return case when p_status = 'active' and p_ends_at <= private.clock() then 'completed' else p_status end;
end;
$$;
comment on function private.election_status is
'An election''s status as it is now: the close at ends_at is a fact of reading.';

create function private.begin_election(
  p_community_id uuid, p_title text, p_ends_at timestamptz, p_seat_rule text, p_opener_id uuid
)
returns private.elections
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  insert into private.elections as e (community_id, title_id, ends_at, seat_rule, created_by)
  values (
    p_community_id, private.keep_words(p_community_id, p_opener_id, p_title), p_ends_at, p_seat_rule, p_opener_id
  )
  on conflict (community_id) where status = 'active' do nothing
  returning e.* into v_election;
  return v_election;
end;
$$;
comment on function private.begin_election is
'Writes down an election that opens, and returns it; nulls where one is open already.';

create function private.end_election(
  p_election private.elections, p_status text, p_winner_id uuid, p_closed_at timestamptz
)
returns private.elections
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  update private.elections as e set status = p_status, closed_at = p_closed_at, winner_id = p_winner_id
  where e.community_id = p_election.community_id and e.id = p_election.id
  returning e.* into v_election;
  perform private.note_item(
    v_election.community_id, 'election', v_election.id, jsonb_build_object(
      'election_id', v_election.id, 'author_id', v_election.created_by, 'seat_rule', v_election.seat_rule,
      'title', coalesce(private.read_words(v_election.community_id, v_election.title_id), ''),
      'outcome', v_election.status, 'winner_id', v_election.winner_id
    ),
    v_election.created_by, v_election.closed_at
  );
  return v_election;
end;
$$;
comment on function private.end_election is
'Writes down how a locked, active election ended, and returns it; it stands in the edition of its day.';

create function private.strike_election(p_community_id uuid, p_election_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.strike_words(p_community_id, (
    select e.title_id from private.elections as e where e.community_id = p_community_id and e.id = p_election_id
  ));
  perform private.strike_item(p_community_id, p_election_id);
end;
$$;
comment on function private.strike_election is
'Takes an election''s words away, in every line and notice that says them too; the election goes on.';

create function private.require_election(p_election_id uuid)
returns private.elections
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  select e.* into v_election from private.elections as e where e.id = p_election_id;
  perform private.require_seen(v_election.community_id, 'election');
  return v_election;
end;
$$;
comment on function private.require_election is
'Returns an election of a community the caller is in. Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND.';

create function private.require_moderator_of(p_election private.elections)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_roles text[];
begin
  -- Held before it is asked who the caller is: their erasure either waits for this act or is found to have come first.
  select m.roles into v_roles from private.community_members as m
  where m.community_id = p_election.community_id and m.user_id = private.caller_id() and m.left_at is null
  for key share;
  perform private.require_seen(p_election.community_id, 'election');
  if 'moderator' <> all(v_roles) then
    perform private.refuse('FORBIDDEN', 'Only moderators may do this.');
  end if;
end;
$$;
comment on function private.require_moderator_of is
'Asks that the caller moderates the community of an election that was looked up by its id, and keeps their membership
from ending until the transaction ends.

Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND, FORBIDDEN.';

create function private.require_open_election(p_election private.elections)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_status text := private.election_status(p_election.status, p_election.ends_at);
begin
  if v_status <> 'active' then
    perform private.refuse(
      'ELECTION_CLOSED',
      case v_status when 'cancelled' then 'This election was called off.' else 'This election is over.' end,
      jsonb_build_object('status', v_status, 'closed_at', coalesce(p_election.closed_at, p_election.ends_at))
    );
  end if;
end;
$$;
comment on function private.require_open_election is
'Asks that an election is open by the clock, whether or not the job has closed it. Refuses: ELECTION_CLOSED {status,
closed_at}.';

create function private.require_end(p_ends_at timestamptz)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_earliest timestamptz := private.clock() + interval '1 hour';
  v_latest timestamptz := private.clock() + interval '14 days';
begin
  if p_ends_at is null or p_ends_at not between v_earliest and v_latest then
    perform private.refuse(
      'INVALID_INPUT', 'ends_at must be 1 hour to 14 days ahead.',
      jsonb_build_object('field', 'ends_at', 'earliest', v_earliest, 'latest', v_latest)
    );
  end if;
end;
$$;
comment on function private.require_end is
'Asks that an election ends 1 hour to 14 days from now. Refuses: INVALID_INPUT {field, earliest, latest}.';

-- The sealed box: candidates, roll and ballots of an election (RULES 9.2). Nothing outside this room looks inside: what
-- is to be known of a box is asked here, and no client may call anything that answers. Whoever calls has read the
-- election and asked for membership.

create table private.ballot_boxes (
  community_id uuid not null,
  election_id uuid not null,
  constraint ballot_boxes_pkey primary key (community_id, election_id),
  constraint ballot_boxes_election_fkey foreign key (community_id, election_id)
  references private.elections (community_id, id)
);
comment on table private.ballot_boxes is
'What a vote and a close lock, one row an election: a lock on private.elections would show its readers when somebody
voted.';
alter table private.ballot_boxes enable row level security;
create policy nobody_reads_ballot_boxes on private.ballot_boxes for select to authenticated using (false);

create table private.election_candidates (
  community_id uuid not null,
  election_id uuid not null,
  user_id uuid not null,
  roles text[] not null,
  stands boolean not null default true,
  votes integer,
  place integer,
  constraint election_candidates_pkey primary key (community_id, election_id, user_id),
  constraint election_candidates_box_fkey foreign key (community_id, election_id)
  references private.ballot_boxes (community_id, election_id),
  constraint election_candidates_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint election_candidates_counted_in_full check ((votes is null) = (place is null))
);
comment on table private.election_candidates is
'Who stands in an election, with the roles held at its opening; stands is false once they have left the community.
votes and place are what the close counted, null before it, for who stood no more and where it was called off.';
create index election_candidates_community_id_user_id_idx on private.election_candidates (community_id, user_id);
alter table private.election_candidates enable row level security;
create policy nobody_reads_election_candidates on private.election_candidates for select to authenticated using (false);

create table private.election_electors (
  community_id uuid not null,
  election_id uuid not null,
  user_id uuid not null,
  constraint election_electors_pkey primary key (community_id, election_id, user_id),
  constraint election_electors_box_fkey foreign key (community_id, election_id)
  references private.ballot_boxes (community_id, election_id),
  constraint election_electors_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id)
);
comment on table private.election_electors is
'The roll of an election, fixed at its opening; who leaves before the close is struck.';
create index election_electors_community_id_user_id_idx on private.election_electors (community_id, user_id);
alter table private.election_electors enable row level security;
create policy nobody_reads_election_electors on private.election_electors for select to authenticated using (false);

create table private.ballots (
  community_id uuid not null,
  election_id uuid not null,
  user_id uuid not null,
  candidate_id uuid not null,
  number bigint generated always as identity,
  cast_at timestamptz not null,
  constraint ballots_pkey primary key (community_id, election_id, user_id),
  constraint ballots_elector_fkey foreign key (community_id, election_id, user_id)
  references private.election_electors (community_id, election_id, user_id),
  constraint ballots_candidate_fkey foreign key (community_id, election_id, candidate_id)
  references private.election_candidates (community_id, election_id, user_id)
);
comment on table private.ballots is
'The sealed ballots, one an elector; cast_at and number, the order of casting, are those of the choice that stands.
No role of the API reads it and it is in no publication. number counts the votes of the whole house and is shown to
nobody.';
create index ballots_community_id_election_id_candidate_id_idx on private.ballots (
  community_id, election_id, candidate_id
);
alter table private.ballots enable row level security;
create policy nobody_reads_ballots on private.ballots for select to authenticated using (false);

create function private.open_box(p_election private.elections)
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_electorate text := (select c.electorate from private.communities as c where c.id = p_election.community_id);
  v_able uuid[] := private.present_able_ids(p_election.community_id);
  v_electors uuid[];
begin
  insert into private.ballot_boxes (community_id, election_id) values (p_election.community_id, p_election.id);
  insert into private.election_candidates (community_id, election_id, user_id, roles)
  select m.community_id, p_election.id, m.user_id, m.roles
  from private.community_members as m
  where m.community_id = p_election.community_id and m.user_id = any(v_able)
    and m.roles && array['moderator', 'council'];

  with roll as (
    insert into private.election_electors (community_id, election_id, user_id)
    select m.community_id, p_election.id, m.user_id
    from private.community_members as m
    where m.community_id = p_election.community_id and m.user_id = any(v_able)
      and (v_electorate = 'members' or m.roles && array['moderator', 'council'])
    returning user_id
  )
  select coalesce(array_agg(r.user_id order by r.user_id), '{}') into v_electors from roll as r;
  if cardinality(v_electors) < 2 then
    perform private.refuse(
      'NO_ELECTORS', 'An election needs at least two voters.',
      jsonb_build_object('electors', cardinality(v_electors), 'least', 2, 'electorate', v_electorate)
    );
  end if;
  return v_electors;
end;
$$;
comment on function private.open_box is
'Fixes candidates and roll as they are at the opening, and returns the roll: candidates are the council and the
moderators, voters the same or, where the electorate says so, all members; able people all of them, and not away. Who
is appointed later is neither; who loses a role stays both.

Only while private.hold_roll keeps everyone from leaving. Refuses: NO_ELECTORS {electors, least, electorate}.';

create function private.lock_box(p_community_id uuid, p_election_id uuid)
returns private.elections
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  perform from private.ballot_boxes as b
  where b.community_id = p_community_id and b.election_id = p_election_id for update;
  select e.* into v_election from private.elections as e where e.community_id = p_community_id and e.id = p_election_id;
  return v_election;
end;
$$;
comment on function private.lock_box is
'Locks the box of an election until the transaction ends, and returns the election as it is then: a vote is either in
the box before the close counts it, or finds it closed. Whoever also holds the community''s row takes that first.';

create function private.cast_ballot(p_election private.elections, p_user_id uuid, p_candidate_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if not exists (
    select from private.election_electors as r
    where r.community_id = p_election.community_id and r.election_id = p_election.id and r.user_id = p_user_id
  ) then
    perform private.refuse('NOT_ELECTOR', 'You are not on the roll of this election.');
  end if;
  if not exists (
    select from private.election_candidates as c
    where c.community_id = p_election.community_id and c.election_id = p_election.id and c.user_id = p_candidate_id
      and c.stands
  ) then
    perform private.refuse('NOT_FOUND', 'There is no such candidate.', jsonb_build_object('field', 'candidate_id'));
  end if;
  insert into private.ballots as b (community_id, election_id, user_id, candidate_id, cast_at)
  values (p_election.community_id, p_election.id, p_user_id, p_candidate_id, private.clock())
  on conflict (community_id, election_id, user_id) do update
  set candidate_id = excluded.candidate_id, cast_at = excluded.cast_at, number = default
  where b.candidate_id <> excluded.candidate_id;
end;
$$;
comment on function private.cast_ballot is
'Puts an elector''s ballot into a locked box, or changes it; the same choice again keeps its age.

Refuses: NOT_ELECTOR, NOT_FOUND {field: candidate_id}.';

create function private.require_full_box(p_election private.elections)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_electors integer;
  v_turnout integer;
  v_awaiting integer;
begin
  select count(*), count(b.user_id), count(*) filter (where b.user_id is null and private.is_able(r.user_id))
  into v_electors, v_turnout, v_awaiting
  from private.election_electors as r
  left join private.ballots as b
    on b.community_id = r.community_id and b.election_id = r.election_id and b.user_id = r.user_id
  where r.community_id = p_election.community_id and r.election_id = p_election.id;
  if v_awaiting > 0 then
    perform private.refuse(
      'CONFLICT', 'Not everyone on the roll has voted yet.',
      jsonb_build_object(
        'awaiting', v_awaiting, 'electors', v_electors, 'turnout', v_turnout, 'possible_at', p_election.ends_at
      )
    );
  end if;
end;
$$;
comment on function private.require_full_box is
'Asks that everyone on the roll who can act has voted. A ballot for somebody who has left since counts as cast here,
though for nobody: to wait for its owner would tell whom it was for.

Refuses: CONFLICT {awaiting, electors, turnout, possible_at: when it closes by itself}.';

create function private.tally(p_election private.elections, out user_id uuid, out votes integer, out place integer)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select
    c.user_id,
    count(b.user_id)::integer,
    row_number() over (
      order by
        count(b.user_id) desc, min(b.cast_at), (array_agg(b.number order by b.cast_at, b.number))[1], c.user_id
    )::integer
  from private.election_candidates as c
  left join private.ballots as b
    on b.community_id = c.community_id and b.election_id = c.election_id and b.candidate_id = c.user_id
    and private.is_able(b.user_id)
  where c.community_id = p_election.community_id and c.election_id = p_election.id and c.stands
    and private.is_able(c.user_id)
  group by c.user_id;
end;
$$;
comment on function private.tally is
'Counts the box of an election: each candidate who still stands and can act, their votes by people who can act, and
their place. A tie goes to the candidate whose earliest standing ballot is oldest, by time, then by order of casting
(RULES 9.3). Who can act is asked now: a ballot of or for somebody suspended counts if they are restored before the
close.

It opens the seal: only for an election that is over, or for the close.';

create function private.winner_of(p_election private.elections)
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (select t.user_id from private.tally(p_election) as t where t.place = 1 and t.votes > 0);
end;
$$;
comment on function private.winner_of is
'Who won an election that is over, as the close would count it now; null without ballots that count. It opens the seal,
as private.tally does.';

create function private.count_box(p_election private.elections)
returns uuid
language plpgsql security definer set search_path = ''
as $$
begin
  update private.election_candidates as c set votes = t.votes, place = t.place
  from private.tally(p_election) as t
  where c.community_id = p_election.community_id and c.election_id = p_election.id and c.user_id = t.user_id;
  return (
    select c.user_id from private.election_candidates as c
    where c.community_id = p_election.community_id and c.election_id = p_election.id and c.place = 1 and c.votes > 0
  );
end;
$$;
comment on function private.count_box is
'Counts a locked box for good and returns the winner, null without ballots: what becomes of people later changes no
tally. Only private.decide_election calls it.';

create function private.result_of(p_election private.elections, out user_id uuid, out votes integer, out place integer)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
begin
  if p_election.status = 'completed' then
    return query
    select c.user_id, c.votes, c.place from private.election_candidates as c
    where c.community_id = p_election.community_id and c.election_id = p_election.id and c.place is not null;
  elsif private.election_status(p_election.status, p_election.ends_at) = 'completed' then
    return query select t.user_id, t.votes, t.place from private.tally(p_election) as t;
  end if;
end;
$$;
comment on function private.result_of is
'What the close counted or, where it is due and not written yet, would count. While an election is open, and if it was
called off, nothing: the count is not even made.';

create function private.show_poll(p_election private.elections)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.caller_id();
  v_status text := private.election_status(p_election.status, p_election.ends_at);
  v_candidates jsonb;
  v_winner jsonb;
begin
  select
    jsonb_agg(
      jsonb_build_object('user', p.person, 'roles', c.roles, 'votes', t.votes)
      order by t.place, p.display_name, p.id
    ),
    to_jsonb((array_agg(p.person) filter (where t.place = 1 and t.votes > 0))[1])
  into v_candidates, v_winner
  from private.election_candidates as c
  left join private.result_of(p_election) as t on t.user_id = c.user_id
  join private.shown_people as p on p.id = c.user_id
  where c.community_id = p_election.community_id and c.election_id = p_election.id and c.stands;
  return jsonb_build_object(
    'candidates', coalesce(v_candidates, '[]'),
    'winner', v_winner,
    'electors', (
      select count(*) from private.election_electors as r
      where r.community_id = p_election.community_id and r.election_id = p_election.id
    ),
    'turnout', (
      select count(*) from private.ballots as b
      where b.community_id = p_election.community_id and b.election_id = p_election.id
    ),
    'my_vote', (
      select b.candidate_id
      from private.ballots as b
      join private.election_candidates as c
        on c.community_id = b.community_id and c.election_id = b.election_id and c.user_id = b.candidate_id
      where b.community_id = p_election.community_id and b.election_id = p_election.id and b.user_id = v_me and c.stands
    ),
    'can_vote', v_status = 'active' and exists (
      select from private.election_electors as r
      where r.community_id = p_election.community_id and r.election_id = p_election.id and r.user_id = v_me
    )
  );
end;
$$;
comment on function private.show_poll is
'What may be seen of an election''s box: candidates, electors, turnout and the caller''s own ballot; votes and winner
after the close, never of an election that was called off (or else calling one off would be a way to peep).

A ballot for somebody who has left is null to its owner, who may choose again, but stays in the turnout: were it to
leave it, the turnout would tell how many votes the leaver had.';

create function private.elections_awaiting(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select count(*)
    from private.elections as e
    join private.election_electors as r
      on r.community_id = e.community_id and r.election_id = e.id and r.user_id = p_user_id
    where e.community_id = p_community_id and e.status = 'active' and e.ends_at > private.clock()
      and not exists (
        select from private.ballots as b
        join private.election_candidates as c
          on c.community_id = b.community_id and c.election_id = b.election_id and c.user_id = b.candidate_id
        where b.community_id = e.community_id and b.election_id = e.id and b.user_id = p_user_id and c.stands
      )
  );
end;
$$;
comment on function private.elections_awaiting is
'How many open elections of a community still await a person''s ballot; only for that person to see.';

create function private.strike_from_boxes(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_open uuid := (
    select e.id from private.elections as e where e.community_id = p_community_id and e.status = 'active'
  );
begin
  if v_open is null then
    return;
  end if;
  perform private.lock_box(p_community_id, v_open);
  delete from private.ballots as b
  where b.community_id = p_community_id and b.election_id = v_open and b.user_id = p_user_id;
  delete from private.election_electors as r
  where r.community_id = p_community_id and r.election_id = v_open and r.user_id = p_user_id;
  update private.election_candidates as c set stands = false
  where c.community_id = p_community_id and c.election_id = v_open and c.user_id = p_user_id;
end;
$$;
comment on function private.strike_from_boxes is
'Takes someone who leaves out of the open election: struck from the roll with their ballot, no candidate any more,
and neither again if they come back. Elections that are over stay as they were decided (RULES 9.3): the caller has
settled those.';

create function private.export_ballots(p_user_id uuid, p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'candidacies', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object('election_id', c.election_id, 'roles', c.roles, 'stands', c.stands)
            order by c.election_id
          ), '[]'
        )
      from private.election_candidates as c
      where c.community_id = p_community_id and c.user_id = p_user_id
    ),
    'election_rolls', (
      select coalesce(jsonb_agg(r.election_id order by r.election_id), '[]')
      from private.election_electors as r
      where r.community_id = p_community_id and r.user_id = p_user_id
    ),
    'ballots', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object('election_id', b.election_id, 'candidate_id', b.candidate_id, 'cast_at', b.cast_at)
            order by b.cast_at, b.election_id
          ), '[]'
        )
      from private.election_electors as r
      join private.ballots as b
        on b.community_id = r.community_id and b.election_id = r.election_id and b.user_id = r.user_id
      where r.community_id = p_community_id and r.user_id = p_user_id
    )
  );
end;
$$;
comment on function private.export_ballots is
'What a person has in the boxes of a community: where they stood, whose roll they were on, and their own ballots, each
as the choice and when it was cast. No counter: it would step when others vote (RULES 13.1).';

-- The close of an election: a fact of the clock, whoever writes it down (RULES 9.3).

create function private.seat_winner(p_election private.elections)
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_released uuid[] := array[]::uuid[];
  v_moderator uuid;
begin
  if p_election.seat_rule = 'renew' then
    for v_moderator in
      select m.user_id from private.community_members as m
      where m.community_id = p_election.community_id and m.left_at is null and 'moderator' = any (m.roles)
        and m.user_id <> p_election.winner_id
      order by m.user_id
    loop
      perform private.set_role(p_election.community_id, v_moderator, 'moderator', false);
      v_released := v_released || v_moderator;
    end loop;
  end if;
  perform private.set_role(p_election.community_id, p_election.winner_id, 'moderator', true);
  return v_released;
end;
$$;
comment on function private.seat_winner is
'Makes the winner of an election moderator, or by the seat rule renew the only one; returns who ceased to be one.
Other roles stay, and an election without a winner changes none (null is nobody''s id).';

create function private.note_close(p_election private.elections, p_released uuid[], p_actor_id uuid, p_at timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_facts jsonb := jsonb_build_object(
    'election_id', p_election.id, 'title_id', p_election.title_id, 'winner_id', p_election.winner_id,
    'seat_rule', p_election.seat_rule, 'released', p_released
  );
begin
  perform private.record_act(
    p_election.community_id, p_actor_id, 'election_closed', p_election.winner_id, v_facts, p_at
  );
  perform private.announce(p_election.community_id, 'election_closed', v_facts, p_at);
  perform private.notify(
    private.member_ids(p_election.community_id), p_election.community_id, 'election', 'election_closed',
    'election', p_election.id, v_facts, p_at => p_at
  );
end;
$$;
comment on function private.note_close is
'Tells of a close the audit log (p_actor_id is null where the clock closed it), the Chamber and every member.';

create function private.decide_election(p_election private.elections, p_at timestamptz, p_actor_id uuid default null)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_winner uuid := private.count_box(p_election);
  v_election private.elections;
begin
  v_election := private.end_election(p_election, 'completed', v_winner, least(p_at, p_election.ends_at));
  perform private.note_close(v_election, private.seat_winner(v_election), p_actor_id, p_at);
end;
$$;
comment on function private.decide_election is
'Closes an active election: counts the box, seats the winner, tells everyone.

Only under the locks of the community''s row and of the box. closed_at is ends_at however late the close is written.';

create function private.close_elections(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  select e.* into v_election from private.elections as e
  where e.community_id = p_community_id and e.status = 'active' and e.ends_at <= p_now;
  if not found then
    return 0;
  end if;
  perform private.lock_community(p_community_id);
  v_election := private.lock_box(p_community_id, v_election.id);
  if v_election.status <> 'active' then
    return 0;
  end if;
  perform private.decide_election(v_election, p_now);
  return 1;
end;
$$;
comment on function private.close_elections is
'Closes a community''s election if its end has come; returns how many it closed, 0 or 1. Twice, or from two sides at
once, it changes nothing more.';

create function private.settle_elections(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.close_elections(p_community_id, private.clock());
end;
$$;
comment on function private.settle_elections is
'Closes what the job has not come to yet. Acts that depend on who moderates or who is a member (an opening, a
leaving, a change of roles) call it first; the community''s row, if they lock it, they lock before.';

create function private.elections_due(p_now timestamptz, p_limit integer, p_except uuid[])
returns uuid[]
language plpgsql volatile security definer set search_path = ''
as $$
begin
  return array(
    select e.community_id
    from private.elections as e
    join private.communities as c on c.id = e.community_id
    where e.status = 'active' and e.ends_at <= p_now and e.community_id <> all(p_except)
    order by e.ends_at
    limit p_limit
    for no key update of c skip locked
  );
end;
$$;
comment on function private.elections_due is
'Up to p_limit communities whose election has ended and is not closed yet, but for those in p_except; they are locked.
One that somebody is just leaving is skipped: the next run finds it.';

create function private.unwritten_outcome(p_community_id uuid, out winner_id uuid, out seat_rule text)
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  select e.* into v_election from private.elections as e
  where e.community_id = p_community_id and e.status = 'active' and e.ends_at <= private.clock();
  if found then
    winner_id := private.winner_of(v_election);
    seat_rule := v_election.seat_rule;
  end if;
end;
$$;
comment on function private.unwritten_outcome is
'How an election ended that is over and not written down as closed; nulls if there is none, or nobody won it.';

create function private.roles_after(p_member private.community_members, p_winner_id uuid, p_seat_rule text)
returns text[]
language plpgsql immutable set search_path = ''
as $$
begin
  return case
    when p_winner_id is null then p_member.roles
    when p_member.user_id = p_winner_id then private.with_role(p_member.roles, 'moderator', true)
    when p_seat_rule = 'renew' then private.with_role(p_member.roles, 'moderator', false)
    else p_member.roles
  end;
end;
$$;
comment on function private.roles_after is
'A member''s roles once an election is closed as private.unwritten_outcome says: what private.seat_winner will write.';

create function private.roles_now(p_member private.community_members)
returns text[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select private.roles_after(p_member, o.winner_id, o.seat_rule)
    from private.unwritten_outcome(p_member.community_id) as o
  );
end;
$$;
comment on function private.roles_now is
'A member''s roles as they are now: an election whose end has come counts, written down or not. For what only reads;
whatever may write settles it first.';

-- Who moderates, and the seat that never stays empty (RULES 2.3).

create function private.my_moderated_communities()
returns setof uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.my_id();
begin
  return query
  select m.community_id
  from private.community_members as m
  left join private.elections as e
    on e.community_id = m.community_id and e.status = 'active' and e.ends_at <= private.clock()
  where m.user_id = v_me and m.left_at is null
    and 'moderator' = any(case when e.id is null then m.roles else private.roles_now(m) end);
end;
$$;
comment on function private.my_moderated_communities is
'The communities the caller moderates, by the clock: an election that is over counts, written down or not. For
policies.';
grant execute on function private.my_moderated_communities to authenticated;

create policy moderators_read_audit_entries on private.audit_entries for select to authenticated
using (community_id = any(array(select private.my_moderated_communities())));

create function private.require_moderator(p_community_id uuid)
returns private.community_members
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_member private.community_members := private.require_member(p_community_id);
begin
  v_member.roles := private.roles_now(v_member);
  if 'moderator' <> all(v_member.roles) then
    perform private.refuse('FORBIDDEN', 'Only moderators may do this.');
  end if;
  return v_member;
end;
$$;
comment on function private.require_moderator is
'Returns the caller''s membership if they moderate the community now: an election that is over counts, though nobody has
written it down yet (RULES 9.3). An act settles it first, as private.require_acting_moderator does.

Refuses: as require_member, FORBIDDEN.';
grant execute on function private.require_moderator to authenticated;

create function private.require_acting_moderator(p_community_id uuid)
returns private.community_members
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_member(p_community_id);
  perform private.settle_elections(p_community_id);
  perform private.hold_roll(p_community_id);
  perform private.require_acting_member(p_community_id);
  return private.require_moderator(p_community_id);
end;
$$;
comment on function private.require_acting_moderator is
'As private.require_moderator, for an act that locks nothing else before: an election that is over is closed first, and
until the transaction ends nobody leaves and no role changes hands. Refuses: as require_moderator.';

create function private.able_moderator_ids(p_community_id uuid)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return private.able_among(array(
    select m.user_id from private.community_members as m
    where m.community_id = p_community_id and m.left_at is null and 'moderator' = any(m.roles)
  ));
end;
$$;
comment on function private.able_moderator_ids is 'The moderators of a community who can act now, in id order.';

create function private.is_last_moderator(p_community_id uuid, p_user_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return private.able_moderator_ids(p_community_id) = array[p_user_id];
end;
$$;
comment on function private.is_last_moderator is 'Whether a person is the one moderator of a community who can act.';

create function private.find_heir(p_community_id uuid, p_except uuid default null)
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_id uuid;
begin
  -- Asked one after the other: nearly always the first who comes can act.
  for v_id in
    select m.user_id from private.community_members as m
    where m.community_id = p_community_id and m.left_at is null and m.user_id is distinct from p_except
    order by m.council_since asc nulls last, m.joined_at asc, m.user_id asc
  loop
    if private.is_able(v_id) then
      return v_id;
    end if;
  end loop;
  return null;
end;
$$;
comment on function private.find_heir is
'Who comes next for the moderator''s seat: of those who can act, the council member longest on the council, else the
member of longest standing (RULES 2.3); null if nobody else can act.';

create function private.hold_heir(p_community_id uuid)
returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  v_id uuid;
begin
  for v_id in
    select m.user_id from private.community_members as m
    where m.community_id = p_community_id and m.left_at is null
    order by m.council_since asc nulls last, m.joined_at asc, m.user_id asc
  loop
    -- Asked again once they are held: a suspension may have come just before.
    if private.is_able(v_id) and private.keep_person(v_id) and private.is_able(v_id) then
      return v_id;
    end if;
  end loop;
  return private.find_heir(p_community_id);
end;
$$;
comment on function private.hold_heir is
'As private.find_heir, and of the same order the first about whom nothing is just being decided: whoever suspends them
waits, and then finds them in the seat.';

create function private.fill_seat(p_community_id uuid, p_at timestamptz default private.clock())
returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  v_heir uuid;
begin
  -- A glance without a lock: nearly always somebody moderates.
  if cardinality(private.able_moderator_ids(p_community_id)) > 0 then
    return null;
  end if;
  perform private.lock_community(p_community_id);
  perform private.close_elections(p_community_id, p_at);
  if cardinality(private.able_moderator_ids(p_community_id)) > 0 then
    return null;
  end if;
  v_heir := private.hold_heir(p_community_id);
  if v_heir is not null then
    perform private.set_role(p_community_id, v_heir, 'moderator', true);
    perform private.record_act(p_community_id, null, 'moderator_seated', v_heir, '{}', p_at);
    perform private.announce(p_community_id, 'moderator_seated', jsonb_build_object('user_id', v_heir), p_at);
    perform private.notify(
      array[v_heir], p_community_id, 'system', 'moderator_seated', 'moderator_seated', p_community_id, p_at => p_at
    );
  end if;
  return v_heir;
end;
$$;
comment on function private.fill_seat is
'Seats the heir where no moderator can act any more, and tells of it (RULES 2.3); returns who was seated, null where
nobody had to be or nobody can act. Whoever held the seat keeps the role: they moderate again beside the heir once they
can.

When a seat falls vacant, and at each Dawn: so a seat that Auth emptied by a ban stays so until the next Dawn at most.
Only with the community''s day in hand.';

create type private.member as (
  "user" json,
  community_id uuid,
  roles text [],
  joined_at timestamptz,
  able boolean,
  away json
);
comment on type private.member is 'The shape member, key by attribute.';

create function private.shown_members(
  p_community_id uuid, p_user_ids uuid[], out user_id uuid, out joined_at timestamptz, out member private.member
)
returns setof record
-- As private.able_among: one plan for few and for many.
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  v_able uuid[] := private.able_among(p_user_ids);
  v_outcome record := private.unwritten_outcome(p_community_id);
  v_today date := (private.day_at(p_community_id, private.clock())).day;
begin
  return query
  select
    m.user_id,
    m.joined_at,
    row(
      p.person, m.community_id,
      case
        when v_outcome.winner_id is null then m.roles
        else private.roles_after(m, v_outcome.winner_id, v_outcome.seat_rule)
      end,
      m.joined_at, m.user_id in (select unnest(v_able)),
      (
        select json_build_object('from', a.from_day, 'to', a.to_day) from private.absences as a
        where a.community_id = m.community_id and a.user_id = m.user_id and a.to_day >= v_today
      )
    )::private.member
  from private.community_members as m
  join private.shown_people as p on p.id = m.user_id
  where m.community_id = p_community_id and m.user_id = any(p_user_ids);
end;
$$;
comment on function private.shown_members is
'The shape member of these people, with their roles as they are by the clock. Only for a door that has asked whose
community it is.';

create function private.show_member(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (select to_jsonb(s.member) from private.shown_members(p_community_id, array[p_user_id]) as s);
end;
$$;
comment on function private.show_member is 'The shape member of one person.';

-- The code a community is joined by, and the shape of a community, which shows it to its moderators (RULES 2.2).

create table private.join_codes (
  community_id uuid not null,
  code text not null,
  is_open boolean not null default true,
  expires_at timestamptz,
  constraint join_codes_pkey primary key (community_id),
  constraint join_codes_community_id_fkey foreign key (community_id) references private.communities (id),
  constraint join_codes_code_length check (char_length(code) >= 12)
);
comment on table private.join_codes is
'The code a community is joined by; apart from communities, for only moderators see it.';
-- By its hash, so that how long a search takes tells nothing of how much of a guess was right.
create unique index join_codes_code_unique on private.join_codes (extensions.digest(code, 'sha256'));
alter table private.join_codes enable row level security;
grant select on private.join_codes to authenticated;

create policy moderators_read_join_codes on private.join_codes for select to authenticated
using (community_id = any(array(select private.my_moderated_communities())));

create function private.make_join_code(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.join_codes (community_id, code) values (p_community_id, lower(private.make_code(12)));
end;
$$;
comment on function private.make_join_code is 'Gives a new community its first join code.';

create function private.opened_by(p_code text)
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- By hash: how long the search takes tells nothing of how much of a guess was right.
  return (
    select j.community_id
    from private.join_codes as j
    where extensions.digest(j.code, 'sha256') = extensions.digest(private.plain_code(p_code), 'sha256')
      and j.is_open and (j.expires_at is null or j.expires_at > private.clock())
  );
end;
$$;
comment on function private.opened_by is
'The community a join code opens now, by an exact match of what private.plain_code leaves; null if it opens none.';

create function private.refuse_join_code()
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.refuse('NOT_FOUND', 'No community has this code.');
end;
$$;
comment on function private.refuse_join_code is 'Refuses, always: NOT_FOUND.';

create function private.keep_join_code(p_community_id uuid, p_code text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform from private.join_codes as j where j.community_id = p_community_id for share;
  if private.opened_by(p_code) is distinct from p_community_id then
    perform private.refuse_join_code();
  end if;
end;
$$;
comment on function private.keep_join_code is
'Asks once more, with the community''s day in hand, whether a code opens it, and keeps the code as it is until the
transaction ends: whoever waited for the last member''s leaving, or for the code to be paused, comes too late (RULES
2.2). Refuses: NOT_FOUND.';

create function private.change_join_code(
  p_community_id uuid, p_rotate boolean, p_open boolean, p_expires_at timestamptz
)
returns void
language sql security definer set search_path = ''
begin atomic
  update private.join_codes as j
  set
    code = case when p_rotate then lower(private.make_code(12)) else j.code end,
    is_open = coalesce(p_open, p_rotate or j.is_open),
    expires_at = case
      when p_expires_at is not null then p_expires_at
      when p_rotate or p_open and j.expires_at <= private.clock() then null
      else j.expires_at
    end
  where j.community_id = p_community_id;
end;
comment on function private.change_join_code is
'Changes a join code: what is null stays, or where the code is made anew starts open and without expiry. An expiry that
has passed goes when the code is opened, for it would open nothing.';

create function private.set_join_code(
  p_community_id uuid, p_rotate boolean, p_open boolean, p_expires_at timestamptz
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_acting_moderator(p_community_id);
  v_code private.join_codes;
begin
  perform private.require_moment('expires_at', p_expires_at);
  if p_rotate or p_open is not null or p_expires_at is not null then
    perform private.count_quiet_act(p_community_id, v_me.user_id);
    perform private.change_join_code(p_community_id, coalesce(p_rotate, false), p_open, p_expires_at);
    perform private.record_act(p_community_id, v_me.user_id, 'join_code_changed', null, jsonb_strip_nulls(
      jsonb_build_object('rotated', coalesce(p_rotate, false), 'open', p_open, 'expires_at', p_expires_at)
    ));
  end if;
  select j.* into v_code from private.join_codes as j where j.community_id = p_community_id;
  return jsonb_build_object('invite_code', v_code.code, 'open', v_code.is_open, 'expires_at', v_code.expires_at);
end;
$$;
comment on function private.set_join_code is
'The audit log keeps what was done, never the code; the Chamber is not told.';

create function public.set_join_code(
  community_id uuid, rotate boolean default false, open boolean default null, expires_at timestamptz default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.set_join_code(
    set_join_code.community_id, set_join_code.rotate, set_join_code.open, set_join_code.expires_at
  );
end;
comment on function public.set_join_code is
'Shows the join code to a moderator, and changes it: rotate makes a new one, open pauses (false) or resumes it.

What is left out stays, but for an expiry that has passed, which goes when the code is opened; a new code starts open
and without expiry unless told otherwise. expires_at may be past, which ends the code at once. Returns {invite_code,
open, expires_at}. Refuses: FORBIDDEN, NOT_FOUND, INVALID_INPUT {field: expires_at}, RATE_LIMITED {most, possible_at,
retry_after} (thirty changes a minute).';
grant execute on function public.set_join_code, private.set_join_code to authenticated;

create type private.community as (
  id uuid,
  name text,
  description text,
  timezone text,
  daily_cc_budget integer,
  electorate text,
  created_at timestamptz,
  member_count integer
);
comment on type private.community is
'The shape community, key by attribute, but for the code that its moderators see.';

create view private.shown_communities with (security_invoker = on) as
select
  c.id,
  row(
    c.id,
    c.name,
    c.description,
    c.timezone,
    c.daily_cc_budget,
    c.electorate,
    c.created_at,
    (
      select count(*) from private.community_members as m
      where
        m.community_id = c.id and m.left_at is null
        and not exists (
          select from private.erasures as e
          where e.user_id = m.user_id
        )
    )
  )::private.community as community
from private.communities as c;
comment on view private.shown_communities is 'The shape community of every community. Only for the kernel.';

create function private.show_community_to(p_community_id uuid, p_is_moderator boolean)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      to_jsonb(s.community) || case
        when p_is_moderator
          then jsonb_build_object(
            'invite_code', (select j.code from private.join_codes as j where j.community_id = s.id)
          )
        else '{}'
      end
    from private.shown_communities as s
    where s.id = p_community_id
  );
end;
$$;
comment on function private.show_community_to is
'The shape community, with invite_code for a moderator. Only for who has asked who looks.';

create function private.show_community(p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.caller_id();
  v_member private.community_members;
begin
  if v_me is not null then
    select m.* into v_member from private.community_members as m
    where m.community_id = p_community_id and m.user_id = v_me and m.left_at is null and private.is_able(v_me);
    if not found then
      return null;
    end if;
  end if;
  return private.show_community_to(p_community_id, coalesce('moderator' = any(private.roles_now(v_member)), false));
end;
$$;
comment on function private.show_community is
'The shape community, with invite_code if the caller moderates it; null for a person who is not in it.';

-- Purses, and the ledger of every movement of every coin, append-only (RULES 5).

create domain private.coins as integer
-- Twice the ceiling of a purse and a bit: a full one takes its stake home, and the next Dawn its grant and collections.
constraint coins_within_a_purse check (value between 0 and 2100000000);
comment on domain private.coins is 'An amount of CC that a purse can hold.';

create domain private.some_coins as integer
constraint some_coins_are_some check (value > 0);
comment on domain private.some_coins is 'An amount of CC that moved, was asked for or is owed.';

create table private.purses (
  community_id uuid not null,
  user_id uuid not null,
  remaining private.coins not null default 0,
  spent_today bigint not null default 0,
  spent_total bigint not null default 0,
  joys_today integer not null default 0,
  streak integer not null default 0,
  longest_streak integer not null default 0,
  last_lived integer not null default 0,
  debt private.coins not null default 0,
  day date not null,
  granted_at timestamptz,
  constraint purses_pkey primary key (community_id, user_id),
  constraint purses_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id)
)
-- Every purse changes at least twice a day: room on the page keeps the updates in place (measured: 1.5 times faster).
with (fillfactor = 50);
comment on table private.purses is
'One purse per member ever, in CC: what remains, what was spent on its day and in all, how many joys were declared on
its day, and what its member owes in open loans. The ledger and the loans say how it came to be; the audit proves it.';
comment on column private.purses.streak is
'How many days in a row, the last of them last_lived, its member has declared a joy on (RULES 10.1).';
comment on column private.purses.longest_streak is 'The most days in a row there ever were.';
comment on column private.purses.last_lived is
'The last day of the streak, or of an absence that followed it, counted in days the community lived: so neither a change
of zone nor a date that nobody lived breaks a streak (RULES 6.2). 0 before the first. Counted from the joys themselves,
streaks would cost every board and profile the whole history.';
alter table private.purses enable row level security;
create policy people_read_their_purses on private.purses for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on private.purses to authenticated;

create view private.shown_streaks with (security_invoker = on) as
select
  b.community_id,
  b.user_id,
  b.streak as days,
  b.longest_streak as longest,
  -- Where today has not been settled yet, the day stored is the one before.
  case
    when b.last_lived >= d.days_lived then date 'infinity'
    when b.last_lived = d.days_lived - 1 then d.day
  end as alive_through
from private.purses as b
inner join private.community_days as d on b.community_id = d.community_id;
comment on view private.shown_streaks is
'Each member''s latest run and the longest ever, in days lived, and the last date on which the latest, grown no more, is
alive: as long as it can still grow, its last day being today or the day lived before. Null if it is broken. Only for
the kernel.';

create function private.entry_kinds(
  out type text, out sign integer, out source text, out destination text, out has_counterparty boolean,
  out counts_as_spent boolean, out counts_as_debt boolean, out words text
)
returns setof record
language plpgsql immutable rows 12 set search_path = ''
as $$
begin
  return query values
    ('daily_reset', 1, 'minted', 'purse', false, false, false, 'The day''s grant'),
    ('declaration', -1, 'purse', 'spent', false, true, false, 'A joy declared'),
    ('borrow_given', -1, 'purse', 'purse', true, false, false, 'Lent'),
    ('borrow_received', 1, 'purse', 'purse', true, false, true, 'Borrowed'),
    ('debt_repaid', -1, 'purse', 'purse', true, false, true, 'A debt repaid'),
    ('debt_collected', 1, 'purse', 'purse', true, false, false, 'A loan came back'),
    ('tip_to_tip', -1, 'purse', 'escrow', false, true, false, 'Staked on a tip-to-tip'),
    ('stake_refund', 1, 'escrow', 'purse', false, true, false, 'A stake came back'),
    ('stake_forfeit', 0, 'escrow', 'forfeited', false, false, false, 'A stake was lost'),
    ('expired', -1, 'purse', 'expired', false, false, false, 'Expired unspent'),
    ('correction', 1, 'minted', 'purse', false, false, false, 'Corrected by a steward'),
    ('correction', -1, 'purse', 'forfeited', false, false, false, 'Corrected by a steward');
end;
$$;
comment on function private.entry_kinds is
'What each type of entry is, by its sign: where the coins come from and where they go (purse, escrow, minted, spent,
forfeited or expired), whether another member''s purse is the other end, whether the amount counts against what its
member spent or towards what they owe, and the house''s words for it.

The ledger holds no words of members: it cannot forget, and people may ask to be forgotten.';
grant execute on function private.entry_kinds to authenticated;

create table private.ledger_entries (
  id bigint generated always as identity,
  community_id uuid not null,
  user_id uuid not null,
  type text not null,
  amount integer not null,
  moved integer not null,
  balance_after integer not null,
  counterparty_id uuid,
  reference_id uuid,
  day date not null,
  created_at timestamptz not null,
  constraint ledger_entries_pkey primary key (community_id, user_id, id)
);
comment on table private.ledger_entries is
'Every movement of coins, from the side of one member: amount is what it did to their purse, moved how many coins
went from source to destination, balance_after what the purse then held. No foreign keys and no checks: its few writers
have just changed the purse it names, which knows its bounds, a check per row would double the work of a Dawn, and the
audit holds every entry against private.entry_kinds and its purse.';
alter table private.ledger_entries enable row level security;
create policy people_read_their_ledger_entries on private.ledger_entries for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on private.ledger_entries to authenticated;

create function private.refuse_rewriting()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  raise exception 'the ledger is append-only: a correction is a new entry' using errcode = 'restrict_violation';
end;
$$;
comment on function private.refuse_rewriting is 'Keeps the ledger append-only for everyone, its owner included.';
create trigger ledger_entries_are_never_changed
before update or delete on private.ledger_entries
for each row execute function private.refuse_rewriting();
create trigger ledger_entries_are_never_truncated
before truncate on private.ledger_entries
for each statement execute function private.refuse_rewriting();

create type private.ledger_entry as (
  id bigint,
  type text,
  amount integer,
  balance_after integer,
  description text,
  reference_id uuid,
  day date,
  created_at timestamptz,
  moved integer,
  source text,
  destination text,
  counterparty_id uuid
);
comment on type private.ledger_entry is
'The shape ledger_entry, key by attribute, with what kind of movement it was.';

create view private.shown_entries with (security_invoker = on) as
select
  e.id,
  e.community_id,
  e.user_id,
  e.type,
  row(
    e.id,
    e.type,
    e.amount,
    e.balance_after,
    k.words,
    e.reference_id,
    e.day,
    e.created_at,
    e.moved,
    k.source,
    k.destination,
    e.counterparty_id
  )::private.ledger_entry as entry
from private.ledger_entries as e
cross join lateral (
  select
    o.source,
    o.destination,
    o.words
  from private.entry_kinds() as o
  where o.type = e.type and o.sign = sign(e.amount)
  order by o.type
  limit 1
) as k;
comment on view private.shown_entries is
'The shape ledger_entry of every entry. The limit has kinds looked up entry by entry, so that no page is ever read by
joining all there is.';
grant select on private.shown_entries to authenticated;

create function private.open_purse(p_community_id uuid, p_user_id uuid, p_day date)
returns void
language sql security definer set search_path = ''
begin atomic
  insert into private.purses as b (community_id, user_id, day) values (p_community_id, p_user_id, p_day)
  on conflict (community_id, user_id) do update
  -- Who comes back finds their purse as empty as they left it, on the community's present day.
    set
      day = excluded.day,
      spent_today = case when b.day = excluded.day then b.spent_today else 0 end,
      joys_today = case when b.day = excluded.day then b.joys_today else 0 end;
end;
comment on function private.open_purse is
'Gives a member an empty purse on a day, or brings the purse of one who returns to it.';

create type private.two_purses as (giver private.purses, taker private.purses);
comment on type private.two_purses is 'Two members'' purses of one community, both locked.';

create function private.lock_purses(p_community_id uuid, p_giver_id uuid, p_taker_id uuid)
returns private.two_purses
language plpgsql security definer set search_path = ''
as $$
declare
  -- In id order, so that two members lending to each other never deadlock.
  v_purses private.purses[] := array(
    select b from private.purses as b
    where b.community_id = p_community_id and b.user_id in (p_giver_id, p_taker_id)
    order by b.user_id
    for no key update
  );
begin
  if p_giver_id < p_taker_id then
    return (v_purses[1], v_purses[2])::private.two_purses;
  end if;
  return (v_purses[2], v_purses[1])::private.two_purses;
end;
$$;
comment on function private.lock_purses is
'Locks the purses of two members until the transaction ends and returns them.';

create function private.purse_ceiling()
returns integer
language sql immutable set search_path = ''
begin atomic
  select 1000000000;
end;
comment on function private.purse_ceiling is
'What a purse holds at most: nothing that can be refused fills it further. A stake that comes home is not refused, nor
is what a Dawn brings, so the domain leaves room above.';

create function private.refuse_full_purse()
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.refuse(
    'CONFLICT', format('A purse holds at most %s CC.', private.purse_ceiling()),
    jsonb_build_object('most', private.purse_ceiling())
  );
end;
$$;
comment on function private.refuse_full_purse is
'Says that coins do not fit into somebody''s purse, not what it holds. Refuses, always: CONFLICT {most}.';

create function private.move_coins(
  p_community_id uuid, p_user_id uuid, p_type text, p_amount integer, p_reference_id uuid, p_at timestamptz,
  p_moved integer, p_spent_on date, p_lived integer default null
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  -- As private.entry_kinds has it, and the audit holds it: written out, for every act passes here.
  v_spent integer := case when p_type in ('declaration', 'tip_to_tip', 'stake_refund') then -p_amount else 0 end;
  v_purse private.purses;
begin
  -- The condition is the lock: of two who want the last coin, the second finds it gone. Added up as bigint: no sum of a
  -- purse and an amount is too large to be looked at.
  update private.purses as b
  set
    remaining = b.remaining + p_amount,
    spent_today = b.spent_today + case when coalesce(p_spent_on, b.day) = b.day then v_spent else 0 end,
    spent_total = b.spent_total + v_spent,
    joys_today = b.joys_today + (p_lived is not null)::integer,
    streak = case
      when b.last_lived = p_lived - 1 then b.streak + 1
      when b.last_lived < p_lived then 1
      else b.streak
    end,
    longest_streak = greatest(
      b.longest_streak, case when b.last_lived = p_lived - 1 then b.streak when b.last_lived < p_lived then 0 end + 1
    ),
    last_lived = greatest(b.last_lived, p_lived)
  where b.community_id = p_community_id and b.user_id = p_user_id
    and b.remaining::bigint + p_amount >= 0
    and (p_amount <= 0 or p_type = 'stake_refund' or b.remaining::bigint + p_amount <= private.purse_ceiling())
  returning b.* into v_purse;
  if found then
    insert into private.ledger_entries (
      community_id, user_id, type, amount, moved, balance_after, reference_id, day, created_at
    )
    values (
      p_community_id, p_user_id, p_type, p_amount, p_moved, v_purse.remaining, p_reference_id, v_purse.day, p_at
    );
  end if;
  return v_purse;
end;
$$;
comment on function private.move_coins is
'Moves coins into or out of one purse and writes the entry, together: the one writer of a movement that has no other
purse at its end. Returns the purse, or a row of nulls and nothing written where it holds too little or is full: an act
then refuses, and says when it would do. It tells nobody.

p_amount is signed from the member''s side; p_moved differs from it only where coins leave an escrow without
touching the purse; p_spent_on is the day a stake that comes back was made on, for a refund of an earlier day''s stake
leaves today''s spending alone (RULES 5.6). p_lived is the day of a joy, counted in days lived: the first one of a day
lengthens its author''s streak or begins one.';

create function private.try_entry(
  p_community_id uuid, p_user_id uuid, p_type text, p_amount integer, p_reference_id uuid default null,
  p_at timestamptz default private.clock()
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_purse private.purses := private.move_coins(
    p_community_id, p_user_id, p_type, p_amount, p_reference_id, p_at, abs(p_amount), null
  );
begin
  if v_purse.user_id is not null then
    perform private.tell_user(p_user_id, 'balance', jsonb_build_object('community_id', p_community_id));
  end if;
  return v_purse;
end;
$$;
comment on function private.try_entry is
'As private.move_coins, and tells the member whose purse it is.';

create function private.give_coins(
  p_purses private.two_purses, p_amount integer, p_given text, p_taken text, p_reference_id uuid, p_at timestamptz
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_giver private.purses := p_purses.giver;
  v_taker private.purses := p_purses.taker;
begin
  if v_giver.remaining < p_amount then
    return null;
  elsif v_taker.remaining::bigint + p_amount > private.purse_ceiling() then
    perform private.refuse_full_purse();
  end if;
  v_giver.remaining := v_giver.remaining - p_amount;
  v_taker.remaining := v_taker.remaining + p_amount;
  -- As private.entry_kinds has it, and the audit holds it.
  if p_given = 'debt_repaid' then
    v_giver.debt := v_giver.debt - p_amount;
  elsif p_taken = 'borrow_received' then
    v_taker.debt := v_taker.debt + p_amount;
  end if;
  update private.purses as b
  set
    remaining = case b.user_id when v_giver.user_id then v_giver.remaining else v_taker.remaining end,
    debt = case b.user_id when v_giver.user_id then v_giver.debt else v_taker.debt end
  where b.community_id = v_giver.community_id and b.user_id in (v_giver.user_id, v_taker.user_id);
  insert into private.ledger_entries (
    community_id, user_id, type, amount, moved, balance_after, counterparty_id, reference_id, day, created_at
  )
  values
  (
    v_giver.community_id, v_giver.user_id, p_given, -p_amount, p_amount, v_giver.remaining, v_taker.user_id,
    p_reference_id, v_giver.day, p_at
  ),
  (
    v_taker.community_id, v_taker.user_id, p_taken, p_amount, p_amount, v_taker.remaining, v_giver.user_id,
    p_reference_id, v_taker.day, p_at
  );
  return v_giver;
end;
$$;
comment on function private.give_coins is
'Moves coins from one purse to another and writes both entries, in two statements: p_given says what the giver did,
p_taken what the taker got. Returns the giver''s purse as it then is, or null and nothing written where it holds too
little. It tells nobody: private.purses_told says what is to be told. Refuses: CONFLICT {most} (the taker''s is full).';

create function private.purses_told(p_community_id uuid, p_one_id uuid, p_other_id uuid)
returns private.broadcast[]
language plpgsql immutable security definer set search_path = ''
as $$
declare
  v_ids jsonb := jsonb_build_object('community_id', p_community_id);
begin
  return array[
    ('user:' || p_one_id::text, 'balance', v_ids), ('user:' || p_other_id::text, 'balance', v_ids)
  ]::private.broadcast[];
end;
$$;
comment on function private.purses_told is 'What the two between whom coins moved are told.';

create function private.post_entry(
  p_community_id uuid, p_user_id uuid, p_type text, p_amount integer, p_reference_id uuid default null,
  p_at timestamptz default private.clock()
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_purse private.purses := private.try_entry(p_community_id, p_user_id, p_type, p_amount, p_reference_id, p_at);
begin
  if v_purse.user_id is null then
    raise exception 'an entry of % CC does not fit the purse of % in %', p_amount, p_user_id, p_community_id;
  end if;
  return v_purse;
end;
$$;
comment on function private.post_entry is
'As private.try_entry, for what always fits: anything else is a fault of the house, and undone.';

create type private.entry_draft as (
  user_id uuid,
  type text,
  amount integer,
  counterparty_id uuid,
  reference_id uuid
);
comment on type private.entry_draft is 'One movement among many that are written together.';

create function private.post_entries(
  p_community_id uuid, p_day date, p_drafts private.entry_draft[], p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  -- The running balance of each entry counts from the purse as it is before any of them.
  insert into private.ledger_entries (
    community_id, user_id, type, amount, moved, balance_after, counterparty_id, reference_id, day, created_at
  )
  select
    p_community_id, e.user_id, e.type, e.amount, abs(e.amount),
    b.remaining + sum(e.amount) over (partition by e.user_id order by e.ordinality),
    e.counterparty_id, e.reference_id, p_day, p_at
  from unnest(p_drafts) with ordinality as e
  join private.purses as b on b.community_id = p_community_id and b.user_id = e.user_id
  order by e.ordinality;

  update private.purses as b
  set remaining = b.remaining + c.amount, debt = b.debt + c.owed
  from (
    select
      e.user_id, sum(e.amount)::integer as amount,
      coalesce(sum(e.amount) filter (where k.counts_as_debt), 0)::integer as owed
    from unnest(p_drafts) as e
    join private.entry_kinds() as k on k.type = e.type and k.sign = sign(e.amount)
    group by e.user_id
  ) as c
  where b.community_id = p_community_id and b.user_id = c.user_id;
end;
$$;
comment on function private.post_entries is
'Moves coins in many purses of one community and writes the entries in the order given, in two statements.

Only under the lock of the day, which keeps every other act on these purses away.';

create function private.post_grants(p_day private.community_days, p_at timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_away uuid[] := private.away_ids(p_day.community_id, p_day.day, p_day.day);
  v_granted integer;
begin
  with begun as (
    update private.purses as b
    set
      remaining = case when g.is_granted then p_day.daily_budget else 0 end,
      spent_today = 0, joys_today = 0, day = p_day.day,
      granted_at = case when g.is_granted then p_at else b.granted_at end,
      -- A streak that is broken stays broken, and a joy from a stake that came back to who is away begins none.
      streak = case when g.is_away and b.last_lived < p_day.days_lived - 1 then 0 else b.streak end,
      last_lived = case when g.is_away then p_day.days_lived else b.last_lived end
    from private.community_members as m
    cross join lateral (
      select m.user_id = any(v_away), m.left_at is null and m.user_id <> all(v_away)
    ) as g (is_away, is_granted)
    where b.community_id = p_day.community_id
      and m.community_id = p_day.community_id and m.user_id = b.user_id and (m.left_at is null or b.remaining > 0)
    returning b.user_id, b.remaining
  )
  insert into private.ledger_entries (community_id, user_id, type, amount, moved, balance_after, day, created_at)
  select
    p_day.community_id, g.user_id, 'daily_reset', p_day.daily_budget, p_day.daily_budget, g.remaining, p_day.day, p_at
  from begun as g
  where g.remaining > 0;
  get diagnostics v_granted = row_count;
  return v_granted;
end;
$$;
comment on function private.post_grants is
'Grants the budget of a new day to every member present and not away; returns to how many. To the purses of who is away
the day begins too, with nothing, and their streaks neither grow nor break (RULES 16.2). What a purse still holds goes: private.post_expiry has written so just before.';

create function private.post_first_grant(p_community_id uuid, p_user_id uuid, p_budget integer)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.post_entry(p_community_id, p_user_id, 'daily_reset', p_budget);
  update private.purses as b set granted_at = private.clock()
  where b.community_id = p_community_id and b.user_id = p_user_id;
end;
$$;
comment on function private.post_first_grant is
'Grants the budget of the day to somebody who has just come for the first time.';

create function private.post_expiry(p_community_id uuid, p_at timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.ledger_entries (community_id, user_id, type, amount, moved, balance_after, day, created_at)
  select p_community_id, b.user_id, 'expired', -b.remaining, b.remaining, 0, b.day, p_at
  from private.purses as b
  where b.community_id = p_community_id and b.remaining > 0;
end;
$$;
comment on function private.post_expiry is
'Writes that what every purse of a community holds expires. Its caller has the day alone, and empties the purses next:
with private.empty_purses, or with the grants of a Dawn, so that a night passed in one go changes each purse once.';

create function private.empty_purses(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.purses as b set remaining = 0
  where b.community_id = p_community_id and b.remaining > 0;
end;
$$;
comment on function private.empty_purses is 'Empties the purses of a community after private.post_expiry.';

create function private.expire_purse(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_remaining integer;
begin
  select b.remaining into v_remaining from private.purses as b
  where b.community_id = p_community_id and b.user_id = p_user_id
  for no key update;
  if v_remaining > 0 then
    perform private.post_entry(p_community_id, p_user_id, 'expired', -v_remaining);
  end if;
  return v_remaining;
end;
$$;
comment on function private.expire_purse is
'Lets one purse expire now, when its member goes; returns how many CC it held.';

create function private.change_debts(p_community_id uuid, p_user_ids uuid[], p_amounts integer[])
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.purses as b
  set debt = b.debt + c.amount
  from (
    select u.user_id, sum(u.amount)::integer as amount
    from unnest(p_user_ids, p_amounts) as u (user_id, amount)
    group by u.user_id
  ) as c
  where b.community_id = p_community_id and b.user_id = c.user_id;
end;
$$;
comment on function private.change_debts is
'Changes what members owe where no coin moves: a loan is forgiven, released, falls asleep or wakes. Whoever changes
the debts of more than one holds the day alone.';

-- Loans between members of a community (RULES 7.2 to 7.5).

create domain private.loan_state as text
constraint loan_state_known check (value in ('open', 'repaid', 'forgiven', 'released', 'asleep'));

create table private.loans (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  borrower_id uuid not null,
  lender_id uuid not null,
  amount private.some_coins not null,
  outstanding private.coins not null,
  status private.loan_state not null default 'open',
  created_at timestamptz not null default private.clock(),
  constraint loans_pkey primary key (community_id, id),
  -- One for all: every statement that writes a row makes each check ready anew.
  constraint loans_outstanding_fits check (
    outstanding <= amount and (outstanding > 0) = (status = 'open' or status = 'asleep') and borrower_id <> lender_id
  )
);
comment on table private.loans is
'What members owe each other, in CC; number tells the older of two. A loan asleep waits for a borrower who left. No
foreign keys: whoever opens one has just locked both purses, and no membership''s row is ever deleted.';
create index loans_id_idx on private.loans (id);
create index loans_community_id_borrower_id_idx on private.loans (community_id, borrower_id, status);
create index loans_community_id_lender_id_idx on private.loans (community_id, lender_id, status);
create index loans_open_idx on private.loans (community_id, number) where status = 'open';
alter table private.loans enable row level security;
create policy parties_read_loans on private.loans for select to authenticated
using (
  (borrower_id = (select private.my_id()) or lender_id = (select private.my_id()))
  and community_id = any(array(select private.my_communities()))
);
grant select on private.loans to authenticated;

create type private.loan as (
  id uuid,
  community_id uuid,
  borrower json,
  lender json,
  amount integer,
  outstanding integer,
  status text,
  created_at timestamptz
);
comment on type private.loan is 'The shape loan, key by attribute.';

create view private.shown_loans with (security_invoker = on) as
select
  l.id,
  l.number,
  l.community_id,
  l.borrower_id,
  l.lender_id,
  row(
    l.id, l.community_id, b.person, p.person, l.amount, l.outstanding, l.status, l.created_at
  )::private.loan as loan
from private.loans as l
inner join private.shown_people as b on l.borrower_id = b.id
inner join private.shown_people as p on l.lender_id = p.id;
comment on view private.shown_loans is 'Loans as they are shown.';
grant select on private.shown_loans to authenticated;

create function private.open_loan(
  p_loan_id uuid, p_purses private.two_purses, p_amount integer, p_at timestamptz
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_purse private.purses := private.give_coins(
    p_purses, p_amount, 'borrow_given', 'borrow_received', p_loan_id, p_at
  );
begin
  if v_purse.user_id is not null then
    insert into private.loans (id, community_id, borrower_id, lender_id, amount, outstanding, created_at)
    values (
      p_loan_id, v_purse.community_id, (p_purses.taker).user_id, v_purse.user_id, p_amount, p_amount, p_at
    );
  end if;
  return v_purse;
end;
$$;
comment on function private.open_loan is
'Moves CC from a lender''s purse to a borrower''s and opens the loan with this id. Returns the lender''s purse, or a row
of nulls and nothing written where it holds too little.

Refuses: CONFLICT {most} (the borrower''s purse is full).';

create function private.lock_loan(p_community_id uuid, p_loan_id uuid)
returns private.loans
language plpgsql security definer set search_path = ''
as $$
declare
  v_row private.loans;
begin
  select l.* into v_row from private.loans as l
  where l.community_id = p_community_id and l.id = p_loan_id for no key update;
  return v_row;
end;
$$;
comment on function private.lock_loan is 'Locks a loan until the transaction ends and returns it.';

create function private.reduce_loan(p_loan private.loans, p_amount integer, p_when_nothing_is_left text)
returns private.loans
language plpgsql security definer set search_path = ''
as $$
declare
  v_loan private.loans;
begin
  update private.loans as l
  set
    outstanding = l.outstanding - p_amount,
    status = case when l.outstanding = p_amount then p_when_nothing_is_left else l.status end
  where l.community_id = p_loan.community_id and l.id = p_loan.id
  returning l.* into v_loan;
  return v_loan;
end;
$$;
comment on function private.reduce_loan is
'Takes an amount off a locked loan, which becomes repaid or forgiven when nothing is left, and returns it.';

create function private.pay_back(p_loan private.loans, p_amount integer, p_at timestamptz)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
begin
  return private.give_coins(
    private.lock_purses(p_loan.community_id, p_loan.borrower_id, p_loan.lender_id), p_amount, 'debt_repaid',
    'debt_collected', p_loan.id, p_at
  );
end;
$$;
comment on function private.pay_back is
'Moves what is repaid of a locked loan from purse to purse; returns the borrower''s, or a row of nulls and nothing
written where it holds too little. The caller reduces the loan.

Refuses: CONFLICT {most} (the lender''s purse is full).';

create function private.forgive(p_loan private.loans, p_amount integer)
returns private.loans
language plpgsql security definer set search_path = ''
as $$
begin
  if p_loan.status = 'open' then
    perform private.change_debts(p_loan.community_id, array[p_loan.borrower_id], array[-p_amount]);
  end if;
  return private.reduce_loan(p_loan, p_amount, 'forgiven');
end;
$$;
comment on function private.forgive is
'Forgives a part of a locked loan, or all of it, and returns it; also of one asleep, whose borrower owes nothing
meanwhile.';

create function private.repayments_due(
  p_community_id uuid, p_budget integer, p_day date, p_dawn_at timestamptz default 'infinity',
  out loan_id uuid, out number bigint, out borrower_id uuid, out lender_id uuid, out amount integer
)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_away uuid[] := private.away_ids(p_community_id, p_day, p_day);
begin
  return query
  select
    d.id,
    d.number,
    d.borrower_id,
    d.lender_id,
    least(d.outstanding, p_budget - d.before)::integer
  from (
    select
      l.id,
      l.number,
      l.borrower_id,
      l.lender_id,
      l.outstanding,
      coalesce(sum(l.outstanding) over (
        partition by l.borrower_id order by l.number rows between unbounded preceding and 1 preceding
      ), 0) as before
    from private.loans as l
    where l.community_id = p_community_id and l.status = 'open'
      and l.borrower_id <> all(v_away) and l.lender_id <> all(v_away)
      and not exists (
        select from private.erasures as e where e.user_id in (l.borrower_id, l.lender_id) and e.begun_at < p_dawn_at
      )
  ) as d
  where d.before < p_budget;
end;
$$;
comment on function private.repayments_due is
'What the Dawn of a day with this budget repays: each debtor''s open loans oldest first, up to the whole grant (RULES
7.4).

It depends on no purse and on no order: what others repay a debtor the same Dawn is theirs to keep. Loans of who
is away that day wait, on both sides (RULES 16.2). A loan of somebody erased before the Dawn is as good as released or
asleep: the leaving follows. A Dawn settled late repays what it would have repaid on time (RULES 6.3).';

create function private.debt_of(p_community_id uuid, p_user_id uuid)
returns bigint
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(sum(l.outstanding), 0) from private.loans as l
    where l.community_id = p_community_id and l.borrower_id = p_user_id and l.status = 'open'
      and not exists (select from private.erasures as e where e.user_id = l.lender_id)
  );
end;
$$;
comment on function private.debt_of is
'What a member will owe when the leaving of everybody just erased has followed, in CC; the purse keeps what they owe
now.';

create function private.collect_debts(
  p_community_id uuid, p_day date, p_budget integer, p_dawn_at timestamptz, p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_drafts private.entry_draft[];
begin
  if not exists (select from private.loans as l where l.community_id = p_community_id and l.status = 'open') then
    return;
  end if;
  with due as materialized (
    select r.* from private.repayments_due(p_community_id, p_budget, p_day, p_dawn_at) as r
  ), reduced as (
    update private.loans as l
    set
      outstanding = l.outstanding - d.amount,
      status = case when l.outstanding = d.amount then 'repaid' else l.status end
    from due as d
    where l.community_id = p_community_id and l.id = d.loan_id
  )
  -- All debts leave before any arrives: no running balance ever counts on another's repayment.
  select array_agg(m.draft order by m.turn, m.number) into v_drafts
  from (
    select 1 as turn, d.number,
      row(d.borrower_id, 'debt_repaid', -d.amount, d.lender_id, d.loan_id)::private.entry_draft as draft
    from due as d
    union all
    select 2, d.number, row(d.lender_id, 'debt_collected', d.amount, d.borrower_id, d.loan_id)::private.entry_draft
    from due as d
  ) as m;
  perform private.post_entries(p_community_id, p_day, v_drafts, p_at);
end;
$$;
comment on function private.collect_debts is
'Repays at Dawn, after all grants, what private.repayments_due names; rings included.';

create function private.part_with_loans(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_debtors uuid[];
  v_amounts integer[];
begin
  -- Who of the debtors has left owes nothing meanwhile; the leaver's own debts stop counting as well.
  select array_agg(d.user_id), array_agg(-d.outstanding) into v_debtors, v_amounts
  from (
    select l.borrower_id as user_id, l.outstanding::integer from private.loans as l
    where l.community_id = p_community_id and l.status = 'open' and p_user_id in (l.lender_id, l.borrower_id)
  ) as d;
  perform private.change_debts(p_community_id, v_debtors, v_amounts);
  update private.loans as l
  set outstanding = 0, status = 'released'
  where l.community_id = p_community_id and l.lender_id = p_user_id and l.status in ('open', 'asleep');
  update private.loans as l
  set status = 'asleep'
  where l.community_id = p_community_id and l.borrower_id = p_user_id and l.status = 'open';
end;
$$;
comment on function private.part_with_loans is
'On leaving: what is owed to the leaver is released, what they owe sleeps (RULES 2.5). The caller holds the day alone.';

create function private.wake_loans(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_owed integer;
begin
  with woken as (
    update private.loans as l
    set status = 'open'
    where l.community_id = p_community_id and l.borrower_id = p_user_id and l.status = 'asleep'
    returning l.outstanding
  )
  select sum(w.outstanding) into v_owed from woken as w;
  if v_owed > 0 then
    perform private.change_debts(p_community_id, array[p_user_id], array[v_owed]);
  end if;
end;
$$;
comment on function private.wake_loans is 'On returning: what a member owed when they left is owed again.';

create function private.show_loan(p_loan private.loans, p_borrower private.users, p_lender private.users)
returns private.loan
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    p_loan.id, p_loan.community_id, p_borrower.person, p_lender.person, p_loan.amount, p_loan.outstanding,
    p_loan.status, p_loan.created_at
  )::private.loan;
end;
$$;
comment on function private.show_loan is 'The shape loan of a loan in hand.';

-- Stakes held between purse and outcome (RULES 5.1, 8.3). Each settles exactly once.

create domain private.stake_state as text
constraint stake_state_known check (value in ('held', 'due', 'refunded', 'forfeited'));

create table private.stakes (
  community_id uuid not null,
  proposal_id uuid not null,
  user_id uuid not null,
  amount private.some_coins not null,
  day date not null,
  status private.stake_state not null default 'held',
  constraint stakes_pkey primary key (community_id, proposal_id)
);
comment on table private.stakes is
'The escrow: what members staked, on which day, and what became of it. A stake due is one won back while the day was
closed: it stays in escrow until the Dawn that books it. No foreign key: the purse it came from has just been changed.';
create index stakes_community_id_user_id_idx on private.stakes (community_id, user_id);
create index stakes_in_escrow_idx on private.stakes (community_id) where status in ('held', 'due');
alter table private.stakes enable row level security;
create policy people_read_their_stakes on private.stakes for select to authenticated
using (user_id = (select private.my_id()) and community_id = any(array(select private.my_communities())));
grant select on private.stakes to authenticated;

create function private.stake_coins(
  p_proposal_id uuid, p_community_id uuid, p_user_id uuid, p_amount integer, p_at timestamptz
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_purse private.purses := private.move_coins(
    p_community_id, p_user_id, 'tip_to_tip', -p_amount, p_proposal_id, p_at, p_amount, null
  );
begin
  if v_purse.user_id is not null then
    insert into private.stakes (community_id, proposal_id, user_id, amount, day)
    values (p_community_id, p_proposal_id, p_user_id, p_amount, v_purse.day);
  end if;
  return v_purse;
end;
$$;
comment on function private.stake_coins is
'Moves a stake from a purse, which it returns, into escrow; a row of nulls where it holds too little. It tells nobody.';

create function private.settle_stake(
  p_community_id uuid, p_proposal_id uuid, p_status private.stake_state, p_at timestamptz
)
returns private.broadcast[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_stake private.stakes;
  v_purse private.purses;
begin
  update private.stakes as s set status = p_status
  where s.community_id = p_community_id and s.proposal_id = p_proposal_id
    and (s.status = 'held' or s.status = 'due' and p_status = 'refunded')
  returning s.* into v_stake;
  if not found or p_status = 'due' then
    return array[]::private.broadcast[];
  end if;
  v_purse := private.move_coins(
    p_community_id, v_stake.user_id, case p_status when 'refunded' then 'stake_refund' else 'stake_forfeit' end,
    case p_status when 'refunded' then v_stake.amount else 0 end, p_proposal_id, p_at, v_stake.amount, v_stake.day
  );
  if v_purse.user_id is null then
    raise exception 'the stake of proposal % does not fit a purse', p_proposal_id;
  end if;
  return array[(
    'user:' || v_stake.user_id::text, 'balance', jsonb_build_object('community_id', p_community_id)
  )::private.broadcast];
end;
$$;
comment on function private.settle_stake is
'Settles a stake: refunded, forfeited, or due, which is refunded at the next Dawn; nothing if it was settled before. It
tells nobody, but returns what is to be told.';

create function private.pay_stakes_due(p_community_id uuid, p_at timestamptz, p_user_id uuid default null)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal_id uuid;
begin
  for v_proposal_id in
    select s.proposal_id from private.stakes as s
    where s.community_id = p_community_id and s.status = 'due' and s.user_id = coalesce(p_user_id, s.user_id)
    order by s.user_id, s.proposal_id
  loop
    perform private.tell(variadic private.settle_stake(p_community_id, v_proposal_id, 'refunded', p_at));
  end loop;
end;
$$;
comment on function private.pay_stakes_due is
'Books the refunds that waited for Dawn, of everyone or of one member. The caller holds the day.';

create function private.stakes_due(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(sum(s.amount), 0)::integer from private.stakes as s
    where s.community_id = p_community_id and s.user_id = p_user_id and s.status = 'due'
  );
end;
$$;
comment on function private.stakes_due is 'What the next Dawn will refund a member, in CC.';

-- Joys as they are stored: below the day, for its Sunset gathers them into an edition (RULES 4, 15).

create domain private.title as text constraint title_length check (char_length(value) <= 120);
comment on domain private.title is
'A joy''s or a proposal''s title: 1 to 120 characters, none where it was taken away.';
create domain private.description as text constraint description_length check (char_length(value) <= 1000);
comment on domain private.description is 'What is said below a title: at most 1000 characters.';

create table private.declarations (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  user_id uuid not null,
  cc_spent integer not null,
  witnessed_count integer not null default 0,
  day date not null,
  created_at timestamptz not null default private.clock(),
  struck_at timestamptz,
  title private.title not null,
  description private.description not null default '',
  image_url text,
  constraint declarations_pkey primary key (community_id, id)
)
with (fillfactor = 80);
comment on table private.declarations is
'The joys declared; day is the community''s day that paid for it, number the order of declaring. Struck ones keep
their money and lose their words. No foreign key: its one writer has just paid from the purse of the member it names.';
create index declarations_id_idx on private.declarations (id);
create index declarations_community_id_day_number_idx on private.declarations (community_id, day, number);
create index declarations_community_id_user_id_day_number_idx on private.declarations (
  community_id, user_id, day, number
);
alter table private.declarations enable row level security;
create policy members_read_declarations on private.declarations for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.declarations to authenticated;
-- An update sends a long text it did not touch only as part of the old row. These two change (a witness counted, a vote
-- cast) while a description of theirs may lie out of line; everywhere else the key is enough.
alter table private.declarations replica identity full;

create table private.witnesses (
  community_id uuid not null,
  declaration_id uuid not null,
  user_id uuid not null,
  created_at timestamptz not null default private.clock(),
  constraint witnesses_pkey primary key (community_id, declaration_id, user_id)
);
comment on table private.witnesses is
'Who bore witness to which joy, once each. No foreign keys: its one writer has just found the joy and the member, and
neither is ever deleted.';
create index witnesses_community_id_user_id_idx on private.witnesses (community_id, user_id);
alter table private.witnesses enable row level security;
create policy members_read_witnesses on private.witnesses for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.witnesses to authenticated;

create function private.write_joy(
  p_id uuid, p_community_id uuid, p_user_id uuid, p_title text, p_description text, p_cc_spent integer,
  p_image_url text, p_day date, p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.declarations (id, community_id, user_id, title, description, cc_spent, image_url, day, created_at)
  values (p_id, p_community_id, p_user_id, p_title, p_description, p_cc_spent, p_image_url, p_day, p_at);
end;
$$;
comment on function private.write_joy is 'Writes a joy down that has been paid for.';

create function private.write_witness(p_community_id uuid, p_declaration_id uuid, p_user_id uuid)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_count integer;
begin
  insert into private.witnesses (community_id, declaration_id, user_id)
  values (p_community_id, p_declaration_id, p_user_id)
  on conflict do nothing;
  if found then
    update private.declarations as d set witnessed_count = d.witnessed_count + 1
    where d.community_id = p_community_id and d.id = p_declaration_id
    returning d.witnessed_count into v_count;
  end if;
  return v_count;
end;
$$;
comment on function private.write_witness is
'Writes down that somebody bore witness to a joy, and counts it; returns how many have, or null if they had already.';

create function private.joys_of_day(p_day private.community_days)
returns private.item_draft[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(
    select
      row(
        'declaration', d.id, d.user_id, d.created_at, jsonb_build_object(
          'kind', 'declaration', 'declaration_id', d.id, 'author_id', d.user_id, 'title', d.title,
          'description', d.description, 'cc_spent', d.cc_spent,
          -- A witness who came after the Sunset, before anybody wrote it down, came too late for the edition.
          'witnessed', d.witnessed_count - case when d.witnessed_count = 0 then 0 else (
            select count(*) from private.witnesses as w
            where w.community_id = d.community_id and w.declaration_id = d.id and w.created_at >= p_day.sunset_at
          ) end
        )
      )::private.item_draft
    from private.declarations as d
    where d.community_id = p_day.community_id and d.day = p_day.day
    order by d.number
  );
end;
$$;
comment on function private.joys_of_day is
'The joys of a day as its edition tells them, with the witnesses they had at its Sunset.';

create function private.strike_declaration(p_community_id uuid, p_declaration_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.declarations as d
  set title = '', description = '', image_url = null, struck_at = private.clock()
  where d.community_id = p_community_id and d.id = p_declaration_id;
  perform private.strike_item(p_community_id, p_declaration_id);
end;
$$;
comment on function private.strike_declaration is 'Takes a joy''s words away; its money stays.';

create function private.erase_joys_of(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  update private.declarations as d
  set title = '', description = '', image_url = null
  where (d.community_id, d.id) in (
    select o.community_id, o.id
    from private.community_members as s
    join private.declarations as o on o.community_id = s.community_id and o.user_id = s.user_id
    where s.user_id = p_user_id and (o.title <> '' or o.description <> '' or o.image_url is not null)
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.erase_joys_of is
'Takes the words of up to p_limit joys of a person who is erased; returns how many.';

-- The day's turn: what Sunset takes and Dawn gives (RULES 6).

create table private.sunset_entries (
  community_id uuid not null,
  day date not null,
  user_id uuid not null,
  unspent_cc private.some_coins not null,
  constraint sunset_entries_pkey primary key (community_id, day, user_id)
);
comment on table private.sunset_entries is
'The Sunset list: who let how much expire on which day. No foreign key: written with the ledger, from the same
purses.';
alter table private.sunset_entries enable row level security;
create policy members_read_sunset_entries on private.sunset_entries for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.sunset_entries to authenticated;

create type private.turned_day as (day private.community_days, purses integer);
comment on type private.turned_day is 'A day as it is after its Sunset or Dawn, and how many purses that changed.';

create function private.end_day(p_day private.community_days, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_purses integer;
  v_expired bigint;
begin
  with kept as (
    insert into private.sunset_entries (community_id, day, user_id, unspent_cc)
    select b.community_id, p_day.day, b.user_id, b.remaining from private.purses as b
    where b.community_id = p_day.community_id and b.remaining > 0
    returning unspent_cc
  )
  select count(*), coalesce(sum(k.unspent_cc), 0) into v_purses, v_expired from kept as k;
  perform private.post_expiry(p_day.community_id, p_now);
  -- An election that ended before this Sunset belongs to its day, however late anybody writes it down.
  perform private.close_elections(p_day.community_id, p_day.sunset_at);
  perform private.seal_edition(p_day, private.joys_of_day(p_day), v_expired, p_now);
  perform private.tell_community(p_day.community_id, 'sunset', jsonb_build_object('day', p_day.day));
  return v_purses;
end;
$$;
comment on function private.end_day is
'What a Sunset writes, but for calendar and purses: what expires goes into the Sunset list and the ledger, the election
that is over is closed, then the edition. Returns how many purses held something.';

create function private.begin_day(p_day private.community_days, p_now timestamptz)
returns private.turned_day
language plpgsql security definer set search_path = ''
as $$
declare
  v_community private.communities := private.apply_pending(p_day.community_id);
  v_day private.community_days := private.turn_to_day(
    p_day, v_community.timezone, v_community.daily_cc_budget, p_now
  );
  v_purses integer := private.post_grants(v_day, p_now);
begin
  perform private.pay_stakes_due(v_day.community_id, p_now);
  perform private.collect_debts(
    v_day.community_id, v_day.day, v_day.daily_budget,
    greatest(p_day.dawn_at, private.dawn_of(v_community.timezone, v_day.day)), p_now
  );
  perform private.fill_seat(v_day.community_id, p_now);
  perform private.tell_community(v_day.community_id, 'dawn', jsonb_build_object('day', v_day.day));
  return (v_day, v_purses)::private.turned_day;
end;
$$;
comment on function private.begin_day is
'What a Dawn does, once all that purses hold is written off: pending settings take force, everyone is granted the
budget, refunds that waited are booked, then debts are collected; a moderator''s seat that nobody who can act holds is
filled.';

create function private.close_day(p_day private.community_days, p_now timestamptz)
returns private.turned_day
language plpgsql security definer set search_path = ''
as $$
declare
  v_purses integer := private.end_day(p_day, p_now);
begin
  perform private.empty_purses(p_day.community_id);
  return (
    private.turn_to_night(p_day, private.next_timezone(p_day.community_id), p_day.day), v_purses
  )::private.turned_day;
end;
$$;
comment on function private.close_day is 'Sunset, for an open day that is locked: every unspent purse expires.';

create function private.open_day(p_day private.community_days, p_now timestamptz)
returns private.turned_day
language plpgsql security definer set search_path = ''
as $$
begin
  -- A correction made in the night may have left something: it expires before anything is granted.
  perform private.post_expiry(p_day.community_id, p_now);
  return private.begin_day(p_day, p_now);
end;
$$;
comment on function private.open_day is 'Dawn, for a closed day that is locked.';

create function private.pass_night(p_day private.community_days, p_now timestamptz)
returns private.turned_day
language plpgsql security definer set search_path = ''
as $$
declare
  v_expired integer := private.end_day(p_day, p_now);
  v_turned private.turned_day := private.begin_day(p_day, p_now);
begin
  v_turned.purses := v_turned.purses + v_expired;
  return v_turned;
end;
$$;
comment on function private.pass_night is
'Sunset and Dawn in one, for an open day that is locked and whose Dawn has come too: as one after the other, but purses
and calendar are written once. A row changed twice in a transaction leaves its page, and its foreign key is asked again.';

create function private.day_of(p_community_id uuid)
returns private.community_days
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_day private.community_days;
begin
  select d.* into v_day from private.community_days as d where d.community_id = p_community_id;
  return v_day;
end;
$$;
comment on function private.day_of is 'The day of a community, for what is done under a day already held.';

create function private.take_day_alone(p_community_id uuid)
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
begin
  -- An advisory lock, for its queue is fair: those who share a row's lock overtake whoever waits to have it alone
  -- (measured: for seconds, in a community of 500 acts a second), and each of them would write to the row's page.
  perform pg_advisory_xact_lock(1128792067, uuid_hash(p_community_id));
  return private.day_of(p_community_id);
end;
$$;
comment on function private.take_day_alone is
'The lock of a community''s day, for one alone until the transaction ends; returns the day as it then is, settled or
not. Whoever shares a day (private.hold_day) must not ask for it: two such would wait for each other.';

create function private.take_free_days(p_community_ids uuid[])
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
begin
  return array(
    select c.id from unnest(p_community_ids) as c (id)
    where pg_try_advisory_xact_lock(1128792067, uuid_hash(c.id))
  );
end;
$$;
comment on function private.take_free_days is
'Takes the days of these communities alone, as private.take_day_alone does, where nobody has them now; returns which. A
community that is busy is not waited for: its own members settle it.';

create function private.settle_day(p_community_id uuid, p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days;
  v_turn private.turned_day;
  v_purses integer := 0;
begin
  -- A glance without a lock: most calls find nothing due, and a read-only one may not write.
  if current_setting('transaction_read_only')::boolean
    or not exists (select from private.community_days as d where d.community_id = p_community_id and d.due_at <= p_now)
  then
    return 0;
  end if;
  -- Whoever waits here for another to turn the day finds it turned.
  v_day := private.take_day_alone(p_community_id);
  -- A night, or its morning, and, so late that today's own Sunset has passed as well, an evening; or that alone.
  while v_day.due_at <= p_now loop
    if not v_day.is_open then
      v_turn := private.open_day(v_day, p_now);
    elsif v_day.dawn_at <= p_now then
      v_turn := private.pass_night(v_day, p_now);
    else
      v_turn := private.close_day(v_day, p_now);
    end if;
    v_day := v_turn.day;
    v_purses := v_purses + v_turn.purses;
  end loop;
  return v_purses;
end;
$$;
comment on function private.settle_day is
'Brings a community to the day p_now falls in: the last open day is closed, then today begins (RULES 6.3). Days
missed whole are not replayed. Returns how many purses changed; twice, or from two sides at once, it changes nothing
more. What is due it settles alone, so nobody who shares the day calls it.';

create function private.settle_sunset(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.take_day_alone(p_community_id);
begin
  if v_day.is_open and v_day.sunset_at <= p_now then
    return (private.close_day(v_day, p_now)).purses;
  end if;
  return 0;
end;
$$;
comment on function private.settle_sunset is
'Closes a day whose Sunset has come; returns how many purses held something. A day closed already, or not over yet,
stays as it is.';

create function private.hold_day(p_community_id uuid, p_now timestamptz default private.clock())
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days;
begin
  perform from private.community_days as d where d.community_id = p_community_id and d.due_at <= p_now;
  if found then
    perform private.settle_day(p_community_id, p_now);
  end if;
  perform pg_advisory_xact_lock_shared(1128792067, uuid_hash(p_community_id));
  -- Read under the lock. A Dawn that a zone called off meanwhile has made due is left for the next call.
  select d.* into v_day from private.community_days as d where d.community_id = p_community_id;
  if not found then
    perform private.refuse_absent(p_community_id, private.caller_id());
  end if;
  return v_day;
end;
$$;
comment on function private.hold_day is
'Settles what is overdue, then keeps the day from turning until the transaction ends; many may hold it together.

Every act that moves coins takes this first: before a member''s row, before proposals, requests and loans, before
purses. No membership ends meanwhile, for whoever ends one holds the day alone: it is all that an act with words of its
own needs here (RULES 13.4).';

create function private.hold_day_alone(p_community_id uuid, p_now timestamptz default private.clock())
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.take_day_alone(p_community_id);
begin
  if v_day.community_id is null then
    perform private.refuse_absent(p_community_id, private.caller_id());
  elsif v_day.due_at <= p_now then
    perform private.settle_day(p_community_id, p_now);
    v_day := private.day_of(p_community_id);
  end if;
  return v_day;
end;
$$;
comment on function private.hold_day_alone is
'As private.hold_day, but no other act on this community''s coins or rolls goes on beside it: for acts that touch
many purses or change who is a member, such as leaving.';

create function private.require_open(p_day private.community_days)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if not p_day.is_open then
    perform private.refuse('DAY_CLOSED', 'The day is closed until Dawn.',
      jsonb_build_object('possible_at', p_day.dawn_at));
  end if;
end;
$$;
comment on function private.require_open is
'Asks that a day is open. Refuses: DAY_CLOSED {possible_at: the next Dawn}, from Sunset to Dawn (RULES 5.5).';

create function private.require_open_day(p_community_id uuid, p_now timestamptz default private.clock())
returns private.community_days
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.hold_day(p_community_id, p_now);
begin
  perform private.require_open(v_day);
  return v_day;
end;
$$;
comment on function private.require_open_day is
'Holds the day as private.hold_day does, and asks that it is open. Refuses: DAY_CLOSED {possible_at}.';

create type private.act as (
  me private.users,
  day private.community_days,
  at timestamptz
);
comment on type private.act is
'What an act of a member that moves coins begins with: who acts, on which day, and when.';

create function private.require_presence(p_community_id uuid, p_noun text)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if p_noun is null then
    perform private.require_member(p_community_id);
  else
    perform private.require_seen(p_community_id, p_noun);
  end if;
end;
$$;
comment on function private.require_presence is
'Asks for membership of a community or, where p_noun says what was looked up by its id, of the community of that.

Refuses: as private.require_member, or as private.require_seen.';

create function private.begin_act(p_community_id uuid, p_noun text default null)
returns private.act
language plpgsql security definer set search_path = ''
as $$
declare
  v_act private.act;
begin
  v_act.me := private.able_person(private.caller_id());
  v_act.at := private.clock();
  perform pg_advisory_xact_lock_shared(1128792067, uuid_hash(p_community_id))
  from private.community_days as d where d.community_id = p_community_id and d.due_at > v_act.at;
  if not found then
    perform private.require_presence(p_community_id, p_noun);
    perform private.settle_day(p_community_id, v_act.at);
    perform pg_advisory_xact_lock_shared(1128792067, uuid_hash(p_community_id));
  end if;
  select d into v_act.day
  from private.community_members as m
  join private.community_days as d on d.community_id = m.community_id
  where m.community_id = p_community_id and m.user_id = (v_act.me).id and m.left_at is null;
  if not found then
    perform private.require_presence(p_community_id, p_noun);
    -- They came in between the two questions.
    return private.begin_act(p_community_id, p_noun);
  end if;
  return v_act;
end;
$$;
comment on function private.begin_act is
'Begins an act that moves coins: asks for membership and holds the day as private.hold_day does, in one step. p_noun
says what the community was found by, where it was not named itself.

Refuses: as private.require_presence.';

create function private.require_member_today(p_community_id uuid)
returns private.community_members
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
begin
  perform private.settle_day(p_community_id);
  return v_me;
end;
$$;
comment on function private.require_member_today is
'Asks for membership, then settles what is overdue: how every door about money that only reads begins.

Refuses: as require_member.';
grant execute on function private.require_member_today to authenticated;

create type private.balance as (
  community_id uuid,
  user_id uuid,
  daily_budget integer,
  remaining integer,
  spent_today bigint,
  debt integer,
  last_reset timestamptz,
  day date,
  day_open boolean,
  next_sunset_at timestamptz,
  next_dawn_at timestamptz
);
comment on type private.balance is
'The shape balance, key by attribute; last_reset is the time of the purse''s latest grant, null before the first.';

create function private.balance_on(p_purse private.purses, p_day private.community_days)
returns private.balance
language plpgsql immutable security definer set search_path = ''
as $$
begin
  return (
    p_purse.community_id, p_purse.user_id, p_day.daily_budget, p_purse.remaining, p_purse.spent_today, p_purse.debt,
    p_purse.granted_at, p_day.day, p_day.is_open, p_day.sunset_at, p_day.dawn_at
  )::private.balance;
end;
$$;
comment on function private.balance_on is 'The shape balance of a purse on a day, both in hand.';

create view private.shown_balances with (security_invoker = on) as
select
  b.community_id,
  b.user_id,
  d.due_at,
  row(
    b.community_id,
    b.user_id,
    d.daily_budget,
    b.remaining,
    b.spent_today,
    b.debt,
    b.granted_at,
    d.day,
    d.is_open,
    d.sunset_at,
    d.dawn_at
  )::private.balance as balance
from private.purses as b
inner join private.community_days as d on b.community_id = d.community_id;
comment on view private.shown_balances is
'The shape balance of every purse as it is stored, and when its day is due to be settled. Only for the kernel.';

create function private.show_balance_of(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select to_jsonb(s.balance) from private.shown_balances as s
    where s.community_id = p_community_id and s.user_id = p_user_id
  );
end;
$$;
comment on function private.show_balance_of is
'The shape balance of one member as it is stored. Only for a door that has asked whose it is.';

-- Joys and lines of the Chamber as they are shown: what the house says is put into words here, and nowhere before.

create type private.declaration as (
  id uuid,
  community_id uuid,
  "user" json,
  title text,
  description text,
  cc_spent integer,
  image_url text,
  witnessed_count integer,
  has_witnessed boolean,
  created_at timestamptz
);
comment on type private.declaration is 'The shape declaration, key by attribute.';

create view private.shown_declarations with (security_invoker = on) as
select
  d.id,
  d.community_id,
  d.user_id,
  d.day,
  d.number,
  row(
    d.id,
    d.community_id,
    a.person,
    case when a.is_erased then '' else d.title end,
    case when a.is_erased then '' else d.description end,
    d.cc_spent,
    case when not a.is_erased then d.image_url end,
    d.witnessed_count,
    d.witnessed_count > 0 and exists (
      select from private.witnesses as w
      where w.community_id = d.community_id and w.declaration_id = d.id and w.user_id = (select private.caller_id())
    ),
    d.created_at
  )::private.declaration as declaration
from private.declarations as d
left join lateral (
  select
    p.person,
    p.is_erased
  from private.shown_people as p
  where p.id = d.user_id
  order by p.id
  limit 1
) as a on true;
comment on view private.shown_declarations is
'The shape declaration of every joy, as the caller sees it; its words only while their author is not erased. Beside it
what pages go by.

Pages make json of it, not jsonb: text written once, where jsonb would be taken apart and put together at every level
(measured: a page of the Chamber in a third of the time). The limit has authors looked up one by one, so that no page is
ever read by a scan of everybody.';
grant select on private.shown_declarations to authenticated;

create function private.said_lines(
  p_community_id uuid, p_message_ids bigint[], out id bigint, out content text, out facts jsonb, out people json
)
returns setof record
language plpgsql stable security definer rows 20 set search_path = ''
as $$
begin
  return query
  with lines as materialized (
    select
      m.id, m.event, m.facts, m.deleted_at is not null as is_gone, private.people_in(m.facts) as named,
      row_number() over (order by m.id) as place
    from private.chat_messages as m
    where m.community_id = p_community_id and m.id = any(p_message_ids) and m.type = 'system'
  ), said as materialized (
    -- All at once, and everybody whom any of them names looked up once.
    select private.say_each(
      'line', array(select (p_community_id, l.event, l.facts)::private.saying from lines as l order by l.place),
      (
        select jsonb_object_agg(p.id, p.called) from private.shown_people as p
        where p.id = any(array(select unnest(l.named) from lines as l))
      )
    ) as sentences
  )
  select
    l.id,
    case when l.is_gone then '' else s.sentences[l.place] end,
    case when l.facts ?| '{reason_id,title_id}' then private.show_facts(p_community_id, l.facts) else l.facts end,
    (
      select coalesce(json_agg(p.person order by array_position(l.named, p.id)), '[]')
      from private.shown_people as p where p.id = any(l.named)
    )
  from lines as l
  cross join said as s;
end;
$$;
comment on function private.said_lines is
'What the house says in those of these lines that are its own: the sentence as of this moment, the facts, and the people
they name. Only for a door that has asked whose Chamber it is.';

create type private.message as (
  id bigint,
  community_id uuid,
  type text,
  "user" json,
  content text,
  event text,
  facts jsonb,
  people json,
  declaration private.declaration,
  borrow_request json,
  tip_to_tip json,
  election json,
  created_at timestamptz,
  edited_at timestamptz,
  deleted boolean,
  struck_reason text
);
comment on type private.message is 'The shape message, key by attribute.';

create view private.shown_messages with (security_invoker = on) as
select
  m.community_id,
  m.id,
  m.type,
  row(
    m.id,
    m.community_id,
    m.type,
    coalesce(a.person, (c.declaration).user),
    case when a.is_erased then '' else m.content end,
    m.event,
    m.facts,
    '[]',
    c.declaration,
    null,
    null,
    null,
    m.created_at,
    m.edited_at,
    m.deleted_at is not null or (m.type = 'message' and a.is_erased),
    case when m.struck_reason_id is not null then private.read_words(m.community_id, m.struck_reason_id) end
  )::private.message as message
from private.chat_messages as m
left join lateral (
  select d.declaration from private.shown_declarations as d
  where m.type = 'declaration' and d.community_id = m.community_id and d.id = m.reference_id
  order by d.id
  limit 1
) as c on true
left join lateral (
  -- Who declared a joy is told by its card.
  select
    p.person,
    p.is_erased
  from private.shown_people as p
  where m.type <> 'declaration' and p.id = m.user_id
  order by p.id
  limit 1
) as a on true;
comment on view private.shown_messages is
'The shape message of every line. The house''s own lines are without words still, and of the cards only the joys, which
the Chamber is full of, are filled in: private.said_lines and the rooms of the other cards do that. Only for the kernel.';

create function private.show_message(p_community_id uuid, p_message_id bigint, p_card jsonb default null)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      to_jsonb(s.message) || case
        when s.type = 'system' then (
          select to_jsonb(o) from private.said_lines(p_community_id, array[p_message_id]) as o
        )
        when p_card is not null then jsonb_build_object(s.type, p_card)
        else '{}'
      end
    from private.shown_messages as s
    where s.community_id = p_community_id and s.id = p_message_id
  );
end;
$$;
comment on function private.show_message is 'The shape message of a line just posted, with its card if it is one.';

create function private.show_new_card(
  p_message_id bigint, p_community_id uuid, p_type text, p_person jsonb, p_card jsonb, p_at timestamptz
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', p_message_id, 'community_id', p_community_id, 'type', p_type, 'user', p_person, 'content', '',
    'event', null, 'facts', null, 'people', '[]'::jsonb, 'declaration', null, 'borrow_request', null, 'tip_to_tip', null,
    'election', null, 'created_at', p_at, 'edited_at', null, 'deleted', false,
    'struck_reason', null, p_type, p_card
  );
end;
$$;
comment on function private.show_new_card is
'What private.show_message would say of a card posted in this transaction, without reading it back.';

create function private.show_new_ask(
  p_message_id bigint, p_community_id uuid, p_type text, p_person json, p_card json, p_at timestamptz
)
returns private.message
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    p_message_id, p_community_id, p_type, p_person, '', null, null, '[]', null,
    case when p_type = 'borrow_request' then p_card end, case when p_type = 'tip_to_tip' then p_card end, null, p_at,
    null, false, null
  )::private.message;
end;
$$;
comment on function private.show_new_ask is
'As private.show_new_card, of a request or a proposal.';

create function private.show_new_line(
  p_message_id bigint, p_community_id uuid, p_event text, p_facts jsonb, p_lender private.users,
  p_borrower private.users, p_at timestamptz
)
returns private.message
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    p_message_id, p_community_id, 'system', null,
    -- The sentence's places are numbered before anything is filled in: no name can be mistaken for one.
    format(
      replace(replace(replace(
        private.events() -> 'line' -> p_event -> -1 ->> 'say', '{lender}', '%1$s'), '{borrower}', '%2$s'), '{amount}', '%3$s'
      ),
      private.called(p_lender), private.called(p_borrower), p_facts ->> 'amount'
    ),
    p_event, p_facts, json_build_array(p_lender.person, p_borrower.person), null, null, null, null, p_at, null, false, null
  )::private.message;
end;
$$;
comment on function private.show_new_line is
'What private.show_message would say of a line about a loan posted in this transaction, without reading it back: its
sentence names lender, borrower and amount, and nothing else.';

-- Promises of time: what the next Dawn will do, and what will then be possible (RULES 5.5). One reckoning, from the
-- very functions by which that Dawn goes.

create function private.reckon_dawn(
  p_community_id uuid, p_user_id uuid,
  out dawn_at timestamptz, out sunset_at timestamptz, out day date, out budget integer, out granted integer,
  out repaid bigint, out collected bigint,
  out refunded integer, out wake_with bigint, out debt bigint
)
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.day_of(p_community_id);
begin
  dawn_at := v_day.dawn_at;
  sunset_at := private.sunset_after(private.next_timezone(p_community_id), v_day.dawn_at, v_day.day);
  day := private.next_day(v_day, private.next_timezone(p_community_id));
  budget := private.next_budget(p_community_id);
  granted := case when p_user_id = any(private.away_ids(p_community_id, day, day)) then 0 else budget end;
  refunded := private.stakes_due(p_community_id, p_user_id);
  select
    coalesce(sum(r.amount) filter (where r.borrower_id = p_user_id), 0),
    coalesce(sum(r.amount) filter (where r.lender_id = p_user_id), 0)
  into repaid, collected
  from private.repayments_due(p_community_id, budget, day) as r
  where p_user_id in (r.borrower_id, r.lender_id);
  wake_with := granted - repaid + collected + refunded;
  debt := private.debt_of(p_community_id, p_user_id) - repaid;
end;
$$;
comment on function private.reckon_dawn is
'What a member''s next Dawn will do, if nobody acts before it: when it comes, when the day it opens ends, that
day and its budget, what it grants (nothing to who is away then), repays, collects and refunds, and what purse and debt
are after it; all in CC.

Pending settings are in it. What a vote or a deadline still decides is not: a stake in escrow counts for nothing. The
jobs are taken to run: a refusal undoes what its call settled, and a day that no job and no other call turns is missed
whole.';

create function private.when_affordable(
  p_community_id uuid, p_user_id uuid, p_amount integer, p_from timestamptz default '-infinity'
)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select greatest(r.dawn_at, p_from) from private.reckon_dawn(p_community_id, p_user_id) as r
    where p_amount <= r.wake_with and greatest(r.dawn_at, p_from) < r.sunset_at
  );
end;
$$;
comment on function private.when_affordable is
'The first moment from the next Dawn on, and not before p_from, at which a purse that is left alone holds an amount by
day; null where the day that Dawn opens has no such moment.';

create function private.when_lendable(
  p_community_id uuid, p_borrower_id uuid, p_amount integer, p_from timestamptz default '-infinity'
)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select greatest(r.dawn_at, p_from) from private.reckon_dawn(p_community_id, p_borrower_id) as r
    where r.debt + p_amount <= r.budget and greatest(r.dawn_at, p_from) < r.sunset_at
  );
end;
$$;
comment on function private.when_lendable is
'As private.when_affordable, for a member''s debt: the first moment at which it leaves room for so much more.';

create function private.when_repayable(p_loan private.loans, p_amount integer)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_due integer := coalesce((
    select r.amount
    from private.reckon_dawn(p_loan.community_id, p_loan.borrower_id) as n
    cross join private.repayments_due(p_loan.community_id, n.budget, n.day) as r
    where r.loan_id = p_loan.id
  ), 0);
begin
  -- The Dawn itself repays: mostly nothing, or less than the amount, is left to repay after it.
  if p_loan.outstanding - v_due < p_amount or not private.is_member(p_loan.community_id, p_loan.lender_id) then
    return null;
  end if;
  return private.when_affordable(p_loan.community_id, p_loan.borrower_id, p_amount);
end;
$$;
comment on function private.when_repayable is
'The next Dawn, where it leaves both enough of a loan and enough in the purse to repay an amount by hand; else null.';

create function private.refuse_shortage(
  p_community_id uuid, p_user_id uuid, p_amount integer, p_possible_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_remaining integer := (
    select b.remaining from private.purses as b
    where b.community_id = p_community_id and b.user_id = p_user_id
  );
begin
  if not private.is_member(p_community_id, p_user_id) then
    perform private.refuse('NOT_FOUND', 'There is no such community.');
  end if;
  perform private.refuse(
    'INSUFFICIENT_CC', format('There are %s CC in the purse; %s are needed.', v_remaining, p_amount),
    jsonb_build_object(
      'short_by', p_amount - v_remaining, 'largest_possible', v_remaining, 'possible_at', p_possible_at
    )
  );
end;
$$;
comment on function private.refuse_shortage is
'Says why an amount cannot leave a purse: it holds too little, or its member has just left.

Refuses, always: INSUFFICIENT_CC {short_by, largest_possible, possible_at: when the same act would do, null where no
such moment is known}, NOT_FOUND.';

-- Founding and joining: where membership and money begin together (RULES 2.1, 2.2), and who may not come back (2.6).

create table private.bans (
  community_id uuid not null,
  user_id uuid not null,
  id bigint generated always as identity,
  banned_by uuid not null,
  reason_id bigint not null,
  created_at timestamptz not null default private.clock(),
  constraint bans_pkey primary key (community_id, user_id),
  constraint bans_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint bans_banned_by_fkey foreign key (community_id, banned_by)
  references private.community_members (community_id, user_id),
  constraint bans_reason_fkey foreign key (community_id, reason_id) references private.words (community_id, id)
);
comment on table private.bans is 'Who may not come back to a community, who said so and why.';
create index bans_community_id_id_idx on private.bans (community_id, id);
create index bans_community_id_banned_by_idx on private.bans (community_id, banned_by);
create index bans_community_id_reason_id_idx on private.bans (community_id, reason_id);
alter table private.bans enable row level security;
create policy nobody_reads_bans on private.bans for select to authenticated using (false);

create function private.found_community(
  p_id uuid, p_founder_id uuid, p_name text, p_description text, p_timezone text, p_daily_cc_budget integer
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if (select count(*) from private.communities as c where c.created_by = p_founder_id) >= 10 then
    perform private.refuse('CONFLICT', 'One person may found ten communities.', jsonb_build_object('most', 10));
  end if;
  perform private.make_community(p_id, p_founder_id, p_name, p_description, p_timezone, p_daily_cc_budget);
  perform private.make_join_code(p_id);
  perform private.begin_calendar(p_id, p_timezone, p_daily_cc_budget);
end;
$$;
comment on function private.found_community is
'Makes a community with its join code and its calendar, still without anybody in it. Only under
private.lock_me, the queue in which one person''s communities are counted.

Refuses: CONFLICT {most} (the eleventh of one person, left ones counted).';

create function private.require_room_for_one_more(p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if (
    select count(*) from private.community_members as m where m.user_id = p_user_id and m.left_at is null
  ) >= 100 then
    perform private.refuse('CONFLICT', 'One person may be in a hundred communities at a time.', '{"most": 100}');
  end if;
end;
$$;
comment on function private.require_room_for_one_more is
'Asks that a locked person is in fewer than 100 communities. Refuses: CONFLICT {most}.';

create function private.require_joining_rate(p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_earliest timestamptz;
begin
  -- Counted from the lines that tell of it, so that who comes and goes in one community is counted each time.
  select min(latest.created_at) into v_earliest
  from (
    select l.created_at
    from private.community_members as m
    join private.chat_messages as l on l.community_id = m.community_id and l.maker_id = m.user_id
    where m.user_id = p_user_id and m.joined_at > private.clock() - interval '1 hour'
      and l.created_at > private.clock() - interval '1 hour'
      and l.event in ('community_founded', 'member_joined', 'member_returned')
    order by l.created_at desc
    limit 20
  ) as latest
  having count(*) = 20;
  if v_earliest is not null then
    perform private.refuse_for_now(
      'Twenty joinings and foundings an hour are enough.', v_earliest + interval '1 hour', '{"most": 20}'
    );
  end if;
end;
$$;
comment on function private.require_joining_rate is
'Asks that a locked person has joined and founded fewer than 20 times within the hour (RULES 2.2).

Refuses: RATE_LIMITED {most, possible_at, retry_after}.';

create function private.add_member(p_day private.community_days, p_user_id uuid, p_roles text[] default '{member}')
returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  v_is_first boolean := not exists (
    select from private.community_members as m where m.community_id = p_day.community_id and m.user_id = p_user_id
  );
begin
  if not private.mark_joined(p_day.community_id, p_user_id, p_roles, p_day.day) then
    perform private.refuse('CONFLICT', 'You are already in this community.');
  end if;
  -- Asked last, with the row in hand: a removal under way has been waited for.
  if private.is_banned(p_day.community_id, p_user_id) then
    perform private.refuse('FORBIDDEN', 'You may not come back to this community.');
  end if;
  return v_is_first;
end;
$$;
comment on function private.add_member is
'Makes a person a member on a day that is held; returns whether it is their first time.

Refuses: CONFLICT (already in), FORBIDDEN (banned).';

create function private.is_banned(p_community_id uuid, p_user_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return exists (
    select from private.bans as b where b.community_id = p_community_id and b.user_id = p_user_id
  );
end;
$$;
comment on function private.is_banned is 'Whether a person may not come back to a community.';

create function private.ban(p_community_id uuid, p_user_id uuid, p_by_id uuid, p_reason_id bigint)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.bans (community_id, user_id, banned_by, reason_id)
  values (p_community_id, p_user_id, p_by_id, p_reason_id);
end;
$$;
comment on function private.ban is 'Keeps somebody who is not in a community from coming back to it.';

create function private.unban(p_community_id uuid, p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.bans as b where b.community_id = p_community_id and b.user_id = p_user_id;
  return found;
end;
$$;
comment on function private.unban is 'Lets somebody come back to a community; returns whether they were banned.';

create function private.give_purse(p_day private.community_days, p_user_id uuid, p_is_first boolean)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.open_purse(p_day.community_id, p_user_id, p_day.day);
  if p_is_first and p_day.is_open then
    perform private.post_first_grant(p_day.community_id, p_user_id, (
      select c.daily_cc_budget from private.communities as c where c.id = p_day.community_id
    ));
  end if;
  perform private.wake_loans(p_day.community_id, p_user_id);
end;
$$;
comment on function private.give_purse is
'Opens a member''s purse on a day that is held: with its budget the first time ever and while the day is open, else
empty until Dawn.';

create function private.bring_in(p_day private.community_days, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_is_first boolean := private.add_member(p_day, p_user_id);
begin
  perform private.give_purse(p_day, p_user_id, v_is_first);
  perform private.begin_reading(p_day.community_id, p_user_id);
  perform private.announce(
    p_day.community_id, case when v_is_first then 'member_joined' else 'member_returned' end,
    jsonb_build_object('user_id', p_user_id)
  );
  perform private.note_item(p_day.community_id, 'joined', p_user_id, jsonb_build_object(
    'user_id', p_user_id, 'how', case when v_is_first then 'joined' else 'returned' end
  ));
end;
$$;
comment on function private.bring_in is
'Makes a person a member on a day that is held, with all that begins with it: purse, mark and the line that tells of it.

Refuses: as private.add_member.';

create function private.show_arrival(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'community', private.show_community(p_community_id),
    'member', private.show_member(p_community_id, p_user_id),
    'balance', private.show_balance_of(p_community_id, p_user_id)
  );
end;
$$;
comment on function private.show_arrival is 'What founding and joining answer.';

create function private.show_arrival_again(p_made jsonb)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member_today((p_made ->> 'community_id')::uuid);
begin
  return private.show_arrival(v_me.community_id, v_me.user_id);
end;
$$;
comment on function private.show_arrival_again is
'What a founding or a joining made is shown as it stands now, to who is still in. Refuses: NOT_FOUND.';

create function private.create_community(
  p_name text, p_description text, p_timezone text, p_daily_cc_budget integer, p_request_id uuid
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := (private.lock_me()).id;
  v_id uuid := gen_random_uuid();
  v_made jsonb := private.claim(
    v_me, 'create_community', p_request_id, jsonb_build_array(p_name, p_description, p_timezone, p_daily_cc_budget),
    jsonb_build_object('community_id', v_id)
  );
  v_day private.community_days;
begin
  if v_made is not null then
    return private.show_arrival_again(v_made);
  end if;
  perform private.require_joining_rate(v_me);
  perform private.require_room_for_one_more(v_me);
  perform private.require_name('name', p_name, 50);
  perform private.require_text('description', p_description, 200, 0);
  perform private.require_timezone(p_timezone);
  perform private.require_number('daily_cc_budget', p_daily_cc_budget, 10, 1000);

  perform private.found_community(v_id, v_me, p_name, p_description, p_timezone, p_daily_cc_budget);
  v_day := private.hold_day(v_id);
  perform private.add_member(v_day, v_me, '{member,moderator}');
  perform private.give_purse(v_day, v_me, true);
  perform private.record_act(v_id, v_me, 'community_founded');
  perform private.announce(v_id, 'community_founded', jsonb_build_object('user_id', v_me));
  perform private.note_item(v_id, 'joined', v_me, jsonb_build_object('user_id', v_me, 'how', 'founded'));
  perform private.begin_reading(v_id, v_me);
  return private.show_arrival(v_id, v_me);
end;
$$;

create function public.create_community(
  name text,
  description text default '',
  timezone text default 'UTC',
  daily_cc_budget integer default 100,
  request_id uuid default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.create_community(
    create_community.name, create_community.description, create_community.timezone,
    create_community.daily_cc_budget, create_community.request_id
  );
end;
comment on function public.create_community is
'Founds a community, with the caller as its first member and moderator.

name 1 to 50 characters, description up to 200, daily budget 10 to 1000 CC. The founder gets the day''s budget at
once; one who founds between Sunset and Dawn waits for Dawn. Returns {community, member, balance}. Refuses: CONFLICT
{most} (the eleventh of one person; in a hundred communities already), CONFLICT (request_id), RATE_LIMITED {most,
possible_at, retry_after} (20 joinings and foundings an hour), INVALID_INPUT; a repeat NOT_FOUND, once the founder has
left.';
grant execute on function public.create_community, private.create_community to authenticated;

create function private.join_community(p_invite_code text, p_request_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := (private.lock_me()).id;
  v_id uuid := private.opened_by(p_invite_code);
  v_made jsonb := private.claim(
    v_me, 'join_community', p_request_id, jsonb_build_array(p_invite_code), jsonb_build_object('community_id', v_id)
  );
  v_day private.community_days;
begin
  if v_made is not null then
    return private.show_arrival_again(v_made);
  end if;
  if v_id is null then
    perform private.refuse_join_code();
  end if;
  perform private.require_joining_rate(v_me);
  perform private.require_room_for_one_more(v_me);
  v_day := private.hold_day(v_id);
  perform private.keep_join_code(v_id, p_invite_code);
  perform private.bring_in(v_day, v_me);
  return private.show_arrival(v_id, v_me);
end;
$$;

create function public.join_community(invite_code text, request_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.join_community(join_community.invite_code, join_community.request_id);
end;
comment on function public.join_community is
'Joins the community a join code opens, matched without regard to case, blanks, hyphens and invisible characters.

Only the first ever join grants the day''s budget at once; whoever returns, or joins while the day is closed, waits
for Dawn with an empty purse. A code that is paused or expired answers as one that never was. Returns {community,
member, balance}. Refuses: NOT_FOUND, CONFLICT (already in; {most}: in a hundred communities; request_id), FORBIDDEN
(banned), RATE_LIMITED {most, possible_at, retry_after} (20 joinings and foundings an hour); a repeat NOT_FOUND, once
who joined has left.';
grant execute on function public.join_community, private.join_community to authenticated;

-- A community's settings, as its moderators keep them (RULES 2.4).

create function private.require_patch(p_patch jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_settings constant text [] := array['name', 'description', 'daily_cc_budget', 'timezone', 'electorate'];
  v_key text;
  v_value jsonb;
  v_patch jsonb := '{}'::jsonb;
begin
  if jsonb_typeof(p_patch) is distinct from 'object' then
    perform private.refuse('INVALID_INPUT', 'patch must be an object of settings.', '{"field": "patch"}');
  end if;
  for v_key, v_value in select e.key, e.value from jsonb_each(p_patch) as e loop
    if v_key <> all (v_settings) then
      perform private.refuse('INVALID_INPUT', format('%s is no setting.', left(v_key, 50)),
        jsonb_build_object('field', v_key, 'choices', v_settings));
    end if;
    v_patch := v_patch || jsonb_build_object(v_key, case v_key
      when 'name' then to_jsonb(private.require_name('name', private.string_in(v_value), 50))
      when 'description' then to_jsonb(private.require_text('description', private.string_in(v_value), 200, 0))
      when 'timezone' then to_jsonb(private.require_timezone(private.string_in(v_value)))
      when 'electorate' then to_jsonb(
        private.require_choice('electorate', private.string_in(v_value), array['council', 'members'])
      )
      when 'daily_cc_budget' then to_jsonb(
        private.require_number('daily_cc_budget', private.integer_in(v_value), 10, 1000)
      )
    end);
  end loop;
  return v_patch;
end;
$$;
comment on function private.require_patch is
'Returns a patch of settings, each in the type it is kept in, or refuses it.

Refuses: INVALID_INPUT {field}: an unknown setting, a wrong JSON type (null is one) or a value out of range.';

create function private.note_settings(
  p_before private.communities, p_user_id uuid, p_changed jsonb, p_pending jsonb, p_next_dawn_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_facts jsonb := jsonb_build_object(
    'changed', array(select k.key from jsonb_object_keys(p_changed) as k (key) order by k.key),
    'pending', case when p_pending <> p_before.pending then p_pending else '{}' end
  );
begin
  perform private.record_act(p_before.id, p_user_id, 'settings_changed', null, v_facts);
  perform private.announce(
    p_before.id, 'settings_changed',
    v_facts || jsonb_build_object('user_id', p_user_id, 'next_dawn_at', p_next_dawn_at)
  );
end;
$$;
comment on function private.note_settings is
'Tells the Chamber and the audit log what changed and what now pends. A new name or description is told of, not quoted:
what they are is read where they stand.';

create function private.require_not_willed(p_community private.communities, p_patch jsonb, p_dawn_at timestamptz)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_field text := (
    select w.key from unnest(p_community.willed) as w (key)
    where p_patch ? w.key
    order by w.key
    limit 1
  );
begin
  if v_field is not null then
    perform private.refuse(
      'CONFLICT', 'That has just been willed by all; until it is in force it stands.',
      jsonb_build_object('field', v_field, 'possible_at', p_dawn_at)
    );
  end if;
end;
$$;
comment on function private.require_not_willed is
'Asks that a patch sets nothing that all have willed and that waits for its Dawn (RULES 16.1). Refuses: CONFLICT {field,
possible_at}.';

create function private.require_amendment(p_amendment jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  if jsonb_typeof(p_amendment) is distinct from 'object' or p_amendment = '{}'
    or p_amendment - array['daily_cc_budget', 'timezone', 'electorate'] <> '{}'
  then
    perform private.refuse('INVALID_INPUT', 'An amendment changes the daily budget, the zone or the electorate.',
      '{"field": "amendment", "choices": ["daily_cc_budget", "timezone", "electorate"]}');
  end if;
  return private.require_patch(p_amendment);
end;
$$;
comment on function private.require_amendment is
'Returns an amendment, each setting in the type it is kept in, or refuses it.

Refuses: INVALID_INPUT {field}: amendment, or the setting whose value will not do.';

create function private.require_change(p_community_id uuid, p_amendment jsonb)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_field text := (
    select a.key
    from jsonb_each(p_amendment) as a
    join private.communities as c on c.id = p_community_id and to_jsonb(c) -> a.key = a.value
    order by a.key
    limit 1
  );
begin
  if v_field is not null then
    perform private.refuse('INVALID_INPUT', format('%s is in force as it is.', replace(v_field, '_', ' ')),
      jsonb_build_object('field', v_field));
  end if;
end;
$$;
comment on function private.require_change is
'Asks that an amendment would change everything it names. Refuses: INVALID_INPUT {field}.';

create function private.will_settings(
  p_community_id uuid, p_amendment jsonb, p_proposal_id uuid, p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.day_of(p_community_id);
  v_community private.communities := private.lock_community(p_community_id);
  v_pending jsonb := (
    select coalesce(jsonb_object_agg(s.key, s.value), '{}')
    from jsonb_each(v_community.pending || p_amendment) as s
    where to_jsonb(v_community) -> s.key <> s.value
  );
  v_facts jsonb := jsonb_build_object('proposal_id', p_proposal_id, 'pending', p_amendment);
begin
  perform private.change_community(
    p_community_id, null, null, v_pending, array(
      select a.key from jsonb_object_keys(p_amendment) as a (key)
      where a.key <> all(v_community.willed)
      order by a.key
    )
  );
  if v_pending ->> 'timezone' is distinct from v_community.pending ->> 'timezone' then
    v_day := private.await_zone(
      v_day, v_community.timezone, coalesce(v_pending ->> 'timezone', v_community.timezone)
    );
  end if;
  perform private.record_act(p_community_id, null, 'settings_willed', null, v_facts, p_at);
  perform private.announce(
    p_community_id, 'settings_willed', v_facts || jsonb_build_object('next_dawn_at', v_day.dawn_at), p_at
  );
end;
$$;
comment on function private.will_settings is
'Makes an amendment that all have accepted pending, in place of what was pending for the same things, on a day that is
held, alone where it moves the zone. No moderator sets these until they are in force, even where one of them is what was
in force all along; a later unanimity may.';

create function private.update_community(p_community_id uuid, p_patch jsonb)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_moderator(p_community_id);
  v_patch jsonb := private.require_patch(p_patch);
  -- Another zone moves the next Dawn: nobody else holds the day then.
  v_day private.community_days := case
    when v_patch ? 'timezone' then private.hold_day_alone(p_community_id) else private.hold_day(p_community_id)
  end;
  v_community private.communities := private.lock_community(p_community_id);
  v_in_force jsonb := to_jsonb(v_community);
  v_changed jsonb;
  v_pending jsonb;
begin
  -- Asked again, now that nobody changes beside this and an election that is over is written down.
  perform private.settle_elections(p_community_id);
  perform private.require_moderator(p_community_id);
  select
    coalesce(jsonb_object_agg(s.key, s.value) filter (where s.key in ('name', 'description')), '{}'),
    coalesce(jsonb_object_agg(s.key, s.value) filter (where s.key not in ('name', 'description')), '{}')
  into v_changed, v_pending
  from jsonb_each(v_community.pending || v_patch) as s
  where v_in_force -> s.key <> s.value;

  perform private.require_not_willed(v_community, v_patch, v_day.dawn_at);
  if v_changed <> '{}' or v_pending <> v_community.pending then
    perform private.change_community(p_community_id, v_changed ->> 'name', v_changed ->> 'description', v_pending);
    if v_pending ->> 'timezone' is distinct from v_community.pending ->> 'timezone' then
      v_day := private.await_zone(
        v_day, v_community.timezone, coalesce(v_pending ->> 'timezone', v_community.timezone)
      );
    end if;
    perform private.note_settings(v_community, v_me.user_id, v_changed, v_pending, v_day.dawn_at);
  end if;
  return jsonb_build_object('community', private.show_community(p_community_id), 'pending', v_pending);
end;
$$;
comment on function private.update_community is
'What comes to be as it is in force pends no more; a patch that changes nothing is told
to nobody.';
create function public.update_community(community_id uuid, patch jsonb)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.update_community(update_community.community_id, update_community.patch);
end;
comment on function public.update_community is
'Changes settings of a community its caller moderates; patch holds only those to change.

At once: name (1 to 50 characters), description (up to 200). At the next Dawn, announced now: daily_cc_budget (10 to
1000), timezone (an IANA name), electorate (council or members); set to what is in force, it pends no more. Returns
{community, pending}. Refuses: FORBIDDEN, CONFLICT {field, possible_at} (all have willed
it, and it waits for Dawn), INVALID_INPUT {field}, NOT_FOUND.';
grant execute on function public.update_community, private.update_community to authenticated;

create function public.get_rules(community_id uuid)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  perform private.require_member_today(get_rules.community_id);
  return (
    select jsonb_build_object(
      'in_force', jsonb_build_object(
        'name', c.name, 'description', c.description, 'daily_cc_budget', c.daily_cc_budget, 'timezone', c.timezone,
        'electorate', c.electorate
      ),
      'pending', c.pending, 'willed', c.willed
    )
    from private.communities as c
    where c.id = get_rules.community_id
  );
end;
$$;
comment on function public.get_rules is
'What is in force in a community and what will be from the next Dawn; an overdue Dawn is settled first.

Returns {in_force, pending, willed}, the first two {name, description, daily_cc_budget, timezone, electorate}; in
pending only what will change. Refuses: NOT_FOUND.';
grant execute on function public.get_rules to authenticated;

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

-- Asking, lending, repaying, forgiving (RULES 7).

create domain private.request_state as text
constraint request_state_known check (value in ('pending', 'approved', 'declined', 'cancelled', 'lapsed'));

create domain private.reason as text constraint reason_length check (char_length(value) <= 280);
comment on domain private.reason is 'Why somebody asks for CC: 1 to 280 characters, none where it was taken away.';

create table private.borrow_requests (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  borrower_id uuid not null,
  lender_id uuid not null,
  amount private.some_coins not null,
  reason private.reason not null,
  status private.request_state not null default 'pending',
  lapses_at timestamptz not null,
  created_at timestamptz not null default private.clock(),
  struck_at timestamptz,
  constraint borrow_requests_pkey primary key (community_id, id),
  constraint borrow_requests_not_from_oneself check (borrower_id <> lender_id)
);
comment on table private.borrow_requests is
'Who asked whom for how many CC. One that is pending past lapses_at, its day''s Sunset, has lapsed whether or not the
status says so yet; amount is what was asked until it is approved, then what was lent. No foreign keys: whoever writes
one has just found both among the members, and no membership''s row is ever deleted.';
create index borrow_requests_id_idx on private.borrow_requests (id);
create unique index borrow_requests_one_open_per_pair on private.borrow_requests (community_id, borrower_id, lender_id)
where status = 'pending';
create index borrow_requests_community_id_borrower_id_idx on private.borrow_requests (
  community_id, borrower_id, lender_id, created_at
);
create index borrow_requests_community_id_lender_id_idx on private.borrow_requests (community_id, lender_id);
create index borrow_requests_lapses_at_idx on private.borrow_requests (lapses_at) where status = 'pending';
alter table private.borrow_requests enable row level security;
create policy members_read_borrow_requests on private.borrow_requests for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.borrow_requests to authenticated;

create function private.borrow_status(p_state text, p_lapses_at timestamptz)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return case when p_state = 'pending' and p_lapses_at <= private.clock() then 'lapsed' else p_state end;
end;
$$;
comment on function private.borrow_status is 'A request''s status as it is now: lapsing is a fact of reading.';

create type private.borrow_request as (
  id uuid,
  community_id uuid,
  borrower json,
  lender json,
  amount integer,
  reason text,
  status text,
  created_at timestamptz
);
comment on type private.borrow_request is 'The shape borrow_request, key by attribute.';

create view private.shown_borrow_requests with (security_invoker = on) as
select
  r.id,
  r.community_id,
  row(
    r.id, r.community_id, b.person, l.person, r.amount, case when b.is_erased then '' else r.reason end,
    private.borrow_status(r.status, r.lapses_at), r.created_at
  )::private.borrow_request as borrow_request
from private.borrow_requests as r
inner join private.shown_people as b on r.borrower_id = b.id
inner join private.shown_people as l on r.lender_id = l.id;
comment on view private.shown_borrow_requests is
'The shape borrow_request; its reason only while the borrower is not erased. Only for the kernel.';

create function private.show_borrow_request(
  p_request private.borrow_requests, p_borrower private.users, p_lender private.users
)
returns private.borrow_request
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    p_request.id, p_request.community_id, p_borrower.person, p_lender.person, p_request.amount,
    case when p_borrower.erased_at is null then p_request.reason else '' end, p_request.status, p_request.created_at
  )::private.borrow_request;
end;
$$;
comment on function private.show_borrow_request is
'The shape borrow_request of a request just written, as private.shown_borrow_requests has it.';

create function private.strike_borrow_request(p_community_id uuid, p_request_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  update private.borrow_requests as r set reason = '', struck_at = private.clock()
  where r.community_id = p_community_id and r.id = p_request_id;
end;
comment on function private.strike_borrow_request is 'Takes a request''s words away; its money stays.';

create function private.erase_borrow_reasons_of(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  update private.borrow_requests as r
  set reason = ''
  where (r.community_id, r.id) in (
    select o.community_id, o.id
    from private.community_members as s
    join private.borrow_requests as o on o.community_id = s.community_id and o.borrower_id = s.user_id
    where s.user_id = p_user_id and o.reason <> ''
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.erase_borrow_reasons_of is
'Takes the words of up to p_limit requests to borrow of a person who is erased; returns how many.';

create function private.has_room_for_debt(p_community_id uuid, p_borrower_id uuid, p_amount integer)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select b.debt + p_amount <= c.daily_cc_budget
    from private.purses as b
    join private.communities as c on c.id = b.community_id
    where b.community_id = p_community_id and b.user_id = p_borrower_id
  );
end;
$$;
comment on function private.has_room_for_debt is
'Whether a debt with so much more stays within one daily budget today.';

create function private.require_room_for_debt(p_borrower private.purses, p_amount integer, p_is_answer boolean)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_debt integer := p_borrower.debt;
  v_budget integer := (select c.daily_cc_budget from private.communities as c where c.id = p_borrower.community_id);
begin
  if v_debt + p_amount > v_budget then
    perform private.refuse(
      'DEBT_LIMIT',
      format('Debts may not exceed one daily budget: %s CC are owed already.', v_debt),
      jsonb_build_object(
        'debt', v_debt, 'limit', v_budget, 'short_by', v_debt + p_amount - v_budget,
        'largest_possible', greatest(v_budget - v_debt, 0),
        -- The next Dawn repays up to its grant, and lends to nobody; a request of today has lapsed by then.
        'possible_at', case
          when not p_is_answer then private.when_lendable(p_borrower.community_id, p_borrower.user_id, p_amount)
        end
      )
    );
  end if;
end;
$$;
comment on function private.require_room_for_debt is
'Asks that the debt of whose purse this is stays, with a new loan, within one daily budget (RULES 7.3).

Refuses: DEBT_LIMIT {debt, limit, short_by, largest_possible, possible_at: the next Dawn, which repays, null if that
would not do, or if it is an answer that is refused}.';

create function private.require_request_rate(
  p_day private.community_days, p_borrower_id uuid, p_lender_id uuid, p_amount integer
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_line_at timestamptz := private.next_line_at(p_day.community_id, p_borrower_id);
  v_asked_at timestamptz := (
    select min(latest.created_at) + interval '1 day'
    from (
      select r.created_at from private.borrow_requests as r
      where r.community_id = p_day.community_id and r.borrower_id = p_borrower_id and r.lender_id = p_lender_id
        and r.created_at > private.clock() - interval '1 day'
      order by r.created_at desc
      limit 5
    ) as latest
    having count(*) = 5
  );
  v_next timestamptz := greatest(v_line_at, v_asked_at);
begin
  if v_next is null then
    return;
  end if;
  -- Still today, where today has room for the debt; else the first such moment from the next Dawn on.
  if v_next >= p_day.sunset_at or not private.has_room_for_debt(p_day.community_id, p_borrower_id, p_amount) then
    v_next := private.when_lendable(p_day.community_id, p_borrower_id, p_amount, v_next);
  end if;
  if v_asked_at is not null then
    perform private.refuse_for_now('Five requests a day to the same member are enough.', v_next, '{"most": 5}');
  end if;
  perform private.refuse_for_now('Thirty such acts a minute are enough.', v_next, '{"most": 30}');
end;
$$;
comment on function private.require_request_rate is
'Asks that a member has asked another, in this community, fewer than 5 times in the last 24 hours, answered or not
(RULES 3.2), and has made fewer than 30 lines in the last minute. Of two requests at once the second waits for the
first, and finds it open: so nobody comes past the fifth.

Refuses: RATE_LIMITED {most, possible_at, retry_after}.';

create function private.show_asked(p_community_id uuid, p_made jsonb)
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_request jsonb := (
    select to_jsonb(s.borrow_request) from private.shown_borrow_requests as s
    where s.community_id = p_community_id and s.id = (p_made ->> 'borrow_request_id')::uuid
  );
begin
  return json_build_object(
    'borrow_request', v_request,
    'message', private.show_message(p_community_id, (p_made ->> 'message_id')::bigint, v_request)
  );
end;
$$;
comment on function private.show_asked is 'What request_borrow answers of a request made before, as it stands now.';

create function private.refuse_open_request(p_community_id uuid, p_borrower_id uuid, p_lender_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_open_id uuid := (
    select r.id from private.borrow_requests as r
    where r.community_id = p_community_id and r.borrower_id = p_borrower_id and r.lender_id = p_lender_id
      and r.status = 'pending' and r.lapses_at > private.clock()
  );
begin
  if v_open_id is not null then
    perform private.refuse('CONFLICT', 'You have an open request to this member already.',
      jsonb_build_object('borrow_request_id', v_open_id));
  end if;
end;
$$;
comment on function private.refuse_open_request is
'Refuses where a member has an open request to another: CONFLICT {borrow_request_id}.';

create function private.require_input_of_request(p_amount integer, p_reason text)
returns void
language plpgsql immutable security definer set search_path = ''
as $$
begin
  -- One glance for what most requests are; only what does not pass it is looked at closely.
  if (p_amount between 1 and 1000000000 and p_reason ~ '[!-~]' and char_length(p_reason) <= 280) is not true then
    perform private.require_amount('amount', p_amount);
    perform private.require_text('reason', p_reason, 280);
  end if;
end;
$$;
comment on function private.require_input_of_request is 'Asks that what is asked makes sense. Refuses: INVALID_INPUT.';

create function private.require_askable(
  p_day private.community_days, p_borrower_id uuid, p_lender_id uuid, p_amount integer, p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_here constant uuid := p_day.community_id;
  v_purse private.purses;
begin
  -- Before anything is counted, or written that another of their requests would wait for.
  perform private.take_turn_of_lines(v_here, p_borrower_id);
  -- One glance: both are here, nothing is open between them, few requests and lines, and room for the debt.
  if exists (
    select
    from private.community_members as m
    join private.community_members as l on l.community_id = m.community_id
    join private.purses as b on b.community_id = m.community_id and b.user_id = m.user_id
    join private.communities as c on c.id = m.community_id
    where m.community_id = v_here and m.user_id = p_borrower_id and m.left_at is null
      and l.user_id = p_lender_id and l.left_at is null
      and b.debt + p_amount <= c.daily_cc_budget
      and not exists (select from private.erasures as e where e.user_id = p_lender_id)
      and (
        select count(*) < 5 and not coalesce(bool_or(r.status = 'pending'), false)
        from private.borrow_requests as r
        where r.community_id = v_here and r.borrower_id = p_borrower_id and r.lender_id = p_lender_id
          and r.created_at > p_at - interval '1 day'
      )
      and 30 > (
        select count(*) from private.chat_messages as o
        where o.community_id = v_here and o.maker_id = p_borrower_id and o.created_at > p_at - interval '1 minute'
      )
  ) then
    return;
  end if;

  perform private.require_member(v_here);
  if not private.is_member(v_here, p_lender_id) then
    perform private.refuse('NOT_FOUND', 'There is no such member.');
  end if;
  -- First of all that could be waited for: it would be in the way of what others promise.
  perform private.refuse_open_request(v_here, p_borrower_id, p_lender_id);
  perform private.require_request_rate(p_day, p_borrower_id, p_lender_id, p_amount);
  select b.* into v_purse from private.purses as b where b.community_id = v_here and b.user_id = p_borrower_id;
  perform private.require_room_for_debt(v_purse, p_amount, false);
end;
$$;
comment on function private.require_askable is
'Asks, with the day held, that a member may ask another for so much: from here on nobody of the two leaves.

Refuses: NOT_FOUND, CONFLICT {borrow_request_id}, RATE_LIMITED {most, possible_at, retry_after}, DEBT_LIMIT {debt,
limit, short_by, largest_possible, possible_at}.';

create function private.open_request(
  p_id uuid, p_day private.community_days, p_borrower_id uuid, p_lender_id uuid, p_amount integer, p_reason text,
  p_at timestamptz
)
returns private.borrow_requests
language plpgsql security definer set search_path = ''
as $$
declare
  v_request private.borrow_requests;
begin
  insert into private.borrow_requests (
    community_id, id, borrower_id, lender_id, amount, reason, lapses_at, created_at
  )
  values (p_day.community_id, p_id, p_borrower_id, p_lender_id, p_amount, p_reason, p_day.sunset_at, p_at)
  on conflict (community_id, borrower_id, lender_id) where status = 'pending' do nothing
  returning * into v_request;
  if not found then
    perform private.refuse_open_request(p_day.community_id, p_borrower_id, p_lender_id);
    -- One of an earlier day is still written as pending; it must not stand in the way.
    update private.borrow_requests as r set status = 'lapsed'
    where r.community_id = p_day.community_id and r.borrower_id = p_borrower_id and r.lender_id = p_lender_id
      and r.status = 'pending' and r.lapses_at <= p_at;
    return private.open_request(p_id, p_day, p_borrower_id, p_lender_id, p_amount, p_reason, p_at);
  end if;
  return v_request;
end;
$$;
comment on function private.open_request is
'Writes down a request and returns it; of two to the same member at once one is made. Refuses: CONFLICT
{borrow_request_id}.';

create function private.request_borrow(
  p_community_id uuid, p_lender_id uuid, p_amount integer, p_reason text, p_request_id uuid
)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_act private.act := private.begin_act(p_community_id);
  v_person private.users := v_act.me;
  v_me uuid := v_person.id;
  v_now timestamptz := v_act.at;
  v_day private.community_days := v_act.day;
  v_id uuid := gen_random_uuid();
  v_message_id bigint := private.next_line_id();
  v_made jsonb := private.claim(
    v_me, 'request_borrow', p_request_id, jsonb_build_array(p_community_id, p_lender_id, p_amount, p_reason),
    jsonb_build_object('borrow_request_id', v_id, 'message_id', v_message_id), v_now
  );
  v_request private.borrow_requests;
  v_card json;
begin
  if v_made is not null then
    return private.show_asked(p_community_id, v_made);
  end if;
  perform private.require_input_of_request(p_amount, p_reason);
  if p_lender_id = v_me then
    perform private.refuse('INVALID_INPUT', 'One does not borrow from oneself.', '{"field": "lender_id"}');
  end if;
  if not v_day.is_open then
    perform private.require_open(v_day);
  end if;
  perform private.require_askable(v_day, v_me, p_lender_id, p_amount, v_now);

  v_request := private.open_request(v_id, v_day, v_me, p_lender_id, p_amount, p_reason, v_now);
  perform private.post_message(
    p_community_id, v_me, 'borrow_request', '', v_id, p_at => v_now, p_until => v_day.sunset_at, p_id => v_message_id
  );
  perform private.notify(
    array[p_lender_id], p_community_id, 'borrow_request', 'borrow_requested', 'borrow_request', v_request.id,
    jsonb_build_object('amount', p_amount), p_by => v_me, p_is_ask => true, p_at => v_now
  );
  v_card := row_to_json(private.show_borrow_request(v_request, v_person, private.find_person(p_lender_id)));
  return json_build_object(
    'borrow_request', v_card,
    'message', private.show_new_ask(
      v_message_id, p_community_id, 'borrow_request', v_person.person, v_card, v_now
    )
  );
end;
$$;
create function public.request_borrow(
  community_id uuid, lender_id uuid, amount integer, reason text, request_id uuid default null
)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.request_borrow(
    request_borrow.community_id, request_borrow.lender_id, request_borrow.amount, request_borrow.reason,
    request_borrow.request_id
  );
end;
$$;
comment on function public.request_borrow is
'Asks another member for CC, with a reason of 1 to 280 characters. The request lapses at Sunset.

At most 5 a day to the same member. Returns {borrow_request, message}. Refuses: CONFLICT {borrow_request_id} (an open
request to the same member), CONFLICT (request_id), RATE_LIMITED {most, possible_at, retry_after}, DEBT_LIMIT {debt,
limit, short_by, largest_possible, possible_at}, DAY_CLOSED {possible_at}, NOT_FOUND, INVALID_INPUT (oneself among
them).';
grant execute on function public.request_borrow, private.request_borrow to authenticated;

create function private.refuse_request(p_community_id uuid, p_request_id uuid, p_action text)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_request private.borrow_requests;
begin
  select r.* into v_request from private.borrow_requests as r
  where r.community_id = p_community_id and r.id = p_request_id;
  if v_request.status not in ('pending', 'lapsed') then
    perform private.refuse('CONFLICT', format('This request is %s already.', v_request.status),
      jsonb_build_object('status', v_request.status));
  elsif p_action = 'cancelled' then
    perform private.refuse('CONFLICT', 'This request has lapsed.', '{"status": "lapsed"}');
  elsif p_action = 'approved' then
    -- By night an approval hears when lending goes on, and that before it hears of the lapse.
    perform private.require_open(private.day_of(p_community_id));
  end if;
  perform private.refuse('REQUEST_LAPSED', 'This request has lapsed.',
    jsonb_build_object('lapsed_at', v_request.lapses_at));
end;
$$;
comment on function private.refuse_request is
'Says why a request cannot be answered or cancelled now.

Refuses, always: CONFLICT {status}, DAY_CLOSED {possible_at} (an approval), REQUEST_LAPSED {lapsed_at}.';

create function private.end_request(
  p_request private.borrow_requests, p_action text, p_amount integer, p_at timestamptz
)
returns private.borrow_requests
language plpgsql security definer set search_path = ''
as $$
declare
  v_request private.borrow_requests;
begin
  -- The condition is the lock: of two answers, or an answer and a cancellation, the second finds it no longer pending.
  update private.borrow_requests as r set status = p_action, amount = coalesce(p_amount, r.amount)
  where r.community_id = p_request.community_id and r.id = p_request.id and r.status = 'pending'
    and r.lapses_at > p_at
  returning r.* into v_request;
  if not found then
    perform private.refuse_request(p_request.community_id, p_request.id, p_action);
  end if;
  return v_request;
end;
$$;
comment on function private.end_request is
'Ends a pending request, whose day is held: approved (p_amount is what is lent), declined or cancelled. Refuses: as
private.refuse_request.';

create function private.approve_borrow(
  p_request private.borrow_requests, p_loan_id uuid, p_daily_budget integer, p_at timestamptz
)
returns private.purses
language plpgsql security definer set search_path = ''
as $$
declare
  v_purses private.two_purses := private.lock_purses(
    p_request.community_id, p_request.lender_id, p_request.borrower_id
  );
  v_purse private.purses;
begin
  if (v_purses.taker).debt + p_request.amount > p_daily_budget then
    perform private.require_room_for_debt(v_purses.taker, p_request.amount, true);
  end if;
  v_purse := private.open_loan(p_loan_id, v_purses, p_request.amount, p_at);
  if v_purse.user_id is null then
    perform private.refuse_shortage(p_request.community_id, p_request.lender_id, p_request.amount, null);
  end if;
  return v_purse;
end;
$$;
comment on function private.approve_borrow is
'Lends what a request just approved says, on a day that is held; returns the lender''s purse. The purses are locked
before the debt is looked at: two lenders approving at once cannot lend past the limit together.

Refuses: DEBT_LIMIT, INSUFFICIENT_CC, neither with a promise, for the request lapses before the next Dawn; CONFLICT
{most} (a full purse).';

create function private.note_answer(p_request private.borrow_requests, p_facts jsonb, p_at timestamptz)
returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  v_event text := 'borrow_' || p_request.status;
  v_is_loan boolean := p_request.status = 'approved';
  v_line bigint;
  v_told private.broadcast[];
begin
  perform private.require_line_rate(p_request.community_id, p_request.lender_id, p_request.lapses_at, p_at);
  v_line := private.next_line_id();
  perform private.write_line(
    v_line, p_request.community_id, null, 'system', '', null, v_event, p_facts, p_request.lender_id, p_at
  );
  v_told := array[(
    'community:' || p_request.community_id::text, 'message', jsonb_build_object('message_id', v_line)
  )::private.broadcast];
  if v_is_loan then
    perform private.note_item(
      p_request.community_id, 'loan', (p_facts ->> 'loan_id')::uuid, p_facts - 'borrow_request_id', p_at => p_at
    );
    v_told := v_told || private.purses_told(p_request.community_id, p_request.lender_id, p_request.borrower_id);
  end if;
  perform private.notify(
    array[p_request.borrower_id], p_request.community_id, v_event, v_event, 'borrow_request', p_request.id,
    case when v_is_loan then jsonb_build_object('amount', p_request.amount) else '{}' end,
    p_by => p_request.lender_id, p_at => p_at, p_besides => v_told
  );
  return v_line;
end;
$$;
comment on function private.note_answer is
'Tells a request''s answer to the borrower, the Chamber and, of a loan, the Gazette; returns the line''s id. Refuses: as
private.require_line_rate.';

create function private.respond_borrow(p_borrow_request_id uuid, p_action text, p_amount integer)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_request private.borrow_requests;
  v_act private.act;
  v_me private.users;
  v_lent integer;
  v_facts jsonb;
  v_purse private.purses;
  v_line bigint;
  v_borrower private.users;
begin
  select r.* into v_request from private.borrow_requests as r where r.id = p_borrow_request_id;
  v_act := private.begin_act(v_request.community_id, 'request');
  v_me := v_act.me;
  if v_request.lender_id <> v_me.id then
    perform private.refuse('FORBIDDEN', 'Only the member who was asked may answer.');
  end if;
  if p_action = 'approved' then
    v_lent := coalesce(p_amount, v_request.amount);
    if v_lent not between 1 and v_request.amount then
      perform private.require_number('amount', v_lent, 1, v_request.amount);
    elsif not (v_act.day).is_open then
      -- Also where it was asked a moment before a Sunset that another has settled meanwhile.
      perform private.refuse_request(v_request.community_id, v_request.id, p_action);
    end if;
  else
    perform private.require_choice('action', p_action, array['approved', 'declined']);
  end if;

  v_request := private.end_request(v_request, p_action, v_lent, v_act.at);
  v_facts := jsonb_build_object(
    'borrow_request_id', v_request.id, 'lender_id', v_me.id, 'borrower_id', v_request.borrower_id
  );
  if p_action = 'approved' then
    v_facts := v_facts || jsonb_build_object('loan_id', gen_random_uuid(), 'amount', v_lent);
    v_purse := private.approve_borrow(v_request, (v_facts ->> 'loan_id')::uuid, (v_act.day).daily_budget, v_act.at);
  else
    select b.* into v_purse from private.purses as b
    where b.community_id = v_request.community_id and b.user_id = v_me.id;
  end if;
  v_line := private.note_answer(v_request, v_facts, v_act.at);

  select u.* into v_borrower from private.users as u where u.id = v_request.borrower_id;
  return json_build_object(
    'borrow_request', private.show_borrow_request(v_request, v_borrower, v_me),
    'system_message', private.show_new_line(
      v_line, v_request.community_id, 'borrow_' || p_action, v_facts, v_me, v_borrower, v_act.at
    ),
    'balance', private.balance_on(v_purse, v_act.day)
  );
end;
$$;
create function public.respond_borrow(borrow_request_id uuid, action text, amount integer default null)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.respond_borrow(respond_borrow.borrow_request_id, respond_borrow.action, respond_borrow.amount);
end;
$$;
comment on function public.respond_borrow is
'Answers a borrow request, once: the member who was asked approves, possibly a smaller amount, or declines.

Approving moves the CC and opens a loan; declining asks for no amount. A lender without enough CC is refused and the
request stays open. Between Sunset and Dawn approving answers DAY_CLOSED; from Dawn on the request has lapsed.
Returns {borrow_request, system_message, balance (the lender''s)}. Refuses: FORBIDDEN, CONFLICT {status}, CONFLICT
{most} (the borrower''s purse is full), REQUEST_LAPSED {lapsed_at}, INSUFFICIENT_CC {short_by, largest_possible},
DEBT_LIMIT {debt, limit, short_by, largest_possible}, DAY_CLOSED {possible_at}, RATE_LIMITED {most, possible_at,
retry_after}, NOT_FOUND, INVALID_INPUT.';
grant execute on function public.respond_borrow, private.respond_borrow to authenticated;

create function private.cancel_borrow(p_borrow_request_id uuid)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_request private.borrow_requests;
begin
  select r.* into v_request from private.borrow_requests as r where r.id = p_borrow_request_id;
  if private.require_seen(v_request.community_id, 'request') <> v_request.borrower_id then
    perform private.refuse('FORBIDDEN', 'Only the member who asked may cancel.');
  end if;
  perform private.hold_day(v_request.community_id, v_now);
  v_request := private.end_request(v_request, 'cancelled', null, v_now);
  perform private.tell_community(
    v_request.community_id, 'borrow_request', jsonb_build_object('borrow_request_id', v_request.id)
  );
  return json_build_object('borrow_request', private.show_borrow_request(
    v_request, private.find_person(v_request.borrower_id), private.find_person(v_request.lender_id)
  ));
end;
$$;
create function public.cancel_borrow(borrow_request_id uuid)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.cancel_borrow(cancel_borrow.borrow_request_id);
end;
$$;
comment on function public.cancel_borrow is
'The member who asked takes an open request back.

Returns {borrow_request}. Refuses: FORBIDDEN, CONFLICT {status}, NOT_FOUND.';
grant execute on function public.cancel_borrow, private.cancel_borrow to authenticated;

create function private.cancel_borrows_of(p_community_id uuid, p_user_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  -- What has lapsed stays lapsed, whether the job has written it down or not.
  update private.borrow_requests as r
  set status = case when r.lapses_at <= private.clock() then 'lapsed' else 'cancelled' end
  where r.community_id = p_community_id and r.borrower_id = p_user_id and r.status = 'pending';
  update private.borrow_requests as r set status = 'lapsed', lapses_at = least(r.lapses_at, private.clock())
  where r.community_id = p_community_id and r.lender_id = p_user_id and r.status = 'pending';
end;
comment on function private.cancel_borrows_of is
'On leaving: the leaver''s own open requests are cancelled (RULES 2.5); those addressed to them lapse, for nobody is
left to answer, and stay lapsed if the lender returns the same day.';

create function private.lapse_requests(p_now timestamptz, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_rows integer;
begin
  update private.borrow_requests as r set status = 'lapsed'
  where (r.community_id, r.id) in (
    select o.community_id, o.id from private.borrow_requests as o
    where o.status = 'pending' and o.lapses_at <= p_now
    order by o.lapses_at
    limit p_limit
    for no key update skip locked
  );
  get diagnostics v_rows = row_count;
  return v_rows;
end;
$$;
comment on function private.lapse_requests is
'Writes down that up to p_limit requests have lapsed; returns how many. It only tidies: reading judges by the clock.';

create function public.list_loans(community_id uuid, side text default 'both')
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member_today(list_loans.community_id);
begin
  perform private.require_choice('side', list_loans.side, array['lent', 'owed', 'both']);
  return jsonb_build_object('loans', (
    select coalesce(jsonb_agg(to_jsonb(s.loan) order by s.number desc), '[]')
    from private.shown_loans as s
    where s.community_id = list_loans.community_id
      and (
        (s.lender_id = v_me.user_id and list_loans.side in ('lent', 'both'))
        or (s.borrower_id = v_me.user_id and list_loans.side in ('owed', 'both'))
      )
  ));
end;
$$;
comment on function public.list_loans is
'The caller''s loans in a community, whatever their status, newest first: lent, owed or both.

Returns {loans: [loan]}. Refuses: NOT_FOUND, INVALID_INPUT.';
grant execute on function public.list_loans to authenticated;

create function private.require_loan(p_loan_id uuid)
returns private.loans
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_loan private.loans;
begin
  select l.* into v_loan from private.loans as l
  where l.id = p_loan_id and private.caller_id() in (l.borrower_id, l.lender_id);
  perform private.require_seen(v_loan.community_id, 'loan');
  return v_loan;
end;
$$;
comment on function private.require_loan is
'Returns a loan the caller is a party to; it is nobody else''s affair. Refuses: as require_seen.';

create function private.lock_owed_loan(p_loan private.loans, p_amount integer)
returns private.loans
language plpgsql security definer set search_path = ''
as $$
declare
  v_loan private.loans := private.lock_loan(p_loan.community_id, p_loan.id);
begin
  if v_loan.outstanding = 0 then
    perform private.refuse('CONFLICT', format('This loan is %s already.', v_loan.status),
      jsonb_build_object('status', v_loan.status));
  elsif p_amount > v_loan.outstanding then
    perform private.refuse(
      'INVALID_INPUT', format('Only %s CC of this loan are outstanding.', v_loan.outstanding),
      jsonb_build_object('field', 'amount', 'largest_possible', v_loan.outstanding)
    );
  end if;
  return v_loan;
end;
$$;
comment on function private.lock_owed_loan is
'Locks a loan of which at least p_amount is outstanding.

Refuses: CONFLICT {status} where nothing is, INVALID_INPUT {field, largest_possible} where less is.';

create function private.repay_loan(p_loan_id uuid, p_amount integer, p_request_id uuid)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_loan private.loans := private.require_loan(p_loan_id);
  v_me uuid := private.caller_id();
  v_made jsonb := private.claim(
    v_me, 'repay_loan', p_request_id, jsonb_build_array(p_loan_id, p_amount), jsonb_build_object('loan_id', p_loan_id), v_now
  );
  v_day private.community_days;
  v_purse private.purses;
begin
  if v_made is not null then
    v_day := private.hold_day(v_loan.community_id, v_now);
    v_loan := private.require_loan(p_loan_id);
    select b.* into v_purse from private.purses as b
    where b.community_id = v_loan.community_id and b.user_id = v_me;
  else
    if v_loan.borrower_id <> v_me then
      perform private.refuse('FORBIDDEN', 'Only the borrower repays a loan.');
    end if;
    perform private.require_amount('amount', p_amount);
    v_day := private.require_open_day(v_loan.community_id, v_now);
    v_loan := private.lock_owed_loan(v_loan, p_amount);

    v_purse := private.pay_back(v_loan, p_amount, v_now);
    if v_purse.user_id is null then
      perform private.refuse_shortage(
        v_loan.community_id, v_me, p_amount, private.when_repayable(v_loan, p_amount)
      );
    end if;
    v_loan := private.reduce_loan(v_loan, p_amount, 'repaid');
    perform private.notify(
      array[v_loan.lender_id], v_loan.community_id, 'system', 'loan_repaid', 'loan', p_loan_id,
      jsonb_build_object('amount', p_amount), p_by => v_me, p_at => v_now,
      p_besides => private.purses_told(v_loan.community_id, v_me, v_loan.lender_id)
    );
  end if;
  return json_build_object(
    'loan', private.show_loan(v_loan, private.find_person(v_me), private.find_person(v_loan.lender_id)),
    'balance', private.balance_on(v_purse, v_day)
  );
end;
$$;
create function public.repay_loan(loan_id uuid, amount integer, request_id uuid default null)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.repay_loan(repay_loan.loan_id, repay_loan.amount, repay_loan.request_id);
end;
$$;
comment on function public.repay_loan is
'The borrower repays a loan, or part of it, before Dawn does; the lender is told.

Returns {loan, balance (the borrower''s)}. Refuses: INSUFFICIENT_CC {short_by, largest_possible, possible_at}, CONFLICT
{status} (nothing is owed any more; request_id), CONFLICT {most} (the lender''s purse is full), INVALID_INPUT {field,
largest_possible} (more than is outstanding), DAY_CLOSED {possible_at}, FORBIDDEN (the lender), NOT_FOUND.';
grant execute on function public.repay_loan, private.repay_loan to authenticated;

create function private.forgive_loan(p_loan_id uuid, p_amount integer)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_loan private.loans := private.require_loan(p_loan_id);
  v_day private.community_days;
  v_forgiven integer;
  v_facts jsonb;
  v_line bigint;
  v_lender private.users;
  v_borrower private.users;
begin
  if v_loan.lender_id <> private.caller_id() then
    perform private.refuse('FORBIDDEN', 'Only the lender forgives a loan.');
  end if;
  perform private.require_amount('amount', coalesce(p_amount, 1));
  v_day := private.hold_day(v_loan.community_id, v_now);
  v_loan := private.lock_owed_loan(v_loan, coalesce(p_amount, 0));
  v_forgiven := coalesce(p_amount, v_loan.outstanding);

  v_loan := private.forgive(v_loan, v_forgiven);
  v_facts := jsonb_build_object(
    'loan_id', p_loan_id, 'lender_id', v_loan.lender_id, 'borrower_id', v_loan.borrower_id, 'amount', v_forgiven
  );
  v_line := private.announce(v_loan.community_id, 'loan_forgiven', v_facts, v_now, v_day.dawn_at);
  perform private.note_item(v_loan.community_id, 'forgiveness', p_loan_id, v_facts, p_at => v_now);

  v_lender := private.find_person(v_loan.lender_id);
  v_borrower := private.find_person(v_loan.borrower_id);
  return json_build_object(
    'loan', private.show_loan(v_loan, v_borrower, v_lender),
    'system_message', private.show_new_line(
      v_line, v_loan.community_id, 'loan_forgiven', v_facts, v_lender, v_borrower, v_now
    )
  );
end;
$$;
create function public.forgive_loan(loan_id uuid, amount integer default null)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.forgive_loan(forgive_loan.loan_id, forgive_loan.amount);
end;
$$;
comment on function public.forgive_loan is
'Forgives a loan, all that is outstanding or part of it; only the lender may.

At any hour; it is told in the Chamber, and no coin moves. Returns {loan, system_message}. Refuses: FORBIDDEN (the
borrower), CONFLICT {status}, INVALID_INPUT, NOT_FOUND.';
grant execute on function public.forgive_loan, private.forgive_loan to authenticated;

-- Tip-to-tip: a stake on a unanimous vote (RULES 8).

create domain private.proposal_state as text
constraint proposal_state_known check (
  value in ('active', 'completed', 'declined', 'expired', 'withdrawn', 'void')
);

create domain private.vote as text constraint vote_known check (value in ('accept', 'decline'));

create table private.tip_to_tip_proposals (
  id uuid not null default gen_random_uuid(),
  number bigint generated always as identity,
  community_id uuid not null,
  proposer_id uuid not null,
  title private.title not null,
  description private.description not null default '',
  stake_amount private.some_coins not null,
  amendment jsonb,
  deadline timestamptz not null,
  remind_at timestamptz,
  status private.proposal_state not null default 'active',
  electors integer not null,
  awaiting integer not null,
  created_at timestamptz not null default private.clock(),
  struck_at timestamptz,
  constraint tip_to_tip_proposals_pkey primary key (community_id, id),
  constraint tip_to_tip_proposals_awaiting_within_roll check (awaiting between 0 and electors)
);
comment on table private.tip_to_tip_proposals is
'Proposals and what became of them; electors is how many are on the roll, awaiting how many of them have yet to vote.
An active one past its deadline is over whether or not the status says so yet. No foreign keys here and below: a roll is
drawn from the members with the day held, who votes is found on it, and no membership''s row is ever deleted.';
create index tip_to_tip_proposals_id_idx on private.tip_to_tip_proposals (id);
create unique index tip_to_tip_proposals_one_active_per_member
on private.tip_to_tip_proposals (community_id, proposer_id) where status = 'active';
create index tip_to_tip_proposals_community_id_number_idx on private.tip_to_tip_proposals (community_id, number);
create index tip_to_tip_proposals_community_id_proposer_id_idx on private.tip_to_tip_proposals (
  community_id, proposer_id, created_at
);
create index tip_to_tip_proposals_deadline_idx on private.tip_to_tip_proposals (deadline) where status = 'active';
create index tip_to_tip_proposals_remind_at_idx on private.tip_to_tip_proposals (remind_at) where status = 'active';
alter table private.tip_to_tip_proposals enable row level security;
create policy members_read_tip_to_tip_proposals on private.tip_to_tip_proposals for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.tip_to_tip_proposals to authenticated;
alter table private.tip_to_tip_proposals replica identity full;

create table private.tip_to_tip_rolls (
  community_id uuid not null,
  proposal_id uuid not null,
  user_id uuid not null,
  constraint tip_to_tip_rolls_pkey primary key (community_id, proposal_id, user_id)
);
comment on table private.tip_to_tip_rolls is
'Who may vote on what: the members when it was proposed, less those who left before they voted.';
create index tip_to_tip_rolls_community_id_user_id_idx on private.tip_to_tip_rolls (community_id, user_id);
alter table private.tip_to_tip_rolls enable row level security;
create policy members_read_tip_to_tip_rolls on private.tip_to_tip_rolls for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.tip_to_tip_rolls to authenticated;

create table private.tip_to_tip_votes (
  community_id uuid not null,
  proposal_id uuid not null,
  user_id uuid not null,
  number bigint generated always as identity,
  vote private.vote not null,
  created_at timestamptz not null default private.clock(),
  constraint tip_to_tip_votes_pkey primary key (community_id, proposal_id, user_id)
);
comment on table private.tip_to_tip_votes is 'Votes, cast openly and finally; number is the order of casting.';
create index tip_to_tip_votes_community_id_user_id_idx on private.tip_to_tip_votes (community_id, user_id);
alter table private.tip_to_tip_votes enable row level security;
create policy members_read_tip_to_tip_votes on private.tip_to_tip_votes for select to authenticated
using (community_id = any(array(select private.my_communities())));
grant select on private.tip_to_tip_votes to authenticated;

create function private.outcome_at_deadline(p_community_id uuid, p_proposal_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_silent uuid[] := array(
    select r.user_id from private.tip_to_tip_rolls as r
    where r.community_id = p_community_id and r.proposal_id = p_proposal_id and not exists (
      select from private.tip_to_tip_votes as v
      where v.community_id = r.community_id and v.proposal_id = r.proposal_id and v.user_id = r.user_id
    )
  );
begin
  if private.able_among(v_silent) = '{}' then
    return 'void';
  end if;
  return 'expired';
end;
$$;
comment on function private.outcome_at_deadline is
'How a proposal ends that nobody has ended by its deadline: expired, but void if all who did not vote are unable to
(RULES 8.2), as they stand when it is asked.';

create function private.proposal_status(
  p_community_id uuid, p_proposal_id uuid, p_state text, p_deadline timestamptz
)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  if p_state = 'active' and p_deadline <= private.clock() then
    return private.outcome_at_deadline(p_community_id, p_proposal_id);
  end if;
  return p_state;
end;
$$;
comment on function private.proposal_status is
'A proposal''s status as it is now: that its deadline has passed is a fact of reading.';
grant execute on function private.proposal_status to authenticated;

create type private.vote_cast as ("user" json, vote text, created_at timestamptz);
comment on type private.vote_cast is 'A vote as the shape proposal shows it.';

create type private.proposal as (
  id uuid,
  community_id uuid,
  proposer json,
  title text,
  description text,
  stake_amount integer,
  amendment jsonb,
  deadline timestamptz,
  status text,
  votes json,
  electors integer,
  awaiting integer,
  can_vote boolean,
  created_at timestamptz
);
comment on type private.proposal is 'The shape proposal, key by attribute.';

create view private.shown_proposals with (security_invoker = on) as
select
  t.id,
  t.number,
  t.community_id,
  s.status,
  row(
    t.id, t.community_id, p.person,
    case when p.is_erased then '' else t.title end, case when p.is_erased then '' else t.description end,
    t.stake_amount, t.amendment, t.deadline, s.status,
    (
      select coalesce(json_agg(row(o.person, v.vote, v.created_at)::private.vote_cast order by v.number), '[]')
      from private.tip_to_tip_votes as v
      inner join private.shown_people as o on v.user_id = o.id
      where v.community_id = t.community_id and v.proposal_id = t.id
    ),
    t.electors, t.awaiting,
    s.status = 'active'
    and exists (
      select from private.tip_to_tip_rolls as r
      where r.community_id = t.community_id and r.proposal_id = t.id and r.user_id = (select private.caller_id())
    )
    and not exists (
      select from private.tip_to_tip_votes as v
      where v.community_id = t.community_id and v.proposal_id = t.id and v.user_id = (select private.caller_id())
    ),
    t.created_at
  )::private.proposal as proposal
from private.tip_to_tip_proposals as t
inner join private.shown_people as p on t.proposer_id = p.id
cross join lateral private.proposal_status(t.community_id, t.id, t.status, t.deadline) as s (status);
comment on view private.shown_proposals is
'The shape proposal, as the caller sees it; status is judged by the clock, and its words are shown only while the
proposer is not erased.';
grant select on private.shown_proposals to authenticated;

create function private.show_proposal(p_proposal private.tip_to_tip_proposals)
returns private.proposal
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      row(
        p_proposal.id, p_proposal.community_id, p.person,
        case when p.is_erased then '' else p_proposal.title end,
        case when p.is_erased then '' else p_proposal.description end,
        p_proposal.stake_amount, p_proposal.amendment, p_proposal.deadline, p_proposal.status,
        (
          select json_agg(row(o.person, v.vote, v.created_at)::private.vote_cast order by v.number)
          from private.tip_to_tip_votes as v
          join private.shown_people as o on o.id = v.user_id
          where v.community_id = p_proposal.community_id and v.proposal_id = p_proposal.id
        ),
        p_proposal.electors, p_proposal.awaiting, false, p_proposal.created_at
      )::private.proposal
    from private.shown_people as p
    where p.id = p_proposal.proposer_id
  );
end;
$$;
comment on function private.show_proposal is
'The shape proposal, for somebody who has just voted, of a proposal in hand, as private.shown_proposals has it.';

create function private.show_new_proposal(p_proposal private.tip_to_tip_proposals, p_proposer private.users)
returns private.proposal
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    p_proposal.id, p_proposal.community_id, p_proposer.person, p_proposal.title, p_proposal.description,
    p_proposal.stake_amount, p_proposal.amendment, p_proposal.deadline, p_proposal.status,
    to_json(array[(p_proposer.person, 'accept', p_proposal.created_at)::private.vote_cast]),
    p_proposal.electors, p_proposal.awaiting, false, p_proposal.created_at
  )::private.proposal;
end;
$$;
comment on function private.show_new_proposal is
'As private.show_proposal, of one just made: nobody has voted but its proposer.';

create function private.strike_proposal(p_community_id uuid, p_proposal_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.tip_to_tip_proposals as t
  set title = '', description = '', struck_at = private.clock()
  where t.community_id = p_community_id and t.id = p_proposal_id;
  perform private.strike_item(p_community_id, p_proposal_id);
end;
$$;
comment on function private.strike_proposal is 'Takes a proposal''s words away; its stake and its vote go on.';

create function private.erase_proposals_of(p_user_id uuid, p_limit integer)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
begin
  update private.tip_to_tip_proposals as t
  set title = '', description = ''
  where (t.community_id, t.id) in (
    select o.community_id, o.id
    from private.community_members as s
    join private.tip_to_tip_proposals as o on o.community_id = s.community_id and o.proposer_id = s.user_id
    where s.user_id = p_user_id and (o.title <> '' or o.description <> '')
    limit p_limit
  );
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.erase_proposals_of is
'Takes the words of up to p_limit proposals of a person who is erased; returns how many.';

create function private.note_outcome(
  p_proposal private.tip_to_tip_proposals, p_day private.community_days, p_at timestamptz,
  p_besides private.broadcast[] default '{}'
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_facts jsonb := jsonb_build_object(
    'proposal_id', p_proposal.id, 'proposer_id', p_proposal.proposer_id, 'outcome', p_proposal.status,
    'stake_amount', p_proposal.stake_amount
  );
  v_told private.broadcast[] := private.settle_stake(
    p_proposal.community_id, p_proposal.id, case
      when p_proposal.status not in ('completed', 'void') then 'forfeited'
      when p_day.is_open then 'refunded'
      else 'due'
    end, p_at
  );
  v_line bigint := private.next_line_id();
begin
  perform private.write_line(
    v_line, p_proposal.community_id, null, 'system', '', null, 'tip_to_tip_' || p_proposal.status, v_facts, null, p_at
  );
  perform private.note_item(
    p_proposal.community_id, 'proposal', p_proposal.id, v_facts || jsonb_build_object(
      'title', p_proposal.title, 'description', p_proposal.description, 'amendment', p_proposal.amendment
    ),
    p_proposal.proposer_id, least(p_at, p_proposal.deadline)
  );
  if p_proposal.status = 'completed' and p_proposal.amendment is not null then
    perform private.will_settings(p_proposal.community_id, p_proposal.amendment, p_proposal.id, p_at);
  end if;
  perform private.notify(
    array[p_proposal.proposer_id], p_proposal.community_id, 'tip_to_tip', 'proposal_ended', 'tip_to_tip',
    p_proposal.id, jsonb_build_object('outcome', p_proposal.status), p_at => p_at,
    p_besides => v_told || (
      'community:' || p_proposal.community_id::text, 'message', jsonb_build_object('message_id', v_line)
    )::private.broadcast || p_besides
  );
end;
$$;
comment on function private.note_outcome is
'What follows when a proposal has just ended, on a day that is held: completed and void refund the stake (by night, at
the next Dawn), declined, expired and withdrawn forfeit it; the Chamber and the proposer are told, together with what
else the act tells, p_besides.';

create function private.end_proposal(
  p_proposal private.tip_to_tip_proposals, p_outcome text, p_day private.community_days,
  p_at timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_ended private.tip_to_tip_proposals;
begin
  update private.tip_to_tip_proposals as t set status = p_outcome, remind_at = null
  where t.community_id = p_proposal.community_id and t.id = p_proposal.id
  returning t.* into v_ended;
  perform private.note_outcome(v_ended, p_day, p_at);
end;
$$;
comment on function private.end_proposal is 'Ends a locked, active proposal on a day that is held.';

create function private.end_overdue_proposal(
  p_proposal private.tip_to_tip_proposals, p_day private.community_days, p_at timestamptz
)
returns text
language plpgsql security definer set search_path = ''
as $$
declare
  v_outcome text := private.outcome_at_deadline(p_proposal.community_id, p_proposal.id);
begin
  perform private.end_proposal(p_proposal, v_outcome, p_day, p_at);
  return v_outcome;
end;
$$;
comment on function private.end_overdue_proposal is
'Ends a locked, active proposal that is past its deadline, on a day that is held; returns how.';

create function private.open_roll(p_proposal private.tip_to_tip_proposals, p_electors uuid[])
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.tip_to_tip_rolls (community_id, proposal_id, user_id)
  select p_proposal.community_id, p_proposal.id, e.id from unnest(p_electors) as e (id);
  insert into private.tip_to_tip_votes (community_id, proposal_id, user_id, vote, created_at)
  values (p_proposal.community_id, p_proposal.id, p_proposal.proposer_id, 'accept', p_proposal.created_at);
  perform private.notify(
    array_remove(p_electors, p_proposal.proposer_id), p_proposal.community_id, 'tip_to_tip', 'vote_asked', 'tip_to_tip',
    p_proposal.id, p_by => p_proposal.proposer_id, p_is_ask => true, p_at => p_proposal.created_at
  );
end;
$$;
comment on function private.open_roll is
'Draws up the roll of a new proposal, casts the proposer''s accept, calls the others to vote: one statement each.';

create function private.require_no_active_proposal(
  p_community_id uuid, p_proposer_id uuid, p_day private.community_days
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals;
begin
  select t.* into v_proposal from private.tip_to_tip_proposals as t
  where t.community_id = p_community_id and t.proposer_id = p_proposer_id and t.status = 'active'
  for no key update;
  if v_proposal.deadline <= private.clock() then
    perform private.end_overdue_proposal(v_proposal, p_day, private.clock());
  elsif v_proposal.id is not null then
    perform private.refuse('ACTIVE_TIP_TO_TIP_EXISTS', 'You have an active proposal already.',
      jsonb_build_object('proposal_id', v_proposal.id, 'possible_at', v_proposal.deadline));
  end if;
end;
$$;
comment on function private.require_no_active_proposal is
'Makes sure a member has no active proposal; one that is past its deadline is ended first, job or no job.

Refuses: ACTIVE_TIP_TO_TIP_EXISTS {proposal_id, possible_at: its deadline}.';

create function private.require_proposal_rate(p_day private.community_days, p_proposer_id uuid, p_stake_amount integer)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_next timestamptz := (
    select min(latest.created_at) + interval '1 day'
    from (
      select t.created_at from private.tip_to_tip_proposals as t
      where t.community_id = p_day.community_id and t.proposer_id = p_proposer_id
        and t.created_at > private.clock() - interval '1 day'
      order by t.created_at desc
      limit 20
    ) as latest
    having count(*) = 20
  );
begin
  if v_next is null then
    return;
  end if;
  -- Still today, where the purse holds the stake; else the first such moment from the next Dawn on.
  if v_next >= p_day.sunset_at or not exists (
    select from private.purses as b
    where b.community_id = p_day.community_id and b.user_id = p_proposer_id and b.remaining >= p_stake_amount
  ) then
    v_next := private.when_affordable(p_day.community_id, p_proposer_id, p_stake_amount, v_next);
  end if;
  perform private.refuse_for_now('Twenty proposals a day are enough.', v_next, '{"most": 20}');
end;
$$;
comment on function private.require_proposal_rate is
'Asks that a member has made fewer than 20 proposals in this community in the last 24 hours (RULES 3.2). Of two at once
one finds the other active: so nobody comes past the twentieth.

Refuses: RATE_LIMITED {most, possible_at, retry_after}.';

create function private.require_input_of_proposal(p_title text, p_description text, p_stake_amount integer)
returns void
language plpgsql immutable security definer set search_path = ''
as $$
begin
  -- One glance for what most proposals are; only what does not pass it is looked at closely.
  if (
    p_title ~ e'^[^\u0001-\u001f\u007f-\u009f\u2028\u2029]*[A-Za-z0-9][^\u0001-\u001f\u007f-\u009f\u2028\u2029]*$'
    and char_length(p_title) <= 120 and char_length(p_description) <= 1000
    and p_stake_amount between 1 and 1000000000
  ) is not true then
    perform private.require_title('title', p_title);
    perform private.require_text('description', p_description, 1000, 0);
    perform private.require_amount('stake_amount', p_stake_amount);
  end if;
end;
$$;
comment on function private.require_input_of_proposal is
'Asks that what is proposed makes sense. Refuses: INVALID_INPUT.';

create function private.find_electors(
  p_day private.community_days, p_proposer_id uuid, p_stake_amount integer, p_at timestamptz
)
returns uuid[]
language plpgsql security definer set search_path = ''
as $$
declare
  -- Read once: who joins from here on is neither counted nor on the roll.
  v_electors uuid[] := private.present_able_ids(p_day.community_id);
  v_active boolean;
  v_made bigint;
begin
  -- Of two at once the second counts the first, though it be over by then.
  perform private.take_turn_of_lines(p_day.community_id, p_proposer_id);
  -- One glance: the proposer is on the roll with somebody else, nothing of theirs is active, and they propose rarely.
  select coalesce(bool_or(t.status = 'active'), false), count(*) into v_active, v_made
  from private.tip_to_tip_proposals as t
  where t.community_id = p_day.community_id and t.proposer_id = p_proposer_id
    and t.created_at > p_at - interval '1 day';
  if not v_active and v_made < 20 and p_proposer_id = any(v_electors) and cardinality(v_electors) > 1 then
    return v_electors;
  end if;

  perform private.require_no_active_proposal(p_day.community_id, p_proposer_id, p_day);
  -- Who was removed meanwhile proposes nothing.
  perform private.require_member(p_day.community_id);
  if p_proposer_id <> all(v_electors) then
    perform private.refuse('CONFLICT', 'You are away, and so on no roll.', '{"away": true}');
  elsif cardinality(v_electors) < 2 then
    perform private.refuse('NO_ELECTORS', 'There is nobody else here who could vote.',
      jsonb_build_object('electors', cardinality(v_electors), 'needed', 2));
  end if;
  perform private.require_proposal_rate(p_day, p_proposer_id, p_stake_amount);
  return v_electors;
end;
$$;
comment on function private.find_electors is
'Who is on the roll of a proposal its proposer may make now, in id order, they among them; the day is held.

Refuses: ACTIVE_TIP_TO_TIP_EXISTS {proposal_id, possible_at}, CONFLICT {away}, NO_ELECTORS {electors, needed},
RATE_LIMITED {most, possible_at, retry_after}, NOT_FOUND.';

create function private.open_proposal(
  p_id uuid, p_day private.community_days, p_proposer_id uuid, p_title text, p_description text, p_stake_amount integer,
  p_amendment jsonb, p_electors integer, p_at timestamptz
)
returns private.tip_to_tip_proposals
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals;
begin
  insert into private.tip_to_tip_proposals (
    community_id, id, proposer_id, title, description, stake_amount, amendment, deadline, remind_at, electors, awaiting,
    created_at
  )
  values (
    p_day.community_id, p_id, p_proposer_id, p_title, p_description, p_stake_amount, p_amendment,
    p_at + interval '4 hours', p_at + interval '3 hours', p_electors, p_electors - 1, p_at
  )
  on conflict (community_id, proposer_id) where status = 'active' do nothing
  returning * into v_proposal;
  if not found then
    -- Made a moment ago, or long over and not written down as such: then it is, and makes room.
    perform private.require_no_active_proposal(p_day.community_id, p_proposer_id, p_day);
    perform private.require_proposal_rate(p_day, p_proposer_id, p_stake_amount);
    return private.open_proposal(
      p_id, p_day, p_proposer_id, p_title, p_description, p_stake_amount, p_amendment, p_electors, p_at
    );
  end if;
  return v_proposal;
end;
$$;
comment on function private.open_proposal is
'Writes down a proposal and returns it. Refuses: ACTIVE_TIP_TO_TIP_EXISTS {proposal_id, possible_at}, RATE_LIMITED.';

create function private.show_proposed(p_community_id uuid, p_user_id uuid, p_made jsonb)
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_proposal jsonb := (
    select to_jsonb(s.proposal) from private.shown_proposals as s
    where s.community_id = p_community_id and s.id = (p_made ->> 'proposal_id')::uuid
  );
begin
  return json_build_object(
    'proposal', v_proposal,
    'message', private.show_message(p_community_id, (p_made ->> 'message_id')::bigint, v_proposal),
    'balance', private.show_balance_of(p_community_id, p_user_id)
  );
end;
$$;
comment on function private.show_proposed is
'What propose_tip_to_tip answers of a proposal made before, as everything stands now.';

create function private.propose_tip_to_tip(
  p_community_id uuid, p_title text, p_stake_amount integer, p_description text, p_request_id uuid, p_amendment jsonb
)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_act private.act := private.begin_act(p_community_id);
  v_me uuid := (v_act.me).id;
  v_now timestamptz := v_act.at;
  v_day private.community_days := v_act.day;
  v_id uuid := gen_random_uuid();
  v_message_id bigint := private.next_line_id();
  v_made jsonb := private.claim(
    v_me, 'propose_tip_to_tip', p_request_id,
    jsonb_build_array(p_community_id, p_title, p_stake_amount, p_description, p_amendment),
    jsonb_build_object('proposal_id', v_id, 'message_id', v_message_id), v_now
  );
  v_amendment jsonb;
  v_electors uuid[];
  v_proposal private.tip_to_tip_proposals;
  v_purse private.purses;
  v_card json;
begin
  if v_made is not null then
    return private.show_proposed(p_community_id, v_me, v_made);
  end if;
  perform private.require_input_of_proposal(p_title, p_description, p_stake_amount);
  if p_amendment is not null then
    v_amendment := private.require_amendment(p_amendment);
  end if;
  if not v_day.is_open then
    perform private.require_open(v_day);
  end if;
  if v_amendment is not null then
    perform private.require_change(p_community_id, v_amendment);
  end if;
  v_electors := private.find_electors(v_day, v_me, p_stake_amount, v_now);

  v_proposal := private.open_proposal(
    v_id, v_day, v_me, p_title, p_description, p_stake_amount, v_amendment, cardinality(v_electors), v_now
  );
  v_purse := private.stake_coins(v_id, p_community_id, v_me, p_stake_amount, v_now);
  if v_purse.user_id is null then
    perform private.refuse_shortage(
      p_community_id, v_me, p_stake_amount, private.when_affordable(p_community_id, v_me, p_stake_amount)
    );
  end if;
  perform private.write_line(
    v_message_id, p_community_id, v_me, 'tip_to_tip', '', v_id, null, null, null, v_now
  );
  perform private.tell(
    ('user:' || v_me::text, 'balance', jsonb_build_object('community_id', p_community_id)),
    ('community:' || p_community_id::text, 'message', jsonb_build_object('message_id', v_message_id))
  );
  perform private.open_roll(v_proposal, v_electors);

  v_card := row_to_json(private.show_new_proposal(v_proposal, v_act.me));
  return json_build_object(
    'proposal', v_card,
    'message', private.show_new_ask(v_message_id, p_community_id, 'tip_to_tip', (v_act.me).person, v_card, v_now),
    'balance', private.balance_on(v_purse, v_day)
  );
end;
$$;
comment on function private.propose_tip_to_tip is
'Of two proposals of one member at once the unique index lets one in; the other waits, finds it and is refused with
its stake untouched. The proposal is locked before the purse, as voters do.';
create function public.propose_tip_to_tip(
  community_id uuid,
  title text,
  stake_amount integer,
  description text default '',
  request_id uuid default null,
  amendment jsonb default null
)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.propose_tip_to_tip(
    propose_tip_to_tip.community_id, propose_tip_to_tip.title, propose_tip_to_tip.stake_amount,
    propose_tip_to_tip.description, propose_tip_to_tip.request_id, propose_tip_to_tip.amendment
  );
end;
$$;
comment on function public.propose_tip_to_tip is
'Stakes CC on a unanimous vote of everyone in the community who can act now.

The proposer''s accept is cast at once, the deadline is 4 hours later. title 1 to 120 characters, description up to
1000; at most 20 a day. amendment, a change of daily_cc_budget, timezone or electorate in the form update_community
takes, pends from the moment all have accepted, in place of what pended for the same thing, and takes force at the next
Dawn; until then no moderator sets the same. Returns {proposal, message, balance}. Refuses: ACTIVE_TIP_TO_TIP_EXISTS
{proposal_id, possible_at}, RATE_LIMITED {most, possible_at, retry_after}, INSUFFICIENT_CC {short_by, largest_possible,
possible_at}, NO_ELECTORS {electors, needed}, DAY_CLOSED {possible_at}, NOT_FOUND, INVALID_INPUT, CONFLICT
(request_id) or {away} (who is away is on no roll, not even of their own proposal).';
grant execute on function public.propose_tip_to_tip, private.propose_tip_to_tip to authenticated;

create function private.require_proposal(p_proposal_id uuid)
returns private.tip_to_tip_proposals
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals;
begin
  select t.* into v_proposal from private.tip_to_tip_proposals as t where t.id = p_proposal_id;
  perform private.require_seen(v_proposal.community_id, 'proposal');
  return v_proposal;
end;
$$;
comment on function private.require_proposal is
'Returns a proposal of a community the caller is in. Refuses: as require_seen.';
grant execute on function private.require_proposal to authenticated;

create function private.refuse_vote(p_community_id uuid, p_proposal_id uuid, p_voter_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals;
begin
  if not exists (
    select from private.tip_to_tip_rolls as r
    where r.community_id = p_community_id and r.proposal_id = p_proposal_id and r.user_id = p_voter_id
  ) then
    perform private.refuse('NOT_ELECTOR', 'You are not on the roll of this proposal.');
  end if;
  select t.* into v_proposal from private.tip_to_tip_proposals as t
  where t.community_id = p_community_id and t.id = p_proposal_id;
  if v_proposal.status = 'active' and v_proposal.deadline > private.clock() then
    perform private.refuse('ALREADY_VOTED', 'Your vote is cast, and final.');
  end if;
  perform private.refuse('PROPOSAL_EXPIRED', 'This proposal is over.', jsonb_build_object(
    'status', private.proposal_status(p_community_id, p_proposal_id, v_proposal.status, v_proposal.deadline),
    'deadline', v_proposal.deadline
  ));
end;
$$;
comment on function private.refuse_vote is
'Says why somebody''s vote on a proposal does not count. Refuses, always: NOT_ELECTOR, PROPOSAL_EXPIRED {status,
deadline}, ALREADY_VOTED.';

create function private.awaits_vote(p_community_id uuid, p_proposal_id uuid, p_voter_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return exists (
    select from private.tip_to_tip_proposals as t
    where t.community_id = p_community_id and t.id = p_proposal_id and t.status = 'active'
      and t.deadline > private.clock()
  ) and exists (
    select from private.tip_to_tip_rolls as r
    where r.community_id = p_community_id and r.proposal_id = p_proposal_id and r.user_id = p_voter_id
  ) and not exists (
    select from private.tip_to_tip_votes as v
    where v.community_id = p_community_id and v.proposal_id = p_proposal_id and v.user_id = p_voter_id
  );
end;
$$;
comment on function private.awaits_vote is 'Whether somebody may vote on a proposal now.';

create function private.vote_tip_to_tip(p_proposal_id uuid, p_vote text)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_now timestamptz := private.clock();
  v_proposal private.tip_to_tip_proposals;
  v_me uuid;
  v_day private.community_days;
  v_told private.broadcast;
begin
  select t.* into v_proposal from private.tip_to_tip_proposals as t where t.id = p_proposal_id;
  v_me := private.require_seen(v_proposal.community_id, 'proposal');
  if (p_vote in ('accept', 'decline')) is not true then
    perform private.require_choice('vote', p_vote, array['accept', 'decline']);
  end if;
  -- An accept may be the last, and then another zone moves the next Dawn: nobody else holds the day, nor waits for who
  -- is refused.
  if v_proposal.amendment ? 'timezone' then
    if not private.awaits_vote(v_proposal.community_id, p_proposal_id, v_me) then
      perform private.refuse_vote(v_proposal.community_id, p_proposal_id, v_me);
    end if;
    v_day := private.hold_day_alone(v_proposal.community_id, v_now);
  else
    v_day := private.hold_day(v_proposal.community_id, v_now);
  end if;
  update private.tip_to_tip_proposals as t
  set
    awaiting = t.awaiting - 1,
    status = case when p_vote = 'decline' then 'declined' when t.awaiting = 1 then 'completed' else t.status end,
    remind_at = case when p_vote = 'accept' and t.awaiting > 1 then t.remind_at end
  where t.community_id = v_day.community_id and t.id = p_proposal_id and t.status = 'active' and t.deadline > v_now
    and exists (
      select from private.tip_to_tip_rolls as r
      where r.community_id = v_day.community_id and r.proposal_id = p_proposal_id and r.user_id = v_me
    )
    and not exists (
      select from private.tip_to_tip_votes as v
      where v.community_id = v_day.community_id and v.proposal_id = p_proposal_id and v.user_id = v_me
    )
  returning t.* into v_proposal;
  if not found then
    perform private.refuse_vote(v_day.community_id, p_proposal_id, v_me);
  end if;
  insert into private.tip_to_tip_votes (community_id, proposal_id, user_id, vote, created_at)
  values (v_day.community_id, p_proposal_id, v_me, p_vote, v_now)
  on conflict do nothing;
  if not found then
    perform private.refuse('ALREADY_VOTED', 'Your vote is cast, and final.');
  end if;

  v_told := (
    'community:' || v_day.community_id::text, 'tip_to_tip', jsonb_build_object('proposal_id', p_proposal_id)
  );
  if v_proposal.status = 'active' then
    perform private.tell(v_told);
  else
    perform private.note_outcome(v_proposal, v_day, v_now, array[v_told]);
  end if;
  return json_build_object(
    'proposal', private.show_proposal(v_proposal), 'resolved', v_proposal.status <> 'active',
    'outcome', nullif(v_proposal.status, 'active')
  );
end;
$$;
comment on function private.vote_tip_to_tip is
'Voters queue on the proposal''s row, so exactly one of two last votes finds itself the last; who has voted already does
not get that far. The count comes before the vote: of two votes of one member at once the second is refused, and the
count with it.';
create function public.vote_tip_to_tip(proposal_id uuid, vote text)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.vote_tip_to_tip(vote_tip_to_tip.proposal_id, vote_tip_to_tip.vote);
end;
$$;
comment on function public.vote_tip_to_tip is
'Votes accept or decline, openly and finally; the first decline, or the last accept, ends the proposal.

Returns {proposal, resolved, outcome: null, completed or declined}. Refuses: NOT_ELECTOR, ALREADY_VOTED,
PROPOSAL_EXPIRED {status, deadline}, NOT_FOUND, INVALID_INPUT.';
grant execute on function public.vote_tip_to_tip, private.vote_tip_to_tip to authenticated;

create function public.get_tip_to_tip(proposal_id uuid)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals := private.require_proposal(get_tip_to_tip.proposal_id);
begin
  perform private.require_member_today(v_proposal.community_id);
  return jsonb_build_object('proposal', (
    select to_jsonb(s.proposal) from private.shown_proposals as s
    where s.community_id = v_proposal.community_id and s.id = v_proposal.id
  ));
end;
$$;
comment on function public.get_tip_to_tip is
'One proposal with its votes.

Returns {proposal}. Refuses: NOT_FOUND.';
grant execute on function public.get_tip_to_tip to authenticated;

create function public.list_tip_to_tips(
  community_id uuid, status text default null, page_size integer default 50, before_id uuid default null
)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_before bigint;
  v_page uuid[];
begin
  perform private.require_member_today(list_tip_to_tips.community_id);
  perform private.require_page_size(list_tip_to_tips.page_size);
  if list_tip_to_tips.status is not null then
    perform private.require_choice('status', list_tip_to_tips.status, array[
      'active', 'completed', 'declined', 'expired', 'withdrawn', 'void'
    ]);
  end if;
  if before_id is not null then
    select t.number into v_before from private.tip_to_tip_proposals as t
    where t.id = before_id and t.community_id = list_tip_to_tips.community_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such proposal.');
    end if;
  end if;
  v_page := array(
    select t.id from private.tip_to_tip_proposals as t
    where t.community_id = list_tip_to_tips.community_id
      and t.number < coalesce(v_before, 9223372036854775807)
      and (
        list_tip_to_tips.status is null
        -- Only of those not written down as over the clock must be asked.
        or t.status <> 'active' and t.status = list_tip_to_tips.status
        or t.status = 'active'
        and private.proposal_status(t.community_id, t.id, t.status, t.deadline) = list_tip_to_tips.status
      )
    order by t.number desc
    limit page_size + 1
  );
  return jsonb_build_object(
    'proposals', (
      select coalesce(jsonb_agg(s.proposal order by s.number desc), '[]')
      from private.shown_proposals as s
      where s.community_id = list_tip_to_tips.community_id and s.id = any(v_page[:page_size])
    ),
    'has_more', cardinality(v_page) > page_size
  );
end;
$$;
comment on function public.list_tip_to_tips is
'A community''s proposals, newest first, of every status or one; before_id pages on from a proposal.

Returns {proposals: [proposal], has_more}. Refuses: NOT_FOUND, INVALID_INPUT.';
grant execute on function public.list_tip_to_tips to authenticated;

create function private.remind_electors(p_proposal private.tip_to_tip_proposals, p_now timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update private.tip_to_tip_proposals as t set remind_at = null
  where t.community_id = p_proposal.community_id and t.id = p_proposal.id;
  perform private.notify(
    array(
      select r.user_id from private.tip_to_tip_rolls as r
      where r.community_id = p_proposal.community_id and r.proposal_id = p_proposal.id and not exists (
        select from private.tip_to_tip_votes as v
        where v.community_id = r.community_id and v.proposal_id = r.proposal_id and v.user_id = r.user_id
      )
      order by r.user_id
    ),
    p_proposal.community_id, 'tip_to_tip', 'vote_reminded', 'tip_to_tip', p_proposal.id,
    p_by => p_proposal.proposer_id, p_is_ask => true, p_at => p_now
  );
end;
$$;
comment on function private.remind_electors is 'Reminds, once, those who have yet to vote on a locked proposal.';

create function private.expire_proposals(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.hold_day_alone(p_community_id, p_now);
  v_proposal private.tip_to_tip_proposals;
  v_rows integer := 0;
begin
  for v_proposal in
    select t.* from private.tip_to_tip_proposals as t
    where t.community_id = p_community_id and t.status = 'active' and (t.deadline <= p_now or t.remind_at <= p_now)
    order by t.id
    for no key update
  loop
    if v_proposal.deadline <= p_now then
      perform private.end_overdue_proposal(v_proposal, v_day, p_now);
    else
      perform private.remind_electors(v_proposal, p_now);
    end if;
    v_rows := v_rows + 1;
  end loop;
  return v_rows;
end;
$$;
comment on function private.expire_proposals is
'Ends a community''s proposals that are past their deadline and reminds the electors of those with an hour left;
returns how many proposals it touched. It holds the day alone, for it may settle many stakes.';

create function private.lock_own_proposal(p_community_id uuid, p_user_id uuid)
returns private.tip_to_tip_proposals
language plpgsql security definer set search_path = ''
as $$
declare
  v_row private.tip_to_tip_proposals;
begin
  select t.* into v_row from private.tip_to_tip_proposals as t
  where t.community_id = p_community_id and t.proposer_id = p_user_id and t.status = 'active'
  for no key update;
  return v_row;
end;
$$;
comment on function private.lock_own_proposal is 'Locks and returns a member''s active proposal, or a row of nulls.';

create function private.withdraw_proposal(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals := private.lock_own_proposal(p_community_id, p_user_id);
  v_outcome text;
begin
  if v_proposal.id is null then
    return 0;
  elsif v_proposal.deadline <= private.clock() then
    v_outcome := private.end_overdue_proposal(v_proposal, private.day_of(p_community_id), private.clock());
    return case when v_outcome = 'void' then 0 else v_proposal.stake_amount end;
  end if;
  perform private.end_proposal(v_proposal, 'withdrawn', private.day_of(p_community_id), private.clock());
  return v_proposal.stake_amount;
end;
$$;
comment on function private.withdraw_proposal is
'On leaving: an own active proposal is withdrawn and its stake forfeited (RULES 2.5); returns the CC lost. The caller
holds the day alone.';

create function private.void_proposal_of(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_proposal private.tip_to_tip_proposals := private.lock_own_proposal(p_community_id, p_user_id);
  v_day private.community_days := private.day_of(p_community_id);
begin
  if v_proposal.id is null then
    return;
  elsif v_proposal.deadline <= private.clock() then
    perform private.end_overdue_proposal(v_proposal, v_day, private.clock());
    return;
  end if;
  -- The purse is about to expire, so a refund that waited for Dawn would come to nobody.
  perform private.tell(
    variadic private.settle_stake(p_community_id, v_proposal.id, 'refunded', private.clock())
  );
  perform private.end_proposal(v_proposal, 'void', v_day, private.clock());
end;
$$;
comment on function private.void_proposal_of is
'On removal: an own active proposal is void and its stake back in the purse at once, day or night (RULES 2.6). The
caller holds the day alone.';

create function private.leave_rolls(p_community_id uuid, p_user_id uuid, p_is_removal boolean)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.day_of(p_community_id);
  v_proposal private.tip_to_tip_proposals;
  v_status text;
begin
  -- Nobody votes meanwhile: who votes holds the day, and the caller holds it alone.
  for v_proposal in
    select t.* from private.tip_to_tip_proposals as t
    where t.community_id = p_community_id and t.status = 'active'
      and exists (
        select from private.tip_to_tip_rolls as r
        where r.community_id = p_community_id and r.proposal_id = t.id and r.user_id = p_user_id
      )
      and not exists (
        select from private.tip_to_tip_votes as v
        where v.community_id = p_community_id and v.proposal_id = t.id and v.user_id = p_user_id
      )
    order by t.id
    for no key update
  loop
    -- Asked while they are still on the roll: one that is over ended with them there.
    v_status := private.proposal_status(p_community_id, v_proposal.id, v_proposal.status, v_proposal.deadline);
    delete from private.tip_to_tip_rolls as r
    where r.community_id = p_community_id and r.proposal_id = v_proposal.id and r.user_id = p_user_id;
    update private.tip_to_tip_proposals as t set electors = t.electors - 1, awaiting = t.awaiting - 1
    where t.community_id = p_community_id and t.id = v_proposal.id
    returning t.* into v_proposal;
    if v_status <> 'active' then
      perform private.end_proposal(v_proposal, v_status, v_day, private.clock());
    elsif p_is_removal then
      perform private.end_proposal(v_proposal, 'void', v_day, private.clock());
    elsif v_proposal.awaiting = 0 then
      perform private.end_proposal(v_proposal, 'completed', v_day, private.clock());
    end if;
  end loop;
end;
$$;
comment on function private.leave_rolls is
'Strikes somebody who goes from the rolls they have not voted on. What then awaits nobody is completed; what still
awaited a person who is removed is void, so that no removal makes a vote unanimous (RULES 2.5, 2.6). A vote already
cast stands. The caller holds the day alone.';

create function private.proposals_awaiting(p_community_id uuid, p_user_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select count(*)::integer from private.tip_to_tip_proposals as t
    where
      t.community_id = p_community_id and t.status = 'active' and t.deadline > private.clock()
      and exists (
        select from private.tip_to_tip_rolls as r
        where r.community_id = p_community_id and r.proposal_id = t.id and r.user_id = p_user_id
      )
      and not exists (
        select from private.tip_to_tip_votes as v
        where v.community_id = p_community_id and v.proposal_id = t.id and v.user_id = p_user_id
      )
  );
end;
$$;
comment on function private.proposals_awaiting is 'How many active proposals of a community await a member''s vote.';

-- Opening, voting, closing, reading: the acts of an election (RULES 9).

create view private.shown_elections with (security_invoker = on) as
select
  e.community_id,
  e.id,
  e.number,
  jsonb_build_object(
    'id', e.id, 'community_id', e.community_id,
    'title', coalesce(private.read_words(e.community_id, e.title_id), ''),
    'status', private.election_status(e.status, e.ends_at), 'seat_rule', e.seat_rule, 'created_at', e.created_at,
    'ends_at', e.ends_at, 'closed_at', coalesce(e.closed_at, case when e.ends_at <= private.clock() then e.ends_at end)
  ) || private.show_poll(e) as election
from private.elections as e;
comment on view private.shown_elections is
'The shape election, as the caller sees it. Only for the kernel, which has asked for membership: no client may look
into a box, not even through this.';

create function private.show_election(p_community_id uuid, p_election_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object('election', (
    select s.election from private.shown_elections as s
    where s.community_id = p_community_id and s.id = p_election_id
  ));
end;
$$;
comment on function private.show_election is 'What acts on an election answer: {election}.';

create function private.create_election(p_community_id uuid, p_title text, p_ends_at timestamptz, p_seat_rule text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_election private.elections;
  v_electors uuid[];
begin
  -- A new electorate in force since a Dawn, a new moderator since an end: neither waits for its job.
  perform private.settle_day(p_community_id);
  perform private.settle_elections(p_community_id);
  perform private.hold_roll(p_community_id);
  perform private.require_acting_member(p_community_id);
  perform private.require_moderator(p_community_id);
  perform private.require_title('title', p_title);
  perform private.require_end(p_ends_at);
  perform private.require_choice('seat_rule', p_seat_rule, array['add', 'renew']);

  v_election := private.begin_election(p_community_id, p_title, p_ends_at, p_seat_rule, v_me.user_id);
  if v_election.id is null then
    perform private.refuse('CONFLICT', 'An election is open already.', (
      select jsonb_build_object('election_id', e.id, 'ends_at', e.ends_at) from private.elections as e
      where e.community_id = p_community_id and e.status = 'active'
    ));
  end if;
  v_electors := private.open_box(v_election);

  perform private.post_message(p_community_id, v_me.user_id, 'election', '', v_election.id);
  perform private.record_act(
    p_community_id, v_me.user_id, 'election_opened', null,
    jsonb_build_object(
      'election_id', v_election.id, 'title_id', v_election.title_id, 'seat_rule', p_seat_rule, 'ends_at', p_ends_at
    )
  );
  perform private.notify(
    array_remove(v_electors, v_me.user_id), p_community_id, 'election', 'election_opened', 'election', v_election.id,
    p_by => v_me.user_id, p_is_ask => true
  );
  return private.show_election(p_community_id, v_election.id);
end;
$$;

create function public.create_election(
  community_id uuid, title text, ends_at timestamptz, seat_rule text default 'add'
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.create_election(
    create_election.community_id, create_election.title, create_election.ends_at, create_election.seat_rule
  );
end;
comment on function public.create_election is
'Opens an election for moderator, for its moderators to call; candidates and roll are those of this moment.

title one line of 1 to 120 characters, ends_at 1 hour to 14 days ahead; seat_rule add (the winner joins the
moderators) or renew (becomes the only one). Everyone on the roll is called to vote. Returns {election}. Refuses:
NOT_FOUND, FORBIDDEN, INVALID_INPUT, CONFLICT {election_id, ends_at} (one is open), NO_ELECTORS {electors, least,
electorate}.';
grant execute on function public.create_election, private.create_election to authenticated;

create function private.vote_election(p_election_id uuid, p_candidate_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections := private.require_election(p_election_id);
begin
  v_election := private.lock_box(v_election.community_id, p_election_id);
  perform private.require_open_election(v_election);
  perform private.cast_ballot(v_election, private.caller_id(), p_candidate_id);
  return private.show_election(v_election.community_id, p_election_id);
end;
$$;
comment on function private.vote_election is
'It writes the ballot and nothing else: no line, no notice, no broadcast says when somebody voted.';

create function public.vote_election(election_id uuid, candidate_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.vote_election(vote_election.election_id, vote_election.candidate_id);
end;
comment on function public.vote_election is
'Casts the caller''s one ballot, or changes it, until the close.

A changed ballot stands from the moment of the change; the same choice again changes nothing. Returns {election}: as
it may be seen while open. Refuses: NOT_FOUND (election, or {field: candidate_id}), NOT_ELECTOR, ELECTION_CLOSED
{status, closed_at}.';
grant execute on function public.vote_election, private.vote_election to authenticated;

create function private.lock_open_election(p_election_id uuid)
returns private.elections
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections;
begin
  select e.* into v_election from private.elections as e where e.id = p_election_id;
  -- One that is over is closed first, with the seats it gives; then the roll is held, and only then it is asked who calls:
  -- who waited here may moderate no more.
  perform private.settle_elections(v_election.community_id);
  perform private.hold_roll(v_election.community_id);
  perform private.require_moderator_of(v_election);
  v_election := private.lock_box(v_election.community_id, p_election_id);
  perform private.require_open_election(v_election);
  return v_election;
end;
$$;
comment on function private.lock_open_election is
'Locks an open election of a community the caller moderates, its box and its roll until the transaction ends.

Refuses: NOT_FOUND, FORBIDDEN, ELECTION_CLOSED {status, closed_at}.';

create function private.close_election(p_election_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections := private.lock_open_election(p_election_id);
begin
  perform private.require_full_box(v_election);
  perform private.decide_election(v_election, private.clock(), private.caller_id());
  return private.show_election(v_election.community_id, p_election_id);
end;
$$;

create function public.close_election(election_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.close_election(close_election.election_id);
end;
comment on function public.close_election is
'Closes an election before its end, for moderators, once everyone on the roll has voted.

Returns {election} with tallies and winner. Refuses: NOT_FOUND, FORBIDDEN, ELECTION_CLOSED {status, closed_at},
CONFLICT {awaiting, electors, turnout, possible_at: when it closes by itself}. A ballot cast for somebody who has
left since counts as voted here, though for nobody: to wait for its owner would tell whom it was for.';
grant execute on function public.close_election, private.close_election to authenticated;

create function private.note_cancellation(p_election private.elections, p_by_id uuid, p_reason text)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_facts jsonb := jsonb_build_object(
    'election_id', p_election.id, 'title_id', p_election.title_id, 'user_id', p_by_id,
    'reason_id', private.keep_words(p_election.community_id, p_by_id, p_reason)
  );
begin
  perform private.record_act(p_election.community_id, p_by_id, 'election_cancelled', null, v_facts);
  perform private.announce(p_election.community_id, 'election_cancelled', v_facts);
  perform private.notify(
    array_remove(private.member_ids(p_election.community_id), p_by_id), p_election.community_id,
    'election', 'election_cancelled', 'election', p_election.id, v_facts, p_by => p_by_id
  );
end;
$$;
comment on function private.note_cancellation is
'Tells that an election was called off, and why, to the audit log, the Chamber and every other member.';

create function private.cancel_election(p_election_id uuid, p_reason text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_election private.elections := private.lock_open_election(p_election_id);
begin
  perform private.require_text('reason', p_reason, 280);
  perform private.end_election(v_election, 'cancelled', null, private.clock());
  perform private.note_cancellation(v_election, private.caller_id(), p_reason);
  return private.show_election(v_election.community_id, p_election_id);
end;
$$;

create function public.cancel_election(election_id uuid, reason text)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.cancel_election(cancel_election.election_id, cancel_election.reason);
end;
comment on function public.cancel_election is
'Calls an open election off, for moderators, with a reason (1 to 280 characters) that everyone is told.

Its ballots stay sealed for ever. Returns {election}. Refuses: NOT_FOUND, FORBIDDEN, INVALID_INPUT, ELECTION_CLOSED
{status, closed_at}.';
grant execute on function public.cancel_election, private.cancel_election to authenticated;

create function private.get_active_election(p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.require_member(p_community_id);
  return private.show_election(p_community_id, (
    select e.id from private.elections as e
    where e.community_id = p_community_id and e.status = 'active' and e.ends_at > private.clock()
  ));
end;
$$;

create function public.get_active_election(community_id uuid)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_active_election(get_active_election.community_id);
end;
comment on function public.get_active_election is
'The election open in a community now.

Returns {election}, null if none is: one whose end has come is over, though the job may not have been there yet.
Refuses: NOT_FOUND.';
grant execute on function public.get_active_election, private.get_active_election to authenticated;

create function private.get_election(p_election_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return private.show_election((private.require_election(p_election_id)).community_id, p_election_id);
end;
$$;

create function public.get_election(election_id uuid)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_election(get_election.election_id);
end;
comment on function public.get_election is
'One election: candidates, turnout and the caller''s own ballot while it is open, tallies and winner after the close.

Returns {election + {can_vote, closed_at}}. Refuses: NOT_FOUND.';
grant execute on function public.get_election, private.get_election to authenticated;

create function private.list_elections(p_community_id uuid, p_page_size integer, p_before_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_before bigint;
  v_page uuid[];
begin
  perform private.require_member(p_community_id);
  perform private.require_page_size(p_page_size);
  if p_before_id is not null then
    select e.number into v_before from private.elections as e
    where e.community_id = p_community_id and e.id = p_before_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such election.');
    end if;
  end if;
  v_page := array(
    select e.id from private.elections as e
    where e.community_id = p_community_id and e.number < coalesce(v_before, 9223372036854775807)
    order by e.number desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'elections', (
      select coalesce(jsonb_agg(s.election order by s.number desc), '[]')
      from private.shown_elections as s
      where s.community_id = p_community_id and s.id = any(v_page[:p_page_size])
    ),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;

create function public.list_elections(community_id uuid, page_size integer default 50, before_id uuid default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_elections(list_elections.community_id, list_elections.page_size, list_elections.before_id);
end;
comment on function public.list_elections is
'A community''s elections, newest first; before_id pages on from an election.

Returns {elections: [election], has_more}. Refuses: NOT_FOUND, INVALID_INPUT.';
grant execute on function public.list_elections, private.list_elections to authenticated;

-- Seats: who is called to the council, and who hands on the moderator's seat (RULES 2.3).

create function private.lock_membership(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.hold_day_alone(p_community_id);
  perform private.lock_community(p_community_id);
  -- An election whose end has come may change who moderates, job or no job.
  perform private.settle_elections(p_community_id);
end;
$$;
comment on function private.lock_membership is
'The queue in which roles change and members go: the day held alone, the community locked, overdue elections closed.
Whoever has waited in it asks only then who moderates.';

create function private.require_present(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if not private.is_member(p_community_id, p_user_id) then
    perform private.refuse('NOT_FOUND', 'There is no such member.');
  end if;
end;
$$;
comment on function private.require_present is 'Asks that a person is in a community now. Refuses: NOT_FOUND.';

create function private.note_role(p_community_id uuid, p_event text, p_user_id uuid, p_by_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.record_act(p_community_id, p_by_id, p_event, p_user_id);
  perform private.announce(p_community_id, p_event, jsonb_build_object('user_id', p_user_id) || case
    when p_event = 'moderator_stepped_down' then '{}' else jsonb_build_object('by_id', p_by_id)
  end);
  if p_user_id <> p_by_id then
    perform private.notify(
      array[p_user_id], p_community_id, 'system', p_event, p_event, p_community_id, p_by => p_by_id
    );
  end if;
end;
$$;
comment on function private.note_role is
'Tells of a changed role the audit log, the Chamber and, unless it was their own doing, the member.';

create function private.set_council(p_community_id uuid, p_user_id uuid, p_granted boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
begin
  if p_granted is null then
    perform private.refuse('INVALID_INPUT', 'granted must be true or false.', '{"field": "granted"}');
  end if;
  -- Asked before the queue as well, so that nobody waits for who is refused or changes nothing.
  perform private.require_moderator(p_community_id);
  perform private.require_present(p_community_id, p_user_id);
  if p_granted = exists (
    select from private.community_members as m
    where m.community_id = p_community_id and m.user_id = p_user_id and 'council' = any(m.roles)
  ) then
    return jsonb_build_object('member', private.show_member(p_community_id, p_user_id));
  end if;
  perform private.lock_membership(p_community_id);
  perform private.require_moderator(p_community_id);
  perform private.require_present(p_community_id, p_user_id);

  if private.set_role(p_community_id, p_user_id, 'council', p_granted) then
    perform private.note_role(
      p_community_id, case when p_granted then 'council_appointed' else 'council_released' end,
      p_user_id, v_me.user_id
    );
  end if;
  return jsonb_build_object('member', private.show_member(p_community_id, p_user_id));
end;
$$;
comment on function private.set_council is 'What is so already is told to nobody again.';

create function public.set_council(community_id uuid, user_id uuid, granted boolean)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.set_council(set_council.community_id, set_council.user_id, set_council.granted);
end;
comment on function public.set_council is
'A moderator calls a member to the council, or releases them from it; themselves too.

It is told in the Chamber, to the member and to the audit log. Returns {member}. Refuses: FORBIDDEN, NOT_FOUND (the
member too), INVALID_INPUT.';
grant execute on function public.set_council, private.set_council to authenticated;

create function private.needs_successor(p_community_id uuid, p_user_id uuid, p_successor_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  if not private.is_last_moderator(p_community_id, p_user_id)
    or private.find_heir(p_community_id, p_user_id) is null
  then
    return false;
  elsif p_successor_id is null then
    perform private.refuse('LAST_MODERATOR', 'You are the last moderator: name a successor.',
      '{"needs": "successor_id"}');
  elsif p_successor_id = p_user_id then
    perform private.refuse('INVALID_INPUT', 'Nobody succeeds themselves.', '{"field": "successor_id"}');
  end if;
  perform private.require_present(p_community_id, p_successor_id);
  if not private.is_able(p_successor_id) then
    perform private.refuse('LAST_MODERATOR', 'Whom you name cannot act now: name a successor who can.',
      '{"needs": "successor_id"}');
  end if;
  return true;
end;
$$;
comment on function private.needs_successor is
'Whether a moderator who goes must pass the seat to the successor they name: as the last able one, with somebody left
who could act.

Refuses: LAST_MODERATOR {needs: successor_id}, NOT_FOUND (no such member), INVALID_INPUT (oneself).';

create function private.foresee_seat(p_community_id uuid, p_user_id uuid, p_successor_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if (private.unwritten_outcome(p_community_id)).winner_id is null then
    perform private.needs_successor(p_community_id, p_user_id, p_successor_id);
  end if;
end;
$$;
comment on function private.foresee_seat is
'As private.needs_successor, asked before the queue so that nobody waits for who is refused. An election that is over
and not written down may seat another: then only the queue tells. Refuses: as needs_successor.';

create function private.pass_seat(p_community_id uuid, p_user_id uuid, p_successor_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if private.needs_successor(p_community_id, p_user_id, p_successor_id) then
    perform private.set_role(p_community_id, p_successor_id, 'moderator', true);
    perform private.note_role(p_community_id, 'moderator_appointed', p_successor_id, p_user_id);
  end if;
end;
$$;
comment on function private.pass_seat is
'Makes an able successor moderator before the last able moderator goes. Where another one stays, or nobody who could
act, there is no seat to pass and whoever is named as successor is left as they are: moderators otherwise come from
elections. Refuses: as needs_successor.';

create function private.step_down(p_community_id uuid, p_successor_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_moderator(p_community_id);
begin
  perform private.foresee_seat(p_community_id, v_me.user_id, p_successor_id);
  perform private.lock_membership(p_community_id);
  perform private.require_moderator(p_community_id);
  if private.find_heir(p_community_id, v_me.user_id) is null then
    perform private.refuse('LAST_MODERATOR', 'There is nobody else to moderate.', '{"needs": "successor_id"}');
  end if;
  perform private.pass_seat(p_community_id, v_me.user_id, p_successor_id);
  perform private.set_role(p_community_id, v_me.user_id, 'moderator', false);
  perform private.note_role(p_community_id, 'moderator_stepped_down', v_me.user_id, v_me.user_id);
  return jsonb_build_object('member', private.show_member(p_community_id, v_me.user_id));
end;
$$;
comment on function private.step_down is 'A seat on the council stays.';

create function public.step_down(community_id uuid, successor_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.step_down(step_down.community_id, step_down.successor_id);
end;
comment on function public.step_down is
'A moderator steps down and stays a member; the last one names another member as successor.

A successor counts only where one is needed. Returns {member}. Refuses: LAST_MODERATOR {needs}, FORBIDDEN (no
moderator), NOT_FOUND (the successor too), INVALID_INPUT.';
grant execute on function public.step_down, private.step_down to authenticated;

-- Being away: declaring it, and coming back before it is over (RULES 16.2).

create function private.declare_absence(p_community_id uuid, p_from_day date, p_to_day date)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_day private.community_days;
  v_absence private.absences;
begin
  perform private.require_quiet_rate(p_community_id, v_me.user_id);
  -- Rolls of today are beside the point: no absence begins or ends before tomorrow.
  v_day := private.hold_day(p_community_id);
  v_me := private.require_acting_member(p_community_id);
  if p_from_day is null or p_from_day not between v_day.day + 1 and v_day.day + 60 then
    perform private.refuse(
      'INVALID_INPUT', 'An absence begins tomorrow at the earliest and within 60 days.',
      jsonb_build_object('field', 'from_day', 'earliest', v_day.day + 1, 'latest', v_day.day + 60)
    );
  elsif p_to_day is null or p_to_day not between p_from_day and p_from_day + 13 then
    perform private.refuse(
      'INVALID_INPUT', 'An absence lasts 1 to 14 days.',
      jsonb_build_object('field', 'to_day', 'earliest', p_from_day, 'latest', p_from_day + 13)
    );
  end if;
  -- Of two that one member declares at once one comes first: they are counted one after the other.
  perform private.count_quiet_act(
    p_community_id, v_me.user_id, case when p_from_day = v_day.day + 1 then v_day.dawn_at else 'infinity' end
  );
  v_absence := private.absence_of(p_community_id, v_me.user_id, v_day.day);
  if v_absence.user_id is not null then
    perform private.refuse(
      'CONFLICT', 'You have declared an absence already.',
      jsonb_build_object('from', v_absence.from_day, 'to', v_absence.to_day)
    );
  end if;
  perform private.write_absence(p_community_id, v_me.user_id, p_from_day, p_to_day);
  perform private.tell_community(p_community_id, 'absence', jsonb_build_object('user_id', v_me.user_id));
  return jsonb_build_object('member', private.show_member(p_community_id, v_me.user_id));
end;
$$;

create function public.declare_absence(community_id uuid, from_day date, to_day date)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.declare_absence(declare_absence.community_id, declare_absence.from_day, declare_absence.to_day);
end;
comment on function public.declare_absence is
'Declares that the caller will be away, from one day to another, both included.

1 to 14 days, beginning tomorrow at the earliest and within 60 days, in days of the community; one at a time. Away,
one is granted nothing, is on no roll and no candidate, and is not weighed by the Jashn; a streak neither grows nor
breaks; debts wait on both sides. Talk, witness and votes on older rolls stay open. Leaving the community ends it.
Returns {member}, whose away is {from, to} until it is over. Refuses: INVALID_INPUT {field, earliest, latest},
CONFLICT {from, to}, RATE_LIMITED {most, possible_at, retry_after} (thirty a minute, with those taken back), NOT_FOUND.';
grant execute on function public.declare_absence, private.declare_absence to authenticated;

create function private.end_absence(p_community_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_day private.community_days := private.hold_day(p_community_id);
begin
  v_me := private.require_acting_member(p_community_id);
  perform private.count_quiet_act(p_community_id, v_me.user_id, v_day.dawn_at);
  if not private.cut_absence(p_community_id, v_me.user_id, v_day.day) then
    perform private.refuse('CONFLICT', 'You have declared no absence.', '{"away": null}');
  end if;
  perform private.tell_community(p_community_id, 'absence', jsonb_build_object('user_id', v_me.user_id));
  return jsonb_build_object('member', private.show_member(p_community_id, v_me.user_id));
end;
$$;

create function public.end_absence(community_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.end_absence(end_absence.community_id);
end;
comment on function public.end_absence is
'Takes back the caller''s absence if it has not begun; one that has ends with today.

Returns {member}. Refuses: CONFLICT {away} (there is none), RATE_LIMITED {most, possible_at, retry_after}, NOT_FOUND.';
grant execute on function public.end_absence, private.end_absence to authenticated;

-- Leaving, and being removed (RULES 2.5, 2.6).

create function private.end_membership(
  p_community_id uuid, p_user_id uuid, p_how text, out expired integer, out forfeited integer
)
language plpgsql security definer set search_path = ''
as $$
begin
  forfeited := 0;
  perform private.mark_left(p_community_id, p_user_id);
  perform private.mark_left_notices_read(p_community_id, p_user_id);
  perform private.cut_absence(p_community_id, p_user_id, (private.day_of(p_community_id)).day);
  perform private.cancel_borrows_of(p_community_id, p_user_id);
  perform private.part_with_loans(p_community_id, p_user_id);
  if p_how = 'removed' then
    perform private.void_proposal_of(p_community_id, p_user_id);
  else
    forfeited := private.withdraw_proposal(p_community_id, p_user_id);
  end if;
  perform private.leave_rolls(p_community_id, p_user_id, p_how <> 'left');
  perform private.strike_from_boxes(p_community_id, p_user_id);
  -- What waited for Dawn comes too late for them: it is booked now, and expires with the purse.
  perform private.pay_stakes_due(p_community_id, private.clock(), p_user_id);
  expired := private.expire_purse(p_community_id, p_user_id);
end;
$$;
comment on function private.end_membership is
'Ends a membership with all that hangs on it (RULES 2.5, 2.6, 13.2): roles, notices, requests, loans, own stake, rolls,
ballots, purse. p_how: left, removed or erased; only the going of who left of their own will may complete a proposal.

Returns what expired with the purse and what was forfeited of a stake, in CC. Only under private.lock_membership,
which has also closed the election that is over.';

create function private.depart(
  p_community_id uuid, p_user_id uuid, p_how text, out expired integer, out forfeited integer
)
language plpgsql security definer set search_path = ''
as $$
begin
  if not exists (
    select from private.community_members as m
    where m.community_id = p_community_id and m.user_id = p_user_id and m.left_at is null
  ) then
    return;
  end if;
  select e.expired, e.forfeited into expired, forfeited
  from private.end_membership(p_community_id, p_user_id, p_how) as e;
  perform private.note_item(p_community_id, 'left', p_user_id, jsonb_build_object(
    'user_id', p_user_id, 'how', case when p_how = 'removed' then 'removed' else 'left' end
  ));
  if p_how <> 'removed' then
    perform private.record_act(p_community_id, p_user_id, 'member_left', p_user_id);
    perform private.announce(p_community_id, 'member_left', jsonb_build_object('user_id', p_user_id));
  end if;
  perform private.fill_seat(p_community_id);
  if cardinality(private.member_ids(p_community_id)) = 0 then
    perform private.change_join_code(p_community_id, false, false, null);
  end if;
end;
$$;
comment on function private.depart is
'Somebody goes: their membership ends, the Chamber hears of it (of a removal from who removed them), and a moderator''s
seat left empty is filled. With the very last one the join code is paused: nobody should come into a community without a
moderator. Whose membership has ended already changes nothing more. Only under private.lock_membership.';

create function private.leave_community(p_community_id uuid, p_successor_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_gone record;
begin
  -- Of many calls at once one goes on, and the others wait here: in the queue of the day everybody would wait for each.
  perform pg_advisory_xact_lock(1128792071, uuid_hash(p_community_id) # uuid_hash(v_me.user_id));
  perform private.require_member(p_community_id);
  perform private.foresee_seat(p_community_id, v_me.user_id, p_successor_id);
  perform private.lock_membership(p_community_id);
  -- Asked again, now that nobody comes or goes beside this: a removal may have come first.
  perform private.require_member(p_community_id);
  perform private.pass_seat(p_community_id, v_me.user_id, p_successor_id);
  v_gone := private.depart(p_community_id, v_me.user_id, 'left');
  return jsonb_build_object('left', true, 'expired', v_gone.expired, 'forfeited', v_gone.forfeited);
end;
$$;

create function public.leave_community(community_id uuid, successor_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.leave_community(leave_community.community_id, leave_community.successor_id);
end;
comment on function public.leave_community is
'Leaves a community; the last moderator names another member as successor, unless nobody else is left.

The purse expires, an active tip-to-tip is withdrawn and its stake forfeited, open requests are cancelled, loans
owed to the leaver are released, loans they owe sleep until they return. A successor counts only where one is
needed. Returns {left: true, expired, forfeited} in CC. Refuses: LAST_MODERATOR {needs}, NOT_FOUND (the successor
too), INVALID_INPUT.';
grant execute on function public.leave_community, private.leave_community to authenticated;

create function private.require_removable(p_community_id uuid, p_user_id uuid, p_reason text)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_moderator(p_community_id);
begin
  perform private.require_text('reason', p_reason, 280);
  if p_user_id = v_me.user_id then
    if private.is_last_moderator(p_community_id, p_user_id) then
      perform private.refuse('LAST_MODERATOR', 'You are the last moderator: leave, and name a successor.',
        '{"needs": "successor_id"}');
    end if;
    perform private.refuse('FORBIDDEN', 'Nobody removes themselves: leave instead.');
  end if;
  perform private.require_present(p_community_id, p_user_id);
end;
$$;
comment on function private.require_removable is
'Asks that the caller may remove somebody, who is there. Refuses: as remove_member.';

create function private.note_removal(
  p_community_id uuid, p_user_id uuid, p_by_id uuid, p_reason_id bigint, p_ban boolean
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.record_act(
    p_community_id, p_by_id, 'member_removed', p_user_id,
    jsonb_build_object('reason_id', p_reason_id, 'ban', p_ban)
  );
  perform private.announce(
    p_community_id, 'member_removed', jsonb_build_object('user_id', p_user_id, 'by_id', p_by_id, 'ban', p_ban)
  );
  -- No mute silences it: a member who is one no more has no other way to learn of it.
  perform private.notify(
    array[p_user_id], p_community_id, 'system', 'member_removed', 'member_removed', p_community_id,
    jsonb_build_object('reason_id', p_reason_id), p_by => p_by_id, p_is_ask => true
  );
end;
$$;
comment on function private.note_removal is
'Tells of a removal. The reason is for the person removed and for the audit log: the Chamber hears who removed whom.';

create function private.remove_member(p_community_id uuid, p_user_id uuid, p_reason text, p_ban boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_ban boolean := coalesce(p_ban, false);
  v_reason_id bigint;
begin
  -- Asked before the queue as well, so that nobody waits for who is refused.
  perform private.require_removable(p_community_id, p_user_id, p_reason);
  perform private.lock_membership(p_community_id);
  perform private.require_acting_member(p_community_id);
  perform private.require_removable(p_community_id, p_user_id, p_reason);

  perform private.depart(p_community_id, p_user_id, 'removed');
  v_reason_id := private.keep_words(p_community_id, v_me.user_id, p_reason);
  if v_ban then
    perform private.ban(p_community_id, p_user_id, v_me.user_id, v_reason_id);
  end if;
  perform private.note_removal(p_community_id, p_user_id, v_me.user_id, v_reason_id, v_ban);
  return jsonb_build_object('removed', true);
end;
$$;
comment on function private.remove_member is
'Moderators may be removed like anyone else; of two who remove each other at once, one is too late.';

create function public.remove_member(community_id uuid, user_id uuid, reason text, ban boolean default false)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.remove_member(
    remove_member.community_id, remove_member.user_id, remove_member.reason, remove_member.ban
  );
end;
comment on function public.remove_member is
'A moderator removes a member, another moderator too.

reason is 1 to 280 characters; ban keeps them from returning. Everything happens as on leaving, except: proposals
still awaiting the removed member are void with their stakes refunded, and the stake of their own proposal comes
back before their purse expires. Returns {removed: true}. Refuses: FORBIDDEN (no moderator; oneself), LAST_MODERATOR
{needs} (oneself, as the last), NOT_FOUND (the member too), INVALID_INPUT.';
grant execute on function public.remove_member, private.remove_member to authenticated;

-- Bans: keeping out who has gone, and letting them come back (RULES 2.6).

create function private.require_former_member(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if private.is_member(p_community_id, p_user_id) then
    perform private.refuse('CONFLICT', 'They are in this community: remove them.', '{"present": true}');
  elsif not exists (
    select from private.community_members as m
    join private.users as u on u.id = m.user_id and u.erased_at is null
    where m.community_id = p_community_id and m.user_id = p_user_id
  ) then
    perform private.refuse('NOT_FOUND', 'There is no such member.');
  end if;
end;
$$;
comment on function private.require_former_member is
'Asks that a person was in a community, has left it and is not erased. Refuses: CONFLICT {present}, NOT_FOUND.';

create function private.require_bannable(p_community_id uuid, p_user_id uuid, p_reason text)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_moderator(p_community_id);
begin
  perform private.require_text('reason', p_reason, 280);
  perform private.require_former_member(p_community_id, p_user_id);
  if private.is_banned(p_community_id, p_user_id) then
    perform private.refuse('CONFLICT', 'They are banned already.', '{"banned": true}');
  end if;
  perform private.require_quiet_rate(p_community_id, v_me.user_id);
end;
$$;
comment on function private.require_bannable is
'Asks that the caller may ban somebody now. Refuses: as ban_member.';

create function private.ban_member(p_community_id uuid, p_user_id uuid, p_reason text)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_reason_id bigint;
begin
  -- Asked before the queue as well, so that nobody waits for who is refused.
  perform private.require_bannable(p_community_id, p_user_id, p_reason);
  -- Nobody comes or goes beside this: whoever is just joining is in already, or finds the ban.
  perform private.lock_membership(p_community_id);
  perform private.require_acting_member(p_community_id);
  perform private.require_bannable(p_community_id, p_user_id, p_reason);
  perform private.count_quiet_act(p_community_id, v_me.user_id);

  v_reason_id := private.keep_words(p_community_id, v_me.user_id, p_reason);
  perform private.ban(p_community_id, p_user_id, v_me.user_id, v_reason_id);
  perform private.record_act(
    p_community_id, v_me.user_id, 'member_banned', p_user_id, jsonb_build_object('reason_id', v_reason_id)
  );
  return jsonb_build_object('banned', true);
end;
$$;
comment on function private.ban_member is
'The audit log alone is told: the Chamber has heard of the leaving, and who is no member is not called back by a
notice.';

create function public.ban_member(community_id uuid, user_id uuid, reason text)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.ban_member(ban_member.community_id, ban_member.user_id, ban_member.reason);
end;
comment on function public.ban_member is
'A moderator keeps somebody who has left from coming back.

reason is 1 to 280 characters, for moderators to read. Returns {banned: true}. Refuses: FORBIDDEN, CONFLICT {present} (a
member: that is a removal) or {banned} (already), NOT_FOUND (never a member, or erased), RATE_LIMITED {most,
possible_at, retry_after} (thirty a minute), INVALID_INPUT.';
grant execute on function public.ban_member, private.ban_member to authenticated;

create function private.lift_ban(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_moderator(p_community_id);
begin
  perform private.require_quiet_rate(p_community_id, v_me.user_id);
  if not private.is_banned(p_community_id, p_user_id) then
    perform private.refuse('NOT_FOUND', 'Nobody is banned by this id.');
  end if;
  perform private.lock_membership(p_community_id);
  perform private.require_acting_member(p_community_id);
  perform private.require_moderator(p_community_id);
  perform private.count_quiet_act(p_community_id, v_me.user_id);
  if not private.unban(p_community_id, p_user_id) then
    perform private.refuse('NOT_FOUND', 'Nobody is banned by this id.');
  end if;
  perform private.record_act(p_community_id, v_me.user_id, 'ban_lifted', p_user_id);
  return jsonb_build_object('banned', false);
end;
$$;

create function public.lift_ban(community_id uuid, user_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.lift_ban(lift_ban.community_id, lift_ban.user_id);
end;
comment on function public.lift_ban is
'A moderator lifts a ban: who was banned may join again with a join code.

Returns {banned: false}. Refuses: FORBIDDEN, NOT_FOUND (community, or nobody of this id is banned), RATE_LIMITED {most,
possible_at, retry_after} (thirty a minute).';
grant execute on function public.lift_ban, private.lift_ban to authenticated;

create function private.list_bans(p_community_id uuid, p_page_size integer, p_before_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_page bigint[];
begin
  perform private.require_moderator(p_community_id);
  perform private.require_page_size(p_page_size);
  v_page := array(
    select b.id from private.bans as b
    where b.community_id = p_community_id and b.id < coalesce(p_before_id, 9223372036854775807)
    order by b.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'bans', (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object(
              'id', b.id, 'user', p.person, 'reason', private.read_words(b.community_id, b.reason_id),
              'banned_by', y.person, 'created_at', b.created_at
            )
            order by b.id desc
          ), '[]'
        )
      from private.bans as b
      join private.shown_people as p on p.id = b.user_id
      join private.shown_people as y on y.id = b.banned_by
      where b.community_id = p_community_id and b.id = any(v_page[:p_page_size])
    ),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;

create function public.list_bans(community_id uuid, page_size integer default 50, before_id bigint default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_bans(list_bans.community_id, list_bans.page_size, list_bans.before_id);
end;
comment on function public.list_bans is
'Who may not come back to a community, the latest ban first, for its moderators.

Returns {bans: [{id, user, reason, banned_by, created_at}], has_more}; reason is null once whose words it was is erased.
Refuses: NOT_FOUND, FORBIDDEN, INVALID_INPUT.';
grant execute on function public.list_bans, private.list_bans to authenticated;

-- The Chamber as members see it: the talk, every act told in full (RULES 3).

create function private.fill_cards(p_community_id uuid, p_lines private.message[])
returns private.message[]
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_types text[];
  v_message_ids bigint[];
  v_ids uuid[];
  v_cards jsonb := jsonb_build_object();
  v_line record;
begin
  -- Joys are what a page is full of. The other cards are asked for only where there are some: to have them all in one
  -- statement would cost a page of talk the setting up of them.
  select array_agg(distinct m.type), array_agg(m.id), array_agg(m.reference_id) into v_types, v_message_ids, v_ids
  from unnest(p_lines) as l
  join private.chat_messages as m on m.community_id = p_community_id and m.id = l.id
  where l.type in ('borrow_request', 'tip_to_tip', 'election', 'system');
  if v_types is null then
    return p_lines;
  end if;
  if 'borrow_request' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(b.id, to_jsonb(b.borrow_request)), '{}') into v_cards
    from private.shown_borrow_requests as b where b.community_id = p_community_id and b.id = any(v_ids);
  end if;
  if 'tip_to_tip' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(t.id, to_jsonb(t.proposal)), '{}') into v_cards
    from private.shown_proposals as t where t.community_id = p_community_id and t.id = any(v_ids);
  end if;
  if 'election' = any(v_types) then
    select v_cards || coalesce(jsonb_object_agg(e.id, e.election), '{}') into v_cards
    from private.shown_elections as e where e.community_id = p_community_id and e.id = any(v_ids);
  end if;
  for v_line in
    select l.ordinality as place, m.type, v_cards -> m.reference_id::text as card
    from unnest(p_lines) with ordinality as l
    join private.chat_messages as m on m.community_id = p_community_id and m.id = l.id
    where l.type in ('borrow_request', 'tip_to_tip', 'election')
  loop
    case v_line.type
      when 'borrow_request' then p_lines[v_line.place].borrow_request := v_line.card;
      when 'tip_to_tip' then p_lines[v_line.place].tip_to_tip := v_line.card;
      else p_lines[v_line.place].election := v_line.card;
    end case;
  end loop;
  if 'system' = any(v_types) then
    for v_line in
      select l.ordinality as place, o.content, o.facts, o.people
      from private.said_lines(p_community_id, v_message_ids) as o
      join unnest(p_lines) with ordinality as l on l.id = o.id
    loop
      p_lines[v_line.place].content := v_line.content;
      p_lines[v_line.place].facts := v_line.facts;
      p_lines[v_line.place].people := v_line.people;
    end loop;
  end if;
  return p_lines;
end;
$$;
comment on function private.fill_cards is
'These lines with the cards that are still missing, and with the words of the house''s own.

Only for a door that has asked whose Chamber it is: row level security would ask it again for every table a card is
made of.';

create function private.show_line(p_community_id uuid, p_message_id bigint)
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_line private.message[] := array(
    select s.message from private.shown_messages as s where s.community_id = p_community_id and s.id = p_message_id
  );
begin
  return json_build_object('message', (private.fill_cards(p_community_id, v_line))[1]);
end;
$$;
comment on function private.show_line is 'What acts on one line answer: {message}, card and all.';

create function private.list_messages(p_community_id uuid, p_page_size integer, p_before_id bigint, p_after_id bigint)
returns json
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  v_page private.message[];
  v_lacks boolean;
  v_more boolean;
  v_safe bigint;
begin
  perform private.require_member(p_community_id);
  perform private.require_page_size(p_page_size);
  if p_before_id is not null and p_after_id is not null then
    perform private.refuse('INVALID_INPUT', 'Page before a message or after one, not both.',
      '{"field": "after_id"}');
  elsif p_after_id is not null then
    -- Asked before the page is read: this function is volatile so that the page has a later snapshot.
    v_safe := private.safe_position();
    select array_agg(s.message order by s.id), bool_or(s.type not in ('message', 'declaration')) into v_page, v_lacks
    from (
      select s.id, s.type, s.message from private.shown_messages as s
      where s.community_id = p_community_id and s.id > p_after_id and s.id <= v_safe
      order by s.id
      limit p_page_size + 1
    ) as s;
    v_more := cardinality(v_page) > p_page_size;
    v_page := v_page[:p_page_size];
  else
    select array_agg(s.message order by s.id), bool_or(s.type not in ('message', 'declaration')) into v_page, v_lacks
    from (
      select s.id, s.type, s.message from private.shown_messages as s
      where s.community_id = p_community_id and s.id < coalesce(p_before_id, 9223372036854775807)
      order by s.id desc
      limit p_page_size + 1
    ) as s;
    v_more := cardinality(v_page) > p_page_size;
    v_page := v_page[1 + v_more::integer:];
  end if;
  if v_lacks then
    v_page := private.fill_cards(p_community_id, v_page);
  end if;
  return json_build_object('messages', coalesce(to_json(v_page), '[]'), 'has_more', coalesce(v_more, false));
end;
$$;
comment on function private.list_messages is
'Of a page the lines, their authors and the joys are one statement, by the index it is paged by; one plan serves every
community, for to weigh it anew would cost as much as a page.';

create function public.list_messages(
  community_id uuid, page_size integer default 50, before_id bigint default null, after_id bigint default null
)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.list_messages(
    list_messages.community_id, list_messages.page_size, list_messages.before_id, list_messages.after_id
  );
end;
$$;
comment on function public.list_messages is
'A page of the Chamber, oldest first within it.

The newest page by default, or the one before or after a message''s id. has_more tells whether more lie in the
direction paged. Paging forward (after_id) holds back what is newer than an act still under way, so a line may come
late but is never skipped. Returns {messages: [message], has_more}. Refuses: NOT_FOUND, INVALID_INPUT (both anchors;
page_size).';
grant execute on function public.list_messages, private.list_messages to authenticated;

create function private.require_line(p_message_id bigint)
returns private.chat_messages
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_line private.chat_messages;
begin
  select m.* into v_line from private.chat_messages as m where m.id = p_message_id;
  perform private.require_seen(v_line.community_id, 'message');
  return v_line;
end;
$$;
comment on function private.require_line is
'Returns a line of a Chamber the caller is in. Refuses: as private.require_seen.';

create function private.get_message(p_message_id bigint)
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_line private.chat_messages := private.require_line(p_message_id);
begin
  return private.show_line(v_line.community_id, p_message_id);
end;
$$;

create function public.get_message(message_id bigint)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.get_message(get_message.message_id);
end;
$$;
comment on function public.get_message is
'One line of a Chamber.

Returns {message}. Refuses: NOT_FOUND.';
grant execute on function public.get_message, private.get_message to authenticated;

create function private.send_message(p_community_id uuid, p_content text, p_request_id uuid)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.begin_words(p_community_id);
  v_now timestamptz := private.clock();
  v_id bigint := private.next_line_id();
  v_made jsonb := private.claim(
    v_me.id, 'send_message', p_request_id, jsonb_build_array(p_community_id, p_content),
    jsonb_build_object('message_id', v_id), v_now
  );
begin
  if v_made is not null then
    return private.show_line(p_community_id, (v_made ->> 'message_id')::bigint);
  end if;
  -- One glance for what most say.
  if (p_content ~ '[A-Za-z0-9]' and char_length(p_content) <= 2000) is not true then
    perform private.require_text('content', p_content, 2000);
  end if;
  perform private.require_message_rate(p_community_id, v_me.id, v_now);
  perform private.write_line(
    v_id, p_community_id, v_me.id, 'message', p_content, null, null, null, null, v_now
  );
  perform private.tell(
    ('community:' || p_community_id::text, 'message', jsonb_build_object('message_id', v_id))
  );
  return json_build_object('message', (
    v_id, p_community_id, 'message', v_me.person, p_content, null, null, '[]', null, null, null, null,
    v_now, null, false, null
  )::private.message);
end;
$$;

create function public.send_message(community_id uuid, content text, request_id uuid default null)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.send_message(send_message.community_id, send_message.content, send_message.request_id);
end;
$$;
comment on function public.send_message is
'Says something in the Chamber: 1 to 2000 characters, at most 20 messages a minute; day or night.

Returns {message}. Refuses: RATE_LIMITED {most, possible_at, retry_after}, INVALID_INPUT, NOT_FOUND, CONFLICT
(request_id).';
grant execute on function public.send_message, private.send_message to authenticated;

create function private.lock_own_message(p_message_id bigint)
returns private.chat_messages
language plpgsql security definer set search_path = ''
as $$
declare
  v_line private.chat_messages := private.require_line(p_message_id);
begin
  perform private.require_acting_member(v_line.community_id);
  if v_line.user_id is distinct from private.caller_id() then
    perform private.refuse('FORBIDDEN', 'Only its author may change a message.');
  elsif v_line.type <> 'message' then
    perform private.refuse('FORBIDDEN', 'A card stands as it was posted.');
  end if;
  return private.lock_line(v_line.community_id, p_message_id);
end;
$$;
comment on function private.lock_own_message is
'Locks a plain message of the caller''s own. Refuses: FORBIDDEN (another''s, or a card), NOT_FOUND.';

create function private.edit_message(p_message_id bigint, p_content text)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_line private.chat_messages := private.lock_own_message(p_message_id);
begin
  perform private.require_text('content', p_content, 2000);
  if v_line.deleted_at is not null then
    perform private.refuse('CONFLICT', 'This message is deleted.');
  elsif v_line.created_at + interval '15 minutes' <= private.clock() then
    perform private.refuse('EDIT_WINDOW_PASSED', 'A message may be edited for 15 minutes.',
      jsonb_build_object('passed_at', v_line.created_at + interval '15 minutes'));
  end if;
  perform private.count_quiet_act(
    v_line.community_id, v_line.user_id, v_line.created_at + interval '15 minutes'
  );
  perform private.rewrite_line(v_line.community_id, p_message_id, p_content);
  return private.show_line(v_line.community_id, p_message_id);
end;
$$;

create function public.edit_message(message_id bigint, content text)
returns json
language sql security invoker set search_path = ''
begin atomic
  select private.edit_message(edit_message.message_id, edit_message.content);
end;
comment on function public.edit_message is
'The author rewrites a plain message within 15 minutes of posting it.

Returns {message}. Refuses: EDIT_WINDOW_PASSED {passed_at}, FORBIDDEN (another''s, or a card), CONFLICT (deleted),
RATE_LIMITED {most, possible_at, retry_after} (thirty a minute), INVALID_INPUT, NOT_FOUND.';
grant execute on function public.edit_message, private.edit_message to authenticated;

create function private.delete_message(p_message_id bigint)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_line private.chat_messages := private.lock_own_message(p_message_id);
begin
  if v_line.deleted_at is null then
    perform private.blank_line(v_line.community_id, p_message_id, null);
  end if;
  return private.show_line(v_line.community_id, p_message_id);
end;
$$;

create function public.delete_message(message_id bigint)
returns json
language sql security invoker set search_path = ''
begin atomic
  select private.delete_message(delete_message.message_id);
end;
comment on function public.delete_message is
'Deletes a plain message of the caller''s own, at any time.

Its words are gone for good, an empty line stays; doing it again changes nothing. Returns {message}. Refuses:
FORBIDDEN (another''s, or a card), NOT_FOUND.';
grant execute on function public.delete_message, private.delete_message to authenticated;

create function private.strike_words_of(p_line private.chat_messages)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  case p_line.type
    when 'declaration' then perform private.strike_declaration(p_line.community_id, p_line.reference_id);
    when 'borrow_request' then perform private.strike_borrow_request(p_line.community_id, p_line.reference_id);
    when 'tip_to_tip' then perform private.strike_proposal(p_line.community_id, p_line.reference_id);
    when 'election' then perform private.strike_election(p_line.community_id, p_line.reference_id);
    when 'system' then perform private.strike_words(p_line.community_id, (p_line.facts ->> 'reason_id')::bigint);
    else null;
  end case;
end;
$$;
comment on function private.strike_words_of is
'Takes away the words of the thing a card shows, or the reason a system line repeats: they are gone from every list and
notice, for these look them up.';

create function private.strike_message(p_message_id bigint, p_reason text)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_line private.chat_messages := private.require_line(p_message_id);
  v_me private.community_members := private.require_acting_moderator(v_line.community_id);
  v_reason_id bigint;
begin
  perform private.require_text('reason', p_reason, 280);
  v_line := private.lock_line(v_line.community_id, p_message_id);
  perform private.count_quiet_act(v_line.community_id, v_me.user_id);
  v_reason_id := private.keep_words(v_line.community_id, v_me.user_id, p_reason);
  perform private.strike_words_of(v_line);
  perform private.blank_line(v_line.community_id, p_message_id, v_reason_id);
  perform private.record_act(
    v_line.community_id, v_me.user_id, 'message_struck', v_line.user_id,
    jsonb_build_object('message_id', p_message_id, 'type', v_line.type, 'reason_id', v_reason_id)
  );
  return private.show_line(v_line.community_id, p_message_id);
end;
$$;

create function public.strike_message(message_id bigint, reason text)
returns json
language sql security invoker set search_path = ''
begin atomic
  select private.strike_message(strike_message.message_id, strike_message.reason);
end;
comment on function public.strike_message is
'A moderator strikes any line, with a reason of 1 to 280 characters that stays beside it.

Its words vanish, a card''s in every list too; its money stays. Kept in the audit log. Returns {message}. Refuses:
FORBIDDEN, RATE_LIMITED {most, possible_at, retry_after} (thirty a minute), INVALID_INPUT, NOT_FOUND.';
grant execute on function public.strike_message, private.strike_message to authenticated;

create function private.mark_chamber_read(p_community_id uuid, p_message_id bigint)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_acting_member(p_community_id);
begin
  if not exists (
    select from private.chat_messages as m where m.id = p_message_id and m.community_id = p_community_id
  ) then
    perform private.refuse('NOT_FOUND', 'There is no such message here.');
  end if;
  perform private.move_mark(p_community_id, v_me.user_id, p_message_id);
  return jsonb_build_object('unread', private.count_unread(p_community_id, v_me.user_id));
end;
$$;

create function public.mark_chamber_read(community_id uuid, message_id bigint)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.mark_chamber_read(mark_chamber_read.community_id, mark_chamber_read.message_id);
end;
$$;
comment on function public.mark_chamber_read is
'Sets the caller''s mark at a message; it moves forward only.

A line that is committed late, by an act under way while the mark was set past it, counts as read. Returns {unread}:
what others wrote since, at most 1000. Refuses: NOT_FOUND.';
grant execute on function public.mark_chamber_read, private.mark_chamber_read to authenticated;

-- Looking into one's purse, the books and the Sunset list (RULES 5 and 6).

create function private.get_balance(p_community_id uuid)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.able_person(private.caller_id());
  v_now timestamptz := private.clock();
  v_due_at timestamptz;
  v_answer json;
begin
  select s.due_at, json_build_object('balance', s.balance) into v_due_at, v_answer
  from private.community_members as m
  join private.shown_balances as s on s.community_id = m.community_id and s.user_id = m.user_id
  where m.community_id = p_community_id and m.user_id = v_me.id and m.left_at is null;
  if not found then
    perform private.require_member(p_community_id);
  elsif v_due_at <= v_now then
    perform private.settle_day(p_community_id, v_now);
    return json_build_object('balance', private.show_balance_of(p_community_id, v_me.id));
  end if;
  return v_answer;
end;
$$;
create function public.get_balance(community_id uuid)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.get_balance(get_balance.community_id);
end;
$$;
comment on function public.get_balance is
'The caller''s purse in a community, true now: an overdue day is settled first (by GET, what is stored).

Returns {balance}. Refuses: NOT_FOUND.';
grant execute on function public.get_balance, private.get_balance to authenticated;

create function private.list_ledger(p_community_id uuid, p_page_size integer, p_before_id bigint, p_entry_type text)
returns json
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  v_me private.community_members := private.require_member_today(p_community_id);
  v_page private.ledger_entry[];
begin
  perform private.require_page_size(p_page_size);
  if p_entry_type is not null then
    perform private.require_choice(
      'entry_type', p_entry_type, array(select distinct k.type from private.entry_kinds() as k)
    );
  end if;
  v_page := array(
    select e.entry from private.shown_entries as e
    where e.community_id = p_community_id and e.user_id = v_me.user_id
      and e.id < coalesce(p_before_id, 9223372036854775807)
      and (p_entry_type is null or e.type = p_entry_type)
    order by e.id desc
    limit p_page_size + 1
  );
  return json_build_object(
    'entries', v_page[:p_page_size],
    'has_more', cardinality(v_page) > p_page_size,
    'summary', (
      select json_build_object(
        'total_spent_all_time', b.spent_total, 'remaining_today', b.remaining, 'spent_today', b.spent_today
      )
      from private.purses as b
      where b.community_id = p_community_id and b.user_id = v_me.user_id
    )
  );
end;
$$;

create function public.list_ledger(
  community_id uuid, page_size integer default 50, before_id bigint default null, entry_type text default null
)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.list_ledger(
    list_ledger.community_id, list_ledger.page_size, list_ledger.before_id, list_ledger.entry_type
  );
end;
$$;
comment on function public.list_ledger is
'The caller''s own ledger in a community, newest first, all of it or one type; an overdue day is settled first.

Returns {entries: [ledger_entry + {moved, source, destination, counterparty_id}], has_more, summary:
{total_spent_all_time, remaining_today, spent_today}}; stakes refunded are no spending. Refuses: NOT_FOUND,
INVALID_INPUT.';
grant execute on function public.list_ledger, private.list_ledger to authenticated;

create function private.prove_books(p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_audit jsonb;
begin
  -- One statement, one snapshot: nothing moves between the two sides of the sum.
  with entries as (
    -- An entry of no known kind, or without the other end its kind has, moves nothing and so unbalances everything.
    select e.user_id, e.amount, e.moved, k.source, k.destination, k.counts_as_spent, k.counts_as_debt
    from private.ledger_entries as e
    left join private.entry_kinds() as k
      on k.type = e.type and k.sign = sign(e.amount) and e.moved = coalesce(nullif(abs(e.amount), 0), e.moved)
      and k.has_counterparty = (e.counterparty_id is not null)
    where e.community_id = p_community_id
  ), per_member as (
    select
      e.user_id,
      sum(e.amount) as purse,
      coalesce(sum(-e.amount) filter (where e.counts_as_spent), 0) as spent_total,
      sum(e.moved) filter (where e.source = 'minted') as minted,
      sum(e.moved) filter (where e.destination = 'spent') as spent,
      sum(e.moved) filter (where e.destination = 'forfeited') as forfeited,
      sum(e.moved) filter (where e.destination = 'expired') as expired,
      sum(case 'escrow' when e.destination then e.moved when e.source then -e.moved end) as escrow,
      count(*) filter (where e.source is null) as strange
    from entries as e
    group by e.user_id
  ), copied as (
    -- What a purse and its day keep beside coins, told once more by what it is a copy of.
    select
      b.user_id, b.remaining, b.spent_total,
      b.debt = (
        select coalesce(sum(l.outstanding), 0) from private.loans as l
        where l.community_id = b.community_id and l.borrower_id = b.user_id and l.status = 'open'
      )
      and b.joys_today = (
        select count(*) from private.declarations as d
        where d.community_id = b.community_id and d.user_id = b.user_id and d.day = b.day
      )
      and (b.joys_today = 0 or b.day <> o.day or b.last_lived = o.days_lived)
      and b.longest_streak >= b.streak
      and o.daily_budget = c.daily_cc_budget as is_right
    from private.purses as b
    join private.community_days as o on o.community_id = b.community_id
    join private.communities as c on c.id = b.community_id
    where b.community_id = p_community_id
  ), books as (
    select
      coalesce(sum(p.minted), 0) as minted, coalesce(sum(p.spent), 0) as spent,
      coalesce(sum(p.forfeited), 0) as forfeited, coalesce(sum(p.expired), 0) as expired,
      coalesce(sum(b.remaining), 0) as purses, coalesce(sum(p.escrow), 0) as escrow_by_ledger,
      (
        select coalesce(sum(s.amount), 0) from private.stakes as s
        where s.community_id = p_community_id and s.status in ('held', 'due')
      ) as escrow,
      bool_and(
        coalesce(p.purse, 0) = coalesce(b.remaining, 0) and coalesce(p.spent_total, 0) = coalesce(b.spent_total, 0)
        and coalesce(p.strange, 0) = 0 and coalesce(b.is_right, false)
      ) as purses_agree
    from per_member as p
    full join copied as b using (user_id)
  )
  select jsonb_build_object(
    'minted', b.minted, 'spent', b.spent, 'forfeited', b.forfeited, 'expired', b.expired, 'purses', b.purses,
    'escrow', b.escrow,
    'balanced',
    b.minted = b.spent + b.forfeited + b.expired + b.purses + b.escrow
    and b.escrow = b.escrow_by_ledger and coalesce(b.purses_agree, true)
  ) into v_audit
  from books as b;
  return v_audit;
end;
$$;
comment on function private.prove_books is
'The totals of a community''s books, and whether they balance; reads its whole ledger. Every figure a purse or its day
copies is counted again, and every entry held against private.entry_kinds.';

create function private.audit_ledger(p_community_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_member_today(p_community_id);
  perform private.take_turn();
  return private.prove_books(p_community_id);
end;
$$;
create function public.audit_ledger(community_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.audit_ledger(audit_ledger.community_id);
end;
comment on function public.audit_ledger is
'Proves a community''s books to any member, in totals only (RULES 5.2).

balanced says that minted = spent + forfeited + expired + purses + escrow, that every entry is of a known kind, that
every purse is the sum of its entries and what it says was spent, owed and declared today is so, and that the escrow is
the sum of its own. A proof reads everything: its cost grows with the community''s ledger, so one person''s proofs come one at a time. Returns
{minted, spent, forfeited, expired, purses, escrow, balanced}. Refuses: NOT_FOUND, RATE_LIMITED {most}.';
grant execute on function public.audit_ledger, private.audit_ledger to authenticated;

create function private.preview_dawn(p_community_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member_today(p_community_id);
  v_dawn record := private.reckon_dawn(p_community_id, v_me.user_id);
begin
  return (
    with due as materialized (
      select r.borrower_id, r.lender_id, sum(r.amount) as amount
      from private.repayments_due(p_community_id, v_dawn.budget, v_dawn.day) as r
      where v_me.user_id in (r.borrower_id, r.lender_id)
      group by r.borrower_id, r.lender_id
    ), owed as (
      select coalesce(jsonb_agg(jsonb_build_object('lender', p.person, 'amount', d.amount) order by p.id), '[]') as list
      from due as d
      join private.shown_people as p on p.id = d.lender_id
      where d.borrower_id = v_me.user_id
    ), lent as (
      select coalesce(jsonb_agg(jsonb_build_object('borrower', p.person, 'amount', d.amount) order by p.id), '[]') as list
      from due as d
      join private.shown_people as p on p.id = d.borrower_id
      where d.lender_id = v_me.user_id
    )
    select jsonb_build_object(
      'grant', v_dawn.granted, 'repayments', owed.list, 'collections', lent.list, 'refunds', v_dawn.refunded,
      'wake_with', v_dawn.wake_with
    )
    from owed cross join lent
  );
end;
$$;
create function public.preview_dawn(community_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.preview_dawn(preview_dawn.community_id);
end;
comment on function public.preview_dawn is
'What the caller''s next Dawn will do to their purse, as loans, stakes and pending settings stand now.

Returns {grant, repayments: [{lender, amount}], collections: [{borrower, amount}], refunds, wake_with}, one line a
person; wake_with = grant - repayments + collections + refunds. Refuses: NOT_FOUND.';
grant execute on function public.preview_dawn, private.preview_dawn to authenticated;

create function public.get_sunset(community_id uuid, day date default null)
returns jsonb
language plpgsql security invoker set search_path = ''
as $$
declare
  v_day date := get_sunset.day;
begin
  perform private.require_member_today(get_sunset.community_id);
  if not isfinite(v_day) then
    perform private.refuse('INVALID_INPUT', 'day must be a date.', '{"field": "day"}');
  elsif v_day is null then
    select d.last_closed_day into v_day
    from private.community_days as d where d.community_id = get_sunset.community_id;
  end if;
  return (
    select jsonb_build_object(
      'date', v_day,
      'entries', coalesce(
        jsonb_agg(
          jsonb_build_object('user', p.person, 'unspent_cc', s.unspent_cc)
          order by s.unspent_cc desc, p.display_name, s.user_id
        ),
        '[]'
      ),
      'total_expired', coalesce(sum(s.unspent_cc), 0)
    )
    from private.sunset_entries as s
    join private.shown_people as p on p.id = s.user_id
    where s.community_id = get_sunset.community_id and s.day = v_day
  );
end;
$$;
comment on function public.get_sunset is
'The Sunset list of a day, the last closed one by default: who let how much expire, most first.

Returns {date, entries: [{user, unspent_cc}], total_expired}; a day nobody lost anything on has no entries, and date
is null before the first Sunset. Refuses: NOT_FOUND.';
grant execute on function public.get_sunset to authenticated;

-- Members: who is in a community, and what each has declared and witnessed (RULES 2).

create function private.show_everyone(p_community_id uuid)
returns json
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(json_agg(s.member order by s.joined_at, s.user_id), '[]')
    from private.shown_members(p_community_id, private.member_ids(p_community_id)) as s
  );
end;
$$;
comment on function private.show_everyone is 'Everyone in a community. Only for a door that has asked whose it is.';

create function private.list_members(p_community_id uuid)
returns json
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.require_member(p_community_id);
  return json_build_object('members', private.show_everyone(p_community_id));
end;
$$;

create function public.list_members(community_id uuid)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.list_members(list_members.community_id);
end;
$$;
comment on function public.list_members is
'Everyone in a community, longest-standing first; able is false for who cannot act now.

Returns {members: [member]}. Refuses: NOT_FOUND.';
grant execute on function public.list_members, private.list_members to authenticated;

create function private.get_community(p_community_id uuid)
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
begin
  return json_build_object(
    'community', private.show_community_to(p_community_id, 'moderator' = any(private.roles_now(v_me))),
    'members', private.show_everyone(p_community_id)
  );
end;
$$;

create function public.get_community(community_id uuid)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.get_community(get_community.community_id);
end;
$$;
comment on function public.get_community is
'One community and everyone in it.

Returns {community, members: [member]}; community.invite_code for its moderators only. Refuses: NOT_FOUND.';
grant execute on function public.get_community, private.get_community to authenticated;

create function private.get_member_profile(p_community_id uuid, p_user_id uuid)
returns json
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_today date := (private.day_at(p_community_id, private.clock())).day;
  v_profile json;
begin
  select json_build_object(
    'user', p.person,
    'communities_shared', (
      select count(*)
      from private.community_members as theirs
      join private.community_members as mine on mine.community_id = theirs.community_id
      where theirs.user_id = p_user_id and theirs.left_at is null
        and mine.user_id = v_me.user_id and mine.left_at is null
    ),
    'total_declarations', d.declarations,
    'total_cc_spent', d.spent,
    'avg_cc_per_declaration', case when d.declarations = 0 then 0 else round(d.spent::numeric / d.declarations, 2) end,
    'most_expensive_declaration', (
      select s.declaration from private.shown_declarations as s
      where s.community_id = p_community_id and s.user_id = p_user_id and (s.declaration).cc_spent = d.most
      order by s.day, s.number
      limit 1
    ),
    'current_streak', case when r.alive_through >= v_today then r.days else 0 end,
    'longest_streak', coalesce(r.longest, 0),
    'witnessed_given', (
      select count(*) from private.witnesses as w
      where w.community_id = p_community_id and w.user_id = p_user_id
    ),
    'witnessed_received', d.witnessed,
    'joined_at', m.joined_at,
    'left_at', m.left_at
  )
  into v_profile
  from private.community_members as m
  join private.shown_people as p on p.id = m.user_id
  left join private.shown_streaks as r on r.community_id = m.community_id and r.user_id = m.user_id
  cross join (
    select
      count(*) as declarations,
      coalesce(sum(o.cc_spent), 0) as spent,
      coalesce(sum(o.witnessed_count), 0) as witnessed,
      max(o.cc_spent) as most
    from private.declarations as o
    where o.community_id = p_community_id and o.user_id = p_user_id
  ) as d
  where m.community_id = p_community_id and m.user_id = p_user_id;
  if v_profile is null then
    perform private.refuse('NOT_FOUND', 'There is no such member.');
  end if;
  return v_profile;
end;
$$;
comment on function private.get_member_profile is
'It asks for membership once and reads with its owner''s rights: row by row, row
level security would double its cost.';
create function public.get_member_profile(community_id uuid, user_id uuid)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.get_member_profile(get_member_profile.community_id, get_member_profile.user_id);
end;
$$;
comment on function public.get_member_profile is
'What a member, present or former, has declared and witnessed in a community the caller is in.

Returns {user, communities_shared (how many), total_declarations, total_cc_spent, avg_cc_per_declaration,
most_expensive_declaration (a declaration or null; the earliest of equals), current_streak, longest_streak (days),
witnessed_given, witnessed_received, joined_at, left_at}. Refuses: NOT_FOUND.';
grant execute on function public.get_member_profile, private.get_member_profile to authenticated;

-- The reckoning of a week: what everybody declared and who was there all of it (RULES 10).

create function private.require_week(p_day date)
returns date
language plpgsql immutable security definer set search_path = ''
as $$
begin
  -- So far from either end of the calendar that no arithmetic on days can fall off it.
  if p_day not between '0001-01-07' and '9999-12-24' then
    perform private.refuse('INVALID_INPUT', 'week_start must be a date of our calendar.',
      jsonb_build_object('field', 'week_start'));
  end if;
  return private.week_of(p_day);
end;
$$;
comment on function private.require_week is
'The Sunday of the week a day names, null for null. Refuses: INVALID_INPUT {field}, far out of any calendar.';
grant execute on function private.require_week to authenticated;

create function private.sum_week(
  p_community_id uuid, p_week_start date,
  out user_id uuid, out total_cc_spent integer, out total_declarations integer, out witnessed_received integer,
  out active_days integer, out joined_at timestamptz, out place integer
)
returns setof record
language plpgsql stable security definer rows 50
set search_path = '' set plan_cache_mode = force_generic_plan set enable_sort = off set jit = off
as $$
declare
  v_away uuid[] := private.away_ids(p_community_id, p_week_start, p_week_start + 6);
begin
  return query
  with sums as (
    select
      d.user_id,
      sum(d.cc_spent)::integer as spent,
      count(*)::integer as declarations,
      sum(d.witnessed_count)::integer as witnessed,
      bit_count(bit_or(1 << (d.day - p_week_start))::bit(8))::integer as days
    from private.declarations as d
    where d.community_id = p_community_id and d.day between p_week_start and p_week_start + 6
    group by d.user_id
  ), weeks as (
    select
      m.user_id,
      coalesce(s.spent, 0) as spent,
      coalesce(s.declarations, 0) as declarations,
      coalesce(s.witnessed, 0) as witnessed,
      coalesce(s.days, 0) as days,
      m.joined_at,
      s.user_id is not null and m.joined_day <= p_week_start and m.user_id <> all(v_away) as runs
    from private.community_members as m
    left join sums as s on s.user_id = m.user_id
    where m.community_id = p_community_id and m.left_at is null
      and not exists (select from private.erasures as e where e.user_id = m.user_id)
  )
  select
    w.user_id, w.spent, w.declarations, w.witnessed, w.days, w.joined_at,
    case
      when w.runs then row_number() over (
        partition by w.runs order by w.spent, w.declarations desc, w.witnessed desc, w.joined_at, w.user_id
      )::integer
    end
  from weeks as w;
end;
$$;
comment on function private.sum_week is
'Every member''s figures in a week (RULES 10), and the place of those who were there all of it, having declared a joy
and been away on no day: members since its Sunday or before. Who spent least comes first; ties: more joys, more
witnesses received, earlier joined, and last the id, so that there is always one answer. Who came back in the week was
not there all of it; whether they can act now is not asked here.

Joining goes by the day the community lived then, as it was called then, like the joys themselves: no change of zone
moves it into another week. A Sunday that the community passed over lets nobody in who came after it (RULES 6.2).

Its plan is the same for every community and week: where joys are many, PostgreSQL would weigh it anew at each call, and,
expecting few of any range of days, sort them all before it adds them up.';

create function private.reckon(
  p_community_id uuid, p_week_start date,
  out user_id uuid, out eligible boolean, out total_cc_spent integer, out total_declarations integer,
  out witnessed_received integer, out joined_at timestamptz, out place integer
)
returns setof record
language plpgsql stable security definer rows 50 set search_path = ''
as $$
begin
  return query
  select
    w.user_id, w.eligible, w.total_cc_spent, w.total_declarations, w.witnessed_received, w.joined_at,
    case when w.eligible then row_number() over (partition by w.eligible order by w.place)::integer end
  from (
    select
      s.*,
      s.place is not null and private.is_able(s.user_id) as eligible
    from private.sum_week(p_community_id, p_week_start) as s
  ) as w;
end;
$$;
comment on function private.reckon is
'The reckoning of a week for its Jashn (RULES 10.2): every member''s figures, and the place of those who are eligible:
who has a place in the week and can act now.';

create function private.first_able(p_user_ids uuid[])
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_id uuid;
begin
  foreach v_id in array p_user_ids loop
    if private.is_able(v_id) then
      return v_id;
    end if;
  end loop;
  return null;
end;
$$;
comment on function private.first_able is 'The first of these people who can act now; null if nobody can.';

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

-- The leaderboard of a week (RULES 10.1).

create type private.board_entry as (
  rank integer,
  "user" json,
  total_declarations integer,
  total_cc_spent integer,
  avg_cc_per_declaration numeric,
  witnessed_received integer,
  streak_days integer,
  active_days integer
);
comment on type private.board_entry is 'Somebody''s line of the leaderboard, key by attribute.';

create function private.get_leaderboard(p_community_id uuid, p_week_start date)
returns json
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  v_today date;
  v_week date;
  v_entries private.board_entry[];
  v_by_place uuid[];
  v_honoured uuid;
begin
  perform private.require_member(p_community_id);
  v_today := (private.day_at(p_community_id, private.clock())).day;
  v_week := private.require_week(coalesce(p_week_start, v_today));
  with sums as materialized (
    select s.* from private.sum_week(p_community_id, v_week) as s where s.total_declarations > 0
  )
  select
    array(
      select
        row(
          rank() over (order by b.total_cc_spent desc, b.total_declarations desc), b.person, b.total_declarations,
          b.total_cc_spent, round(b.total_cc_spent::numeric / b.total_declarations, 2), b.witnessed_received,
          coalesce(b.days, 0), b.active_days
        )::private.board_entry
      from (
        select s.*, p.person, r.days
        from sums as s
        join private.shown_people as p on p.id = s.user_id
        -- One by one, as the limit has it: joined all at once, everybody would be held against everybody.
        left join lateral (
          select o.days from private.shown_streaks as o
          where o.community_id = p_community_id and o.user_id = s.user_id and o.alive_through >= v_today
          limit 1
        ) as r on true
        order by s.total_cc_spent desc, s.total_declarations desc, p.display_name, s.user_id
      ) as b
    ),
    array(select s.user_id from sums as s where s.place is not null order by s.place)
  into v_entries, v_by_place;
  -- Whom the Jashn of the week honoured or, where none was held yet, would honour as things stand.
  select j.honored_user_id into v_honoured from private.jashns as j
  where j.community_id = p_community_id and j.week_start = v_week;
  if not found then
    v_honoured := private.first_able(v_by_place);
  end if;
  return json_build_object(
    'week_start', v_week, 'week_end', v_week + 6, 'entries', to_json(v_entries),
    'most_restrained', (select p.person from private.shown_people as p where p.id = v_honoured)
  );
end;
$$;
comment on function private.get_leaderboard is
'Board and honoree come out of one reckoning of the week. It asks for membership once and reads with its owner''s
rights: row by row, row level security would double its cost.';

create function public.get_leaderboard(community_id uuid, week_start date default null)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.get_leaderboard(get_leaderboard.community_id, get_leaderboard.week_start);
end;
$$;
comment on function public.get_leaderboard is
'The board of one week, Sunday to Saturday.

week_start, any of its days, names the week; by default the one the community lives. Ranks the members who declared
a joy in it by CC declared, then number of joys; equal figures share a rank, in order of name. Those who have left
are not on it. avg_cc_per_declaration has two decimals, streak_days is the streak alive today whatever the week,
most_restrained is whom its Jashn honoured, or would as things stand. Returns {week_start, week_end, entries:
[{rank, user, total_declarations, total_cc_spent, avg_cc_per_declaration, witnessed_received, streak_days,
active_days}], most_restrained}. Refuses: NOT_FOUND, INVALID_INPUT.';
grant execute on function public.get_leaderboard, private.get_leaderboard to authenticated;

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

-- The last hour: what is about to be lost, and the joys nobody has witnessed (RULES 17).

create function private.unwitnessed_joys(p_community_id uuid, p_day date, p_limit integer)
returns setof private.declarations
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select d.* from private.declarations as d
  join private.shown_people as p on p.id = d.user_id and not p.is_erased
  where d.community_id = p_community_id and d.day = p_day and d.witnessed_count = 0 and d.struck_at is null
  order by d.number
  limit p_limit;
end;
$$;
comment on function private.unwitnessed_joys is
'The joys of a day nobody has witnessed, in the order of declaring; none that is struck or whose author is erased.';

create function private.least_witnessing(p_community_id uuid, p_day date, out ids uuid[], out alike integer)
language plpgsql stable security definer set search_path = ''
as $$
begin
  with counted as (
    select m.id, count(w.user_id) as witnessed
    from unnest(private.able_member_ids(p_community_id)) as m (id)
    left join (
      select o.user_id
      from private.declarations as d
      join private.witnesses as o on o.community_id = d.community_id and o.declaration_id = d.id
      where d.community_id = p_community_id and d.day = p_day
    ) as w on w.user_id = m.id
    where m.id <> all(private.away_ids(p_community_id, p_day, p_day))
    group by m.id
  )
  select
    array_agg(c.id order by c.witnessed, c.id),
    count(*) filter (where c.witnessed = (select min(l.witnessed) from counted as l))
  into ids, alike
  from counted as c;
end;
$$;
comment on function private.least_witnessing is
'The able members who are not away, who has witnessed least of the day''s joys first; alike of them witnessed as little
as the first.';

create function private.ask_for_witnesses(p_community_id uuid, p_day date, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_least record;
  v_joys uuid[];
  v_authors uuid[];
  v_asked uuid[];
  v_about uuid[];
  v_by uuid[];
begin
  select array_agg(j.id order by j.number), array_agg(j.user_id order by j.number) into v_joys, v_authors
  from private.unwitnessed_joys(p_community_id, p_day, 1000) as j;
  if v_joys is null then
    return 0;
  end if;
  v_least := private.least_witnessing(p_community_id, p_day);
  -- Where more than three are alike the joys go round among them: nobody is asked for all.
  select array_agg(a.asked), array_agg(a.joy_id), array_agg(a.author_id) into v_asked, v_about, v_by
  from (
    select
      m.id as asked, j.id as joy_id, j.author_id,
      row_number() over (partition by j.turn order by k.step) as place
    from unnest(v_joys, v_authors) with ordinality as j (id, author_id, turn)
    cross join generate_series(0, 3) as k (step)
    cross join lateral (
      select v_least.ids[
        1 + case when v_least.alike > 3 then (3 * (j.turn - 1) + k.step) % v_least.alike else k.step end
      ] as id
    ) as m
    where m.id <> j.author_id
  ) as a
  where a.place <= 3;
  perform private.notify_each(
    v_asked, p_community_id, 'unwitnessed', 'joy_unwitnessed', 'declaration', v_about, v_by, p_now
  );
  return cardinality(v_joys);
end;
$$;
comment on function private.ask_for_witnesses is
'Puts each joy of a day nobody has witnessed before the three members who witnessed least; returns how many joys, at
most 1,000 of a day. Who witnessed least is told by the joys of this day they bore witness to; equals take turns. All in
one statement: the day is held meanwhile.';

create function private.send_last_light(p_community_id uuid, p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_day private.community_days := private.pass_last_light(p_community_id, p_now);
  v_budget integer := (select c.daily_cc_budget from private.communities as c where c.id = p_community_id);
  v_members uuid[] := private.member_ids(p_community_id);
  v_total bigint;
  v_holders uuid[];
  v_joys integer;
begin
  if v_day.community_id is null or v_day.sunset_at <= p_now then
    return 0;
  end if;
  select
    coalesce(sum(b.remaining), 0),
    coalesce(
      array_agg(b.user_id) filter (where b.remaining * 5 > v_budget and b.user_id = any(v_members)), '{}'
    )
  into v_total, v_holders
  from private.purses as b
  where b.community_id = p_community_id and b.remaining > 0;
  v_joys := private.ask_for_witnesses(p_community_id, v_day.day, p_now);
  if v_total = 0 and v_joys = 0 then
    return 0;
  end if;
  perform private.tell_community(p_community_id, 'last_light', jsonb_build_object('day', v_day.day));
  perform private.notify(
    v_holders, p_community_id, 'last_light', 'last_light', 'last_light', p_community_id,
    jsonb_build_object('total', v_total, 'day', v_day.day, 'sunset_at', v_day.sunset_at), p_at => p_now
  );
  return cardinality(v_holders) + v_joys;
end;
$$;
comment on function private.send_last_light is
'The last light of a community''s day, if its hour has begun: one broadcast, a notice to each member whose purse holds
more than a fifth of the budget, and the joys nobody witnessed put before those who witnessed least. Once a day; after
Sunset, or where nothing is unspent and nothing unwitnessed, nothing. Returns how many purses and joys it was about.';

create function private.get_last_light(p_community_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member_today(p_community_id);
  v_day private.community_days := private.day_of(p_community_id);
  v_left interval := v_day.sunset_at - private.clock();
begin
  if not v_day.is_open or v_left > interval '1 hour' or v_left <= interval '0' then
    return jsonb_build_object('last_light', null);
  end if;
  return jsonb_build_object('last_light', jsonb_build_object(
    'total', (
      select coalesce(sum(b.remaining), 0) from private.purses as b where b.community_id = v_me.community_id
    ),
    'sunset_at', v_day.sunset_at, 'seconds_left', ceil(extract(epoch from v_left))::integer,
    'unwitnessed', (
      select coalesce(jsonb_agg(s.declaration order by j.number), '[]')
      from private.unwitnessed_joys(p_community_id, v_day.day, 200) as j
      cross join lateral (
        -- Looked up one by one, however many joys there are beside them.
        select d.declaration from private.shown_declarations as d
        where d.community_id = j.community_id and d.id = j.id
        order by d.id
        limit 1
      ) as s
    )
  ));
end;
$$;

create function public.get_last_light(community_id uuid)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.get_last_light(get_last_light.community_id);
end;
comment on function public.get_last_light is
'In the hour before Sunset, what the community is about to lose and the joys of the day nobody has witnessed.

An overdue day is settled first. total is that of all purses, without names; unwitnessed holds at most 200 joys, first
declared first. Returns {last_light: {total, sunset_at, seconds_left, unwitnessed: [declaration]}}, or null before that
hour and after it. Refuses: NOT_FOUND.';
grant execute on function public.get_last_light, private.get_last_light to authenticated;

-- Notices and the audit log as they are read: what they say is made of facts here (RULES 3.1, 11.1).

create type private.notification as (
  id bigint,
  community_id uuid,
  type text,
  event text,
  title text,
  body text,
  facts jsonb,
  people json [],
  read boolean,
  count integer,
  ref_kind text,
  ref_id uuid,
  created_at timestamptz,
  updated_at timestamptz
);
comment on type private.notification is 'The shape notification, key by attribute.';

create function private.sayings_of(p_notices private.notifications[])
returns private.saying[]
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
begin
  return array(
    select
      row(n.community_id, n.event, n.facts || jsonb_build_object(
        'by', b.called, 'words', coalesce(w.words, ''), 'event', n.event,
        'others', case n.count when 1 then null when 2 then 'one other' else format('%s others', n.count - 1) end
      ))::private.saying
    from unnest(p_notices) with ordinality as n
    left join private.shown_people as b on b.id = n.people[1]
    -- The words of what a notice is about, as they may be read now: gone with whoever gave them.
    left join lateral (
      select d.title as words
      from private.declarations as d
      join private.users as u on u.id = d.user_id and u.erased_at is null
      where n.ref_kind = 'declaration' and d.community_id = n.community_id and d.id = n.ref_id
      union all
      select r.reason
      from private.borrow_requests as r
      join private.users as u on u.id = r.borrower_id and u.erased_at is null
      where n.ref_kind = 'borrow_request' and r.community_id = n.community_id and r.id = n.ref_id
      union all
      select t.title
      from private.tip_to_tip_proposals as t
      join private.users as u on u.id = t.proposer_id and u.erased_at is null
      where n.ref_kind = 'tip_to_tip' and t.community_id = n.community_id and t.id = n.ref_id
      union all
      select private.read_words(e.community_id, e.title_id)
      from private.elections as e
      where n.ref_kind = 'election' and e.community_id = n.community_id and e.id = n.ref_id
      union all
      select c.message
      from private.jashn_celebrations as c
      join private.users as u on u.id = c.user_id and u.erased_at is null
      where n.ref_kind = 'jashn' and c.community_id = n.community_id and c.jashn_id = n.ref_id
        and c.user_id = n.people[1]
    ) as w on true
    order by n.ordinality
  );
end;
$$;
comment on function private.sayings_of is
'What these notices have to say: their own facts and, of this moment, who did it last, how many others, and the words
of the thing: a joy''s, a proposal''s or an election''s title, a request''s reason, what somebody wrote to the honoured one.';

create function private.show_notices(p_notices private.notifications[])
returns private.notification[]
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_sayings private.saying[] := private.sayings_of(p_notices);
  v_titles text[] := private.say_each('notice', v_sayings);
  v_bodies text[] := private.say_each('notice', v_sayings, p_part => 'below');
begin
  return array(
    select
      row(
        n.id, n.community_id, n.type, n.event, v_titles[n.ordinality], v_bodies[n.ordinality],
        case when n.facts ?| '{reason_id,title_id}' then private.show_facts(n.community_id, n.facts) else n.facts end,
        array(
          select p.person from unnest(n.people) with ordinality as o (id, place)
          join private.shown_people as p on p.id = o.id
          order by o.place
        ),
        n.read_at is not null, n.count, n.ref_kind, n.ref_id, n.created_at, n.updated_at
      )::private.notification
    from unnest(p_notices) with ordinality as n
    order by n.ordinality
  );
end;
$$;
comment on function private.show_notices is
'The shape notification of each of these, put into words as things are called now.';

create function private.list_notifications(p_unread_only boolean, p_page_size integer, p_before_id bigint)
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.require_admitted();
  v_before bigint := 9223372036854775807;
  v_page private.notifications[];
begin
  perform private.require_page_size(p_page_size);
  if p_before_id is not null then
    select n.position into v_before from private.notifications as n where n.id = p_before_id and n.user_id = v_me;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such notification.');
    end if;
  end if;
  v_page := array(
    select n from private.notifications as n
    where n.user_id = v_me and n.position < v_before
      and (n.read_at is null or not coalesce(p_unread_only, false))
    order by n.position desc
    limit p_page_size + 1
  );
  return json_build_object(
    'notifications', private.show_notices(v_page[:p_page_size]),
    'has_more', cardinality(v_page) > p_page_size,
    'unread', (select count(*) from private.notifications as n where n.user_id = v_me and n.read_at is null)
  );
end;
$$;

create function public.list_notifications(
  unread_only boolean default false, page_size integer default 50, before_id bigint default null
)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.list_notifications(
    list_notifications.unread_only, list_notifications.page_size, list_notifications.before_id
  );
end;
$$;
comment on function public.list_notifications is
'The caller''s notices from all their communities, newest first; one that folds more in moves to the top.

Returns {notifications: [notification], has_more, unread}. Refuses: INVALID_INPUT, NOT_FOUND (before_id).';
grant execute on function public.list_notifications, private.list_notifications to authenticated;

create function private.mark_notification_read(p_notification_id bigint)
returns json
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := private.require_admitted();
  v_notice private.notifications[];
begin
  if not private.read_notice(v_me, p_notification_id) then
    perform private.refuse('NOT_FOUND', 'There is no such notification.');
  end if;
  v_notice := array(
    select n from private.notifications as n where n.id = p_notification_id and n.user_id = v_me
  );
  return json_build_object('notification', (private.show_notices(v_notice))[1]);
end;
$$;

create function public.mark_notification_read(notification_id bigint)
returns json
language plpgsql security invoker set search_path = ''
as $$
begin
  return private.mark_notification_read(mark_notification_read.notification_id);
end;
$$;
comment on function public.mark_notification_read is
'Marks one of the caller''s notices read; doing it again changes nothing.

Returns {notification}. Refuses: NOT_FOUND.';
grant execute on function public.mark_notification_read, private.mark_notification_read to authenticated;

create function private.show_audit_entry(p_entry private.audit_entries)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  -- Which steward it was is the Bureau's affair.
  v_actor uuid := case when not starts_with(p_entry.action, 'steward_') then p_entry.actor_id end;
  v_facts jsonb := p_entry.facts || jsonb_build_object('actor_id', v_actor, 'subject_id', p_entry.subject_id);
begin
  return jsonb_build_object(
    'id', p_entry.id, 'community_id', p_entry.community_id, 'action', p_entry.action,
    'actor', (select p.person from private.shown_people as p where p.id = v_actor),
    'subject', (select p.person from private.shown_people as p where p.id = p_entry.subject_id),
    'facts', private.show_facts(p_entry.community_id, p_entry.facts),
    'people', private.show_people(private.people_in(v_facts)),
    'sentence', private.say('audit', p_entry.community_id, p_entry.action, v_facts),
    'created_at', p_entry.created_at
  );
end;
$$;
comment on function private.show_audit_entry is 'An entry of the audit log, put into words as things are called now.';

create function private.list_audit(p_community_id uuid, p_page_size integer, p_before_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_page private.audit_entries[];
begin
  perform private.require_moderator(p_community_id);
  perform private.require_page_size(p_page_size);
  v_page := array(
    select e from private.audit_entries as e
    where e.community_id = p_community_id and e.id < coalesce(p_before_id, 9223372036854775807)
    order by e.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'entries', (
      select coalesce(jsonb_agg(private.show_audit_entry(e::private.audit_entries) order by e.id desc), '[]')
      from unnest(v_page[:p_page_size]) as e
    ),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;

create function public.list_audit(community_id uuid, page_size integer default 50, before_id bigint default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_audit(list_audit.community_id, list_audit.page_size, list_audit.before_id);
end;
comment on function public.list_audit is
'The audit log of a community, newest first, for its moderators.

Returns {entries: [{id, community_id, action, actor, subject, facts, people, sentence, created_at}], has_more}; actor
and subject are persons or null. Refuses: NOT_FOUND, FORBIDDEN, INVALID_INPUT.';
grant execute on function public.list_audit, private.list_audit to authenticated;

-- The caller's communities at a glance.

create function private.list_my_communities()
returns jsonb
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  v_me uuid := private.require_admitted();
  v_now timestamptz := private.clock();
begin
  -- What costs is asked only where there is something to ask: of roles where an election is over and not written down,
  -- of votes where there is one to cast.
  return jsonb_build_object('communities', (
    select coalesce(jsonb_agg(
      to_jsonb(c.community) || jsonb_build_object(
        'balance', b.balance,
        'roles', r.roles,
        'unread', private.count_unread(m.community_id, v_me),
        'last_activity', (
          select l.created_at from private.chat_messages as l
          where l.community_id = m.community_id
          order by l.id desc
          limit 1
        ),
        'awaiting_my_vote',
        case when e.id is null then 0 else private.elections_awaiting(m.community_id, v_me) end
        + case
          when exists (
            select from private.tip_to_tip_proposals as t
            where t.community_id = m.community_id and t.status = 'active'
          )
            then private.proposals_awaiting(m.community_id, v_me)
          else 0
        end
      )
      || case
        when 'moderator' = any(r.roles)
          then jsonb_build_object(
            'invite_code', (select j.code from private.join_codes as j where j.community_id = m.community_id)
          )
        else '{}'
      end
      order by m.joined_at, m.community_id
    ), '[]')
    from private.community_members as m
    join private.shown_communities as c on c.id = m.community_id
    join private.shown_balances as b on b.community_id = m.community_id and b.user_id = v_me
    left join lateral (
      select o.id, o.ends_at from private.elections as o
      where o.community_id = m.community_id and o.status = 'active'
      limit 1
    ) as e on true
    cross join lateral (
      select case when e.ends_at <= v_now then private.roles_now(m) else m.roles end as roles limit 1
    ) as r
    where m.user_id = v_me and m.left_at is null
  ));
end;
$$;

create function public.list_my_communities()
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.list_my_communities();
end;
$$;
comment on function public.list_my_communities is
'The caller''s communities, first joined first. It settles no day: balance.day says which day it shows.

Returns {communities: [community + {balance, roles, unread, last_activity, awaiting_my_vote}]}: the time of the
latest line of the Chamber, and how many proposals and elections await the caller''s vote.';
grant execute on function public.list_my_communities, private.list_my_communities to authenticated;

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

-- The scheduled jobs (RULES 6.2, 6.4): each a function of a moment that serves one bounded batch.

create function private.jobs(out name text, out schedule text, out serves text)
returns setof record
language plpgsql immutable rows 7 set search_path = ''
as $$
begin
  -- In the order in which a community that is late with everything wants them. Every minute asks whose local hour it
  -- is: pg_cron itself knows one zone and never catches up by itself.
  return query values
    ('daily_sunset', '* * * * *', 'settle_sunset'),
    ('daily_reset', '* * * * *', 'settle_day'),
    ('tip_to_tip_expiry', '*/15 * * * *', 'expire_proposals'),
    ('election_close', '* * * * *', 'close_elections'),
    ('weekly_jashn', '* * * * *', 'honour_week'),
    ('last_light', '* * * * *', 'send_last_light'),
    ('housekeeping', '* * * * *', null);
end;
$$;
comment on function private.jobs is
'Every job: its name, which is that of its function and of its entry with pg_cron, its schedule, and the function
(community, moment) that does it for one community and returns how many rows it changed; null where it serves none.
Whatever goes through the jobs reads this list.';

create table private.job_runs (
  community_id uuid not null,
  id bigint generated always as identity,
  job text not null,
  day date,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  rows integer,
  error text,
  constraint job_runs_pkey primary key (community_id, id)
);
comment on table private.job_runs is
'What each job did for each community: rows it changed, or the error it met. Kept 30 days. No foreign key: a log.';
create index job_runs_started_at_idx on private.job_runs (started_at);
create index job_runs_id_idx on private.job_runs (id);
create index job_runs_errors_idx on private.job_runs (id) where error is not null;
alter table private.job_runs enable row level security;
create policy nobody_reads_job_runs on private.job_runs for select to authenticated using (false);

create table private.job_troubles (
  community_id uuid not null,
  job text not null,
  retry_at timestamptz not null,
  tries integer not null default 1,
  constraint job_troubles_pkey primary key (community_id, job)
);
comment on table private.job_troubles is
'Communities a job failed for, and when it tries again: later each time, up to an hour, so that one broken community
is never in the way of the others.';
alter table private.job_troubles enable row level security;
create policy nobody_reads_job_troubles on private.job_troubles for select to authenticated using (false);

create function private.record_run(
  p_job text, p_community_id uuid, p_started_at timestamptz, p_rows integer, p_error text, p_now timestamptz
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if p_error is null then
    delete from private.job_troubles as t where t.community_id = p_community_id and t.job = p_job;
  else
    insert into private.job_troubles as t (community_id, job, retry_at)
    values (p_community_id, p_job, p_now + interval '1 minute')
    on conflict (community_id, job) do update
    set retry_at = p_now + least(interval '1 minute' * 2 ^ t.tries, interval '1 hour'), tries = least(t.tries + 1, 10);
  end if;
  insert into private.job_runs (community_id, job, day, started_at, finished_at, rows, error)
  values (
    p_community_id, p_job, (private.day_of(p_community_id)).day, p_started_at, clock_timestamp(), p_rows, p_error
  );
end;
$$;
comment on function private.record_run is
'Records what a job did for a community, and its trouble or the end of one. started_at and finished_at are the wall''s
clock; everything else is as of p_now.';

create function private.serve_community(p_job text, p_community_id uuid, p_now timestamptz)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_started timestamptz := clock_timestamp();
  v_serves text := (select j.serves from private.jobs() as j where j.name = p_job);
  v_rows integer;
  v_error text;
begin
  begin
    execute format('select private.%I($1, $2)', v_serves) into v_rows using p_community_id, p_now;
  exception when others then
    v_error := sqlstate || ' ' || sqlerrm;
    raise warning '% failed for community %: %', p_job, p_community_id, v_error;
  end;
  perform private.record_run(p_job, p_community_id, v_started, v_rows, v_error, p_now);
end;
$$;
comment on function private.serve_community is
'Does one job for one community in a savepoint of its own and records the run.';

create function private.serve_batch(p_job text, p_community_ids uuid[], p_now timestamptz)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_begun timestamptz := clock_timestamp();
  v_community_id uuid;
  v_served integer := 0;
begin
  -- In id order, so that two jobs that wait for communities never wait for each other in a ring.
  for v_community_id in select c.id from unnest(p_community_ids) as c (id) order by c.id loop
    perform private.serve_community(p_job, v_community_id, p_now);
    v_served := v_served + 1;
    -- Whoever is served keeps their day until the batch is committed: where much is to be done, they wait no longer for
    -- what nineteen others have made of theirs.
    exit when clock_timestamp() - v_begun > interval '500 ms';
  end loop;
  return v_served;
end;
$$;
comment on function private.serve_batch is
'Serves a batch of communities one after the other, as many as half a second is enough for, one at the least; returns
how many. The others are found again by the next call.';

create function private.in_trouble(p_job text, p_now timestamptz)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select array(
      select t.community_id from private.job_troubles as t
      where t.job = p_job and t.retry_at > p_now
    )
  );
end;
$$;
comment on function private.in_trouble is 'The communities a job leaves alone for now.';

create function private.daily_reset(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch('daily_reset', private.take_free_days(array(
    select d.community_id from private.community_days as d
    where d.dawn_at <= p_now and d.community_id <> all(private.in_trouble('daily_reset', p_now))
    order by d.dawn_at
    limit 20
  )), p_now);
end;
$$;
comment on function private.daily_reset is
'Dawn, for up to 20 communities whose local clock says so; returns how many it served, 0 when none is due.

A community another worker or a member is just settling is skipped, not waited for.';

create function private.daily_sunset(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.lapse_requests(p_now, 1000);
  return private.serve_batch('daily_sunset', private.take_free_days(array(
    select d.community_id from private.community_days as d
    where d.is_open and d.sunset_at <= p_now and d.community_id <> all(private.in_trouble('daily_sunset', p_now))
    order by d.sunset_at
    limit 20
  )), p_now);
end;
$$;
comment on function private.daily_sunset is
'Sunset, for up to 20 communities whose local clock says so; returns how many it served, 0 when none is due. It also
writes down which borrow requests have lapsed.';

create function private.tip_to_tip_expiry(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch('tip_to_tip_expiry', array(
    select distinct t.community_id from (
      select o.community_id from private.tip_to_tip_proposals as o
      where o.status = 'active' and o.deadline <= p_now
      union all
      select o.community_id from private.tip_to_tip_proposals as o
      where o.status = 'active' and o.remind_at <= p_now
    ) as t
    where t.community_id <> all(private.in_trouble('tip_to_tip_expiry', p_now))
    limit 20
  ), p_now);
end;
$$;
comment on function private.tip_to_tip_expiry is
'Ends proposals past their deadline and sends the reminders that are due, for up to 20 communities; returns how many
it served, 0 when nothing is due.';

create function private.election_close(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch(
    'election_close', private.elections_due(p_now, 20, private.in_trouble('election_close', p_now)), p_now
  );
end;
$$;
comment on function private.election_close is
'Closes the elections that have ended, for up to 20 communities; returns how many it served, 0 when nothing is due.';

create function private.weekly_jashn(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch(
    'weekly_jashn', private.jashns_due(p_now, 20, private.in_trouble('weekly_jashn', p_now)), p_now
  );
end;
$$;
comment on function private.weekly_jashn is
'Holds the Jashn of the week just ended, for up to 20 communities whose Sunday has come to 00:05; returns how many it
served, 0 when nothing is due.';

create function private.last_light(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
begin
  return private.serve_batch(
    'last_light', private.last_lights_due(p_now, 20, private.in_trouble('last_light', p_now)), p_now
  );
end;
$$;
comment on function private.last_light is
'Tells of the hour before Sunset, for up to 20 communities in which it has begun; returns how many it served, 0 when
none is due.';

create function private.housekeeping(p_now timestamptz default private.clock())
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_gone integer;
  v_all integer;
begin
  -- Erasures first, a step a transaction: they hold a community's day, and must not wait for the rest.
  if private.go_on_erasing(p_now) > 0 then
    return 1;
  end if;
  v_all := private.purge_repeats(p_now, 5000) + private.purge_notices(p_now, 5000) + private.purge_misses(p_now, 5000)
    + private.heal_profiles(20) + private.erase_departed(20);
  delete from private.job_runs as r
  where (r.community_id, r.id) in (
    select o.community_id, o.id from private.job_runs as o where o.started_at <= p_now - interval '30 days' limit 5000
  );
  get diagnostics v_gone = row_count;
  v_all := v_all + v_gone;
  delete from cron.job_run_details as r
  where r.runid in (
    select o.runid from cron.job_run_details as o where o.end_time <= p_now - interval '7 days' limit 5000
  );
  get diagnostics v_gone = row_count;
  return v_all + v_gone;
end;
$$;
comment on function private.housekeeping is
'Deletes a batch of what is kept only for a while: request ids 7 days, notices 90, invite misses an hour, job runs 30
days, pg_cron''s own run records 7 days; makes the profiles Auth has and the house lacks, erases whom Auth has deleted,
and takes the next step of an erasure under way (RULES 1.2, 13). Returns how much it did, 0 when nothing is due.';

-- Live updates: which tables the frontend hears, and who may join which topic (RULES 11.2).

-- An update sends a long text it did not touch only as part of the old row. These two change (a witness counted, a vote
-- cast) while a description of theirs may lie out of line; everywhere else the key is enough.
alter table private.declarations replica identity full;
alter table private.tip_to_tip_proposals replica identity full;
-- Realtime tells every listener the key of a deleted row, whoever it belonged to: this one says nothing of anybody.
alter table private.notifications replica identity using index notifications_id_unique;

create function private.published_tables()
returns setof text
language plpgsql immutable rows 12 set search_path = ''
as $$
begin
  -- What members read anyway, and what changes one act at a time. Purses, ledger, loans, rolls and reckonings change by
  -- the thousand at once and would hold up everybody's events; ballots are sealed. A broadcast says when to read again.
  return query values
    ('communities'), ('community_members'), ('notifications'), ('chat_messages'), ('declarations'), ('witnesses'),
    ('borrow_requests'), ('tip_to_tip_proposals'), ('tip_to_tip_votes'), ('elections'), ('jashns'),
    ('jashn_celebrations');
end;
$$;
comment on function private.published_tables is
'The tables of schema private whose changes Realtime tells those who may read them: the one list.';

create function private.may_hear(p_topic text)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce(
    p_topic = 'user:' || private.my_id()::text
    or p_topic in (select 'community:' || c.id::text from private.my_communities() as c (id)),
    false
  );
end;
$$;
comment on function private.may_hear is
'Whether the caller may join a topic: user:<id> as that person, community:<id> as a member; nobody who is not able.

Realtime asks when somebody joins and when their token is renewed: until then whoever has gone still hears ids,
which they can no longer read.';
grant execute on function private.may_hear to authenticated;

-- What the house needs outside its own tables, from one list laid, checked and mended (RULES 14).

create function private.scheduled(out name text, out schedule text, out command text, out lays text)
returns setof record
language plpgsql immutable rows 6 set search_path = ''
as $$
begin
  return query
  select j.name, j.schedule, j.command,
    -- To schedule it again leaves a job that was turned off as it is.
    format('select cron.alter_job(cron.schedule(%L, %L, %L), active => true)', j.name, j.schedule, j.command)
  from (
    select o.name, o.schedule,
      format('do $do$ begin while private.%I() > 0 loop commit; end loop; end $do$', o.name) as command
    from private.jobs() as o
  ) as j;
end;
$$;
comment on function private.scheduled is 'Each job as pg_cron must know it, and the statement that schedules it.';

create function private.surroundings(out need text, out is_there boolean, out lays text)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- Other jobs, triggers, policies and published tables are nobody's affair here: nothing in this list takes any away.
  if to_regclass('cron.job') is null then
    return query select 'extension pg_cron', false, 'create extension if not exists pg_cron';
    return query select 'job ' || j.name, false, j.lays from private.scheduled() as j;
  else
    return query
    select
      'job ' || j.name,
      exists (
        select from cron.job as c
        where c.jobname = j.name and c.schedule = j.schedule and c.command = j.command and c.active
      ),
      j.lays
    from private.scheduled() as j;
  end if;
  return query
  select
    format('trigger %s on auth.users', t.name),
    exists (
      select from pg_catalog.pg_trigger as p
      where p.tgrelid = 'auth.users'::regclass and p.tgname = t.name and p.tgenabled in ('O', 'A')
        and p.tgfoid = ('private.' || t.calls)::regproc
    ),
    format(
      'create or replace trigger %I after %s on auth.users for each row execute function private.%I()',
      t.name, t.event, t.calls
    )
  from (
    values
    ('on_auth_user_created', 'insert', 'welcome_user'),
    ('on_auth_user_changed', 'update', 'follow_auth_user'),
    ('on_auth_user_deleted', 'delete', 'follow_auth_user')
  ) as t (name, event, calls)
  union all
  -- To hear, never to speak: there is no policy for insert, so that what is heard comes from the house alone.
  select
    'policy people_hear_their_topics on realtime.messages',
    exists (
      select from pg_catalog.pg_policies as p
      where p.schemaname = 'realtime' and p.tablename = 'messages' and p.policyname = 'people_hear_their_topics'
    ),
    'create policy people_hear_their_topics on realtime.messages for select to authenticated using ('
    'extension = ''broadcast'' and (select private.may_hear((select realtime.topic()))))'
  union all
  select
    'published table private.' || p.name,
    exists (
      select from pg_catalog.pg_publication_tables as t
      where t.pubname = 'supabase_realtime' and t.schemaname = 'private' and t.tablename = p.name
    ),
    format('alter publication supabase_realtime add table private.%I', p.name)
  from private.published_tables() as p (name)
  union all
  select
    'default privileges on ' || k.kind,
    not exists (
      select from pg_catalog.pg_default_acl as d
      cross join lateral pg_catalog.aclexplode(d.defaclacl) as a
      where d.defaclrole = 'postgres'::regrole and d.defaclobjtype = k.letter
        and d.defaclnamespace = 'public'::regnamespace
        and a.grantee in ('anon'::regrole, 'authenticated'::regrole, 'service_role'::regrole)
    ) and (
      k.letter <> 'f' or exists (
        select from pg_catalog.pg_default_acl as d
        where d.defaclrole = 'postgres'::regrole and d.defaclobjtype = 'f' and d.defaclnamespace = 0
          and not exists (select from pg_catalog.aclexplode(d.defaclacl) as a where a.grantee = 0)
      )
    ),
    format(
      'alter default privileges in schema public revoke all on %s from anon, authenticated, service_role%s', k.kind,
      case k.letter when 'f' then '; alter default privileges revoke execute on functions from public' else '' end
    )
  from (values ('functions', 'f'::"char"), ('tables', 'r'), ('sequences', 'S')) as k (kind, letter);
end;
$$;
comment on function private.surroundings is
'What the house needs outside its own tables: pg_cron (told only where it lacks), jobs, triggers on auth.users, the
policy of the topics, published tables, closed default privileges. Each with whether it is there, and the statement
that lays it: the one list, by which a push lays it, health checks it and mend puts it back.';

create function private.lay_surroundings()
returns text[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_need record;
  v_laid text[] := '{}'::text[];
begin
  -- What is executed comes from the list above and from nobody. @plpgsql_check_options: security_warnings = off
  for v_need in select s.need, s.lays from private.surroundings() as s where not s.is_there loop
    begin
      execute v_need.lays;
      v_laid := v_laid || v_need.need;
    exception when others then
      raise warning '% could not be laid: % %', v_need.need, sqlstate, sqlerrm;
    end;
  end loop;
  return v_laid;
end;
$$;
comment on function private.lay_surroundings is
'Lays what is missing of private.surroundings and returns it; what cannot be laid is a warning, and goes on missing.';

create function private.some_of(p_kind text, p_ids uuid[])
returns text[]
language plpgsql immutable set search_path = ''
as $$
begin
  return array(select p_kind || ' ' || i.id::text from unnest(p_ids[:20]) as i (id))
    || case when cardinality(p_ids) > 20 then array[format('and %s more', cardinality(p_ids) - 20)] else '{}' end;
end;
$$;
comment on function private.some_of is 'At most twenty of these ids in words, and how many more there are.';

create function private.doors(out door text, out is_for text, out is_right boolean)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select
    d.oid::regprocedure::text,
    d.is_for,
    (
      select array_agg(a.grantee) from pg_catalog.aclexplode(coalesce(d.proacl, acldefault('f', d.proowner))) as a
      where a.grantee <> d.proowner
    ) is not distinct from array[to_regrole(d.is_for)::oid]
  from (
    select p.oid, p.proacl, p.proowner, case when exists (
      select from pg_catalog.pg_proc as k
      where k.pronamespace = 'private'::regnamespace and k.proname = p.proname
        and has_function_privilege('service_role', k.oid, 'execute')
    ) then 'service_role' else 'authenticated' end as is_for
    from pg_catalog.pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proowner = 'postgres'::regrole
      and pg_catalog.obj_description(p.oid, 'pg_proc') is not null
      and not exists (
        select from pg_catalog.pg_depend as e
        where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e'
      )
  ) as d;
end;
$$;
comment on function private.doors is
'Every door, the role it is for, and whether that role and no other may open it. A door is for the service where its
kernel is, else for people. A dump says what it grants and not what the next project must take back.';

create function private.grant_doors()
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_door record;
begin
  for v_door in select d.door, d.is_for from private.doors() as d where not d.is_right loop
    execute format(
      'revoke all on function %1$s from public, anon, authenticated, service_role; grant execute on function %1$s to %2$I',
      v_door.door, v_door.is_for
    );
  end loop;
end;
$$;
comment on function private.grant_doors is
'Opens each door to the role it is for, and to no other, where that is not so.';

create function private.list_missing()
returns text[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(select s.need from private.surroundings() as s where not s.is_there)
    || array(select 'grants on doors' where exists (select from private.doors() as d where not d.is_right))
    || private.some_of('profile', array(
      select a.id from auth.users as a
      where a.deleted_at is null and not exists (select from private.users as u where u.id = a.id)
      order by a.id
    ))
    || private.some_of('erasure', array(
      select u.id from private.users as u
      where u.erased_at is null
        and not exists (select from auth.users as a where a.id = u.id and a.deleted_at is null)
      order by u.id
    ));
end;
$$;
comment on function private.list_missing is
'Everything the house needs and lacks, in plain words: of private.surroundings, profiles of people Auth has, and
erasures of people Auth has not.';

create function private.get_health()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_missing text[] := private.list_missing();
  v_late integer := private.dawn_late_seconds(private.clock());
begin
  return jsonb_build_object(
    'status', case when v_missing <> '{}' then 'broken' when v_late > 0 then 'late' else 'ok' end,
    'dawn_late_seconds', v_late,
    'missing', v_missing
  );
end;
$$;

create function public.get_health()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_health();
end;
comment on function public.get_health is
'Whether the house is well, for the edge''s /health/ready. For the service role alone.

Returns {status, dawn_late_seconds, missing}: status is broken while anything is missing, late while a Dawn is, else ok;
missing is a list of plain words (job …, trigger … on auth.users, policy … on realtime.messages, published table …,
default privileges on …, grants on doors, extension pg_cron, profile …, erasure …), which mend puts back.';
grant execute on function public.get_health, private.get_health to service_role;

create function private.mend()
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_missing text[] := private.list_missing();
  v_left text[];
begin
  perform private.lay_surroundings();
  perform private.grant_doors();
  while private.heal_profiles(1000) > 0 loop null; end loop;
  while private.erase_departed(1000) > 0 loop null; end loop;
  v_left := private.list_missing();
  return jsonb_build_object(
    'mended', array(
      select m.need from unnest(v_missing) with ordinality as m (need, place) where m.need <> all(v_left) order by m.place
    ),
    'missing', v_left
  );
end;
$$;

create function public.mend()
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.mend();
end;
comment on function public.mend is
'Puts back what the house needs and lacks, as after a restore. For the service role alone.

That is jobs, triggers on auth.users, the policy of the topics, published tables, default privileges, profiles and
erasures. Twice is once, nobody''s data is changed, and what is not the house''s own is left alone. Returns {mended:
[text], missing: [text]}: what it put back, and what it could not.';
grant execute on function public.mend, private.mend to service_role;

select private.lay_surroundings();

-- What the stewards of the Bureau do for people. Everything here is for the service role; every act is told in the
-- audit log.

create function private.require_steward(p_steward_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if p_steward_id is not null and not (private.get_account(p_steward_id) ->> 'is_steward')::boolean then
    perform private.refuse('FORBIDDEN', 'Only a steward acts as a steward.');
  end if;
end;
$$;
comment on function private.require_steward is
'Asks that whoever is named as acting is a steward; nobody named is the operator with the key. Refuses: NOT_FOUND,
FORBIDDEN.';

create function private.show_steward_act(p_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      jsonb_build_object(
        'id', a.id, 'community_id', a.community_id, 'action', a.action,
        'actor', (select p.person from private.shown_people as p where p.id = a.actor_id),
        'subject', (select p.person from private.shown_people as p where p.id = a.subject_id),
        'facts', a.facts || jsonb_strip_nulls(jsonb_build_object('reason', a.reason)), 'created_at', a.created_at
      )
    from (
      select
        e.id, e.community_id, e.action, e.actor_id, e.subject_id, e.facts, e.created_at,
        private.read_words(e.community_id, (e.facts ->> 'reason_id')::bigint) as reason
      from private.audit_entries as e
      where e.id = p_id and starts_with(e.action, 'steward_')
      union all
      select
        b.id, null, b.action, b.actor_id, b.subject_id, b.facts, b.created_at,
        (
          select b.reason where not exists (
            select from private.shown_people as p where p.id = b.actor_id and p.is_erased
          )
        )
      from private.bureau_acts as b
      where b.id = p_id
    ) as a
  );
end;
$$;
comment on function private.show_steward_act is
'What a steward did, as stewards see it; the reason is shown while who gave it is not erased.';

create function private.list_steward_acts(p_page_size integer, p_before_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_before bigint := coalesce(p_before_id, 9223372036854775807);
  v_page bigint[];
begin
  perform private.require_page_size(p_page_size);
  -- Both tables take their ids from one sequence: the newest of both are among the newest of each.
  v_page := array(
    select a.id
    from (
      (
        select e.id from private.audit_entries as e
        where starts_with(e.action, 'steward_') and e.id < v_before
        order by e.id desc
        limit p_page_size + 1
      )
      union all
      (
        select b.id from private.bureau_acts as b
        where b.id < v_before
        order by b.id desc
        limit p_page_size + 1
      )
    ) as a
    order by a.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'acts', (
      select coalesce(jsonb_agg(private.show_steward_act(a.id) order by a.id desc), '[]')
      from unnest(v_page[:p_page_size]) as a (id)
    ),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;

create function public.list_steward_acts(page_size integer default 50, before_id bigint default null)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_steward_acts(list_steward_acts.page_size, list_steward_acts.before_id);
end;
comment on function public.list_steward_acts is
'What stewards did, in communities and in the whole Bureau, newest first. For the service role alone.

Returns {acts: [{id, community_id, action, actor, subject, facts, created_at}], has_more}; community_id is null for
an act of the whole Bureau, actor for one in nobody''s name. Refuses: INVALID_INPUT.';
grant execute on function public.list_steward_acts, private.list_steward_acts to service_role;

---------------------------------------------------------------------------------------------------- people

create function private.show_account(p_user_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_standing text := private.standing_of(p_user_id);
  -- Whose sign-in is gone has no account any more.
  v_is_steward boolean := v_standing <> 'unknown' and (private.get_account(p_user_id) ->> 'is_steward')::boolean;
begin
  return (
    select
      to_jsonb(p.person) || jsonb_build_object(
        'standing', v_standing, 'is_steward', v_is_steward,
        'admitted_at', d.admitted_at, 'suspended_at', d.suspended_at, 'created_at', u.created_at,
        'communities', (
          select
            coalesce(
              jsonb_agg(
                jsonb_build_object('id', c.id, 'name', c.name, 'roles', private.roles_now(m)) order by m.joined_at, c.id
              ), '[]'
            )
          from private.community_members as m
          join private.communities as c on c.id = m.community_id
          where m.user_id = u.id and m.left_at is null
        )
      )
    from private.users as u
    join private.shown_people as p on p.id = u.id
    left join private.admissions as d on d.user_id = u.id
    where u.id = p_user_id
  );
end;
$$;
comment on function private.show_account is
'A person as stewards see them: where they stand and which communities they are in; no e-mail address, which nobody
but its owner sees (RULES 1.1).';

create function private.find_people(p_query text, p_page_size integer, p_before_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_query text := lower(nullif(btrim(p_query), ''));
  v_before timestamptz;
  v_page uuid[];
begin
  perform private.require_page_size(p_page_size);
  if p_before_id is not null then
    select u.created_at into v_before from private.users as u where u.id = p_before_id;
    if not found then
      perform private.refuse('NOT_FOUND', 'There is no such person.');
    end if;
  end if;
  v_page := array(
    select u.id from private.users as u
    where u.erased_at is null
      and (v_before is null or (u.created_at, u.id) < (v_before, p_before_id))
      and (
        v_query is null or u.id::text = v_query or strpos(lower(u.display_name), v_query) > 0
        or u.id = any(array(
          select a.user_id from private.addresses as a where a.address_hash = private.hash_address(v_query)
        ))
      )
    order by u.created_at desc, u.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'people', (
      select coalesce(jsonb_agg(private.show_account(f.id) order by f.place), '[]')
      from unnest(v_page[:p_page_size]) with ordinality as f (id, place)
    ),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;
comment on function private.find_people is
'A search reads every profile: it is for a steward, not for a page. An address is found by its hash, one the account
had before too.';

create function public.find_people(
  query text default null, page_size integer default 50, before_id uuid default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.find_people(find_people.query, find_people.page_size, find_people.before_id);
end;
comment on function public.find_people is
'Finds people by id, whole e-mail address or part of their name. For the service role alone.

Without a query it lists everybody, newest first. Returns {people: [person + {standing, is_steward, admitted_at,
suspended_at, created_at, communities: [{id, name, roles}]}], has_more}; standing is admitted, waiting (for an
invite), suspended, banned (by Auth), anonymous or unknown (their sign-in is gone). An e-mail address finds its
owner but is never shown. Refuses: INVALID_INPUT, NOT_FOUND (before_id).';
grant execute on function public.find_people, private.find_people to service_role;

create function private.admit_person(p_user_id uuid, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  -- The person's row is the queue for whoever decides about them, and for their own tries at a code.
  perform private.lock_person(p_user_id);
  perform private.get_account(p_user_id);
  if private.standing_of(p_user_id) = 'suspended' then
    perform private.refuse('CONFLICT', 'This account is suspended: restore it instead.');
  end if;
  if not private.is_admitted(p_user_id) then
    perform private.admit(p_user_id);
    perform private.record_bureau_act(p_steward_id, 'steward_admitted', p_user_id);
  end if;
  return jsonb_build_object('person', private.show_account(p_user_id));
end;
$$;

create function public.admit_person(user_id uuid, steward_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.admit_person(admit_person.user_id, admit_person.steward_id);
end;
comment on function public.admit_person is
'Lets a person in without an invite; again, it changes nothing. For the service role alone.

steward_id says in whose name, for the audit log. Returns {person}, as find_people shows them. Refuses: NOT_FOUND,
CONFLICT (suspended), FORBIDDEN (steward_id is no steward).';
grant execute on function public.admit_person, private.admit_person to service_role;

create function private.fill_seats_of(p_user_id uuid)
returns void
language plpgsql security definer set search_path = '' set lock_timeout = '5s'
as $$
declare
  v_community_id uuid;
begin
  for v_community_id in
    select m.community_id from private.community_members as m
    where m.user_id = p_user_id and m.left_at is null and 'moderator' = any(m.roles)
    order by m.community_id
  loop
    begin
      perform private.lock_membership(v_community_id);
      perform private.fill_seat(v_community_id);
    exception when others then
      -- A broken or busy community is no reason not to suspend: its seat is filled at the next Dawn.
      raise warning 'the seat of % is left to the next Dawn: % %', v_community_id, sqlstate, sqlerrm;
    end;
  end loop;
end;
$$;
comment on function private.fill_seats_of is
'Fills the moderators'' seats that a person who can act no more leaves empty (RULES 2.3).';

create function private.suspend_person(p_user_id uuid, p_reason text, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  perform private.require_text('reason', p_reason, 280);
  perform private.lock_person(p_user_id);
  perform private.get_account(p_user_id);
  if private.suspend(p_user_id) then
    perform private.record_bureau_act(p_steward_id, 'steward_suspended', p_user_id, p_reason);
    perform private.fill_seats_of(p_user_id);
  end if;
  return jsonb_build_object('person', private.show_account(p_user_id));
end;
$$;

create function public.suspend_person(user_id uuid, reason text, steward_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.suspend_person(suspend_person.user_id, suspend_person.reason, suspend_person.steward_id);
end;
comment on function public.suspend_person is
'Takes a person''s admission back, from their next call on. For the service role alone.

It holds whether invites are needed or not, and outlives the account: who erases it and signs up again with an address
it had is suspended again. reason (1 to 280 characters) is for the audit log. Where they were the last moderator who
could act, the seat passes. Nothing else changes: they stay in their communities and their purse is granted and
expires; a moderator may remove them. Suspended again, nothing changes, the first reason stays. Returns {person}.
Refuses: NOT_FOUND, INVALID_INPUT, FORBIDDEN (steward_id is no steward).';
grant execute on function public.suspend_person, private.suspend_person to service_role;

create function private.restore_person(p_user_id uuid, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  perform private.lock_person(p_user_id);
  perform private.get_account(p_user_id);
  if private.restore(p_user_id) then
    perform private.record_bureau_act(p_steward_id, 'steward_restored', p_user_id);
  end if;
  return jsonb_build_object('person', private.show_account(p_user_id));
end;
$$;

create function public.restore_person(user_id uuid, steward_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.restore_person(restore_person.user_id, restore_person.steward_id);
end;
comment on function public.restore_person is
'Lifts a suspension: who was admitted is so again, who was not waits for an invite. For the service role alone.

One that outlived an erased account is lifted too, with the new account''s. Of somebody not suspended it changes
nothing. Returns {person}. Refuses: NOT_FOUND, FORBIDDEN (steward_id is no steward).';
grant execute on function public.restore_person, private.restore_person to service_role;

---------------------------------------------------------------------------------------------------- seats

create function private.seat_moderator(p_community_id uuid, p_user_id uuid, p_reason text, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_reason_id bigint;
begin
  perform private.require_steward(p_steward_id);
  perform private.require_text('reason', p_reason, 280);
  perform private.lock_person(p_user_id);
  perform private.get_account(p_user_id);
  if not exists (select from private.communities as c where c.id = p_community_id) then
    perform private.refuse('NOT_FOUND', 'There is no such community.');
  end if;
  perform private.lock_membership(p_community_id);
  if not private.is_able(p_user_id) then
    perform private.refuse('CONFLICT', 'This person cannot act now.',
      jsonb_build_object('standing', private.standing_of(p_user_id)));
  elsif private.is_banned(p_community_id, p_user_id) then
    perform private.refuse('FORBIDDEN', 'This person is banned from the community.', '{"banned": true}');
  end if;

  if not private.is_member(p_community_id, p_user_id) then
    perform private.require_room_for_one_more(p_user_id);
    perform private.bring_in(private.day_of(p_community_id), p_user_id);
  end if;
  if private.set_role(p_community_id, p_user_id, 'moderator', true) then
    v_reason_id := private.keep_words(p_community_id, p_steward_id, p_reason);
    perform private.record_act(
      p_community_id, p_steward_id, 'steward_named_moderator', p_user_id, jsonb_build_object('reason_id', v_reason_id)
    );
    perform private.announce(
      p_community_id, 'moderator_named', jsonb_build_object('user_id', p_user_id, 'reason_id', v_reason_id)
    );
    perform private.notify(
      array[p_user_id], p_community_id, 'system', 'moderator_named', 'moderator_named', p_community_id,
      jsonb_build_object('reason_id', v_reason_id)
    );
  end if;
  return jsonb_build_object('member', private.show_member(p_community_id, p_user_id));
end;
$$;
comment on function private.seat_moderator is
'A community everyone has left keeps its join code paused; whom a steward seats there may open it. Who is moderator
already stays so, and nobody is told again.';

create function public.seat_moderator(community_id uuid, user_id uuid, reason text, steward_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.seat_moderator(
    seat_moderator.community_id, seat_moderator.user_id, seat_moderator.reason, seat_moderator.steward_id
  );
end;
comment on function public.seat_moderator is
'Names a moderator, also of a community everyone has left. For the service role alone.

Who is not in the community becomes a member first, as by joining: one who was there before waits for Dawn with an empty
purse. Other moderators stay. reason (1 to 280 characters) is told in the Chamber and in the audit log. Returns
{member}. Refuses: NOT_FOUND (community or person), INVALID_INPUT, CONFLICT {standing} (who cannot act) or {most} (in a
hundred communities), FORBIDDEN (banned there, or steward_id is no steward).';
grant execute on function public.seat_moderator, private.seat_moderator to service_role;

-- What stewards do for a community: look, settle what is overdue, mend a purse. For the service role.

create function private.require_community(p_community_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if not exists (select from private.communities as c where c.id = p_community_id) then
    perform private.refuse('NOT_FOUND', 'There is no such community.');
  end if;
end;
$$;
comment on function private.require_community is 'Asks that a community exists. Refuses: NOT_FOUND.';

---------------------------------------------------------------------------------------------------- communities

create function private.show_calendar(p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      jsonb_build_object(
        'day', d.day, 'day_open', d.is_open, 'next_sunset_at', d.sunset_at, 'next_dawn_at', d.dawn_at,
        'last_closed_day', d.last_closed_day,
        'late_seconds', greatest(extract(epoch from private.clock() - d.due_at)::integer, 0)
      )
    from private.community_days as d
    where d.community_id = p_community_id
  );
end;
$$;
comment on function private.show_calendar is
'The day a community lives as it is stored, and how long ago its next Sunset or Dawn should have been.';

create function private.show_runs(p_runs private.job_runs[])
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      coalesce(
        jsonb_agg(
          jsonb_build_object(
            'id', r.id, 'job', r.job, 'community_id', r.community_id, 'day', r.day, 'started_at', r.started_at,
            'finished_at', r.finished_at, 'rows', r.rows, 'error', r.error
          )
          order by r.id desc
        ), '[]'
      )
    from unnest(p_runs) as r
  );
end;
$$;
comment on function private.show_runs is 'What jobs did, as stewards see it, newest first.';

create function private.inspect_community(p_community_id uuid, p_prove_books boolean, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.require_steward(p_steward_id);
  perform private.require_community(p_community_id);
  perform private.record_act(p_community_id, p_steward_id, 'steward_inspected');
  return jsonb_build_object(
    'community', private.show_community(p_community_id),
    'pending', (select c.pending from private.communities as c where c.id = p_community_id),
    'calendar', private.show_calendar(p_community_id),
    'members', (
      select coalesce(jsonb_agg(s.member order by s.joined_at, s.user_id), '[]')
      from private.shown_members(p_community_id, private.member_ids(p_community_id)) as s
    ),
    'open', jsonb_build_object(
      'tip_to_tips', (
        select count(*) from private.tip_to_tip_proposals as t
        where t.community_id = p_community_id and t.status = 'active'
      ),
      'elections', (
        select count(*) from private.elections as e
        where e.community_id = p_community_id and e.status = 'active'
      ),
      'loans', (
        select count(*) from private.loans as l
        where l.community_id = p_community_id and l.status = 'open'
      )
    ),
    'books', case when coalesce(p_prove_books, true) then private.prove_books(p_community_id) end,
    'runs', private.show_runs(array(
      select r from private.job_runs as r where r.community_id = p_community_id order by r.id desc limit 20
    )),
    'troubles', (
      select
        coalesce(
          jsonb_agg(jsonb_build_object('job', t.job, 'tries', t.tries, 'retry_at', t.retry_at) order by t.job), '[]'
        )
      from private.job_troubles as t
      where t.community_id = p_community_id
    )
  );
end;
$$;
comment on function private.inspect_community is
'It looks at what is stored and settles nothing: a day that is late must show as late.';

create function public.inspect_community(
  community_id uuid, prove_books boolean default true, steward_id uuid default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.inspect_community(
    inspect_community.community_id, inspect_community.prove_books, inspect_community.steward_id
  );
end;
comment on function public.inspect_community is
'A community''s day as it is stored: calendar, members, books, runs and troubles. For the service role alone.

Nothing is settled: what is late shows as late. The community''s moderators see in their audit log that somebody
looked. Returns {community, pending, calendar: {day, day_open, next_sunset_at, next_dawn_at, last_closed_day,
late_seconds}, members: [member], open: {tip_to_tips, elections, loans}, books, runs: [{id, job, community_id, day,
started_at, finished_at, rows, error}], troubles: [{job, tries, retry_at}]}; books as audit_ledger answers, null
with prove_books false: a proof reads the whole ledger. Refuses: NOT_FOUND, FORBIDDEN (steward_id is no steward).';
grant execute on function public.inspect_community, private.inspect_community to service_role;

create function private.settle_community(p_community_id uuid, p_steward_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_last bigint;
  v_job text;
  v_runs jsonb;
begin
  perform private.require_steward(p_steward_id);
  perform private.require_community(p_community_id);
  select coalesce(max(r.id), 0) into v_last from private.job_runs as r where r.community_id = p_community_id;
  for v_job in select j.name from private.jobs() as j where j.serves is not null loop
    perform private.serve_community(v_job, p_community_id, private.clock());
  end loop;
  v_runs := private.show_runs(array(
    select r from private.job_runs as r where r.community_id = p_community_id and r.id > v_last
  ));
  perform private.record_act(
    p_community_id, p_steward_id, 'steward_settled', null,
    jsonb_build_object(
      'rows', (select coalesce(sum((r.run ->> 'rows')::integer), 0) from jsonb_array_elements(v_runs) as r (run)),
      'failed', (select count(r.run ->> 'error') from jsonb_array_elements(v_runs) as r (run))
    )
  );
  return jsonb_build_object('calendar', private.show_calendar(p_community_id), 'runs', v_runs);
end;
$$;
comment on function private.settle_community is
'The scheduled jobs themselves, for one community, each in a savepoint of its own.';

create function public.settle_community(community_id uuid, steward_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.settle_community(settle_community.community_id, settle_community.steward_id);
end;
comment on function public.settle_community is
'Does now whatever is overdue in a community, as the scheduled jobs would. For the service role alone.

That is its Sunset and Dawn, proposals, elections and the Jashn, each without waiting for the job''s next try. Time
is the house''s own: what is not due does not happen, and done twice it changes nothing more. Returns {calendar,
runs}, as inspect_community shows them; a run that failed says why in error, and the others went on. Refuses:
NOT_FOUND, FORBIDDEN (steward_id is no steward).';
grant execute on function public.settle_community, private.settle_community to service_role;

create function private.note_correction(
  p_community_id uuid, p_user_id uuid, p_correction_id uuid, p_amount integer, p_reason text, p_steward_id uuid
)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_facts jsonb := jsonb_build_object(
    'amount', p_amount, 'reason_id', private.keep_words(p_community_id, p_steward_id, p_reason)
  );
begin
  perform private.record_act(
    p_community_id, p_steward_id, 'steward_corrected', p_user_id,
    v_facts || jsonb_build_object('correction_id', p_correction_id)
  );
  perform private.announce(
    p_community_id, 'balance_corrected', v_facts || jsonb_build_object('user_id', p_user_id)
  );
  perform private.notify(
    array[p_user_id], p_community_id, 'system', 'balance_corrected', 'balance_corrected', p_correction_id, v_facts,
    p_is_ask => true
  );
end;
$$;
comment on function private.note_correction is
'Tells a correction and its reason to the audit log, the Chamber and, muted or not, the member.';

create function private.post_correction(
  p_community_id uuid, p_user_id uuid, p_amount integer, p_reason text, p_request_id uuid, p_steward_id uuid
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_id uuid := gen_random_uuid();
  v_made jsonb;
begin
  perform private.require_steward(p_steward_id);
  perform private.require_community(p_community_id);
  v_made := private.claim(
    p_user_id, 'post_correction', p_request_id, jsonb_build_array(p_community_id, p_user_id, p_amount, p_reason),
    jsonb_build_object('correction_id', v_id)
  );
  if v_made is null then
    perform private.require_text('reason', p_reason, 280);
    perform private.require_number('amount', p_amount, -1000000, 1000000);
    if p_amount = 0 then
      perform private.refuse('INVALID_INPUT', 'amount must not be 0.', jsonb_build_object('field', 'amount'));
    end if;
    perform private.hold_day(p_community_id);
    perform private.require_present(p_community_id, p_user_id);

    if (private.try_entry(p_community_id, p_user_id, 'correction', p_amount, v_id)).user_id is null then
      if p_amount > 0 then
        perform private.refuse_full_purse();
      end if;
      perform private.refuse_shortage(
        p_community_id, p_user_id, -p_amount, private.when_affordable(p_community_id, p_user_id, -p_amount)
      );
    end if;
    perform private.note_correction(p_community_id, p_user_id, v_id, p_amount, p_reason, p_steward_id);
    v_made := jsonb_build_object('correction_id', v_id);
  end if;
  return v_made || jsonb_build_object(
    'amount', p_amount, 'balance', private.show_balance_of(p_community_id, p_user_id)
  );
end;
$$;
comment on function private.post_correction is
'Its request ids are kept with the member''s own: they are theirs to export and erase.';

create function public.post_correction(
  community_id uuid,
  user_id uuid,
  amount integer,
  reason text,
  request_id uuid default null,
  steward_id uuid default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.post_correction(
    post_correction.community_id, post_correction.user_id, post_correction.amount, post_correction.reason,
    post_correction.request_id, post_correction.steward_id
  );
end;
comment on function public.post_correction is
'Sets a member''s purse up or down, for a reason told to everyone. For the service role alone.

The reason goes to the member, the Chamber and the audit log. amount is signed, up to 1000000 either way; reason has
1 to 280 characters. The ledger gets a new entry: up counts as minted, down as forfeited (RULES 5.2), neither as
spent. It works by night too; what it leaves in a purse then expires before the next grant. Returns {correction_id,
amount, balance}; the entry has the correction_id as reference_id. Refuses: NOT_FOUND, INVALID_INPUT,
INSUFFICIENT_CC {short_by, largest_possible, possible_at} below zero, CONFLICT {most} (a purse holds at most
1000000000 CC), CONFLICT (request_id), FORBIDDEN (steward_id is no steward).';
grant execute on function public.post_correction, private.post_correction to service_role;

-- Moving one community, whole, from one database of the Bureau into another (docs/scale.md). Everything here is the
-- owner's: `make move` calls it, and decides the order of the commits. Which tables and columns there are is asked of
-- the catalogue, so a new room moves along without a line here.

create table private.luggage (
  community_id uuid not null,
  table_name text not null,
  key jsonb not null,
  row jsonb not null,
  constraint luggage_pkey primary key (community_id, table_name, key)
);
comment on table private.luggage is
'Rows of a community that is moving in, and profiles of its people: by the name of their table and their primary key. A
row that comes once more replaces the one before. Empty but during a move.';
alter table private.luggage enable row level security;
create policy nobody_reads_luggage on private.luggage for select to authenticated using (false);

-- ------------------------------------------------------------------------------------------------------------ numbers

create function private.id_sequences()
returns setof regclass
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select c.oid::regclass from pg_catalog.pg_class as c
  where c.relkind = 'S' and c.relnamespace = 'private'::regnamespace;
end;
$$;
comment on function private.id_sequences is 'Every sequence of the house: where ids that grow come from.';

create function private.is_numbered(p_sequence regclass)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (select s.seqincrement = 1024 from pg_catalog.pg_sequence as s where s.seqrelid = p_sequence);
end;
$$;
comment on function private.is_numbered is
'Whether a sequence gives ids that no other database of the Bureau gives.';

create function private.number_database(p_number integer, p_address_key bytea default null)
returns void
language plpgsql security definer set search_path = '' set lock_timeout = '500ms'
as $$
declare
  v_settings private.settings;
  v_sequence regclass;
begin
  perform private.require_number('number', p_number, 0, 1023);
  select s.* into v_settings from private.settings as s;
  if v_settings.database_number <> p_number then
    perform private.refuse('CONFLICT', 'This database has another number.',
      jsonb_build_object('number', v_settings.database_number));
  elsif v_settings.address_key <> p_address_key then
    perform private.refuse('CONFLICT', 'This database hashes addresses under another key.');
  elsif v_settings.database_number is null and p_number > 0 and exists (select from private.communities) then
    perform private.refuse('CONFLICT', 'Only number 0 may have been in use before it was numbered.');
  end if;
  perform private.note_number(p_number, p_address_key);
  for v_sequence in select s.id from private.id_sequences() as s (id) where not private.is_numbered(s.id) loop
    -- Waits for whoever has asked the sequence anything: nobody holds an id, or a position, of before the jump.
    execute format('alter sequence %s increment by 1024', v_sequence);
    perform setval(v_sequence, 1099511627776 + p_number);
  end loop;
end;
$$;
comment on function private.number_database is
'Makes this the p_number-th (0 to 1023) database of a Bureau spread over several: from now on ids grow from 2^40 in
steps of 1024, each with the remainder p_number, so that two databases never give the same one. p_address_key is the key
under which the first of them hashes addresses; null draws or keeps this one''s own. Number 0 is for the database that
was there before there were several: it alone has ids below 2^40. Again, with the same number, it numbers what has come
since. Where acts are always under way it gives up after half a second (55P03), before they would: try again.

Refuses: CONFLICT (another number, another key, or communities here already and p_number above 0), INVALID_INPUT.';

create function private.id_marks()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select jsonb_object_agg(s.id::text, pg_sequence_last_value(s.id))
    from private.id_sequences() as s (id)
  );
end;
$$;
comment on function private.id_marks is 'The last id given by each sequence, by its name.';

create function private.lift_ids(p_marks jsonb)
returns void
language plpgsql security definer set search_path = '' set lock_timeout = '2s'
as $$
declare
  v_sequence regclass;
  v_short numeric;
begin
  -- Whoever has taken the id of a line has it in the table: let them end, so that nothing below the jump is to come.
  lock table private.chat_messages in share row exclusive mode;
  for v_sequence in select s.id from private.id_sequences() as s (id) loop
    -- 2^31: what the old home gives until its community is held.
    v_short := (p_marks ->> v_sequence::text)::bigint + 2147483648 - pg_sequence_last_value(v_sequence);
    if v_short > 0 then
      perform setval(v_sequence, pg_sequence_last_value(v_sequence) + 4294967296 * ceil(v_short / 4294967296)::bigint);
    end if;
  end loop;
end;
$$;
comment on function private.lift_ids is
'Sees to it that every id given here from now on is greater than those of another database (its private.id_marks), so
that what a community does after its move comes after what it did before.

A lift is a multiple of 2^32, so the lower half of a position, which is what writers of lines lock
(private.next_line_id), means the same before and after. The Chambers of this database wait for it,
2 seconds at most.';

-- ------------------------------------------------------------------------------------------------------------- people

create function private.moving_tables(out name text, out home text, out place integer)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  with recursive tables as (
    select c.oid, c.relname, a.attname
    from pg_catalog.pg_class as c
    join pg_catalog.pg_attribute as a on a.attrelid = c.oid
    where c.relkind = 'r' and c.relnamespace = 'private'::regnamespace
      and a.attname = case when c.relname = 'communities' then 'id' else 'community_id' end
      and c.relname not in ('departures', 'luggage')
  ), placed as (
    select t.oid, 1 as place from tables as t
    union
    select f.conrelid, p.place + 1
    from placed as p
    join pg_catalog.pg_constraint as f on f.confrelid = p.oid and f.contype = 'f' and f.conrelid <> f.confrelid
    join tables as t on t.oid = f.conrelid
  )
  select t.relname::text, t.attname::text, max(p.place)
  from tables as t
  join placed as p on p.oid = t.oid
  group by t.relname, t.attname
  order by max(p.place), t.relname;
end;
$$;
comment on function private.moving_tables is
'Every table with rows of communities, the column (home) that says of which, and its place in an order in which no row
comes before one it refers to.';

create function private.people_of(p_community_id uuid)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_column record;
  v_found uuid[];
  v_people uuid[] := array[]::uuid[];
begin
  for v_column in
    select t.name, t.home, a.attname
    from private.moving_tables() as t
    join pg_catalog.pg_attribute as a on a.attrelid = ('private.' || t.name)::regclass
    where a.attnum > 0 and not a.attisdropped and a.attname <> t.home
      and a.atttypid in ('uuid'::regtype, 'uuid[]'::regtype)
  loop
    -- Unnested, an array in an array is its ids, and an id in one is itself.
    execute format(
      'select array(select u.id from private.users as u '
      'where u.id in (select unnest(array[t.%I]) from private.%I as t where t.%I = $1))',
      v_column.attname, v_column.name, v_column.home
    ) into v_found using p_community_id;
    v_people := array(select unnest(v_people) union select unnest(v_found));
  end loop;
  return v_people;
end;
$$;
comment on function private.people_of is
'Everybody whom a row of a community names: who is or was in it, and stewards who acted there.';

create function private.accounts_missing(p_user_ids uuid[])
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(
    select p.id from unnest(p_user_ids) as p (id)
    where not exists (select from auth.users as a where a.id = p.id and a.deleted_at is null)
    order by p.id
  );
end;
$$;
comment on function private.accounts_missing is
'Those of these people whom Auth does not know here: housekeeping would take them for deleted, and erase them.';

create function private.pack_people(p_community_id uuid, p_user_ids uuid[])
returns setof private.luggage
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select p_community_id, r.table_name, r.key, r.row
  from (
    select 'users' as table_name, u.id as user_id, jsonb_build_array(u.id) as key, to_jsonb(u) as row
    from private.users as u
    union all
    -- Their invite stays where it was minted.
    select 'admissions', a.user_id, jsonb_build_array(a.user_id), to_jsonb(a) || '{"invite_id": null}'
    from private.admissions as a
    union all
    select 'addresses', a.user_id, jsonb_build_array(a.user_id, a.address_hash), to_jsonb(a) from private.addresses as a
    union all
    select 'erasures', e.user_id, jsonb_build_array(e.user_id), to_jsonb(e) || '{"stuck": []}'
    from private.erasures as e
    union all
    select 'repeats', r.user_id, jsonb_build_array(r.user_id, r.rpc, r.request_id), to_jsonb(r)
    from private.repeats as r
  ) as r
  where r.user_id = any(p_user_ids);
end;
$$;
comment on function private.pack_people is
'What goes along of people, who stay here as well: profile, admission, hashes of addresses, an erasure under way, and
their request ids of 7 days, of whichever community, for which one an id belongs to is not kept.';

create function private.unpack_people(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_missing uuid[];
  v_profile private.users;
begin
  v_missing := private.accounts_missing(array(
    select (l.row ->> 'id')::uuid from private.luggage as l
    where l.community_id = p_community_id and l.table_name = 'users' and l.row ->> 'erased_at' is null
  ));
  if v_missing <> '{}' then
    perform private.refuse('CONFLICT', 'Some of its people have no account here.',
      jsonb_build_object('missing', v_missing[:20]));
  end if;
  for v_profile in
    select p.* from private.luggage as l
    cross join lateral jsonb_populate_record(null::private.users, l.row) as p
    where l.community_id = p_community_id and l.table_name = 'users'
  loop
    if v_profile.erased_at is not null then
      perform private.erase(v_profile.id);
    elsif exists (select from private.users as u where u.id = v_profile.id and u.erased_at is not null) then
      perform private.erase_again(v_profile.id);
    elsif not exists (select from private.community_members as m where m.user_id = v_profile.id) then
      perform private.replace_profile(v_profile);
    end if;
  end loop;
  perform private.unpack_table(p_community_id, t.id)
  from unnest(array[
    'private.users', 'private.admissions', 'private.addresses', 'private.erasures', 'private.repeats'
  ]::regclass[]) as t (id);
  perform private.suspend((l.row ->> 'user_id')::uuid) from private.luggage as l
  where l.community_id = p_community_id and l.table_name = 'admissions' and l.row ->> 'suspended_at' is not null;
end;
$$;
comment on function private.unpack_people is
'Brings the people of a community that moves in. Who is in a community here already keeps the profile they have here;
whoever is erased or suspended on one side is so here. Refuses: CONFLICT {missing} where Auth does not know somebody.';

-- -------------------------------------------------------------------------------------------------------------- rows

create function private.hold_for_move(p_community_id uuid, p_number integer)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.lock_membership(p_community_id);
  -- Acts with words of their own hold no day, but their author's membership.
  perform from private.community_members as m where m.community_id = p_community_id for update;
  perform private.let_go(p_community_id, p_number, private.member_ids(p_community_id));
end;
$$;
comment on function private.hold_for_move is
'Begins a community''s departure to another database: settles its day, waits for whoever acts in it and lets nobody
else begin until the transaction ends. private.pack_community follows in the same transaction.';

create function private.packing(p_table regclass)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      format(
        'delete from private.%1$I as t where t.%2$I = $1 '
        'returning t.%2$I, %1$L::text, jsonb_build_array(%3$s), to_jsonb(t)',
        m.name, m.home, string_agg(format('t.%I', a.attname), ', ' order by array_position(c.conkey, a.attnum))
      )
    from private.moving_tables() as m
    join pg_catalog.pg_constraint as c on c.conrelid = p_table and c.contype = 'p'
    join pg_catalog.pg_attribute as a on a.attrelid = p_table and a.attnum = any(c.conkey)
    where ('private.' || m.name)::regclass = p_table
    group by m.name, m.home
  );
end;
$$;
comment on function private.packing is
'The statement that takes the rows of one community ($1) out of a table, as luggage.';

create function private.pack_community(p_community_id uuid)
returns setof private.luggage
language plpgsql security definer set search_path = ''
as $$
declare
  v_table regclass;
begin
  for v_table in
    select ('private.' || t.name)::regclass from private.moving_tables() as t order by t.place desc, t.name
  loop
    return query execute private.packing(v_table) using p_community_id;
  end loop;
end;
$$;
comment on function private.pack_community is
'Takes every row of a community out of the house and returns them: what is brought to the new home is what was deleted
here, no older version of it. For a session whose session_replication_role is replica: the ledger lets nobody else.';

create function private.unpacking(p_table regclass)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      format(
        'insert into %1$s (%2$s) overriding system value select %3$s from private.luggage as l '
        'cross join lateral jsonb_populate_record(null::%1$s, l.row) as r '
        'where l.community_id = $1 and l.table_name = %4$L order by l.key on conflict do nothing',
        p_table, string_agg(format('%I', a.attname), ', ' order by a.attnum),
        string_agg(format('r.%I', a.attname), ', ' order by a.attnum), c.relname
      )
    from pg_catalog.pg_class as c
    join pg_catalog.pg_attribute as a on a.attrelid = c.oid
    -- What PostgreSQL reckons itself it will reckon again.
    where c.oid = p_table and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    group by c.relname
  );
end;
$$;
comment on function private.unpacking is
'The statement that puts the rows of one community ($1), which are in the luggage, in a table; what is there stays.';

create function private.unpack_table(p_community_id uuid, p_table regclass)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_rows integer;
begin
  execute private.unpacking(p_table) using p_community_id;
  get diagnostics v_rows = row_count;
  return v_rows;
end;
$$;
comment on function private.unpack_table is 'Puts the rows of one table in place; returns how many were not there yet.';

create function private.require_lifted(p_community_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_column record;
  v_beyond boolean;
begin
  for v_column in
    select t.name, t.home, a.attname, pg_get_serial_sequence('private.' || t.name, a.attname)::regclass as sequence
    from private.moving_tables() as t
    join pg_catalog.pg_attribute as a on a.attrelid = ('private.' || t.name)::regclass and a.attidentity <> ''
  loop
    execute format(
      'select coalesce(max(t.%I) > $2, false) from private.%I as t where t.%I = $1',
      v_column.attname, v_column.name, v_column.home
    ) into v_beyond using p_community_id, pg_sequence_last_value(v_column.sequence);
    if v_beyond then
      raise exception 'an id of % is greater than any given here', v_column.name;
    end if;
  end loop;
end;
$$;
comment on function private.require_lifted is
'Asks that no id of a community is greater than those this database has given: the next ones must come after.';

create function private.unpack_community(p_community_id uuid)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_table regclass;
  v_rows integer := 0;
begin
  perform private.unpack_people(p_community_id);
  for v_table in
    select ('private.' || t.name)::regclass from private.moving_tables() as t order by t.place, t.name
  loop
    v_rows := v_rows + private.unpack_table(p_community_id, v_table);
  end loop;
  if v_rows <> (
    select count(*) from private.luggage as l
    where l.community_id = p_community_id and l.table_name in (select t.name from private.moving_tables() as t)
  ) then
    raise exception 'some rows of this community are here already';
  end if;
  perform private.require_lifted(p_community_id);
  perform private.welcome_back(p_community_id);
  delete from private.luggage as l where l.community_id = p_community_id;
  return v_rows;
end;
$$;
comment on function private.unpack_community is
'Puts a community, whose rows are in the luggage, in its place here with its people; returns how many rows that were.
Every check, key and foreign key of the house is asked. Refuses: as private.unpack_people.';

create function private.under_way()
returns text[]
language plpgsql volatile security definer set search_path = ''
as $$
begin
  return array(
    select l.virtualtransaction from pg_catalog.pg_locks as l
    join pg_catalog.pg_stat_activity as a on a.pid = l.pid
    where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and l.pid <> pg_backend_pid()
      and a.datname = current_database() and a.backend_type in ('client backend', 'pg_cron')
  );
end;
$$;
comment on function private.under_way is
'The transactions now under way in this database, this one left out: an act that met a community before it left may
still write until they have all ended.';

-- What stewards ask about the jobs. For the service role.

---------------------------------------------------------------------------------------------------- jobs

create function private.list_job_runs(p_job text, p_failed_only boolean, p_page_size integer, p_before_id bigint)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_page private.job_runs[];
begin
  perform private.require_page_size(p_page_size);
  v_page := array(
    select r from private.job_runs as r
    where (p_before_id is null or r.id < p_before_id)
      and (p_job is null or r.job = p_job)
      and (r.error is not null or not coalesce(p_failed_only, false))
    order by r.id desc
    limit p_page_size + 1
  );
  return jsonb_build_object(
    'runs', private.show_runs(v_page[:p_page_size]),
    'has_more', cardinality(v_page) > p_page_size
  );
end;
$$;

create function public.list_job_runs(
  job text default null, failed_only boolean default false, page_size integer default 50, before_id bigint default null
)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.list_job_runs(
    list_job_runs.job, list_job_runs.failed_only, list_job_runs.page_size, list_job_runs.before_id
  );
end;
comment on function public.list_job_runs is
'What the jobs did, a line for each community served, newest first. For the service role alone.

Of all jobs or one, all runs or only those that failed. Returns {runs: [{id, job, community_id, day, started_at,
finished_at, rows, error}], has_more}; rows is null where error is not. Kept 30 days. Refuses: INVALID_INPUT.';
grant execute on function public.list_job_runs, private.list_job_runs to service_role;

create function private.due_since(p_job text)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
begin
  return case p_job
    when 'daily_reset' then (select min(d.dawn_at) from private.community_days as d)
    when 'daily_sunset' then (select min(d.sunset_at) from private.community_days as d where d.is_open)
    when 'last_light' then (select min(d.last_light_at) from private.community_days as d)
    when 'weekly_jashn' then (select min(d.jashn_look_at) from private.community_days as d)
    when 'tip_to_tip_expiry' then (
      select min(t.deadline) from private.tip_to_tip_proposals as t where t.status = 'active'
    )
    when 'election_close' then (select min(e.ends_at) from private.elections as e where e.status = 'active')
  end;
end;
$$;
comment on function private.due_since is
'The moment of the earliest thing a job has still to do, past or to come; null if nothing is in sight.';

create function private.get_jobs()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object('jobs', (
    select
      coalesce(
        jsonb_agg(
          jsonb_build_object(
            'name', j.jobname, 'schedule', j.schedule, 'active', j.active,
            'next_due_at', private.due_since(j.jobname),
            'late_seconds', coalesce(
              greatest(extract(epoch from private.clock() - private.due_since(j.jobname))::integer, 0), 0
            ),
            'last_started_at', l.start_time, 'last_status', l.status, 'last_message', l.return_message,
            'failed_in_a_day', (
              select count(*) from private.job_runs as r
              where r.job = j.jobname and r.error is not null
                and r.started_at > private.clock() - interval '1 day'
            ),
            'communities_in_trouble', (select count(*) from private.job_troubles as t where t.job = j.jobname)
          )
          order by j.jobname
        ), '[]'
      )
    from cron.job as j
    left join lateral (
      select d.start_time, d.status, d.return_message from cron.job_run_details as d
      where d.jobid = j.jobid
      order by d.runid desc
      limit 1
    ) as l on true
  ));
end;
$$;

create function public.get_jobs()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_jobs();
end;
comment on function public.get_jobs is
'Every scheduled job: its last run, how late it is with its work, what failed. For the service role alone.

Returns {jobs: [{name, schedule, active, next_due_at, late_seconds, last_started_at, last_status, last_message,
failed_in_a_day, communities_in_trouble}]}. tip_to_tip_expiry runs every 15 minutes, so up to 900 late seconds are
its usual; failed_in_a_day counts runs for one community.';
grant execute on function public.get_jobs, private.get_jobs to service_role;
