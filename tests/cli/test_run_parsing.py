from __future__ import annotations

import pytest

from streamdet.cli.run_parsing import parse_conf, parse_keep
from streamdet.errors import UsageError


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        (None, {}),
        ("0.4", {"*": 0.4}),
        ("person=0.6,car=0.4", {"person": 0.6, "car": 0.4}),
        ("0.5, person=0.6", {"*": 0.5, "person": 0.6}),
        ("traffic light=.3", {"traffic light": 0.3}),
    ],
)
def test_conf(text: str | None, scores: dict[str, float]) -> None:
    assert parse_conf(text) == scores


@pytest.mark.parametrize("text", ["", "0", "1", "1.5", "-0.1", "nan", "x", "car=", "=0.4", "car=2", "0.4,", "car"])
def test_a_wrong_conf_says_what_to_give(text: str) -> None:
    with pytest.raises(UsageError, match=r"--conf is .*; give a number between 0 and 1, such as 0\.4"):
        parse_conf(text)


def test_two_scores_for_one_class() -> None:
    with pytest.raises(UsageError, match="two scores for car"):
        parse_conf("car=0.4,car=0.5")
    with pytest.raises(UsageError, match="two scores for all classes"):
        parse_conf("0.4,0.5")


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        ([], (None, None)),
        (["24h"], (86400, None)),
        (["0.05"], (None, 0.05)),
        (["0.05", "90"], (90, 0.05)),
        (["10m", ".5"], (600, 0.5)),
    ],
)
def test_keep_is_an_age_or_a_score(texts: list[str], kept: tuple[float | None, float | None]) -> None:
    assert parse_keep(texts) == kept


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["soon"], "--keep is 'soon'; give a time such as"),
        (["1h", "2h"], "--keep has two times, 3600 s and 2h"),
        (["0.1", "0.2"], r"--keep has two scores, 0\.1 and 0\.2"),
    ],
)
def test_a_wrong_keep(texts: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_keep(texts)
