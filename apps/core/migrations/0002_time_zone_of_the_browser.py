"""An account without a chosen time zone shows the browser's."""

from django.db import migrations, models


def forget_default(apps, schema_editor):
    apps.get_model("core", "User").objects.filter(time_zone="UTC").update(time_zone="")


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="user",
            name="time_zone",
            field=models.CharField(blank=True, default="", max_length=64, verbose_name="time zone"),
        ),
        migrations.RunPython(forget_default, migrations.RunPython.noop),
    ]
