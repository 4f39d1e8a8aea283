"""The genesis document's signature; each sealed transfer's leaf; audits that wait or run, and their exports."""

import django.db.models.deletion
import django.db.models.lookups
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0003_money"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="auditrun",
            name="by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="auditrun",
            name="export",
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name="auditrun",
            name="finished_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="genesis",
            name="signature",
            field=models.JSONField(default=dict, help_text="The document as the genesis account signed it."),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="sealing",
            name="leaf",
            field=models.BinaryField(default=b""),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="auditrun",
            name="ok",
            field=models.BooleanField(null=True),
        ),
        migrations.AlterField(
            model_name="auditrun",
            name="report",
            field=models.JSONField(null=True),
        ),
        # Until now an audit was kept once it was done.
        migrations.RunSQL("update ledger_auditrun set finished_at = at", migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="auditrun",
            constraint=models.UniqueConstraint(
                django.db.models.lookups.IsNull(models.F("finished_at"), True),
                condition=models.Q(("finished_at", None)),
                name="ledger_audit_one_at_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="auditrun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ok", None), ("report", None)),
                    models.Q(("finished_at__isnull", False), ("ok__isnull", False), ("report__isnull", False)),
                    _connector="OR",
                ),
                name="ledger_audit_reports_at_its_end",
            ),
        ),
    ]
