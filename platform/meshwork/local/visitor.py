"""A visitor without a browser: reads pages, fills in their forms and sends them, cookies and tokens included."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx

VOID_TYPES = {"submit", "button", "image", "reset", "file"}


class StepFailed(Exception):
    """A step of the scenario did not do what it should."""


@dataclass
class Form:
    """One form of a page: where it goes and what it holds already."""

    action: str
    method: str
    values: dict[str, list[str]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class _Forms(HTMLParser):
    """Collects forms with the values that a browser would send."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._select = ""
        self._textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(given.get("action", ""), given.get("method", "get").lower())
            self.forms.append(self._form)
        elif self._form is None:
            return
        elif tag == "input" and given.get("name"):
            self._input(given)
        elif tag == "select":
            self._select = given.get("name", "")
            self._form.names.add(self._select)
        elif tag == "option" and self._select and "selected" in given:
            self._form.values[self._select] = [given.get("value", "")]
        elif tag == "textarea":
            self._textarea = given.get("name", "")
            self._form.names.add(self._textarea)
            self._form.values[self._textarea] = [""]

    def _input(self, given: dict[str, str]) -> None:
        kind = given.get("type", "text")
        if self._form is None or kind in VOID_TYPES:
            return
        self._form.names.add(given["name"])
        if kind in {"checkbox", "radio"} and "checked" not in given:
            return
        self._form.values.setdefault(given["name"], []).append(given.get("value", "on" if kind == "checkbox" else ""))

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._textarea:
            self._form.values[self._textarea][0] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._textarea = ""


@dataclass(frozen=True)
class Page:
    """An answered page."""

    url: str
    status: int
    html: str

    @property
    def text(self) -> str:
        """The words of the page."""
        return " ".join(re.sub(r"<[^>]+>", " ", self.html).split())

    def form(self, having: str) -> Form:
        """The first form that has a field of that name, or whose action contains it."""
        parser = _Forms()
        parser.feed(self.html)
        for form in parser.forms:
            if having in form.names or having in form.action:
                return form
        raise StepFailed(f"{self.url} has no form with {having!r}.")

    def find(self, pattern: str) -> str:
        """The first group of a pattern in the page's HTML."""
        found = re.search(pattern, self.html)
        if not found:
            raise StepFailed(f"{self.url} does not show {pattern!r}.")
        return found.group(1)


class Visitor:
    """One person's session with the site."""

    def __init__(self, site: str) -> None:
        self.http = httpx.Client(base_url=site, follow_redirects=True, timeout=30.0)

    def close(self) -> None:
        """End the session's connection."""
        self.http.close()

    def get(self, path: str) -> Page:
        """Read a page; anything but 200 is a failure."""
        return self._page(self.http.get(path))

    def send(self, page: Page, having: str, **values: Any) -> Page:
        """Fill in the form that has `having` and send it the way a browser does."""
        form = page.form(having)
        filled: dict[str, Any] = {**form.values, **{name: value for name, value in values.items() if value is not None}}
        target = httpx.URL(page.url).join(form.action or page.url)
        return self._page(self.http.post(target, data=filled, headers={"Referer": page.url}))

    def _page(self, response: httpx.Response) -> Page:
        page = Page(str(response.url), response.status_code, response.text)
        if response.status_code != 200:
            raise StepFailed(f"{page.url} answered {page.status}: {page.text[:300]}")
        errors = re.findall(r'<ul class="errorlist[^"]*"[^>]*>(.*?)</ul>', page.html, re.DOTALL)
        if errors:
            said = " ".join(re.sub(r"<[^>]+>", " ", " ".join(errors)).split())
            raise StepFailed(f"{page.url} refused the form: {said}")
        return page

    def sign_up(self, email: str, password: str, name: str) -> None:
        """Make an account and be signed in."""
        form = self.get("/accounts/signup/")
        answer = self.send(form, "password1", email=email, name=name, password1=password, password2=password)
        if "/accounts/" in answer.url:
            raise StepFailed(f"Signing up {email} led to {answer.url}: {answer.text[:400]}")

    def log_in(self, email: str, password: str) -> None:
        """Sign in."""
        self.send(self.get("/accounts/login/"), "password", login=email, password=password)
