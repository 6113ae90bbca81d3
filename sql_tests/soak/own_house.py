"""A house of one's own, in a server of one's own: for what is no clone of a test's template."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster import Cluster, lay_platform, run_sql
from people import House
from servers import build_rooms


@contextmanager
def own_house(
    place: Path,
    *,
    port: int | None = None,
    durable: bool = False,
    with_cron: bool = False,
) -> Iterator[tuple[Cluster, House]]:
    """In the database postgres, where pg_cron is; its clock can be moved, unlike pg_cron's.

    Without pg_cron whoever moves the clock runs the jobs as well.
    """
    cluster = Cluster(place, port, durable)
    try:
        cluster.start()
        lay_platform(cluster)
        build_rooms(cluster.url())
        travel = "alter database postgres set chas.time_travel = 'on'"
        run_sql(cluster.url(role="supabase_admin"), "-c", travel)
        if not with_cron:
            run_sql(
                cluster.url(), "-c", "select cron.alter_job(jobid, active => false) from cron.job"
            )
        house = House(lambda login: cluster.url("postgres", login), frozenset())
        yield cluster, house
        house.close()
    finally:
        cluster.stop()
        shutil.rmtree(cluster.directory, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)
