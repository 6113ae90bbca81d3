"""What a house can lose outside its own tables: how it goes, and the words health has for it."""

import re

from cluster import ROOT, Cluster
from people import Caller, House

ROOMS = ROOT / "supabase" / "schemas"


def listed(room: str, function: str) -> tuple[str, ...]:
    """The names one list of the house begins its rows with."""
    body = (ROOMS / room).read_text().split(f"create function private.{function}(")[1]
    return tuple(re.findall(r"\('(\w+)'[,)]", body.split("$$")[1]))


JOBS = listed("900_jobs.sql", "jobs")
PUBLISHED = listed("910_realtime.sql", "published_tables")
TRIGGERS = ("on_auth_user_created", "on_auth_user_changed", "on_auth_user_deleted")
KINDS = ("functions", "tables", "sequences")
POLICY = "people_hear_their_topics"

# In the order in which health names them.
LOSSES = {
    **{f"job {name}": f"delete from cron.job where jobname = '{name}'" for name in JOBS},
    **{f"trigger {name} on auth.users": f"drop trigger {name} on auth.users" for name in TRIGGERS},
    f"policy {POLICY} on realtime.messages": f"drop policy {POLICY} on realtime.messages",
    **{
        f"published table private.{name}": (
            f"alter publication supabase_realtime drop table private.{name}"
        )
        for name in PUBLISHED
    },
    **{
        f"default privileges on {kind}": (
            "alter default privileges for role postgres in schema public "
            f"grant all on {kind} to anon, authenticated, service_role"
        )
        for kind in KINDS
    },
    "grants on doors": "grant execute on function public.get_access, public.mend to anon",
}

# Still there, and yet not as the house needs it.
SPOILT = {
    "job daily_reset": "update cron.job set schedule = '0 0 * * *' where jobname = 'daily_reset'",
    "job daily_sunset": "update cron.job set command = 'select 1' where jobname = 'daily_sunset'",
    "job housekeeping": "update cron.job set active = false where jobname = 'housekeeping'",
    "trigger on_auth_user_created on auth.users": (
        "alter table auth.users disable trigger on_auth_user_created"
    ),
    "trigger on_auth_user_deleted on auth.users": (
        "alter table auth.users enable replica trigger on_auth_user_deleted"
    ),
    "default privileges on functions": (
        "alter default privileges for role postgres grant execute on functions to public"
    ),
}


class One(Cluster):
    """One database of a running server, where a whole cluster is asked for."""

    def __init__(self, cluster: Cluster, database: str) -> None:
        self.cluster = cluster
        self.database = database

    def url(self, database: str = "", role: str = "postgres") -> str:
        return self.cluster.url(database or self.database, role)


def superuser(house: House) -> Caller:
    """Who may take away what the house itself may not."""
    return Caller(house=house, role="supabase_admin", login="supabase_admin")


def database_of(house: House) -> str:
    return str(house.owner.sql("select current_database() as name")[0]["name"])
