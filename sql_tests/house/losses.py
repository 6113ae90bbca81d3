"""What a house can lose outside its own tables: how it goes, and the words health has for it."""

from dataclasses import dataclass

from cluster import Cluster
from people import Caller, House

JOBS = (
    "daily_sunset",
    "daily_reset",
    "tip_to_tip_expiry",
    "election_close",
    "weekly_jashn",
    "housekeeping",
)
TRIGGERS = ("on_auth_user_created", "on_auth_user_changed", "on_auth_user_deleted")
PUBLISHED = (
    "communities",
    "community_members",
    "notifications",
    "chat_messages",
    "declarations",
    "witnesses",
    "borrow_requests",
    "tip_to_tip_proposals",
    "tip_to_tip_votes",
    "elections",
    "jashns",
    "jashn_celebrations",
)
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


@dataclass
class One:
    """One database of a server, where a whole cluster is asked for."""

    cluster: Cluster
    database: str

    def url(self, database: str | None = None, role: str = "postgres") -> str:
        return self.cluster.url(database or self.database, role)


def superuser(house: House) -> Caller:
    """Who may take away what the house itself may not."""
    return Caller(house=house, role="supabase_admin", login="supabase_admin")


def database_of(house: House) -> str:
    return str(house.owner.sql("select current_database() as name")[0]["name"])
