"""A detector for detect-secrets: what it does not know of Supabase and Google."""

import re

from detect_secrets.plugins.base import RegexBasedDetector


class SupabaseKeyDetector(RegexBasedDetector):
    secret_type = "Key of Supabase or Google"

    denylist = (
        re.compile(r"sb_secret_[A-Za-z0-9_-]{20,}"),
        re.compile(r"sbp_(?:oauth_)?[a-f0-9]{40}"),
        re.compile(r"GOCSPX-[A-Za-z0-9_-]{20,}"),
        re.compile(r"AIza[A-Za-z0-9_-]{35}"),
        # A setting of a deployment with its value, quoted or not.
        re.compile(
            r"^\s*(?:export\s+)?[A-Z_]*(?:SERVICE_KEY|JWT_SECRET|PASSWORD|API_KEY)"
            r"\s*[=:]\s*[\"']?[A-Za-z0-9+/_.-]{20,}"
        ),
    )
