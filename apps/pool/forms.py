"""The form of a new job: what a person types becomes a JobRequest."""

import json
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from apps.models import catalog
from apps.pool import chunking, kinds
from apps.pool.errors import InputRefused
from apps.pool.kinds import JobRequest

MOST_UPLOAD = 8 * 2**20
MODEL_TASKS = ("embed", "generate")


def texts_of(content: str) -> list[str]:
    """A JSON list of strings, or one text a line."""
    if content.lstrip().startswith("["):
        values = json.loads(content)
        if not all(isinstance(value, str) for value in values):
            raise ValueError("not all are strings")
        return list(values)
    return [line for line in content.splitlines() if line.strip()]


class JobForm(forms.Form):
    """One form for all kinds; the fields of the other kinds are ignored."""

    kind = forms.ChoiceField(label=_("What"), initial="embed", widget=forms.RadioSelect)
    model = forms.ChoiceField(label=_("Model"), required=False)
    texts = forms.CharField(
        label=_("Texts"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8}),
        help_text=_("One a line, or a JSON list of strings."),
    )
    file = forms.FileField(label=_("…or a file"), required=False, help_text=_(".txt or .json, up to 8 MB."))
    chunk_size = forms.IntegerField(label=_("Texts a chunk"), min_value=1, max_value=1024, initial=kinds.DEFAULT_CHUNK)
    prompt = forms.CharField(label=_("Prompt"), required=False, strip=False, widget=forms.Textarea(attrs={"rows": 6}))
    chunk_strategy = forms.ChoiceField(
        label=_("Split the prompt"), choices=[(name, name) for name in chunking.STRATEGIES], initial="none"
    )
    max_chunk_size = forms.IntegerField(
        label=_("Characters a chunk"), min_value=1, max_value=1_000_000, initial=kinds.DEFAULT_MAX_CHUNK
    )
    question = forms.CharField(
        label=_("Question"), required=False, initial="{}", widget=forms.Textarea(attrs={"rows": 6, "class": "mono"})
    )
    idempotency_key = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = kinds.offered()
        over_data = {kind.name: kind.takes for kind in offered if isinstance(kind, kinds.OverData)}
        versions = [v for v in catalog.active_versions() if v.model.task in MODEL_TASKS]
        names = [(v.model.name, f"{v.model.title} ({v.model.get_task_display()})") for v in versions]
        self._choose("kind", [(kind.name, kind.title) for kind in offered])
        self._choose("model", names)
        takes = "; ".join(f"{name}: {fields}" for name, fields in over_data.items())
        self.fields["question"].help_text = _("A JSON object. %(takes)s.") % {"takes": takes}

    def _choose(self, name: str, choices: list[tuple[str, Any]]) -> None:
        field = self.fields[name]
        if isinstance(field, forms.ChoiceField):
            field.choices = choices

    def clean_file(self) -> "UploadedFile[Any] | None":
        """Small enough to be a page's upload."""
        file: UploadedFile[Any] | None = self.cleaned_data.get("file")
        if file is not None and file.size and file.size > MOST_UPLOAD:
            raise forms.ValidationError(_("The file is larger than 8 MB. Use the command line or the API."))
        return file

    def clean(self) -> dict[str, Any]:
        """Read the texts where the kind needs them."""
        data = super().clean() or {}
        kind = kinds.get(data["kind"]) if data.get("kind") else None
        if isinstance(kind, kinds.OverData):
            data["model"] = kind.model
        elif not data.get("model"):
            self.add_error("model", _("Choose a model."))
        if data.get("kind") == "embed":
            data["inputs"] = self._texts(data)
        elif data.get("kind") == "generate" and not data.get("prompt", "").strip():
            self.add_error("prompt", _("Write a prompt."))
        return data

    def _texts(self, data: dict[str, Any]) -> tuple[str, ...]:
        file = data.get("file")
        try:
            content = file.read().decode("utf-8") if file else data.get("texts", "")
            found = texts_of(content)
        except (UnicodeDecodeError, ValueError):
            self.add_error("file" if file else "texts", _("A JSON list must hold strings only; text must be UTF-8."))
            return ()
        if not found:
            self.add_error("texts", _("Give at least one text."))
        return tuple(found)

    def request(self) -> JobRequest:
        """What was asked for."""
        data = self.cleaned_data
        kind = kinds.get(data["kind"])
        question = data["question"] if isinstance(kind, kinds.OverData) else data["prompt"]
        return JobRequest(
            kind=kind.name,
            model=data["model"],
            inputs=data.get("inputs", ()),
            prompt="" if kind.name == "embed" else question,
            chunk_size=data["chunk_size"],
            chunk_strategy=data["chunk_strategy"],
            max_chunk_size=data["max_chunk_size"],
        )

    def _question(self) -> str:
        """The field that a kind's prompt comes from."""
        return "question" if isinstance(kinds.get(self.cleaned_data["kind"]), kinds.OverData) else "prompt"

    def refuse(self, refusal: InputRefused | Any) -> None:
        """Put a refusal at the field that it names, or above the form."""
        for error in refusal.errors:
            name = str(error.get("pointer", "")).strip("/").split("/")[0]
            name = {"inputs": "texts", "prompt": self._question()}.get(name, name)
            self.add_error(name if name in self.fields else None, error["detail"])
        if not refusal.errors:
            self.add_error(None, refusal.detail)
