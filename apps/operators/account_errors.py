"""What people meet when they change or leave their account.

OperatorError
├── AccountObstacle
│   ├── AccountIsStaff, AccountStaked, AccountHasNodes, AccountHasJobs
├── AccountGone, SignInAgain, ConfirmationNeeded
├── EmailCodeWrong, EmailCodeExpired, EmailCodeSpent, EmailTaken
└── MailUnavailable
"""

from apps.operators.errors import OperatorError


class AccountObstacle(OperatorError):
    """The account cannot be deleted yet. `where` is the page of the next step."""

    code = "account_obstacle"
    where = "/account/data"


class AccountIsStaff(AccountObstacle):
    """The account has admin rights. Ask another admin to take them away first."""

    code = "account_is_staff"


class AccountStaked(AccountObstacle):
    """You have MESH at stake, or slashed and not final. Unstake it, and wait until it is back or the slash is final."""

    code = "account_staked"
    where = "/rewards"


class AccountHasNodes(AccountObstacle):
    """You have nodes that are not revoked, or hosts of shards that have not left. Revoke them, or let them leave."""

    code = "account_has_nodes"
    where = "/nodes"


class AccountHasJobs(AccountObstacle):
    """You have jobs that are not finished. Cancel them, or wait until they are done."""

    code = "account_has_jobs"
    where = "/jobs"


class AccountGone(OperatorError):
    """This account was deleted. Make a new one to come back."""

    code = "account_gone"
    status = 410


class SignInAgain(OperatorError):
    """This needs a fresh sign-in. Sign out, sign in again, and do it within five minutes."""

    code = "sign_in_again"
    status = 403


class ConfirmationNeeded(OperatorError):
    """This needs to know that it is still you. Confirm it at /wallet/confirm, then do it within five minutes."""

    code = "confirmation_needed"
    status = 403


class EmailCodeWrong(OperatorError):
    """That is not the code that we sent. Look at the newest mail and try again."""

    code = "email_code_wrong"
    status = 400


class EmailCodeExpired(OperatorError):
    """There is no code to confirm, or it has expired. Ask for a new one."""

    code = "email_code_expired"
    status = 400


class EmailCodeSpent(OperatorError):
    """That was wrong too often, and the code is void. Ask for a new one."""

    code = "email_code_spent"
    status = 400


class EmailTaken(OperatorError):
    """Another account took this address meanwhile. Sign in there, or choose another address."""

    code = "email_taken"


class MailUnavailable(OperatorError):
    """The mail could not be sent. Nothing was changed; try again in a minute."""

    code = "mail_unavailable"
    status = 503
