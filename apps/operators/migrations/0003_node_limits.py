import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("operators", "0002_stake_states")]

    operations = [
        migrations.AddField(model_name="node", name="limits", field=models.JSONField(default=dict)),
        migrations.AddField(model_name="node", name="limits_reported", field=models.JSONField(default=dict)),
        migrations.CreateModel(
            name="RetiredKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kid", models.CharField(max_length=16, unique=True)),
                ("sign_public", models.CharField(max_length=64, unique=True)),
                ("retired_at", models.DateTimeField()),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="retired_keys",
                        to="operators.node",
                    ),
                ),
            ],
            options={"ordering": ["-retired_at"]},
        ),
    ]
