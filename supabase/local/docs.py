"""What is generated from the house: the schema of answers, TypeScript types, a reference.

The words are the comments of the functions, the arguments and who may call those of the catalogue,
the answers those of answers.py, against which tests hold real answers.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import answers
from cluster import ROOT, Cluster, Trouble, run, run_sql
from facts import OF_THE_BUREAU

ROOMS = sorted((ROOT / "supabase" / "schemas").glob("*.sql"))
SCHEMA = ROOT / "supabase" / "types" / "answers.json"
TYPES = ROOT / "supabase" / "types" / "database.ts"
REFERENCE = ROOT / "supabase" / "docs" / "reference.md"
WIDTH = 100
TOOLS = ROOT / "supabase" / "node_modules" / ".bin"

DOORS = """
    select json_agg(json_build_object(
      'name', p.proname,
      'comment', obj_description(p.oid, 'pg_proc'),
      'for_people', has_function_privilege('authenticated', p.oid, 'execute'),
      'arguments', array(
        select json_build_object(
          'name', p.proargnames[n],
          'type', format_type(p.proargtypes[n - 1], null),
          'default', pg_get_function_arg_default(p.oid, n)
        )
        from generate_series(1, p.pronargs) as n
      )
    ))
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace
"""

# The house's own lists, and what its bodies broadcast; facts.py says what each of them carries.
LISTS = """
    select json_build_object(
      'LineFacts', array(select e from jsonb_object_keys(private.events() -> 'line') as e),
      'NoticeFacts', array(select e from jsonb_object_keys(private.events() -> 'notice') as e),
      'AuditFacts', array(select e from jsonb_object_keys(private.events() -> 'audit') as e),
      'RefusalFacts', array(select r.code from private.refusal_codes() as r),
      'RefusalCode', array(select r.code from private.refusal_codes() as r),
      'EntryType', array(select distinct k.type from private.entry_kinds() as k),
      'NoticeType', array(select k.kind from private.notice_kinds() as k),
      'MutableNoticeType', array(select k.kind from private.notice_kinds() as k where k.is_mutable),
      'bodies', array(
        select p.prosrc from pg_proc as p
        where p.pronamespace = 'private'::regnamespace
          and p.prosrc ~ 'private\\.tell_(community|user)\\(|''(community|user):'' \\|\\| '
      ),
      'JobName', array(select j.name from private.jobs() as j)
    )
"""

# The published tables, as who may select from them hears of their rows.
ROWS = """
    select json_object_agg(p.name, (
      select json_agg(json_build_object(
        'name', a.attname,
        'type', format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null),
        'may_be_null', not (a.attnotnull or t.typnotnull),
        'checks', (
          select string_agg(pg_get_constraintdef(c.oid), ' ') from pg_constraint as c
          where c.contype = 'c'
            and (c.contypid = t.oid or c.conrelid = a.attrelid and c.conkey = array[a.attnum])
        )
      ) order by a.attnum)
      from pg_attribute as a
      join pg_type as t on t.oid = a.atttypid
      where a.attrelid = format('private.%I', p.name)::regclass and a.attnum > 0
        and not a.attisdropped
        and has_column_privilege('authenticated', a.attrelid, a.attnum, 'select')
    ) order by p.name)
    from private.published_tables() as p (name)
