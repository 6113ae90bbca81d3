"""The long proofs: `soak.py [history] [promises] [storm] [crashes] [attacks] [outages]`, or all.

history   at least 10,000 random acts over at least 30 days, each compared with the model
promises  random acts, and every moment the house names looked at when it has come
storm     16 members lending to each other in both directions for 30 seconds
crashes   backends and whole servers killed in the middle of load, and nothing lost or done twice
attacks   one login with 16 connections against a community, and what others notice of each attack
outages   64 clients for 5 minutes while PostgREST, the edge and PostgreSQL are killed and started
          again, the pool and all connections are taken, the disk is full

Each prints what it did. A failure is raised and leaves a non-zero status.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from attacks import Attacks
from cluster import ROOT
from crashes import Crashes
from driver import Driver
from flaws import assert_flawless
from outages import Outages, whole_house
from own_house import own_house
from people import House
from promises import Promises
from storm import Storm

PLACE = ROOT / ".local" / f"soak-{os.getpid()}"


def history(seed: int, acts: int) -> None:
    with own_house(PLACE) as (_, house):
        driver = Driver(house, seed, others=11, minutes_an_act=3, start="2026-03-20 09:00+00:00")
        driver.play(acts)
        assert_flawless(house)
        print(driver.summary())
        people = sum(1 for person in driver.people if person.id in driver.model.purses)
        assert sum((driver.done + driver.denied).values()) >= acts
        assert people >= 8
        assert len(driver.days) >= acts // 10_000 * 30
        balanced(house, driver.community)


def promises(seed: int, acts: int) -> None:
    with own_house(PLACE) as (_, house):
        promises = Promises(house, seed)
        promises.play(acts)
        assert_flawless(house)
        print(promises.summary())
        balanced(house, promises.community)


def storm(seed: int, seconds: float) -> None:
    with own_house(PLACE) as (_, house):
        storm = Storm(house, members=16, seed=seed)
        storm.blow(seconds)
        assert_flawless(house)
        print(storm.summary())
        balanced(house, storm.community)


def crashes(seed: int, kills: int) -> None:
    with own_house(PLACE, durable=True) as (cluster, house):
        crashes = Crashes(cluster, house, seed, members=10)
        crashes.survive(kills)
        crashes.assert_nothing_lost_or_doubled()
        print(crashes.summary())
        balanced(house, crashes.community)


def attacks(seconds: float) -> None:
    with own_house(PLACE) as (cluster, house):
        address = cluster.url("postgres", "authenticator")
        attacks = Attacks(house, address, "2026-03-04 08:00+00:00")
        # Twenty tries a second each: more than any flood anybody has made of this house.
        attacks.play(rounds=4, seconds=seconds, pause=0.05)
        assert_flawless(house)
        print(attacks.summary())
        balanced(house, attacks.home)


def outages(seed: int, seconds: float) -> None:
    with whole_house(PLACE, megabytes=1500) as (stack, house, is_limited):
        outages = Outages(stack, house, seed)
        outages.endure(seconds, is_limited)
        outages.assert_nothing_lost_or_doubled()
        print(outages.summary())
        balanced(house, outages.community)


def balanced(house: House, community: str) -> None:
    books = house.books(community)
    print("  the books: " + ", ".join(f"{name} {value}" for name, value in books.items()))


@contextmanager
def told(name: str) -> Iterator[None]:
    print(f"--- {name}", flush=True)
    begun = time.monotonic()
    yield
    print(f"  {time.monotonic() - begun:.0f} seconds", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parts = ["history", "promises", "storm", "crashes", "attacks", "outages"]
    parser.add_argument("part", nargs="*", help=", ".join(parts))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--acts", type=int, default=12_000)
    parser.add_argument(
        "--seconds", type=float, help="of storm (30), outages (300), each attack (2)"
    )
    parser.add_argument("--kills", type=int, default=24)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    for part in chosen.part or parts:
        with told(part):
            if part == "history":
                history(chosen.seed, chosen.acts)
            elif part == "promises":
                promises(chosen.seed, chosen.acts)
            elif part == "storm":
                storm(chosen.seed, chosen.seconds or 30)
            elif part == "crashes":
                crashes(chosen.seed, chosen.kills)
            elif part == "attacks":
                attacks(chosen.seconds or 2)
            else:
                outages(chosen.seed, chosen.seconds or 300)
    return 0


if __name__ == "__main__":
    sys.exit(main())
