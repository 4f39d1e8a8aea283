"""The templates keep to the strict policy and to the icons there are; the committed build names its licences."""

import json
import re
from pathlib import Path

import pytest

from meshwork import context, pages

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
STATIC = ROOT / "platform/meshwork/static"
SHOWN = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)


def markup(path: Path) -> str:
    """The file without what Django replaces."""
    return SHOWN.sub("", path.read_text())


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: str(p.relative_to(ROOT / "templates")))
def test_a_template_has_nothing_that_the_strict_policy_blocks(path: Path) -> None:
    text = markup(path)
    assert not re.search(r"\sstyle\s*=", text), "style= is blocked; use a class or <c-meter>"
    assert not re.search(r"\son[a-z]+\s*=", text), "inline handlers are blocked"
    assert not re.search(r"hx-on|js:|javascript:", text), "evaluated code is blocked"
    for opening in re.findall(r"<script\b[^>]*>", text):
        assert "src=" in opening or "application/json" in opening, f"{opening} is inline"


def test_every_icon_that_a_page_names_is_in_the_sprite() -> None:
    sprite = set(re.findall(r'<symbol id="([a-z0-9-]+)"', (STATIC / "icons.svg").read_text()))
    assert sprite == set(json.loads((ROOT / "frontend/icons.json").read_text()))
    named = {name for path in TEMPLATES for name in re.findall(r"icon(?: name)?=\"([a-z0-9-]+)\"", path.read_text())}
    named |= {entry.icon for group in (*context.GROUPS, context.Group("", context.PUBLIC)) for entry in group.entries}
    named |= {step["icon"] for step in pages.STEPS}
    assert named <= sprite, f"not in frontend/icons.json: {sorted(named - sprite)}"


def test_the_stylesheet_loads_only_the_fonts_that_lie_beside_it() -> None:
    css = (STATIC / "app.css").read_text()
    files = set(re.findall(r"url\(\"?(fonts/[a-z-]+\.woff2)", css))
    assert files == {f"fonts/{path.name}" for path in (STATIC / "fonts").iterdir()}
    assert "--fx-noise:none" in css
    assert not re.search(r"https?://(?!www\.w3\.org)", re.sub(r"/\*.*?\*/", "", css))


def test_every_shipped_package_is_named_with_its_version_and_licence() -> None:
    packages = json.loads((ROOT / "frontend/package.json").read_text())["devDependencies"]
    text = (STATIC / "THIRD_PARTY.txt").read_text()
    for name in packages.keys() - {"esbuild", "@tailwindcss/cli"}:
        assert f"{name} {packages[name]} (" in text
