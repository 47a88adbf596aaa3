from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "models/street.md")


def documented_commands() -> list[str]:
    """Every `streamdet ...` line in the pages' code blocks, joined where it goes on with a backslash."""
    commands = []
    for page in PAGES:
        for block in re.findall(r"```(?:sh|console|bash)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            commands += [line.split("#")[0].strip() for line in lines if line.strip().startswith("streamdet ")]
    return list(dict.fromkeys(commands))


def test_the_page_of_commands_is_what_the_commands_say(tmp_path: Path) -> None:
    made = tmp_path / "cli.md"
    command = [sys.executable, "-m", "typer", "streamdet.cli.app", "utils", "docs", "--name", "streamdet"]
    subprocess.run([*command, "--output", str(made)], check=True, capture_output=True)
    assert made.read_text() == (ROOT / "docs" / "cli.md").read_text(), "run: make docs"


@pytest.mark.parametrize("command", documented_commands())
def test_documented_options_exist(command: str) -> None:
    verb, *arguments = shlex.split(command)[1:]
    page = (ROOT / "docs" / "cli.md").read_text()
    section = page.split(f"## `streamdet {verb}`", 1)
    assert len(section) == 2, f"no verb {verb}"
    for argument in arguments:
        if argument.startswith("--"):
            assert f"`{argument} " in section[1] or f"`{argument}`" in section[1], f"{verb} has no {argument}"


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        path = ROOT / page
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{page}: {target}"