"""

STATUSES = "select json_object_agg(r.code, r.status) from private.refusal_codes() as r"

# An argument in an example; whatever is called …_id is an id.
EXAMPLES = {
    "action": "'approved'",
    "amount": "5",
    "cc_spent": "20",
    "code": "'K7DM-2QXR-9VBA-T3FW'",
    "content": "'What was good today?'",
    "enforce_invites": "true",
    "ends_at": "'2026-03-08T18:00:00Z'",
    "granted": "true",
    "invite_code": "'k7dm2qxr9vba'",
    "message": "'Well spared!'",
    "message_id": "1207",
    "muted": "true",
    "name": "'Rain'",
    "notification_id": "88",
    "patch": "{ daily_cc_budget: 120 }",
    "reason": "'To thank the driver in cake'",
    "stake_amount": "10",
    "title": "'First rain'",
    "type": "'witnessed'",
    "vote": "'accept'",
}
AN_ID = "'5c8fa511-b835-45ea-b7a2-2d344f6545ca'"


def documents(house: Cluster) -> dict[Path, str]:
    """Every generated file, as the house would have it now."""
    schema = answers.schema()
    hold_against_the_lists(house, schema["$defs"])
    shapes = as_typescript(schema)
    return {
        SCHEMA: json.dumps(schema, indent=2) + "\n",
        TYPES: types(house, shapes, schema),
        REFERENCE: "\n".join(Reference(house, shapes, schema).lines()),
    }


def write(house: Cluster) -> None:
    for path, text in documents(house).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def problems(house: Cluster) -> Iterator[str]:
    for path, text in documents(house).items():
        if not path.exists() or path.read_text() != text:
            yield f"{path.relative_to(ROOT)} is stale: `make docs` writes it anew."
    checked = run(TOOLS / "tsc", "--project", TYPES.parent)
    if checked.returncode:
        yield checked.stdout


# ------------------------------------------------------------------------------ TypeScript


def as_typescript(schema: dict[str, Any]) -> dict[str, str]:
    """The declaration of every shape by its name, and last that of all Answers."""
    style = ["singleQuote", "no-semi", "no-bracketSpacing", f"printWidth={WIDTH}"]
    flags = [
        f"--no-style.{name[3:]}" if name.startswith("no-") else f"--style.{name}" for name in style
    ]
    shapes = schema["$defs"] | {name: {"tsType": told_by(*of)} for name, of in answers.TOLD.items()}
    # What is answered and what is carried, from one root, so that each shape is named once.
    everything = {
        "title": "Everything",
        "type": "object",
        "properties": {name: {"$ref": f"#/$defs/{name}"} for name in [*shapes, "Answers"]},
        "$defs": shapes | {"Answers": {k: of for k, of in schema.items() if k != "$defs"}},
    }
    made = subprocess.run(
        [TOOLS / "json2ts", *flags, "--bannerComment", ""],
        input=json.dumps(everything),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode or made.stderr:
        raise Trouble(f"json2ts failed:\n{made.stderr}")
    declared = re.findall(
        r"^export (?:interface|type) (\w+)\b.*?(?=^export |^/\*\*|\Z)",
        made.stdout,
        flags=re.MULTILINE | re.DOTALL,
    )
    parts = re.split(r"^(?=export )", made.stdout, flags=re.MULTILINE)[1:]
    # What stands before a declaration, its comment, was cut off with the one above.
    texts = [re.sub(r"\s*/\*\*.*?\*/\s*\Z", "", part, flags=re.DOTALL) for part in parts]
    found = dict(zip(declared, map(str.rstrip, texts), strict=True))
    return {name: found[name] for name in [*shapes, "Answers"]}


def told_by(shape: str, key: str, facts: str) -> str:
    if facts != "LineFacts":
        return f"Told<{shape}, '{key}', {facts}>"
    struck = f"{shape} & {{{key}: keyof {facts}; deleted: true; facts: NoFacts}}"
    return f"Told<{shape} & {{deleted: false}}, '{key}', {facts}> | ({struck})"


# Beside what json2ts makes: what turns a list of facts into shapes told apart by a name.
HELPERS = """\
export type Json = string | number | boolean | null | {[key: string]: Json | undefined} | Json[]
/** One shape for each thing that may be told, with the facts of that one. */
export type Told<Shape, Key extends string, Facts> = {
  [Name in keyof Facts]: Omit<Shape, Key | 'facts'> & Record<Key, Name> & {facts: Facts[Name]}
}[keyof Facts]
/** A broadcast, told apart by its event, as it is heard on a topic. */
export type Broadcast<Ids> = {
  [Event in keyof Ids]: {type: 'broadcast'; event: Event; payload: {kind: Event; ids: Ids[Event]}}
}[keyof Ids]
export type CommunityBroadcast = Broadcast<CommunityBroadcasts>
export type UserBroadcast = Broadcast<UserBroadcasts>
"""

DATABASES = """\
type Exposed<Functions> = {
  __InternalSupabase: {PostgrestVersion: '12'}
  public: {
    Tables: {[_ in never]: never}
    Views: {[_ in never]: never}
    Functions: Functions
    Enums: {[_ in never]: never}
    CompositeTypes: {[_ in never]: never}
  }
}
/** For who signs in: `createClient<Database>(url, publishableKey)`. */
export type Database = Exposed<MemberFunctions>
/** For a server that holds the secret key: `createClient<ServiceDatabase>(url, secretKey)`. */
export type ServiceDatabase = Exposed<ServiceFunctions>
/** What an RPC takes: `{ … } satisfies Args<'declare_joy'>` stops what it does not know as well. */
export type Args<Name extends keyof MemberFunctions> = MemberFunctions[Name]['Args']
"""

SQL_TYPES = {
    "bigint": "number",
    "boolean": "boolean",
    "date": "Day",
    "integer": "number",
    "jsonb": "Json",
    "text": "string",
    "timestamp with time zone": "Moment",
    "uuid": "Uuid",
}
# What is in a column of jsonb.
DOCUMENTS = {"amendment": "Amendment", "pending": "Patch"}


def types(house: Cluster, shapes: dict[str, str], schema: dict[str, Any]) -> str:
    """Every door with its comment, its arguments from the catalogue, its answer from answers.py."""
    doors = sorted(json.loads(run_sql(house.url(), "-c", DOORS)), key=lambda door: door["name"])
    missing = schema["properties"].keys() ^ {door["name"] for door in doors}
    if missing:
        raise Trouble(f"Doors without an answer, or answers without a door: {sorted(missing)}.")
    notes = {
        name: of.get("description") for name, of in (schema["$defs"] | {"Answers": schema}).items()
    }
    lines = [
        "// Generated by `make docs` from the database, supabase/local/answers.py and facts.py:",
        "// do not edit.",
        "//",
        "// createClient<Database>(url, key) knows every RPC, what it takes and what it answers.",
        "",
        *HELPERS.splitlines(),
    ]
    for name, text in shapes.items():
        lines += [f"/** {tidy(notes[name])} */"] if notes[name] else []
        lines.append(text)
    choices = {
        name: of["$ref"].rpartition("/")[2]
        for name, of in schema["$defs"]["Choices"]["properties"].items()
    }
    for kind, for_people in (("MemberFunctions", True), ("ServiceFunctions", False)):
        lines.append(f"export type {kind} = {{")
        for door in doors:
            if door["for_people"] == for_people:
                lines += as_function(door, choices)
        lines.append("}")
    lines += as_rows(json.loads(run_sql(house.url(), "-c", ROWS)))
    return "\n".join([*lines, *DATABASES.splitlines(), ""])


def as_function(door: dict[str, Any], choices: dict[str, str]) -> Iterator[str]:
    yield "  /**"
    for line in door["comment"].replace("*/", "* /").splitlines():
        yield f"   * {line}".rstrip()
    yield "   */"
    yield f"  {door['name']}: {{"
    if door["arguments"]:
        yield "    Args: {"
        for one in door["arguments"]:
            kind = choices.get(one["name"]) or SQL_TYPES[one["type"]]
            may_be_null = (one["default"] or "").partition("::")[0] == "NULL"
            optional = "?" if one["default"] else ""
            yield f"      {one['name']}{optional}: {kind}{' | null' if may_be_null else ''}"
        yield "    }"
    else:
        yield "    Args: never"
    yield f"    Returns: Answers['{door['name']}']"
    yield "  }"


def as_rows(tables: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    yield "/** What `postgres_changes` of schema `private` brings: `.on<Rows['elections']>(…)`. */"
    yield "export type Rows = {"
    for table, columns in tables.items():
        yield f"  {table}: {{"
        for one in columns:
            of, many = one["type"].removesuffix("[]"), one["type"].endswith("[]")
            kind = few_values(one["checks"]) or DOCUMENTS.get(one["name"]) or SQL_TYPES[of]
            null = " | null" if one["may_be_null"] else ""
            kind = f"Array<{kind}>" if many else kind
            yield f"    {one['name']}: {kind}{null}"
        yield "  }"
    yield "}"


def few_values(checks: str | None) -> str:
    """What a check names of a column's values, as a union."""
    named = re.search(r"(?:= ANY|<@) \(*ARRAY\[(.*?)\]", checks or "")
    return " | ".join(re.findall(r"'\w+'", named[1])) if named else ""


