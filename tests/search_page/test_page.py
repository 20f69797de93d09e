"""The page in a real browser: no script error, every image there, matches of a picked query, nothing too wide."""

import numpy as np
import pytest

from tests.browser import (
    SCHEMES,
    WIDTHS,
    broken_images,
    new_page,
    open_browser,
    overflow,
    wait_until,
    why_no_browser,
)
from tests.search_page.pages import drawn_files, drawn_page, served

pytestmark = pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser()))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return drawn_files(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def address(files):
    with served(drawn_page(*files)) as server:
        yield server.address


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture
def page(browser, address):
    """The page as it opens, with the matches of the first query; no test may leave an error."""
    with new_page(browser, width=1440, scheme="light") as (page, errors):
        page.goto(address)
        page.wait_for_selector("#matches .card")
        yield page
        assert errors == []


def names(page) -> list[str]:
    return page.locator("#matches .about").evaluate_all("all => all.map(each => each.firstChild.textContent)")


def settle(page) -> None:
    page.wait_for_selector("body[aria-busy=false]")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_is_whole_at_each_width_in_light_and_in_dark(browser, address, width, scheme):
    with new_page(browser, width=width, scheme=scheme) as (page, errors):
        page.goto(address)
        page.wait_for_selector("#matches .card")
        assert broken_images(page) == []
        assert page.locator("img").count() == 4 + 2 + 5 * 2
        assert overflow(page) <= 0
        text, paper = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        assert contrast(text, paper) > 7
        assert (brightness(paper) < 0.5) == (scheme == "dark")
        assert errors == []


def test_the_first_query_is_picked_at_once_and_its_matches_are_marked(page):
    assert page.locator("#list [aria-current=true]").get_attribute("data-row") == "0"
    marks = page.locator("#matches .mark").all_inner_texts()
    assert marks == ["✓ right", "✓ right", "✗ wrong", "✗ wrong", "✗ wrong"]
    assert page.locator("#found").inner_text().endswith("2 of 5 right")
    assert {name[0] for name in names(page)[:2]} == {"1"}
    distances = [float(text.split()[-1]) for text in page.locator(".distance").all_inner_texts()]
    assert distances == sorted(distances)


def test_a_picked_query_shows_its_matches(page):
    page.click("#list [data-row='1']")
    wait_until(page, "document.querySelector('#query .about').textContent.startsWith('2_c1_1')")
    assert {name[0] for name in names(page)[:2]} == {"2"}
    assert page.url.endswith("#query-1")
    page.go_back()
    wait_until(page, "document.querySelector('#query .about').textContent.startsWith('1_c0_0')")


def test_matches_of_an_unknown_pid_have_no_marks(page):
    page.click("#list [data-row='3']")
    wait_until(page, "document.querySelector('#query .about').textContent.startsWith('4_c0_3')")
    assert set(page.locator("#matches .mark").all_inner_texts()) == {""}
    assert page.locator("#matches .right, #matches .wrong").count() == 0
    assert "right" not in page.locator("#found").inner_text()


def test_one_goes_through_the_queries_by_buttons(page):
    assert page.locator("#previous").is_disabled()
    for row in (1, 2, 3):
        page.click("#next")
        page.wait_for_selector(f"#list [data-row='{row}'][aria-current=true]")
    assert page.locator("#next").is_disabled()
    page.click("#previous")
    page.wait_for_selector("#list [data-row='2'][aria-current=true]")


def test_queries_are_found_by_typing(page):
    page.fill("#filter", "pid 9")
    wait_until(page, "document.querySelectorAll('#list li').length === 1")
    assert page.locator("#count").inner_text() == "1 query"
    page.fill("#filter", "nothing of this name")
    wait_until(page, "document.querySelectorAll('#list li').length === 0")
    assert page.locator("#count").inner_text() == "0 queries"


def test_the_number_of_matches_can_be_chosen(page):
    page.select_option("#k", "10")
    wait_until(page, "document.querySelectorAll('#matches .card').length === 8")


def test_a_match_becomes_the_query(page):
    first = names(page)[0]
    page.locator("#matches .card button").first.click()
    wait_until(page, f"document.querySelector('#query .about').textContent.startsWith('{first}')")
    settle(page)
    assert page.locator("#query h2").inner_text() == "A triple of the gallery"
    assert first not in names(page)


def test_pictures_of_one_s_own_are_searched_and_shown(page, files):
    page.click("#own summary")
    page.set_input_files("#upload [name=R]", files[0].paths[4][0])
    page.click("#upload button")
    wait_until(page, "document.querySelector('#notice').textContent.includes('near-infrared')")
    page.set_input_files("#upload [name=N]", files[0].paths[4][1])
    page.click("#upload button")
    wait_until(page, "document.querySelector('#query h2').textContent === 'Your pictures'")
    assert {name[0] for name in names(page)[:2]} == {"3"}
    assert page.locator("#notice").inner_text() == ""
    assert broken_images(page) == []


def test_an_image_that_is_gone_is_told_in_its_place(browser, files, tmp_path):
    gallery, query = files
    lost = gallery._replace(paths=[(str(tmp_path / "lost.png"), "")] * len(gallery.paths))
    with (
        served(drawn_page(lost, query)) as server,
        new_page(browser, width=390, scheme="light") as (page, errors),
    ):
        page.goto(server.address)
        wait_until(page, "document.querySelectorAll('#matches .missing').length === 10")
        texts = page.locator("#matches .missing").all_inner_texts()
        assert texts[:2] == ["the image cannot be read", "no image"]
        assert overflow(page) <= 0
        assert not [error for error in errors if error.startswith("script")]


def test_a_name_is_never_read_as_html(browser, files, tmp_path):
    gallery, query = files
    bad = tmp_path / "<img src=x onerror=alert(1)>"
    hostile = gallery._replace(paths=[(str(bad / f"{row}.png"), "") for row in range(len(gallery.paths))])
    with (
        served(drawn_page(hostile, query)) as server,
        new_page(browser, width=390, scheme="light") as (page, errors),
    ):
        page.goto(server.address)
        page.wait_for_selector("#matches .card")
        assert page.locator("img[src=x]").count() == 0
        assert not [error for error in errors if error.startswith("script")]


def test_the_page_says_when_nobody_answers_any_more(browser, address):
    with new_page(browser, width=390, scheme="light") as (page, _):
        page.goto(address)
        page.wait_for_selector("#matches .card")
        page.context.set_offline(True)
        page.click("#next")
        wait_until(page, "document.querySelector('#notice').textContent.includes('has ended')")


def brightness(colour: str) -> float:
    """Relative luminance of rgb(r, g, b), from 0 to 1, as WCAG defines it."""
    parts = np.array([float(each) for each in colour[4:-1].split(",")]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, from 1 to 21; a text is readable from 4.5."""
    dark, light = sorted([brightness(one), brightness(other)])
    return (light + 0.05) / (dark + 0.05)
