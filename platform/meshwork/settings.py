"""The one settings file. Everything that differs between machines comes from the environment, prefix MESH_."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from celery.schedules import crontab
from csp.constants import NONE, SELF

from meshwork.environment import flag, integer, text
from meshwork.log import logging_config

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent.parent

ENVIRONMENT = text("MESH_ENV", "development")
PROCESS = text("MESH_PROCESS", "site")
DEBUG = flag("MESH_DEBUG", default=False)
SECRET_KEY = text("MESH_SECRET_KEY")
DATA_DIR = Path(text("MESH_DATA_DIR"))
MESH_DATA_DIR = DATA_DIR

NETWORK = text("MESH_NETWORK", "meshwork-testnet")
IS_TESTNET = NETWORK != "meshwork-mainnet"
SITE_URL = text("MESH_SITE_URL", "http://localhost:8000").rstrip("/")
NODE_API_URL = text("MESH_NODE_API_URL", "http://localhost:9090").rstrip("/")
GATEWAY_URL = text("MESH_GATEWAY_URL", "ws://localhost:8000/ws/node")
REDIS_URL = text("MESH_REDIS_URL")
NODES_REDIS_URL = text("MESH_NODES_REDIS_URL")
NODES_REDIS_PUBLIC = text("MESH_NODES_REDIS_PUBLIC", urlsplit(NODES_REDIS_URL).netloc.rpartition("@")[2])
SECURE = SITE_URL.startswith("https://")

ALLOWED_HOSTS = text("MESH_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1],testserver").split(",")
CSRF_TRUSTED_ORIGINS = [SITE_URL]

INSTALLED_APPS = [
    "apps.core",
    "apps.ledger",
    "apps.operators",
    "apps.models",
    "apps.pool",
    "apps.trading",
    "meshwork",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "channels",
    "csp",
    "django_cotton",
    "django_celery_beat",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
SITE_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "apps.core.middleware.RequestIdMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.core.staff.StaffMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "apps.operators.account_sessions.LastSeenMiddleware",
    "apps.operators.gate.BanMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "apps.core.middleware.ErrorPageMiddleware",
]
# A development or demo network may do without.
STAFF_NEED_SECOND_FACTOR = ENVIRONMENT not in {"development", "demo", "test"}
NODE_API_MIDDLEWARE = ["apps.core.middleware.RequestIdMiddleware"]
MIDDLEWARE = SITE_MIDDLEWARE
ROOT_URLCONF = "meshwork.node_urls" if PROCESS == "node_api" else "meshwork.urls"
WSGI_APPLICATION = "meshwork.wsgi.application"
ASGI_APPLICATION = "meshwork.asgi.application"
APPEND_SLASH = False

TEMPLATE_DIRS = [d for d in (ROOT / "templates", PACKAGE / "templates") if d.is_dir()]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": TEMPLATE_DIRS,
        "APP_DIRS": False,
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "django_cotton.cotton_loader.Loader",
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ],
            "builtins": ["django_cotton.templatetags.cotton"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "meshwork.context.site",
            ],
        },
    }
]
COTTON_DIR = "cotton"

DATABASES = {
    "default": {
        **environ.Env.db_url_config(text("MESH_DATABASE_URL")),
        "CONN_MAX_AGE": None if PROCESS == "node_api" else 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {} if PROCESS == "node_api" or ENVIRONMENT == "test" else {"pool": {"min_size": 1, "max_size": 12}},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
    }
}
LIVE_PREFIX = "live"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": LIVE_PREFIX},
    }
}

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": "platform:"}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_TASK_ROUTES = {
    "apps.ledger.tasks.*": {"queue": "ledger"},
    "apps.operators.tasks.*": {"queue": "mail"},
    "apps.trading.*": {"queue": "market"},
}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TIMEZONE = "UTC"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
BLOCK_SECONDS = integer("MESH_BLOCK_SECONDS", 600)
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "seal-blocks": {
        "task": "apps.ledger.tasks.seal_blocks",
        "schedule": min(5, BLOCK_SECONDS),
        "options": {"queue": "ledger"},
    },
    "expire-holds": {"task": "apps.ledger.tasks.expire_holds", "schedule": 60, "options": {"queue": "ledger"}},
    "audit-ledger": {
        "task": "apps.ledger.tasks.audit_nightly",
        "schedule": crontab(hour="3", minute="15"),
        "options": {"queue": "ledger"},
    },
    "settle-epochs": {
        "task": "apps.ledger.tasks.settle_epochs",
        "schedule": 300,
        "options": {"queue": "ledger"},
    },
    "release-escrow": {
        "task": "apps.ledger.tasks.release_escrow",
        "schedule": 300,
        "options": {"queue": "ledger"},
    },
    "watch-stakes": {
        "task": "apps.operators.stake_tasks.watch_stakes",
        "schedule": 60,
        "options": {"queue": "ledger"},
    },
    "sweep-bans": {
        "task": "apps.operators.conduct_tasks.sweep_bans",
        "schedule": 30,
        "options": {"queue": "control"},
    },
    "watch-nodes": {
        "task": "apps.operators.conduct_tasks.mail_of_nodes",
        "schedule": 60,
        "options": {"queue": "mail"},
    },
    "credit-uptime": {
        "task": "apps.operators.conduct_tasks.credit_uptime",
        "schedule": 600,
        "options": {"queue": "control"},
    },
    "decay-reputation": {
        "task": "apps.operators.conduct_tasks.decay_reputation",
        "schedule": 3600,
        "options": {"queue": "control"},
    },
    "sweep-mail": {"task": "apps.operators.tasks.sweep_notifications", "schedule": 60, "options": {"queue": "mail"}},
    "sweep-jobs": {"task": "apps.pool.tasks.sweep", "schedule": 5, "options": {"queue": "control"}},
    "prune": {"task": "apps.pool.tasks.prune", "schedule": 300, "options": {"queue": "control"}},
    "schedule-scans": {"task": "apps.trading.tasks_scans.schedule", "schedule": 15, "options": {"queue": "market"}},
    "sweep-scans": {"task": "apps.trading.tasks_scans.sweep", "schedule": 60, "options": {"queue": "market"}},
    "fetch-candles": {"task": "apps.trading.tasks_market.fetch", "schedule": 60, "options": {"queue": "market"}},
    "step-trading": {"task": "apps.trading.tasks_market.step", "schedule": 15, "options": {"queue": "market"}},
    "reconcile-orders": {
        "task": "apps.trading.tasks_market.reconcile",
        "schedule": 300,
        "options": {"queue": "market"},
    },
    "sweep-rounds": {"task": "apps.trading.tasks.sweep_rounds", "schedule": 5, "options": {"queue": "market"}},
    "judge-faults": {"task": "apps.trading.tasks.judge_faults", "schedule": 5, "options": {"queue": "ledger"}},
    "watch-risk": {"task": "apps.trading.risk.tasks.watch", "schedule": 60, "options": {"queue": "market"}},
}

AUTH_USER_MODEL = "core.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
PASSWORD_HASHERS = (
    ["django.contrib.auth.hashers.MD5PasswordHasher"]
    if ENVIRONMENT == "test"
    else ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
)
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_ADAPTER = "apps.operators.account_adapter.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Meshwork] "
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_CONFIRMATION_AUTHENTICATED_REDIRECT_URL = "/account/email"
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
ACCOUNT_LOGIN_BY_CODE_SUPPORTS_RESEND = True
ACCOUNT_LOGIN_BY_CODE_TIMEOUT = 600
# Signing up tells whether an address has an account; docs/threat-model.md says why. The demo's people share a machine.
SIGNUP_RATE = "20/m/ip" if ENVIRONMENT == "demo" else "5/m/ip,30/h/ip"
ACCOUNT_RATE_LIMITS: dict[str, str] | bool = False if ENVIRONMENT == "test" else {"signup": SIGNUP_RATE}
ACCOUNT_FORMS = {"signup": "apps.operators.forms.SignupForm"}
ALLAUTH_TRUSTED_PROXY_COUNT = integer("MESH_TRUSTED_PROXIES", 0)
PASSWORD_RESET_TIMEOUT = 3600
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/overview"
MFA_ADAPTER = "apps.operators.account_adapter.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "Meshwork"
MFA_FORMS = {
    "activate_totp": "apps.operators.account_forms.TotpForm",
    "add_webauthn": "apps.operators.account_forms.PasskeyForm",
    "edit_webauthn": "apps.operators.account_forms.PasskeyNameForm",
}

EMAIL_BACKEND = (
    "apps.core.mail.StoredMailBackend"
    if ENVIRONMENT in {"development", "demo", "test"}
    else "django.core.mail.backends.smtp.EmailBackend"
)
DEFAULT_FROM_EMAIL = text("MESH_MAIL_FROM", "Meshwork <no-reply@meshwork.invalid>")
EMAIL_HOST = text("MESH_MAIL_HOST", "localhost")
EMAIL_PORT = integer("MESH_MAIL_PORT", 25)

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
PERMISSIONS_POLICY: dict[str, list[str]] = {"camera": [], "microphone": [], "geolocation": [], "payment": []}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.operators.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "apps.core.api.CursorPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "apps.core.api.exception_handler",
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Meshwork API",
    "VERSION": "1",
    "DESCRIPTION": "Jobs, models, nodes and the ledger of a Meshwork network.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "ENUM_NAME_OVERRIDES": {
        "NodeStatus": "apps.operators.models.NodeStatus",
        "ApplicationStatus": "apps.operators.models.ApplicationStatus",
        "TaskStatus": "apps.pool.models.TaskStatus",
    },
    "OAS_VERSION": "3.1.0",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.pool.node_api.schema.add_node_api",
        "apps.trading.node_schema.add_trading",
    ],
    "SCHEMA_PATH_PREFIX": "/(api/)?v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
        if ENVIRONMENT == "production"
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

LOGGING = logging_config(json=ENVIRONMENT == "production", level=text("MESH_LOG_LEVEL", "INFO").upper())
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Meshwork admin",
    "SITE_HEADER": "Meshwork",
    "SITE_SUBHEADER": NETWORK,
    "SITE_URL": "/overview",
    "SITE_SYMBOL": "hub",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": f"{STATIC_URL}favicon.svg"}],
    "SHOW_HISTORY": True,
    "STYLES": [f"{STATIC_URL}admin.css"],
    "DASHBOARD_CALLBACK": "apps.core.inbox.dashboard",
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "ENVIRONMENT": "meshwork.context.admin_environment",
    "COLORS": {
        "font": {"subtle-light": "var(--color-base-600)"},
        "base": {
            "50": "oklch(97.3% .003 264.5)",
            "100": "oklch(95.2% .005 262)",
            "200": "oklch(92.1% .008 260.7)",
            "300": "oklch(86.5% .012 259)",
            "400": "oklch(71.1% .035 256.8)",
            "500": "oklch(55.1% .03 260)",
            "600": "oklch(44.6% .037 257.3)",
            "700": "oklch(36.5% .03 258)",
            "800": "oklch(28.7% .023 259.4)",
            "900": "oklch(19.9% .015 261.6)",
            "950": "oklch(16.3% .012 260.6)",
        },
        "primary": {
            "50": "oklch(97% .014 264)",
            "100": "oklch(93.4% .032 264)",
            "200": "oklch(88.2% .06 264)",
            "300": "oklch(80.9% .105 264)",
            "400": "oklch(74.5% .13 265)",
            "500": "oklch(68.9% .163 266)",
            "600": "oklch(51.4% .216 264.2)",
            "700": "oklch(44.2% .183 264.5)",
            "800": "oklch(38.5% .155 265)",
            "900": "oklch(34% .125 265)",
            "950": "oklch(25.5% .085 265)",
        },
    },
}
