"""The page to look at, in a real browser, before `make run`'s own stack."""

import re
import shutil

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(not CHROMIUM, reason="this system offers no Chromium"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        # Root needs it; nothing is looked at but our own page.
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


class Look:
    """The page, as somebody with a telephone sees and touches it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.set_default_timeout(15_000)

    def see(self, words: str) -> None:
        body = self.page.locator("body")
        expect(body).to_contain_text(words, use_inner_text=True, timeout=15_000)

    def click(self, words: str, within: str = "body") -> None:
        """The first button that says so."""
        said = re.compile(f"^{re.escape(words)}$")
        self.page.locator(f"{within} button:enabled").filter(has_text=said).first.click()

    def write(self, field: str, value: str) -> None:
        self.page.locator(f"[name={field}]").first.fill(value)

    def become(self, name: str) -> None:
        self.page.locator("#who").select_option(label=name)
        self.page.locator("body[data-ready=yes]").wait_for()


@pytest.fixture
def look(stack, browser: Browser):
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="en")
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{stack.url}/example/")
    page.locator("body[data-ready=yes]").wait_for()
    yield Look(page)
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390, "wider than a phone"
    context.close()


def test_a_joy_is_declared_by_one_and_witnessed_by_another(look):
    look.see("100 CC in the purse")
    look.write("title", "A warm window")
    look.write("cc_spent", "7")
    look.click("Declare")
    look.see("93 CC in the purse")
    look.see("A warm window")

    look.become("Bram")
    look.click("Gazette", "#tabs")
    look.see("A warm window")
    look.click("Bear witness", "#list article:first-child")
    look.see("1 witness")


def test_a_refusal_is_told_with_what_is_possible(look):
    look.become("Chloe")
    look.write("title", "Far too much")
    look.write("cc_spent", "5000")
    look.click("Declare")
    look.see("are possible now")
    expect(look.page.locator("#told")).to_have_attribute("data-code", "INSUFFICIENT_CC")


def test_the_books_and_the_sunset_list_are_shown(look):
    look.click("Ledger", "#tabs")
    look.see("The books balance")
    look.see("The day's grant")
    look.click("Sunset", "#tabs")
    look.see("Lost at Sunset on")
    look.see("Eli")


def test_a_stake_is_voted_on(look):
    look.become("Dara")
    look.click("Votes", "#tabs")
    look.write("title", "Soup for all")
    look.write("stake_amount", "9")
    look.click("Propose")
    look.see("91 CC in the purse")

    look.become("Eli")
    look.see("1 of 5 have voted")
    look.click("Accept")
    look.see("2 of 5 have voted")


def test_what_another_says_arrives_by_itself(look, stack):
    """Though nobody touches the page, which is told by Realtime."""
    look.see("live")
    client = stack.client(stack.token("bram"))
    rain = client.rpc("list_my_communities").execute().data["communities"][0]["id"]
    client.rpc("send_message", {"community_id": rain, "content": "Heard?"}).execute()
    look.see("Heard?")


def test_from_an_invite_to_the_last_goodbye(look, stack):
    """Minted on the command line, redeemed in the page, erased in the page; the books balance."""
    minted = stack.run("steward", "mint", "--title", "Come in!")
    code = minted.partition("code: ")[2].split()[0]
    look.click("People", "#tabs")
    join_code = look.page.locator("#join-code").text_content()

    look.become("Newcomer6")
    look.see("CHAS is by invitation")
    look.write("invite_code", "no such code")
    look.click("Redeem")
    look.see("no invite with this code")
    look.write("invite_code", code.lower())
    look.click("Redeem")
    look.see("Come in!")
    look.write("invite_code", join_code)
    look.click("Join")
    look.see("CC in the purse")

    look.click("Me", "#tabs")
    look.write("sure", "Newcomer6")
    look.click("Erase my account")
    look.see("Newcomer6 is a former member now.")
    look.click("Ledger", "#tabs")
    look.see("The books balance")
    look.click("Chamber", "#tabs")
    look.see("a former member")
    expect(look.page.locator("#list")).not_to_contain_text("Newcomer6")
