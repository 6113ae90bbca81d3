"""The page to look at, in a real browser, before `make run`'s own stack."""

import os
import re
import shutil
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import psycopg
import pytest
from cluster import ROOT
from doors import FOR_PEOPLE
from keys import PUBLISHABLE
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright
from supabase import create_client

# As setup.sh sees to it: of the distribution, else our own.
NAMES = ("chromium", "chromium-browser", "google-chrome")
OWN = ROOT / ".local" / "chromium" / "chromium"
CHROMIUM = OWN if OWN.exists() else next(filter(None, map(shutil.which, NAMES)), None)
EXAMPLE = ROOT / "supabase" / "example"
AXE = ROOT / "supabase" / "node_modules" / "axe-core" / "axe.min.js"
OF_ALL = "declared joy"
ROOMS = ("Chamber", "Gazette", "Purse", "Votes", "Week", "People", "House", "Notices")

pytestmark = pytest.mark.contract
# A busy machine is no reason to fail.
expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def browser():
    assert CHROMIUM, "There is no Chromium here: `make install` brings one."
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=CHROMIUM,
            # Root needs it; nothing is looked at but our own page.
            args=["--no-sandbox"],
            # What it keeps of crashes would lie at home.
            env={**os.environ, "XDG_CONFIG_HOME": str(ROOT / ".local" / "home")},
        )


class Look:
    """The page, as one person sees and touches it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def ready(self) -> None:
        self.page.locator("body[data-ready=yes]").wait_for()

    def sign_in(self, who: str, password: str = OF_ALL) -> None:
        self.page.goto(self.url)
        self.ready()
        form = self.form("Sign in")
        form.get_by_label("E-mail address").fill(f"{who}@example.org")
        form.get_by_label("Password").fill(password)
        form.get_by_role("button").click()

    def live(self) -> None:
        expect(self.page.locator("#live")).to_have_text("live")
        self.ready()

    def see(self, words: str) -> None:
        body = self.page.locator("body")
        expect(body).to_contain_text(words, use_inner_text=True)

    def form(self, name: str) -> Locator:
        return self.page.locator(f'form[data-act="{name}"]').first

    def fill(self, form: str, **fields: str) -> None:
        for name, value in fields.items():
            self.form(form).locator(f"[name={name}]").fill(value)

    def send(self, form: str, **fields: str) -> None:
        self.fill(form, **fields)
        self.form(form).get_by_role("button").click()

    def card(self, words: str) -> Locator:
        return self.page.locator("article", has_text=words).last

    def go(self, room: str) -> None:
        self.page.get_by_role("link", name=room).first.click()
        expect(self.page.locator("h2").first).to_have_text(room)
        self.ready()

    def open(self, drawer: str) -> None:
        self.page.locator("summary", has_text=drawer).first.click()

    def press(self, name: str, role: Literal["button", "link"] = "button") -> None:
        """By keyboard; that it is reached, `test_all_of_it_goes_by_keyboard` proves."""
        self.page.get_by_role(role, name=name, exact=True).first.focus()
        self.page.keyboard.press("Enter")

    def accessible(self, where: str) -> None:
        """By axe: what WCAG 2.1 A and AA asks for, and what it counts as good practice."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate(
            """async () => {
              const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']
              const { violations } = await axe.run({ runOnly: tags })
              return violations.map((one) =>
                [one.id, one.nodes.map((node) => node.html.slice(0, 160)).slice(0, 3)])
            }"""
        )
        assert found == [], f"in {where}: {found}"
        width = self.page.viewport_size["width"] if self.page.viewport_size else 0
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width, where


@pytest.fixture(scope="module")
def house(stack, browser: Browser):
    """Opens the page in a browser of its own, and closes all of them; none may have complained."""
    opened: list[Look] = []

    def open_page(width: int, scheme: Literal["light", "dark"] = "light") -> Look:
        size: ViewportSize = {"width": width, "height": 844}
        context = browser.new_context(viewport=size, locale="en", color_scheme=scheme)
        opened.append(Look(context.new_page(), f"{stack.url}/example/"))
        return opened[-1]

    yield open_page
    for look in opened:
        look.page.context.close()
    assert [look.complaints for look in opened if look.complaints] == []


