"""The page in a browser: no errors, no requests, tables sort, keys suffice, both colour schemes, axe-core."""

import json
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from robustill.report import build_page, write_page
from tests.report import folders

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="needs chromium and chromedriver"),
    pytest.mark.skipif(find_spec("selenium") is None, reason="needs selenium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    assert BROWSER is not None
    options.binary_location = BROWSER
    for each in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_window_size(1200, 900)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("pages")
    first, second = folders.with_everything(place / "first"), folders.run(place / "second")
    found = {"one": place / "one.html", "two": place / "two.html"}
    write_page(build_page([first]), found["one"])
    write_page(build_page([first, second]), found["two"])
    return found


def scheme(browser: Any, name: str) -> None:
    value = {"features": [{"name": "prefers-color-scheme", "value": name}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", value)


def opened(browser: Any, path: Path, colours: str = "light") -> None:
    scheme(browser, colours)
    browser.get_log("performance")
    browser.get(path.as_uri())


def paper(browser: Any) -> list[int]:
    return browser.execute_script("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")


@pytest.mark.parametrize("which", ["one", "two"])
def test_no_errors_and_no_requests(which: str, browser: Any, pages: dict[str, Path]) -> None:
    opened(browser, pages[which])
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
    assert pages[which].as_uri() in asked
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert len({url for url in asked if url.startswith("file:")}) == 1
    loaded = browser.execute_script("return [...document.images].map((i) => i.complete && i.naturalWidth > 0)")
    assert all(loaded)
    assert len(loaded) == 6


def column(browser: Any, caption: str, at: int) -> list[str]:
    script = """
    const table = [...document.querySelectorAll("table")].find((t) => t.caption.textContent.includes(arguments[0]));
    return [...table.tBodies[0].rows].map((row) => row.cells[arguments[1]].textContent.trim());"""
    return browser.execute_script(script, caption, at)


def press(browser: Any, caption: str, at: int) -> str:
    script = """
    const table = [...document.querySelectorAll("table")].find((t) => t.caption.textContent.includes(arguments[0]));
    const head = table.tHead.rows[0].cells[arguments[1]];
    head.querySelector("button").click();
    return head.getAttribute("aria-sort");"""
    return browser.execute_script(script, caption, at)


def test_tables_sort(browser: Any, pages: dict[str, Path]) -> None:
    opened(browser, pages["one"])
    caption = "Accuracy in % on 40 images"
    assert column(browser, caption, 1) == ["90.00", "55.00", "57.50", "50.00"]
    assert press(browser, caption, 1) == "ascending"
    assert column(browser, caption, 0) == ["worst case", "pgd20", "cw", "no attack"]
    assert press(browser, caption, 1) == "descending"
    assert column(browser, caption, 1) == ["90.00", "57.50", "55.00", "50.00"]
    # What is missing stays last in both directions.
    for direction in ("ascending", "descending"):
        assert press(browser, caption, 3) == direction
        assert column(browser, caption, 3)[-1] == "-"
    heads = browser.execute_script(
        "return [...document.querySelectorAll('[aria-sort]:not([aria-sort=none])')].map((th) => th.textContent)"
    )
    assert heads == ["WRA"]
    # As numbers: as text "12.50" would come before "9".
    assert press(browser, "Worst case of pgd20 over the radius", 1) == "ascending"
    assert column(browser, "Worst case of pgd20 over the radius", 1) == ["12.50", "75.00", "90.00"]


def test_keys_suffice(browser: Any, pages: dict[str, Path]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def key(*keys: str) -> Any:
        ActionChains(browser).send_keys(*keys).perform()
        return browser.switch_to.active_element

    opened(browser, pages["one"])
    skip = key(Keys.TAB)
    assert skip.text == "Skip to the content"
    assert skip.rect["x"] >= 0
    assert key(Keys.TAB).get_attribute("id") == "scheme"
    links = [key(Keys.TAB).text for _ in range(3)]
    assert links == ["Warnings", "Summary", "Threat model"]
    opened(browser, pages["one"])
    key(Keys.TAB)
    assert key(Keys.ENTER).get_attribute("id") == "main"
    # In the content: the table of the threat model, then its first heading, which sorts.
    table = key(Keys.TAB)
    assert table.get_attribute("role") == "group"
    button = key(Keys.TAB)
    assert button.get_attribute("class") == "sort"
    key(Keys.ENTER)
    assert button.find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_both_colour_schemes_and_the_toggle(browser: Any, pages: dict[str, Path]) -> None:
    for colours, bright in (("light", True), ("dark", False)):
        opened(browser, pages["one"], colours)
        toggle = browser.find_element("id", "scheme")
        assert (min(paper(browser)) > 200) is bright
        assert toggle.get_attribute("aria-pressed") == str(not bright).lower()
        ink = browser.execute_script("return getComputedStyle(document.querySelector('svg .name')).fill")
        assert (int(ink.split("(")[1].split(",")[0]) < 100) is bright
        toggle.click()
        assert (min(paper(browser)) > 200) is not bright
        assert toggle.get_attribute("aria-pressed") == str(bright).lower()


@pytest.mark.parametrize(("which", "colours"), [("one", "light"), ("one", "dark"), ("two", "light")])
@pytest.mark.skipif(find_spec("axe_core_python") is None, reason="needs axe-core-python")
def test_axe_finds_nothing_serious(which: str, colours: str, browser: Any, pages: dict[str, Path]) -> None:
    found = find_spec("axe_core_python")
    assert found is not None
    assert found.origin is not None
    opened(browser, pages[which], colours)
    browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = true;")
    browser.execute_script((Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8"))
    result = browser.execute_async_script("const done = arguments[arguments.length - 1]; axe.run().then(done);")
    assert len(result["passes"]) > 20
    told = [
        (each["id"], each["impact"], [node["html"][:150] for node in each["nodes"]]) for each in result["violations"]
    ]
    assert [each for each in told if each[1] in ("serious", "critical", "moderate")] == []


def test_no_text_of_a_figure_is_cut_off_or_on_another(browser: Any, pages: dict[str, Path]) -> None:
    opened(browser, pages["two"])
    script = """
    const found = [];
    for (const svg of document.querySelectorAll("svg")) {
      const frame = svg.getBoundingClientRect();
      const texts = [...svg.querySelectorAll("text")].filter((t) => t.textContent);
      const boxes = texts.map((t) => [t.textContent, t.getBoundingClientRect()]);
      for (const [text, box] of boxes)
        if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 ||
            box.bottom > frame.bottom + 1)
          found.push("cut: " + text);
      for (let i = 0; i < boxes.length; i++)
        for (let j = 0; j < i; j++) {
          const [a, b] = [boxes[i][1], boxes[j][1]];
          if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
            found.push("over: " + boxes[i][0] + " / " + boxes[j][0]);
        }
    }
    return found;"""
    assert browser.execute_script(script) == []


def test_narrow_screens_do_not_scroll_sideways(browser: Any, pages: dict[str, Path]) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        opened(browser, pages["one"])
        widths = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert widths[0] <= widths[1]
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_print_opens_everything(browser: Any, pages: dict[str, Path]) -> None:
    opened(browser, pages["one"], "dark")
    count = "return document.querySelectorAll('details:not([open])').length"
    closed = browser.execute_script(count)
    assert closed > 5
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script(count) == 0
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert min(paper(browser)) > 200
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(count) == closed
