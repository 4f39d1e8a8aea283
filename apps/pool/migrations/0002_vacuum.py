from django.db import migrations


class Migration(migrations.Migration):
    """The queue's rows change several times in a short life: they are vacuumed by number, not by share of the table."""

    dependencies = [("pool", "0001_initial")]
    operations = [
        migrations.RunSQL(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,"
            " autovacuum_vacuum_cost_delay = 0, fillfactor = 80)",
            f"ALTER TABLE {table} RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,"
            " autovacuum_vacuum_cost_delay, fillfactor)",
        )
        for table in ("pool_task", "pool_job", "pool_attempt")
    ]