@pytest.fixture
def looks(house):
    """`looks()` is another person's browser, for one test."""
    opened: list[Look] = []

    def look(width: int = 390, scheme: Literal["light", "dark"] = "light") -> Look:
        opened.append(house(width, scheme))
        return opened[-1]

    yield look
    for one in opened:
        one.page.context.close()


@pytest.fixture(scope="module")
def people(house):
    """`people("asha", 1280)` has signed in, once for all tests, and is in the Chamber."""
    seated: dict[str, Look] = {}

    def person(who: str, width: int) -> Look:
        if who not in seated:
            seated[who] = house(width)
            seated[who].sign_in(who)
            seated[who].live()
        look = seated[who]
        look.page.set_viewport_size({"width": width, "height": 844})
        look.page.emulate_media(media="screen", color_scheme="light")
        look.go("Notices")
        look.go("Chamber")
        return look

    return person


@pytest.fixture
def asha(people):
    return people("asha", 1280)


@pytest.fixture
def bram(people):
    return people("bram", 390)


# ------------------------------------------------------------------------------ all of the contract


def test_every_rpc_of_a_member_is_called_from_somewhere():
    text = "".join(file.read_text() for file in EXAMPLE.glob("*.js"))
    called = set(re.findall(r"(?:rpc|once)\(\s*'(\w+)'", text))
    called |= set(re.findall(r"pager\('(\w+)'", text))
    assert called >= FOR_PEOPLE.keys()


# ------------------------------------------------------------------------------ side by side


def test_two_people_see_each_others_acts_by_themselves(asha, bram):
    bram.open("Declare a joy")
    bram.send("Declare a joy", title="A warm window", cc_spent="7")
    bram.see("88 CC in the purse")
    asha.see("A warm window")

    asha.card("A warm window").get_by_role("button", name="Bear witness").click()
    expect(bram.card("A warm window")).to_contain_text("1 witness")
    expect(asha.card("A warm window")).to_contain_text("You bore witness.")

    asha.send("Say something", content="Is anybody warm?")
    bram.see("Is anybody warm?")
    card = asha.card("Is anybody warm?")
    card.locator("summary").click()
    card.locator("textarea").fill("Is everybody warm?")
    card.get_by_role("button", name="Save").click()
    bram.see("Is everybody warm?")
    bram.see("(edited)")

    # Chloe asks Asha, in the seed; Asha lends, and whoever looks on sees it.
    asha.form("Answer a request").get_by_role("button", name="Lend").click()
    bram.see("This request is approved.")
    # Bram's own stake: Asha declines, and it is over for both.
    asha.card("Soup for the whole stairs").get_by_role("button", name="Decline").click()
    expect(bram.card("Soup for the whole stairs")).to_contain_text("Declined.")


def test_a_new_line_is_announced_once_and_alone(asha, bram):
    bram.page.evaluate(
        """() => {
          window.announced = []
          new MutationObserver((changes) => changes.forEach(({ addedNodes }) =>
            addedNodes.forEach((node) => announced.push(node.textContent))))
            .observe(document.getElementById('heard'), { childList: true })
        }"""
    )
    asha.page.evaluate("document.getElementById('heard').replaceChildren()")
    asha.send("Say something", content="One of two")
    bram.see("One of two")
    asha.send("Say something", content="Two of two")
    bram.see("Two of two")
    assert bram.page.evaluate("announced") == ["Asha: One of two", "Asha: Two of two"]
    # One does not listen to oneself.
    assert asha.page.locator("#heard").text_content() == ""


def test_what_one_writes_and_where_the_focus_is_stays(asha, bram):
    bram.fill("Say something", content="I was just")
    asha.send("Say something", content="An interruption")
    bram.see("An interruption")
    box = bram.form("Say something").locator("textarea")
    expect(box).to_have_value("I was just")
    expect(box).to_be_focused()

    # A button whose work is done goes; the focus stays on its card.
    bram.go("Gazette")
    card = bram.page.locator("article", has_text="The bus waited")
    card.get_by_role("button", name="Bear witness").focus()
    bram.page.keyboard.press("Enter")
    expect(card).to_contain_text("You bore witness.")
    assert bram.page.evaluate("document.activeElement.closest('article') !== null")


