"""Pages from results whose numbers are known. Every picture is an image that can be decoded."""

import base64
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench import cli
from bench.client_limit import UNLIMITED, ClientLimits
from bench.pages import result_page
from bench.pages.document import Text
from bench.plots.distributions import tpot_distributions
from bench.plots.picture import Picture
from bench.record import Result
from bench.summary import summarise
from tests.bench.results import result
from tests.bench.sweeps import sweep_folder
from tests.bench.test_report import as_aa

PICTURES = (
    "Speedup per workload, with intervals",
    "Time per output token, request by request",
    "Acceptance by position",
    "Step gaps of one request",
)
SWEEP_PICTURES = ("Break-even map", "Speedup by K")
PNG = b"\x89PNG"


class Page(HTMLParser):
    """What a reader gets, and whatever would be fetched for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.fetched: list[str] = []
        self.images: list[bytes] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "img"}:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "data", "srcset"} and value:
                kind, _, data = value.partition(";base64,")
                if kind == "data:image/svg+xml":
                    self.images.append(base64.b64decode(data, validate=True))
                else:
                    self.fetched.append(value)
        if tag == "img":
            assert dict(attrs).get("alt")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def pages(path: Path, folder: Path) -> tuple[str, str]:
    html, markdown = folder / "p.html", folder / "p.md"
    argv = ["report", str(path), "--html", str(html), "--markdown", str(markdown)]
    assert cli.run(argv) == 0
    return html.read_text(encoding="utf-8"), markdown.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """HTML and Markdown of a result that tries to be read as something else."""
    folder = tmp_path_factory.mktemp("pages")
    found = result("sql", "json_extract", "hex")
    hostile = {"cpu": "<script>x</script> | co", "cost_ratio": "chosen | b\n# c"}
    source = found.provenance.model_copy(update=hostile)
    path = folder / "r.json"
    path.write_text(found.model_copy(update={"provenance": source}).model_dump_json())
    return pages(path, folder)


def test_a_page_has_all_of_a_result_and_fetches_nothing(written: tuple[str, str]) -> None:
    page = Page(written[0])
    assert (page.fetched, page.open, len(page.images)) == ([], [], len(PICTURES))
    for image in page.images:
        root = ET.fromstring(image)  # noqa: S314  # drawn just above
        links = {value for one in root.iter() for name, value in one.items() if "href" in name}
        assert root.tag.endswith("svg")
        assert not [link for link in links if not link.startswith(("#", "data:"))]
    for words in (
        *PICTURES, "structured, all 2 workloads at concurrency 1: faster, 2.67x [2.67, 2.67].",
        "hex (control) at concurrency 1: slower, 0.67x [0.67, 0.67].", "<script>x</script> | co",
        "0123456789abcdef with local changes", "model.safetensors sha256 " + "cd" * 32,
        "setting max_tokens", "median TPOT of all plain", "control identical",
    ):  # fmt: skip
        assert words in page.text, words
    assert "<script" not in written[0]


def test_markdown_has_its_pictures_inside(written: tuple[str, str]) -> None:
    text = written[1]
    assert "| sql | 40.00 | 15.00 | 2.67x \\[2.67, 2.67\\] |" in text
    named = re.findall(r"^\[([a-z-]+)\]: data:image/png;base64,(\S+)$", text, re.MULTILINE)
    assert all(base64.b64decode(data).startswith(PNG) for _, data in named)
    assert re.findall(r"^!\[[^]]+\]\[([a-z-]+)\]$", text, re.MULTILINE) == [n for n, _ in named]
    assert len(named) == len(PICTURES)


def test_text_is_never_read_as_markdown(written: tuple[str, str]) -> None:
    text = written[1]
    tables = [block for block in text.split("\n\n") if block.startswith("| ")]
    widths = [{len(re.findall(r"(?<!\\)\|", line)) for line in one.splitlines()} for one in tables]
    assert len(tables) == 5
    assert all(len(one) == 1 for one in widths), widths
    assert "\n# c" not in text
    assert not re.search(r"(?<!\\)<", text)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            result("sql", wrong=1),
            "NOT LOSSLESS: output is not the plain output on sql at concurrency 1.",
        ),
        (result("sql", broken="sql"), "sql at concurrency 1 is not shown: 12 of 12 requests"),
        (result("sql").model_copy(update={"stopped": "It died."}), "PARTIAL: the run ended early"),
    ],
)
def test_what_takes_the_worth_from_a_number_is_the_first_thing_on_the_page(
    found: Result, words: str
) -> None:
    first = result_page(found, summarise(found, UNLIMITED)).sections[0].blocks[0]
    assert isinstance(first, Text)
    assert first.tone == "bad"
    assert first.lines[0].startswith(words)


def test_an_invalid_row_is_named_before_its_number() -> None:
    found = result("sql")
    summary = summarise(found, ClientLimits(cpu=0.0))
    first, last = result_page(found, summary).sections[0].blocks
    assert isinstance(first, Text)
    assert isinstance(last, Text)
    assert first.lines[0].startswith("INVALID: the bench itself was the limit: sql at concurrency")
    assert (last.tone, "invalid" in last.lines[0]) == ("bad", True)


def test_an_a_a_page_speaks_of_false_alarms_and_not_of_speculation() -> None:
    found = as_aa(result("sql", "json_extract"), "aa").model_copy(update={"other": "again"})
    requests = tuple(
        one.model_copy(update={"arm": "again"}) if one.arm == "speculative" else one
        for one in found.requests
    )
    found = found.model_copy(update={"requests": requests})
    page = result_page(found, summarise(found, UNLIMITED))
    first = page.sections[0].blocks[0]
    assert isinstance(first, Text)
    assert first.lines[0].startswith("0 of 2 rows call the plain engine different from itself")
    assert first.tone == "good"
    says = {
        block.title: block.says
        for section in page.sections
        for block in section.blocks
        if isinstance(block, Picture)
    }
    assert "every interval should hold 1" in says["Speedup per workload, with intervals"]
    assert not any("ith speculation" in text for text in says.values())
    notes = next(one for one in page.sections if one.title == "Notes").blocks[0]
    assert isinstance(notes, Text)
    assert any("plain over plain again" in line for line in notes.lines)


def test_a_picture_of_what_no_engine_told_is_left_out() -> None:
    found = as_aa(result("sql"), "aa")
    requests = tuple(
        one.model_copy(update={"reply": one.reply.model_copy(update={"speculation": None})})
        for one in found.requests
    )
    found = found.model_copy(update={"requests": requests})
    page = result_page(found, summarise(found, UNLIMITED))
    (pictures,) = (one.blocks for one in page.sections if one.title == "Pictures")
    drawn = [one.title for one in pictures if isinstance(one, Picture)]
    assert drawn == [title for title in PICTURES if title != "Acceptance by position"]
    assert page.title.endswith("the plain engine against itself")


def test_the_page_of_a_sweep_has_its_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sweep_folder(tmp_path, (1, 3, 5), "sql", "hex", missing=1)
    html, markdown = pages(path, tmp_path)
    page = Page(html)
    for words in (*SWEEP_PICTURES, "2 of 3 combinations are measured", "40.00 + 5.00 x K ms"):
        assert words in page.text, words
    assert (page.fetched, len(page.images)) == ([], len(SWEEP_PICTURES))
    assert markdown.count("data:image/png") == len(SWEEP_PICTURES)
    assert "where speculation pays" in capsys.readouterr().out


def test_the_same_result_gives_the_same_picture() -> None:
    found = result("sql")
    summary = summarise(found)
    first, second = (tpot_distributions(found, summary).data("svg") for _ in range(2))
    assert first == second


def test_what_cannot_be_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    path.write_text(result("sql").model_dump_json())
    index = sweep_folder(tmp_path, (1,), "sql")
    gone = tmp_path / "gone"
    for argv, words in (
        ([str(path), "--html", str(gone / "p")], f"the folder {gone} is not there"),
        ([str(path), "--html", str(tmp_path)], "is a directory"),
        ([str(path), "--other-tools", "--html", "p.html"], "leave out --html"),
        ([str(index), "--require-faster"], "leave out --require-faster"),
    ):
        assert cli.run(["report", *argv]) == 2
        assert words in capsys.readouterr().err
