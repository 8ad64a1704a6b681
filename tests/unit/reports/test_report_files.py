import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from made_runs import SHA, AddRun
from markdown_it import MarkdownIt

from aims.core.errors import InputError
from aims.reports.contents import ReportResult
from aims.reports.folder import MANIFEST
from aims.reports.report import write_report
from aims.reports.tables.latex import escape_latex
from aims.reports.tables.markdown import escape_markdown

pytestmark = pytest.mark.usefixtures("no_cost_figures")

FILES = [
    *("table1.md", "table1.csv", "table1.tex"),
    *("comparison.md", "comparison.csv", "comparison.tex", "paired.csv"),
    *("results.md", "results.csv", "cost.csv", "index.html"),
]
NASTY = r"<script>alert(1)</script>|\input{/etc/passwd}_&%#$~^*[x](y)`"


@pytest.fixture
def report(runs: Path, tmp_path: Path, add_run: AddRun) -> ReportResult:
    """Three seeds of SimCMF, one of scratch, one of another method."""
    for seed in (0, 1, 2):
        add_run(seed=seed)
    add_run(0.125, method="scratch")
    add_run(0.25, method="linear")
    return write_report(runs, tmp_path / "out" / "deep")


def table_cells(markdown: str) -> list[list[list[str]]]:
    """Texts of every cell of every table, as a Markdown reader sees them."""
    tables: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "inline" and tables and len(tables[-1]) and token.level > 2:
            tables[-1][-1].append("".join(child.content for child in token.children or []))
    return tables


def lines_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def texts(report: ReportResult) -> dict[str, str]:
    written = (path for path in report.written if path.suffix != ".png")
    return {path.name: path.read_text(encoding="utf-8") for path in written}


def test_files_and_nothing_else_are_written(report: ReportResult) -> None:
    folder = report.written[0].parent

    assert {path.name for path in report.written if path.parent == folder} >= set(FILES)
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(
        [*report.written, folder / MANIFEST]
    )
    assert report.left_out == ()