def test_an_error_goes_with_its_cause(asha):
    asha.open("Declare a joy")
    asha.send("Declare a joy", title="Far too much", cc_spent="5000")
    wrong = asha.page.locator(".wrong")
    expect(wrong).to_contain_text("is possible now")
    expect(wrong).to_have_attribute("data-code", "INSUFFICIENT_CC")
    asha.fill("Declare a joy", cc_spent="1")
    expect(wrong).to_have_count(0)

    asha.send("Declare a joy", title="Too much again", cc_spent="5000")
    expect(wrong).to_have_count(1)
    asha.send("Say something", content="What I can do instead")
    asha.see("What I can do instead")
    expect(wrong).to_have_count(0)


def test_a_reload_keeps_ones_place_and_a_bad_session_says_so(looks):
    look = looks()
    look.sign_in("dara")
    look.live()
    look.go("Purse")
    look.page.evaluate("scrollTo(0, 300)")
    look.page.reload()
    look.ready()
    expect(look.page.locator("h2").first).to_have_text("Purse")
    look.page.wait_for_function("scrollY > 200")

    look.page.evaluate(
        """() => { for (const key of Object.keys(localStorage)) if (key.startsWith('sb-')) {
          const kept = JSON.parse(localStorage[key])
          kept.access_token = kept.access_token.slice(0, -4) + 'AAAA'
          localStorage[key] = JSON.stringify(kept)
        }
        location.reload() }"""  # at once, or the page still open is refused first and says it
    )
    look.see("You were signed out: sign in again.")
    look.sign_in("dara", "not the one")
    look.see("No account has this address and this password.")


def test_all_of_it_goes_by_keyboard(looks):
    look = looks(1280)
    look.page.goto(look.url)
    look.ready()

    def walk(role: str, name: str) -> None:
        """Tab by tab, as far as it takes."""
        wanted = look.page.get_by_role(role, name=name, exact=True).first.element_handle()
        for _ in range(90):
            if look.page.evaluate("one => document.activeElement === one", wanted):
                return
            look.page.keyboard.press("Tab")
        raise AssertionError(f"no key leads to {name}")

    walk("combobox", "E-mail address")
    look.page.keyboard.type("eli@example.org")
    look.page.keyboard.press("Tab")
    look.page.keyboard.type("declared joy")
    look.page.keyboard.press("Enter")
    look.live()
    walk("textbox", "Say something")
    look.page.keyboard.type("Without a mouse")
    look.page.keyboard.press("Enter")
    look.see("Without a mouse")
    look.page.evaluate("document.querySelector('.skip').focus()")
    walk("link", "Gazette")
    look.page.keyboard.press("Enter")
    look.see("The chain of editions")
    walk("link", "Number 2")
    look.page.keyboard.press("Enter")
    look.see("The Gazette of")
    walk("button", "Print")
    look.page.evaluate("document.querySelector('.skip').focus()")
    walk("link", "People")
    look.page.keyboard.press("Enter")
    look.see("Leave this community")
    walk("button", "Leave this community")
    look.page.keyboard.press("Enter")
    look.see("Leave Rain?")
    look.page.keyboard.press("Escape")
    walk("button", "Leave this community")


# ------------------------------------------------------------------------------ office and votes


def test_a_moderator_calls_off_an_election_and_opens_another(asha, bram):
    asha.go("Votes")
    asha.page.get_by_role("button", name="Call it off").click()
    asha.page.locator("dialog [name=reason]").fill("Nobody wants the buckets.")
    asha.page.locator("dialog button", has_text="Call it off").click()
    expect(asha.card("Who keeps the buckets?")).to_contain_text("Called off.")
    asha.send("Open an election", title="Who keeps the roof?")
    asha.form("Ballot: Who keeps the roof?").get_by_role("button").click()
    asha.see("1 of 3 have voted")

    bram.go("Votes")
    bram.form("Ballot: Who keeps the roof?").get_by_role("button").click()
    bram.see("2 of 3 have voted")
    asha.page.get_by_role("button", name="Close it").click()
    asha.see("Not everyone on the roll has voted yet.")


