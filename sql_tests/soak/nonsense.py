"""What doors are asked by those who mean no good, or do not know what they do."""

from hypothesis import strategies as st

LONG = ["x" * 1_000_000, "\U0001f600" * 250_000, " " * 1_000_000, "ab " * 333_333, "(" * 1_000_000]
# fmt: off
# Scripts that run to the left, that join, that combine; letters whose case has another length.
SCRIPTS = [
    "مرحبا بالعالم", "\u05e9\u05dc\u05d5\u05dd 123", "\u202b\u05d0\u202c", "नमस्ते", "中文",
    "e\u0301 é",
    "\u212b \ufb03", "\u0130\u0131\u017f\u00df", "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f1f5\U0001f1f9", "\U0001d56f\U0001d58a", "\ufeffx",
    "x\u200by", "a\r\nb\tc", "  two  blanks  ", "\U0010ffffx",
]
QUOTES = [
    "'; drop table private.users; --", "' or ''='", '"', "\\", "\\x41 \\u0041", "%", "_",
    "%s%n {0} $1",
    "$$", "${x}", "<b>&amp;</b>", "null", "true", "[]", "{}", "{a,b}", "(1,2)",
]
ODD = [
    *SCRIPTS, *QUOTES, "", " ", "\t\n", "\u200b\u2060\ufeff", "\u202e\u202d", "\x00", "a\x00b",
    "\x7f\x80\x9f", "\ud800", "\udfff\ud83d", "\ufffe\uffff", "\u0600\u0600", "\u0661\u0662",
    "\u00bd",
    "\U0010ffff", "e\u0301\u0301\u0301\u0301", "1e400", "0x10", "Infinity", "NaN", "-0",
    "javascript:x",
    "http://", "https://chas.test/x", "data:text/html,x", "../../etc/passwd", "posixrules",
    "utc+25",
    "Europe/Lisbon", "UTC", "Pacific/Kiritimati", "accept", "decline", "approved", "declined",
    "renew",
    "add", "council", "members", "lent", "owed", "both", "active", "system", "dawn", "declaration",
]
NUMBERS = [
    0, 1, -1, 2, 10, 200, 201, 1001, 0.5, -1.5, 1e-300, 1e300, 1e15, "@1e400@", "@1E+1000000@",
    2**31 - 1,
    2**31, -(2**31) - 1, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 10**40, "1", " 7 ",
]
MOMENTS = [
    "infinity", "-infinity", "epoch", "now", "today", "tomorrow", "allballs", "24:00", "noon", "",
    0,
    "4713-01-01 BC", "4714-11-24 BC", "0001-01-01", "0000-01-01", "1582-10-10", "9999-12-31",
    1773554400,
    "5874897-12-31", "5874898-01-01", "294276-12-31 23:59:59+00", "294277-01-01", "2026-02-30",
    "2026-03-15", "2026-03-16T12:00:00+15:59", "2026-03-16T12:00:00+16", "2026-03-15T06:00:01Z",
    "2026-03-20 12:00 Europe/Lisbon", "2026-03-29T02:30:00 Europe/Lisbon",
]
# fmt: on

texts = st.one_of(st.sampled_from(ODD), st.text(max_size=40), st.characters(codec=None).map(str))
json_values = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | texts | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
patches = st.dictionaries(
    st.sampled_from(["name", "description", "timezone", "electorate", "daily_cc_budget", "x"]),
    json_values,
    max_size=3,
)
uuids = st.uuids(allow_nil=True).map(str) | st.sampled_from(
    ["00000000000000000000000000000000", "{3F2B8E62-0F4C-4A43-9A57-6F6A5D0C5F10}", "3f2b8e62", "g"]
)

BY_TYPE = {
    "uuid": uuids,
    "text": texts,
    "integer": st.sampled_from(NUMBERS),
    "bigint": st.sampled_from(NUMBERS),
    "boolean": st.sampled_from([True, False, 0, 1, "yes", "off", "maybe"]),
    "timestamp with time zone": st.sampled_from(MOMENTS),
    "date": st.sampled_from(MOMENTS),
    "jsonb": json_values | patches,
}

# Whole bodies and headers, beneath any argument.
BODIES = {
    "nothing": b"",
    "no object": b"[]",
    "objects": b'[{"content": "one"}, {"content": "two"}]',
    "null": b"null",
    "a text": b'"content"',
    "half an object": b'{"content": "x',
    "bytes that are no UTF-8": b'{"content": "\xff\xfe\xc3\x28"}',
    "an overlong slash": b'{"content": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"content": "\xed\xa0\x80"}',
    "a NUL itself": b'{"content": "a\x00b"}',
    "UTF-16": '{"content": "x"}'.encode("utf-16"),
    "a mark of byte order": b'\xef\xbb\xbf{"content": "x"}',
    "the same name twice": b'{"content": "one", "content": "two"}',
    "a name that is a NUL": b'{"\\u0000": 1}',
    "depth": b'{"content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "NaN": b'{"content": NaN}',
    "a number without end": b'{"content": ' + b"9" * 100_000 + b"}",
}
KINDS = ("application/json", "text/plain", "application/octet-stream", "text/csv", "x")
WISHES = {
    "Accept": ["text/csv", "application/vnd.pgrst.object+json", "application/octet-stream", "x/y"],
    "Prefer": ["params=single-object", "params=multiple-objects", "tx=rollback", "count=exact"],
    "Range": ["0-0", "5-1", "x", "0-99999999999999999999"],
    "Content-Profile": ["private", "auth", "public", "graphql_public", ""],
    "Accept-Profile": ["private", "auth", "pg_catalog", "' or true"],
}
