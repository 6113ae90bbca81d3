"""The page to look at, in a real browser, before `make run`'s own stack."""

import shutil
from pathlib import Path

import pytest
from browser import Page, chromium, page
from test_contract import Stack, stack  # noqa: F401  (its stack is a fixture here too)

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(not chromium(), reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture
def look(stack: Stack, tmp_path: Path):  # noqa: F811  (a fixture asked for by name)
    program = chromium()
    assert program
    with page(program, tmp_path, f"{stack.url}/example/") as opened:
        opened.size(390, 844)
        opened.wait("document.body?.dataset.ready === 'yes'")
        yield opened
        assert opened.complaints == []
        assert opened.ask("document.documentElement.scrollWidth") == 390, "wider than a phone"
    shutil.rmtree(tmp_path, ignore_errors=True)


def become(look: Page, name: str) -> None:
    place = f"[...document.getElementById('who').options].find((one) => one.text === '{name}')"
    look.ask(f"document.getElementById('who').value = {place}.value")
    look.ask("document.getElementById('who').onchange()")


def test_a_joy_is_declared_by_one_and_witnessed_by_another(look):
    look.see("100 CC in the purse")
    look.write("title", "A warm window")
    look.write("cc_spent", "7")
    look.click("Declare")
    look.see("93 CC in the purse")
    look.see("A warm window")

    become(look, "Bram")
    look.click("Gazette", "#tabs")
    look.see("A warm window")
    look.click("Bear witness", "#list article:first-child")
    look.see("1 witness")


def test_a_refusal_is_told_with_what_is_possible(look):
    become(look, "Chloe")
    look.write("title", "Far too much")
    look.write("cc_spent", "5000")
    look.click("Declare")
    look.see("are possible now")
    assert look.ask("document.getElementById('told').dataset.code") == "INSUFFICIENT_CC"


def test_the_books_and_the_sunset_list_are_shown(look):
    look.click("Ledger", "#tabs")
    look.see("The books balance")
    look.see("The day's grant")
    look.click("Sunset", "#tabs")
    look.see("Lost at Sunset on")
    look.see("Eli")


def test_a_stake_is_voted_on(look):
    become(look, "Dara")
    look.click("Votes", "#tabs")
    look.write("title", "Soup for all")
    look.write("stake_amount", "9")
    look.click("Propose")
    look.see("91 CC in the purse")

    become(look, "Eli")
    look.see("1 of 5 have voted")
    look.click("Accept")
    look.see("2 of 5 have voted")


def test_without_realtime_it_asks_again(look, stack):  # noqa: F811  (a fixture asked for by name)
    """What somebody else says arrives though nobody touches the page."""
    look.see("asks every 4 s")
    client = stack.client(stack.token("bram"))
    rain = client.rpc("list_my_communities").execute().data["communities"][0]["id"]
    client.rpc("send_message", {"community_id": rain, "content": "Heard?"}).execute()
    look.see("Heard?")


def test_from_an_invite_to_the_last_goodbye(look, stack):  # noqa: F811  (a fixture asked for by name)
    """Minted on the command line, redeemed in the page, erased in the page; the books balance."""
    minted = stack.run("steward", "mint", "--title", "Come in!")
    code = minted.partition("code: ")[2].split()[0]
    look.click("People", "#tabs")
    join_code = look.wait("document.getElementById('join-code')?.textContent")

    become(look, "Newcomer6")
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
    assert "Newcomer6" not in look.ask("document.getElementById('list').innerText")
