"""The table of results says what its JSON says."""

import json
from pathlib import Path

import pytest

from trainer import results

DOCS = Path(__file__).parent.parent / "docs"
ROW = {"system": "A", "data": "toys", "metric": "accuracy", "paper": 90, "ours_mean": 91.256, "ours_sd": 0.1, "seeds": [1, 2],
       "command": "spikeline train a.yaml"}


def test_the_page_is_the_one_of_the_json():
    rows = results.read_rows(DOCS / "results.json")
    assert rows
    assert (DOCS / "results.md").read_text() == results.table(rows)


def test_a_row_shows_the_papers_figure_ours_and_the_seeds():
    page = results.table([ROW, {**ROW, "data": "b", "paper": None, "ours_sd": None, "note": "one seed"}])
    assert "| toys | accuracy | 90 | 91.26 ± 0.10 | 1, 2 |" in page
    assert "| b | accuracy | - | 91.26 | 1, 2 |" in page
    assert page.count("spikeline train a.yaml") == 1
    assert "one seed" in page


def test_a_row_measured_again_takes_the_place_of_the_old_one():
    rows = [dict(ROW), {**ROW, "data": "b"}]
    results.put(rows, {**ROW, "ours_mean": 1.0})
    results.put(rows, {**ROW, "data": "c"})
    assert [(row["data"], row["ours_mean"]) for row in rows] == [("toys", 1.0), ("b", 91.256), ("c", 91.256)]


def test_a_row_that_lacks_something_is_refused(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps([{"system": "A"}]))
    with pytest.raises(ValueError, match="row 0 lacks data, metric"):
        results.read_rows(tmp_path / "r.json")


def test_several_figures_of_cards_become_rows(tmp_path, monkeypatch):
    cards = {"a": {"seed": 4, "test_accuracy": 0.8, "after": {"1": 0.5}},
             "b": {"seed": 7, "test_accuracy": 0.9, "after": {"1": 0.6}}}
    monkeypatch.setattr(results, "DOCS", tmp_path)
    monkeypatch.setattr(results, "read_card", lambda path: type("Card", (), {"metrics": cards[str(path)]}))
    results.main(["measure", "toy.yaml", "--system", "A", "--data", "toys", "--metric", "at the end", "at 1 ms", "--figure",
                  "test_accuracy", "after.1", "--models", "a", "b", "--paper", "85", "--set", "training.epochs=3"])
    first, second = results.read_rows(tmp_path / "results.json")
    assert (first["reached"], first["seeds"], first["paper"], first["ours_mean"]) == ([80, 90], [4, 7], 85, 85)
    assert (second["metric"], second["reached"], second["paper"]) == ("at 1 ms", [50, 60], None)
    assert second["command"] == "spikeline train toy.yaml --set training.epochs=3 --set training.seed=1"
    with pytest.raises(ValueError, match=r"no figure 'after.2', it has seed, test_accuracy, after"):
        results.percent(cards["a"], "after.2")