def test_missing_runs_are_an_input_error_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        write_report(tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_out_that_is_a_file_is_an_input_error(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="cannot be made a folder"):
        write_report(runs, tmp_path / "out")


def test_no_runs(runs: Path, tmp_path: Path) -> None:
    report = write_report(runs, tmp_path / "out")

    text = texts(report)
    (table,) = table_cells(text["table1.md"])
    assert table[0][5:] == ["disc, ours", "oracle-disc, ours"]
    assert table[1] == ["thermal", "32.08", "", "57.25", "", "", ""]
    assert table[5] == ["nir", "7.99", "", "50.36 (a)", "", "", ""]
    assert table[6] == ["average", "22.15", "", "53.88", "", "", ""]
    assert "No runs yet: published numbers only" in text["table1.md"]
    assert "No runs yet: published numbers only" in text["table1.tex"]
    assert [line["miou"] for line in lines_of(text["table1.csv"])] == [""] * 12
    assert lines_of(text["results.csv"]) == []
    assert report.as_json()["results"] == []


def test_same_runs_give_the_same_bytes(
    report: ReportResult, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(runs, moved)
    monkeypatch.chdir(tmp_path)

    assert texts(write_report(moved, Path("again"))) == texts(report)
    assert str(tmp_path) not in "".join(texts(report).values())


def test_markdown_cell_names_score_interval_setting_and_counts(report: ReportResult) -> None:
    text = texts(report)["table1.md"]

    # Images (0.2, 0.4) and (0.9): resamples give 0.3, 0.5 and 0.9.
    cell = (
        "50.00<br>[30.00, 90.00]<br>lora, lr 0.0003, 50 epochs<br>3 seeds: 0, 1, 2<br>3 instances, 2 images"
    )
    scratch = (
        "<u>12.50</u> †<br>[12.50, 12.50]<br>full, lr 0.0003, 50 epochs<br>1 seed: 0<br>2 instances, 2 images"
    )
    assert table_cells(text)[0][5] == ["nir", "7.99", scratch, "50.36 (a)", cell, "", ""]


def test_caption_names_the_condition_and_the_differences(report: ReportResult) -> None:
    text = texts(report)["table1.md"]

    assert f"## Protocol strict, backbone sam-vit-b, pretrained weights {SHA[:8]}\n" in text
    assert "not measured by this project" in text
    assert "Ours differs from the published column in protocol (strict, not paper)." in text
    assert "percentile bootstrap over images" in text
    assert "(a) The published 50.36 is the cell of the MLP adapter" in text


def test_nothing_differs_under_the_papers_condition(runs: Path, tmp_path: Path, add_run: AddRun) -> None:
    add_run(protocol="paper")
    assert "Ours differs" not in texts(write_report(runs, tmp_path))["table1.md"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": "random"}, ["RANDOM WEIGHTS, NOT PRETRAINED", "weights (nothing here is pretrained)"]),
        ({"limit": 8}, ["LIMITED to 8 images of each split", "data (8 images of each split, not all)"]),
        ({"backbone": "sam-tiny"}, ["backbone sam-tiny", "backbone (sam-tiny, not sam-vit-b)"]),
        ({"method": "scratch"}, ["scratch alone, from random weights"]),
    ],
)
@pytest.mark.parametrize("name", ["table1.md", "table1.tex"])
def test_what_is_not_the_papers_is_said_loudly(
    runs: Path, tmp_path: Path, add_run: AddRun, change: dict[str, object], words: list[str], name: str
) -> None:
    add_run(**change)

    text = texts(write_report(runs, tmp_path))[name]

    assert all(word in text for word in words)


def test_csv_has_one_line_a_cell(report: ReportResult) -> None:
    lines = lines_of(texts(report)["table1.csv"])

    assert len(lines) == 12
    ours = next(line for line in lines if (line["modality"], line["method"]) == ("nir", "simcmf"))
    assert ours == {
        "protocol": "strict",
        "backbone": "sam-vit-b",
        "limit": "",
        "weights": f"pretrained {SHA[:8]}",
        "weights_name": "",
        "row": "paper",
        "dataset": "ivrg-nir",
        "modality": "nir",
        "fingerprint": "f1" * 32,
        "method": "simcmf",
        "tuning": "lora",
        "options": "",
        "lr": "0.0003",
        "epochs": "50",
        "batch_size": "4",
        "clicks": "1",
        "prompts": "click",
        "train_images": "",
        "score_every": "5",
        "init": "",
        "loss": "dice-ce",
        "precision": "float32",
        "seeds": "0 1 2",
        "miou": "50.00",
        "low": "30.00",
        "high": "90.00",
        "val_miou": "",
        "instances": "3",
        "images": "2",
        "miou_large": "",
        "instances_large": "0",
        "disc": "",
        "below_disc": "",
        "check": "files",
        "cell_weights": SHA,
        "published": "50.36",
    }
    scratch = next(line for line in lines if (line["modality"], line["method"]) == ("nir", "scratch"))
    assert (scratch["miou"], scratch["cell_weights"], scratch["weights"]) == (
        "12.50",
        "random",
        f"pretrained {SHA[:8]}",
    )


def test_every_method_is_in_the_results(report: ReportResult) -> None:
    text = texts(report)

    found = {(line["method"], line["weights"], line["miou"]) for line in lines_of(text["results.csv"])}
    assert found == {("linear", SHA, "25.00"), ("simcmf", SHA, "50.00"), ("scratch", "random", "12.50")}
    pretrained, random = table_cells(text["results.md"])
    assert [cells[3] for cells in pretrained[1:]] == ["linear", "simcmf"]
    assert [cells[3] for cells in random[1:]] == ["scratch"]
    assert "RANDOM WEIGHTS, NOT PRETRAINED" in text["results.md"]


def test_left_out_folders_are_told(runs: Path, tmp_path: Path, add_run: AddRun) -> None:
    add_run()
    (runs / "empty").mkdir()
    (runs / "not-a-folder.txt").write_text("")

    report = write_report(runs, tmp_path / "out")

    assert [item.folder for item in report.left_out] == ["empty"]
    assert "Run folders left out: 1 (" in texts(report)["results.md"]
    assert report.as_json()["left_out"][0]["folder"] == "empty"


def test_json(report: ReportResult) -> None:
    value = json.loads(json.dumps(report.as_json(), allow_nan=False))

    (section,) = value["table1"]
    assert (section["protocol"], section["weights"]) == ("strict", SHA)
    nir = section["rows"][4]["cells"]["simcmf"]
    assert (nir["published"], nir["result"]["seeds"]) == (50.36, [0, 1, 2])
    assert nir["miou"] == pytest.approx(0.5)
    assert {Path(path).name for path in value["written"]} >= set(FILES)


def test_one_image_shows_no_interval(runs: Path, tmp_path: Path, add_run: AddRun) -> None:
    add_run({"only": [0.5, 0.75]})

    text = texts(write_report(runs, tmp_path))

    assert "| 62.50<br>lora" in text["table1.md"]
    assert lines_of(text["results.csv"])[0]["low"] == ""


@pytest.mark.parametrize("name", [NASTY, "*starred*", "[bracketed]", "-dashed", "{", "}"])
def test_names_mean_themselves(runs: Path, tmp_path: Path, add_run: AddRun, name: str) -> None:
    add_run(folder="run", dataset=name, modality=name, tuning=name, backbone=name, weights=name, loss=name)

    text = texts(write_report(runs, tmp_path))

    (table,) = table_cells(text["table1.md"])
    assert table[7][0] == f"{name} / {name}"
    assert [len(cells) for cells in table] == [7] * 8
    (table,) = table_cells(text["results.md"])
    assert [*table[1][:6], table[1][15]] == [name, "f1f1f1f1", name, "simcmf", name, "", name]
    html = MarkdownIt("commonmark").enable("table").render(text["table1.md"] + text["results.md"])
    assert "<script" not in html
    assert "<a " not in html
    assert lines_of(text["table1.csv"])[-1]["dataset"] == name
    check_latex(text["table1.tex"])
    assert r"\input" not in text["table1.tex"]


def check_latex(text: str) -> None:
    """Balanced braces and environments, seven columns a row, no bracket or star right after a line break."""
    bare = re.sub(r"\\[\\{}_&%#$]", lambda match: "\n" if match[0] == "\\\\" else "", text)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    opened: list[str] = []
    for word, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if word == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    assert not re.search(r"\\\\\s*[\[*]", text)
    rows = re.findall(r"^    (?!\\)(?!&)(.*) \\\\$", text, flags=re.MULTILINE)
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == 6, row


def test_latex_of_a_full_report(report: ReportResult) -> None:
    text = texts(report)["table1.tex"]

    check_latex(text)
    assert "% needs \\usepackage{booktabs}" in text
    score = r"50.36$^{a}$ & \begin{tabular}[t]{@{}r@{}}\textbf{50.00} \\ {\scriptsize {[}30.00, 90.00{]}} \\ "
    assert score + r"{\scriptsize lora, lr 0.0003, 50 epochs} \\" in text
    assert r"its 95 \% interval" in text


def test_escapes() -> None:
    assert escape_latex("a_b&50%#$") == r"a\_b\&50\%\#\$"
    assert escape_latex("\\{}~^") == r"\textbackslash{}\{\}\textasciitilde{}\textasciicircum{}"
    assert escape_markdown("a|b<c>&_") == r"a\|b&lt;c&gt;&amp;\_"


def test_csv_has_no_line_for_an_empty_cell_of_other_rows(runs: Path, tmp_path: Path, add_run: AddRun) -> None:
    add_run(dataset="own", modality="sonar")

    lines = lines_of(texts(write_report(runs, tmp_path))["table1.csv"])

    assert [line["method"] for line in lines if line["row"] == "other"] == ["simcmf"]


def test_brackets_are_no_arguments_of_a_line_break() -> None:
    assert escape_latex("[1cm]*") == "{[}1cm{]}{*}"
