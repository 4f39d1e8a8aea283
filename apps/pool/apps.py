"""Jobs and the machines that do them."""

from typing import Any

from django.apps import AppConfig


class PoolConfig(AppConfig):
    name = "apps.pool"
    label = "pool"
    verbose_name = "Compute pool"

    def ready(self) -> None:
        from apps.core import inbox, live
        from apps.ledger import faucet, holds, rewards
        from apps.operators import account_deletion, account_export, bans, limits, nodes
        from apps.pool import account, kinds, node_rewards, node_states, waiting
        from apps.pool.models import Job, Task

        kinds.register(kinds.Embed())
        kinds.register(kinds.Generate())
        inbox.register("jobs", waiting.stuck_jobs)
        nodes.follow(node_states.followed)
        bans.follow(node_states.ban_changed)
        limits.follow(node_states.limited)
        holds.keep_while("job", Task.objects.holds_in_use)
        rewards.register(node_rewards.work_between)
        faucet.earned_by("first_inference", node_rewards.first_inference_missing)
        faucet.earned_by("uptime_bonus", node_rewards.uptime_missing)
        account_export.register("jobs", account.jobs)
        account_deletion.refuse_while(account.open_jobs)

        def reads_job(user: Any, rest: str) -> bool:
            return Job.objects.visible_to(user).filter(pk=rest).exists()

        live.register_topic("job", reads_job)
