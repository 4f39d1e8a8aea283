"""What the catalogue's pages print."""

from typing import Any

from django.conf import settings
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from apps.models import catalog
from apps.models.models import Model, ModelVersion

COUNTS = ((10**9, "B"), (10**6, "M"), (10**3, "K"))


def count(number: int) -> str:
    """A number of weights as people say it: 22.7 M."""
    for size, unit in COUNTS:
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return str(number)


def rows() -> list[dict[str, Any]]:
    """The models that are offered now."""
    return [row(version) for version in catalog.active_versions()]


def row(version: ModelVersion) -> dict[str, Any]:
    """One line of the catalogue."""
    return {
        "model": version.model,
        "version": version,
        "parameters": count(version.model.parameters) if version.model.parameters else "",
        "size": filesizeformat(sum(file["size"] for file in version.files)),
    }


def page(model: Model) -> dict[str, Any]:
    """The context of one model's page."""
    versions = list(model.versions.order_by("-created_at"))
    active = next((version for version in versions if version.active), None)
    return {
        "model": model,
        "active": active,
        "versions": versions,
        "facts": facts(model, active),
        "files": active.files if active else [],
        "check": check(active) if active else "",
        "command": command(model),
        "site": settings.SITE_URL,
    }


def facts(model: Model, active: ModelVersion | None) -> list[tuple[str, str]]:
    """Label and value."""
    found = [
        (_("Name"), model.name),
        (_("Does"), model.get_task_display()),
        (_("Family"), model.family),
        (_("Weights"), f"{model.parameters:,}"),
        (_("Licence"), model.licence),
        (_("Source"), model.source),
    ]
    if active is not None:
        manifest = active.manifest
        found += [(_("Reads"), _("up to %(count)s tokens") % {"count": manifest["max_tokens"]})]
        if manifest.get("dimensions"):
            found += [(_("Gives"), _("%(count)s dimensions a text") % {"count": manifest["dimensions"]})]
        memory = filesizeformat(active.min_memory_mb * 2**20)
        found += [(_("Engine"), manifest["engine"]), (_("Memory a node needs"), memory)]
    return found


def check(version: ModelVersion) -> str:
    """How a node proves that it serves the version rightly."""
    kind = version.manifest["comparator"]["kind"]
    if kind == "cosine":
        least = version.manifest["comparator"]["min"]
        return _("Its vectors of known texts have a cosine of at least %(least)s with the known ones.") % {
            "least": least
        }
    return _("It continues a known prompt with exactly the known text.")


def command(model: Model) -> str:
    """How to use the model from a terminal."""
    if model.task == "embed":
        return f"mesh submit --model {model.name} --embed texts.txt --wait"
    return f"mesh submit --model {model.name} --wait 'Once upon a time'"