def test_settings_and_council_change_and_are_told(asha, bram):
    asha.go("House")
    asha.fill("Change the rules", daily_cc_budget="120", description="Six, soon.")
    asha.form("Change the rules").get_by_role("button").click()
    asha.see("Six, soon.")
    asha.page.locator("summary", has_text="The audit log").click()
    asha.see("changed the settings")
    asha.go("People")
    card = asha.page.locator("article", has_text="Dara")
    card.get_by_role("button", name="Call to the council").click()
    expect(card).to_contain_text("council")
    bram.see("was called to the council")


def test_the_last_moderator_is_asked_who_follows(asha):
    asha.go("People")
    asha.page.get_by_role("button", name="Leave this community").click()
    dialog = asha.page.locator("dialog")
    expect(dialog).to_contain_text("Leave Rain?")
    expect(dialog.get_by_label("Moderator in your place")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    asha.see("Leave this community")


# ------------------------------------------------------------------------------ from door to door


def test_from_an_invite_to_the_last_goodbye(looks, asha, stack):
    """Signed up and erased in the page, let in with a code from the command line."""
    minted = stack.run("steward", "mint", "--title", "Come in!")
    code = minted.partition("code: ")[2].split()[0]
    asha.go("House")
    join_code = asha.page.locator("#join-code").text_content() or ""

    look = looks()
    look.page.goto(look.url)
    look.ready()
    look.open("New here?")
    look.send("Sign up", full_name="Yuki", email="yuki2@example.org", password="declared joys")
    look.see("A letter is on its way")
    letter = (stack.place / "Auth.log").read_text()
    links = re.findall(r"http://\S+/auth/v1/verify\S+", letter)
    look.page.goto(links[-1])
    look.see("CHAS is by invitation")
    look.send("Redeem an invite", invite_code="no such code")
    look.see("no invite with this code")
    look.send("Redeem an invite", invite_code=code.lower())
    look.see("Join a community")
    look.send("Join", invite_code=join_code)
    look.see("CC in the purse")
    look.send("Say something", content="Here I am")
    asha.go("Chamber")
    asha.see("Here I am")

    look.page.get_by_role("link", name="Yuki").click()
    with look.page.expect_download() as taken:
        look.page.get_by_role("button", name="Take it along").click()
    assert "Here I am" in taken.value.path().read_text()
    look.page.get_by_role("button", name="Erase my account").click()
    look.page.locator("dialog [name=sure]").fill("erase")
    look.page.get_by_role("button", name="Erase it for good").click()
    look.see("Sign in")
    asha.page.reload()
    asha.see("a former member")
    expect(asha.page.locator("#lines")).not_to_contain_text("Yuki")
    expect(asha.page.locator("#lines")).not_to_contain_text("Here I am")
    asha.go("Purse")
    asha.see("The books balance")


# ------------------------------------------------------------------------------ self-rule


def test_an_amendment_is_proposed_willed_by_all_and_stands(people, asha, stack):
    dara = people("dara", 390)
    dara.go("Votes")
    dara.open("Amend the rules together")
    dara.send("Propose an amendment", title="Nothing at all")
    expect(dara.page.locator(".wrong")).to_have_attribute("data-code", "INVALID_INPUT")
    dara.send("Propose an amendment", title="Thicker soup", daily_cc_budget="150")
    dara.see("Proposed: 150 CC a day.")
    card = asha.card("Thicker soup")
    expect(card).to_contain_text("It amends the rules: 150 CC a day instead of 100.")
    expect(card).to_contain_text("takes force at the next Dawn")
    asha.accessible("an amendment, wide")
    dara.accessible("an amendment, narrow")

    card.get_by_role("button", name="Accept").focus()
    asha.page.keyboard.press("Enter")
    expect(card).to_contain_text("2 of 5 have voted")
    for who in ("bram", "chloe", "eli"):
        voter: Any = create_client(stack.url, PUBLISHABLE)
        voter.auth.sign_in_with_password({"email": f"{who}@example.org", "password": OF_ALL})
        home = voter.rpc("list_my_communities").execute().data["communities"][0]["id"]
        tips = voter.rpc("list_tip_to_tips", {"community_id": home, "status": "active"}).execute()
        proposal = next(one for one in tips.data["proposals"] if one["title"] == "Thicker soup")
        voter.rpc("vote_tip_to_tip", {"proposal_id": proposal["id"], "vote": "accept"}).execute()
    asha.see("It is the will of all.")
    expect(card).to_contain_text("All willed it: 150 CC a day, from the Dawn after the last vote.")

    asha.go("House")
    expect(asha.page.locator("tr", has_text="CC a day")).to_contain_text("150 by the will of all")
    asha.see("No moderator sets that until the next Dawn.")
    form = asha.form("Change the rules")
    expect(form.get_by_label("Time zone")).to_be_visible()
    expect(form.get_by_label("CC a day")).to_have_count(0)


def test_somebody_is_away_and_here_after_all(asha, bram):
    asha.go("People")
    bram.go("People")
    begins = datetime.now(UTC).date() + timedelta(days=3)
    days = [begins + timedelta(days=more) for more in (0, 20, 4)]
    bram.send("Be away", from_day=str(days[0]), to_day=str(days[1]))
    expect(bram.page.locator(".wrong")).to_have_attribute("data-code", "INVALID_INPUT")
    bram.send("Be away", from_day=str(days[0]), to_day=str(days[2]))
    bram.see("You are away from")
    expect(asha.card("Bram")).to_contain_text("away from")
    expect(asha.card("Bram").locator("time").last).to_have_attribute("datetime", str(days[2]))
    asha.accessible("who is away, wide")
    bram.accessible("who is away, narrow")
    bram.press("I am here after all")
    expect(bram.form("Be away")).to_be_visible()
    expect(asha.card("Bram")).not_to_contain_text("away")


def test_who_is_banned_stays_out_until_the_ban_is_lifted(people, asha):
    asha.go("House")
    join_code = asha.page.locator("#join-code").text_content() or ""
    eli = people("eli", 390)
    asha.go("People")
    eli_at_home = asha.page.locator("article[data-key^=member]", has_text="Eli")
    eli_at_home.get_by_role("button", name="Remove").click()
    dialog = asha.page.locator("dialog")
    dialog.get_by_label("Because").fill("He will not stop humming.")
    dialog.get_by_label("They may not come back").check()
    dialog.get_by_role("button", name="Remove").click()
    expect(eli_at_home).to_have_count(0)
    eli.see("Join a community")
    eli.send("Join", invite_code=join_code)
    expect(eli.page.locator(".wrong")).to_have_attribute("data-code", "FORBIDDEN")
    eli.accessible("outside, narrow")

    asha.open("Banned")
    asha.see("He will not stop humming.")
    asha.accessible("bans, wide")
    asha.press("Lift the ban of Eli")
    expect(asha.page.locator("article[data-key=bans]")).to_contain_text("Nobody.")

    # Who has gone is banned from where their words still stand.
    asha.go("Chamber")
    asha.page.get_by_role("button", name="Eli").first.click()
    asha.send("Ban from coming back", reason="Still humming.")
    asha.see("Eli may not come back.")
    eli.send("Join", invite_code=join_code)
    expect(eli.page.locator(".wrong")).to_have_attribute("data-code", "FORBIDDEN")
    asha.go("People")
    asha.open("Banned")
    asha.press("Lift the ban of Eli")
    expect(asha.page.locator("article[data-key=bans]")).to_contain_text("Nobody.")
    eli.send("Join", invite_code=join_code)
    eli.see("CC in the purse")
    expect(eli_at_home).to_have_count(1)


# ------------------------------------------------------------------------------ what is kept


def test_an_edition_is_read_as_a_newspaper_and_printed_alone(asha):
    asha.go("Gazette")
    asha.page.locator("ul.editions a").first.focus()
    asha.page.keyboard.press("Enter")
    paper = asha.page.locator(".paper")
    for words in (
        "The Gazette of",
        "Rain",
        "A drum of buckets",
        "by Asha, for 12 CC.",
        "2 witnesses",
    ):
        expect(paper).to_contain_text(words)
    for words in (
        "Nobody bore witness.",
        "“Nobody mends the roof before Sunday”. All accepted.",
        "CC expired",
    ):
        expect(paper).to_contain_text(words)
    expect(paper.locator(".digest code")).to_have_count(2)
    expect(paper.locator(".lead h4")).to_have_text("A drum of buckets")
    last = asha.page.url
    asha.page.reload()
    expect(paper.locator(".lead h4")).to_have_text("A drum of buckets")
    asha.press("All editions", "link")
    asha.page.locator("ul.editions a").last.click()
    expect(paper).to_contain_text("Asha founded the community.")
    expect(paper).to_contain_text("the first of its chain")
    asha.page.get_by_role("link", name="Number 2 →").click()
    expect(paper).to_contain_text("The Jashn honoured Dara")

    asha.page.evaluate("window.print = () => { window.printed = true }")
    asha.press("Print")
    assert asha.page.evaluate("printed")
    asha.page.goto(last)
    for scheme in ("light", "dark"):
        asha.page.emulate_media(media="print", color_scheme=scheme)
        expect(paper).to_be_visible()
        for hidden in ("header", "#purse", "nav.leaf", "main > h2"):
            expect(asha.page.locator(hidden).first).to_be_hidden()
        assert asha.page.evaluate(
            """() => ['.paper h3', '.paper .byline', '.paper .digest', 'body'].map((one) => {
              const { color, backgroundColor } = getComputedStyle(document.querySelector(one))
              return one === 'body' ? backgroundColor : color
            })"""
        ) == ["rgb(0, 0, 0)"] * 3 + ["rgb(255, 255, 255)"]
    printed = asha.page.pdf(prefer_css_page_size=True)
    width, height = map(float, re.findall(rb"/MediaBox \[0 0 (\S+) (\S+)\]", printed)[0])
    assert (round(width), round(height)) == (595, 842)
    assert len(re.findall(rb"/Type /Page\b", printed)) == 1


def test_the_chain_holds_and_where_it_breaks(asha, stack):
    asha.go("Gazette")
    editions = asha.page.locator("ul.editions a")
    expect(editions.first).to_be_visible()
    chain, count = asha.page.locator("#chain"), editions.count()
    asha.press("Does the chain hold?")
    expect(chain).to_contain_text(f"The chain holds: {count} editions, head ")
    asha.see("So says the house.")
    head = chain.locator("code").get_attribute("title")
    asha.press("Reckon it here")
    asha.see("So this browser reckoned it")
    assert chain.locator("code").get_attribute("title") == head
    asha.accessible("the chain, wide")

    with psycopg.connect(stack.database, autocommit=True) as superuser:
        forged = "update private.gazette_items set content = replace(content, %s, %s)"
        superuser.execute(f"{forged} where number = 1", ["First rain", "Last rain"])
        try:
            for way in ("Does the chain hold?", "Reckon it here"):
                asha.press(way)
                expect(chain).to_contain_text("The chain breaks at number 1, item")
                expect(chain).to_contain_text("an item was changed.")
            asha.accessible("the broken chain, wide")
        finally:
            superuser.execute(f"{forged} where number = 1", ["Last rain", "First rain"])

        # With every digest made anew the chain holds; but somebody has kept its head.
        rewrite(superuser, count, "buckets", "bottles")
        try:
            asha.press("Reckon it here")
            expect(chain).to_contain_text("The chain holds")
            asha.see(f"But number {count} is not what it was when you last looked.")
        finally:
            rewrite(superuser, count, "bottles", "buckets")
    asha.press("Does the chain hold?")
    expect(asha.page.locator("article[data-key=chain]")).not_to_contain_text("when you last looked")
    assert chain.locator("code").get_attribute("title") == head


def rewrite(superuser: psycopg.Connection, number: int, old: str, new: str) -> None:
    """An edition, as an operator would who knows how digests are made."""
    superuser.execute(
        """
        update private.gazette_items
        set content = replace(content, %(old)s, %(new)s),
            digest = private.digest_text(salt || replace(content, %(old)s, %(new)s))
        where number = %(number)s
        """,
        {"number": number, "old": old, "new": new},
    )
    superuser.execute(
        """
        update private.gazette_editions as e
        set digest = private.digest_edition(e.community_id, e.number, e.day, b.digest, array(
          select i.digest from private.gazette_items as i
          where i.community_id = e.community_id and i.number = e.number order by i.position
        ))
        from private.gazette_editions as b
        where e.number = %s and b.community_id = e.community_id and b.number = e.number - 1
        """,
        [number],
    )


def test_every_jashn_is_told(bram):
    bram.go("Week")
    honours = bram.page.locator("article[data-key=honours]")
    expect(honours).to_contain_text("Dara for 6 CC")
    honours.locator("tbody button").first.focus()
    bram.page.keyboard.press("Enter")
    board = bram.page.locator("article[data-key=board]")
    expect(board).to_contain_text("Bram")
    expect(bram.page.locator("article[data-key=jashn]")).to_contain_text("Dara is honoured")
    day = bram.page.locator("article[data-key=board] time").get_attribute("datetime") or ""
    assert datetime.fromisoformat(day).strftime("%A") == "Sunday"


def test_the_last_light_is_seen_and_muted(asha, bram, stack):
    bram.open("Declare a joy")
    bram.send("Declare a joy", title="Behind the shed", cc_spent="1")
    asha.see("Behind the shed")
    now = f"{datetime.now(UTC):%H:%M}"
    if now < "22:58":
        expect(asha.page.locator("#light")).to_be_hidden()
    stack.run("clock", "today 23:05" if now < "23:05" else "now")
    try:
        light = asha.page.locator("#light")
        expect(light).to_contain_text("of all purses expire at Sunset")
        expect(bram.page.locator("#light")).to_contain_text("“Behind the shed” by Bram")
        expect(
            bram.page.locator("#light").get_by_role("button", name="Bear witness")
        ).to_have_count(0)
        asha.accessible("the last light, wide")
        bram.accessible("the last light, narrow")
        asha.press("Bear witness to Behind the shed")
        expect(light).not_to_contain_text("Behind the shed")

        bram.go("Notices")
        notice = bram.page.locator("article[data-key^=notice]", has_text="about to be lost")
        notice.get_by_role("button", name="No more of these").click()
        bram.see("No more of the last light from Rain.")
        box = bram.form("Mute").get_by_label("the last light")
        expect(box).to_be_checked()
        bram.accessible("notices and mutes, narrow")
        bram.page.reload()
        expect(box).to_be_checked()
        box.press("Space")
        bram.form("Mute").get_by_role("button").press("Enter")
        bram.see("Set.")
        expect(box).not_to_be_checked()
        expect(notice.get_by_role("button", name="No more of these")).to_be_visible()
    finally:
        stack.run("clock", "now")


# ------------------------------------------------------------------------------ for everybody


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_room_is_accessible_by_daylight_and_at_night(looks, people, width, scheme):
    door = looks(width, scheme)
    door.page.goto(door.url)
    door.ready()
    door.accessible("the door")
    look = people("asha", width)
    look.page.emulate_media(color_scheme=scheme)
    for room in ROOMS:
        look.go(room)
        for drawer in look.page.locator("summary").all()[:3]:
            drawer.click()
        look.accessible(room)
    look.go("Gazette")
    look.page.locator("ul.editions a").first.click()
    look.see("The Gazette of")
    look.accessible("an edition")
    look.go("People")
    look.page.get_by_role("button", name="Chloe").first.click()
    look.see("Dearest joy")
    look.accessible("a profile")
    look.page.keyboard.press("Escape")
