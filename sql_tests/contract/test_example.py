"""The page to look at, in a real browser, before `make run`'s own stack."""

import re
import shutil

import pytest
from cluster import ROOT
from doors import FOR_PEOPLE
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
EXAMPLE = ROOT / "supabase" / "example"
AXE = ROOT / "supabase" / "node_modules" / "axe-core" / "axe.min.js"
ROOMS = ("Chamber", "Gazette", "Purse", "Votes", "Week", "People", "House", "Notices")

pytestmark = pytest.mark.contract

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="this system offers no Chromium")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        # Root needs it; nothing is looked at but our own page.
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


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

    def sign_in(self, who: str, password: str = "declared joy") -> None:
        self.page.goto(self.url)
        self.ready()
        form = self.form("Sign in")
        form.get_by_label("E-mail address").fill(f"{who}@example.org")
        form.get_by_label("Password").fill(password)
        form.get_by_role("button").click()

    def live(self) -> None:
        expect(self.page.locator("#live")).to_have_text("live", timeout=15_000)
        self.ready()

    def see(self, words: str) -> None:
        body = self.page.locator("body")
        expect(body).to_contain_text(words, use_inner_text=True, timeout=15_000)

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


@pytest.fixture
def looks(stack, browser: Browser):
    """`looks()` is another person's browser."""
    contexts, seen = [], []

    def look(width: int = 390, scheme: str = "light") -> Look:
        context = browser.new_context(
            viewport={"width": width, "height": 844},
            locale="en",
            color_scheme="dark" if scheme == "dark" else "light",
        )
        contexts.append(context)
        seen.append(Look(context.new_page(), f"{stack.url}/example/"))
        return seen[-1]

    yield look
    for one in seen:
        assert one.complaints == []
    for context in contexts:
        context.close()


@pytest.fixture
def asha(looks):
    look = looks(1280)
    look.sign_in("asha")
    look.live()
    return look


@pytest.fixture
def bram(looks):
    look = looks(390)
    look.sign_in("bram")
    look.live()
    return look


# ------------------------------------------------------------------------------ all of the contract


def test_every_rpc_of_a_member_is_called_from_somewhere():
    text = "".join(file.read_text() for file in EXAMPLE.glob("*.js"))
    called = set(re.findall(r"(?:rpc|once)\(\s*'(\w+)'", text))
    called |= set(re.findall(r"pager\('(\w+)'", text))
    assert called >= FOR_PEOPLE.keys()


# ------------------------------------------------------------------------------ side by side


@needs_chromium
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


@needs_chromium
def test_a_new_line_is_announced_once_and_alone(asha, bram):
    bram.page.evaluate(
        """() => {
          window.announced = []
          new MutationObserver((changes) => changes.forEach(({ addedNodes }) =>
            addedNodes.forEach((node) => announced.push(node.textContent))))
            .observe(document.getElementById('heard'), { childList: true })
        }"""
    )
    asha.send("Say something", content="One of two")
    bram.see("One of two")
    asha.send("Say something", content="Two of two")
    bram.see("Two of two")
    assert bram.page.evaluate("announced") == ["Asha: One of two", "Asha: Two of two"]
    # One does not listen to oneself.
    assert asha.page.locator("#heard").text_content() == ""


@needs_chromium
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


@needs_chromium
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


@needs_chromium
def test_a_reload_keeps_ones_place_and_a_bad_session_says_so(looks):
    look = looks()
    look.sign_in("dara")
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


@needs_chromium
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
    walk("link", "People")
    look.page.keyboard.press("Enter")
    look.see("Leave this community")
    walk("button", "Leave this community")
    look.page.keyboard.press("Enter")
    look.see("Leave Rain?")
    look.page.keyboard.press("Escape")
    walk("button", "Leave this community")


# ------------------------------------------------------------------------------ office and votes


@needs_chromium
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


@needs_chromium
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


@needs_chromium
def test_the_last_moderator_is_asked_who_follows(asha):
    asha.go("People")
    asha.page.get_by_role("button", name="Leave this community").click()
    dialog = asha.page.locator("dialog")
    expect(dialog).to_contain_text("Leave Rain?")
    expect(dialog.get_by_label("Moderator in your place")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    asha.see("Leave this community")


# ------------------------------------------------------------------------------ from door to door


@needs_chromium
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


# ------------------------------------------------------------------------------ for everybody


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_room_is_accessible_by_daylight_and_at_night(looks, width, scheme):
    look = looks(width, scheme)
    look.page.goto(look.url)
    look.ready()
    look.accessible("the door")
    look.sign_in("asha")
    look.live()
    for room in ROOMS:
        look.go(room)
        for drawer in look.page.locator("summary").all()[:3]:
            drawer.click()
        look.accessible(room)
    look.go("People")
    look.page.get_by_role("button", name="Chloe").first.click()
    look.see("Dearest joy")
    look.accessible("a profile")