def hold_against_the_lists(house: Cluster, shapes: dict[str, Any]) -> None:
    """Nothing is said, refused or broadcast whose facts are not written down, and nothing else."""
    lists = json.loads(run_sql(house.url(), "-c", LISTS))
    lists["AuditFacts"] = set(lists["AuditFacts"]) - OF_THE_BUREAU
    for topic, found in broadcasts(lists.pop("bodies")).items():
        lists[f"{topic}Broadcasts"] = found
        for kind, ids in found.items():
            of = shapes[f"{topic}Broadcasts"]["properties"].get(kind)
            known = shapes[of["$ref"].rpartition("/")[2]]["properties"] if of else {}
            if of and set(ids) != known.keys():
                raise Trouble(f"{kind} is broadcast with {ids}; facts.py knows {list(known)}.")
    for name, wanted in lists.items():
        written = shapes[name].get("properties") or shapes[name]["enum"]
        if wrong := set(wanted) ^ set(written):
            raise Trouble(f"{name} in facts.py and the house differ: {', '.join(sorted(wrong))}.")


def broadcasts(bodies: list[str]) -> dict[str, dict[str, list[str]]]:
    """The kinds told to each sort of topic, with the names of their ids."""
    told: dict[str, dict[str, list[str]]] = {"Community": {}, "User": {}}
    # Told alone, or as a row among what one act tells together.
    topic = r"(?:tell_(community|user)\(\s*[^']*?|\(\s*'(community|user):' \|\| [^']*?, )"
    call = topic + r"'(\w+)',\s*jsonb_build_object\((.*?)\)\s*\)"
    for body in bodies:
        for alone, among, kind, pairs in re.findall(call, body, flags=re.DOTALL):
            told[(alone or among).title()][kind] = re.findall(r"'(\w+)',", pairs)
    return told


def tidy(text: str) -> str:
    return " ".join(text.split())


# ------------------------------------------------------------------------------ the reference


class Reference:
    """Every RPC of the house, room by room."""

    def __init__(self, house: Cluster, shapes: dict[str, str], schema: dict[str, Any]) -> None:
        told = json.loads(run_sql(house.url(), "-c", DOORS))
        self.doors = {door["name"]: door for door in told}
        self.status_of: dict[str, int] = json.loads(run_sql(house.url(), "-c", STATUSES))
        self.shapes = {
            name: re.sub(r"^export ", "", text)
            for name, text in shapes.items()
            if name != "Answers"
        }
        self.answers = {
            door: [ref.rpartition("/")[2] for ref in references(answer)]
            for door, answer in schema["properties"].items()
        }
        # What an answer alone is made of stands beside the first door that gives it.
        within = " ".join(json.dumps(shape) for shape in schema["$defs"].values())
        answered = {name for names in self.answers.values() for name in names}
        self.alone = {name for name in answered if f'"#/$defs/{name}"' not in within}

    def lines(self) -> Iterator[str]:
        yield from [
            "<!-- Generated by `make docs` from the comments of the functions: do not edit. -->",
            "",
            "# Every RPC",
            "",
            "`supabase.rpc('<name>', { … })`, arguments by name; those with a default may be left",
            "out. Answers are JSON in the types below, which `types/database.ts` gives to",
            "TypeScript, and `types/answers.json` as JSON Schema to everybody else. A refusal",
            "arrives as `error`: a stable `code`, listed with its HTTP status, words that may",
            "change, and facts, which `refusal(error)` of `types/refusal.js` reads; what they are,",
            "`RefusalFacts` says. What people call may besides be refused with",
            "UNAUTHORIZED (401) and INVITE_REQUIRED (403), and to a stranger",
            "everything is NOT_FOUND (404). *Service* marks what only the service role may call:",
            "the edge, stewards.",
            "",
            "## The shapes",
            "",
            "`Uuid`, `Moment` (a time with its zone) and `Day` (a local date) are strings.",
            "",
            "```ts",
            *(text for name, text in self.shapes.items() if name not in self.alone),
            "```",
        ]
        left = dict(self.doors)
        for room in ROOMS:
            text = room.read_text()
            names = re.findall(r"^create function public\.(\w+)", text, flags=re.MULTILINE)
            if names:
                yield from ["", f"## {heading(text)}"]
                for name in names:
                    yield from self.about(left.pop(name))
        assert not left, f"these doors are in no room: {left.keys()}"
        yield ""

    def about(self, door: dict[str, Any]) -> Iterator[str]:
        name, comment = door["name"], door["comment"]
        first, _, more = comment.partition("\n\n")
        service = "" if door["for_people"] else " · *service*"
        yield from ["", f"### `{name}`{service}", "", first, ""]
        yield from [tidy(paragraph) + "\n" for paragraph in more.split("\n\n") if paragraph]
        if door["arguments"]:
            yield from [*map(argument, door["arguments"]), ""]
        if codes := self.refusals(comment):
            yield f"Refuses: {', '.join(f'`{code}` {self.status_of[code]}' for code in codes)}\n"
        yield from ["```ts", example(door), f"// data: {' | '.join(self.answers[name])}"]
        for shape in self.answers[name]:
            if shape in self.alone:
                self.alone.discard(shape)
                yield self.shapes[shape]
        yield "```"

    def refusals(self, comment: str) -> list[str]:
        """The codes a comment names after its word for them."""
        _, _, named = comment.partition("Refuses:")
        named = named or comment.partition("{refused:")[2]
        codes = dict.fromkeys(re.findall(r"[A-Z_]{5,}", named))
        return [code for code in codes if code in self.status_of]


def references(answer: dict[str, Any]) -> list[str]:
    """Of one answer, or of either."""
    return [one["$ref"] for one in answer.get("anyOf", [answer])]


def heading(room: str) -> str:
    """The first sentence of a room, without its reference to the law."""
    first = room.partition("\n")[0].removeprefix("-- ")
    return re.sub(r" \(RULES[^)]*\)", "", first).partition(". ")[0].rstrip(".")


def argument(one: dict[str, str | None]) -> str:
    default = one["default"]
    if default is None:
        return f"- `{one['name']}` {one['type']}"
    value = default.partition("::")[0]
    return f"- `{one['name']}` {one['type']}, `{'null' if value == 'NULL' else value}` by default"


def example(door: dict[str, Any]) -> str:
    needed = [one["name"] for one in door["arguments"] if one["default"] is None]
    given = ", ".join(f"{name}: {EXAMPLES.get(name, AN_ID)}" for name in needed)
    call = f"'{door['name']}', {{ {given} }}" if given else f"'{door['name']}'"
    return f"const {{ data, error }} = await supabase.rpc({call})"
