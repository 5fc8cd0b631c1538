"""Django's settings, and the only place that reads the environment.

`docs/configuration.md` describes each variable. Where no database, Redis or embedding endpoint is named, the `mundap`
command starts embedded ones and puts their addresses into the environment before this module is read.
"""

from __future__ import annotations

from pathlib import Path

from django.utils.translation import gettext_lazy as _

from mundap.config import env
from mundap.config.login_providers import LoginProvider, as_allauth_settings, offered
from mundap.config.logs import FORMATS, logging_settings
from mundap.config.redis_address import CLUSTER_SCHEMES, SCHEMES, read_redis_address
from mundap.errors import ConfigurationError

SOURCE = Path(__file__).resolve().parent.parent

# --- where and how it runs
MUNDAP_ENV = env.choice("MUNDAP_ENV", ("development", "production"), default="development")
IS_PRODUCTION = MUNDAP_ENV == "production"
DEBUG = False
SECRET_KEY = env.text("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")
TOKEN_KEY = env.text("MUNDAP_TOKEN_KEY", SECRET_KEY)
TOKEN_KEY_FALLBACKS = env.words("MUNDAP_TOKEN_KEY_FALLBACKS")
CACHE_KEY = env.text("MUNDAP_CACHE_KEY", SECRET_KEY)
if not SECRET_KEY:
    raise ConfigurationError(
        "SECRET_KEY is not set. Run Mundap through the `mundap` command, which keeps one under MUNDAP_HOME, "
        "or set it to a long random text."
    )
ALLOWED_HOSTS = env.words(
    "MUNDAP_ALLOWED_HOSTS", [] if IS_PRODUCTION else ["localhost", "127.0.0.1", "[::1]"]
)
CSRF_TRUSTED_ORIGINS = env.words("MUNDAP_TRUSTED_ORIGINS")

# --- parts
# Past a PgBouncer, which hands connections out by transaction, for what needs a session (config/own_session.py).
DATABASE_DIRECT = (
    env.database("MUNDAP_DIRECT_DATABASE_URL") if env.text("MUNDAP_DIRECT_DATABASE_URL") else {}
)
# psycopg's own: request threads come and go under ASGI, and PostgreSQL allows 100 connections in all.
_POOL = {
    "min_size": 1,
    "max_size": env.integer("MUNDAP_DATABASE_POOL", 20, minimum=2),
    "timeout": 5,
}
_DATABASE = env.database("DATABASE_URL")
DATABASES = {
    "default": _DATABASE
    | {
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": bool(DATABASE_DIRECT),
        "OPTIONS": _DATABASE["OPTIONS"] | {"pool": _POOL},
    }
}
PREPARED_STATEMENTS = env.flag("MUNDAP_PREPARED_STATEMENTS", default=not DATABASE_DIRECT)
# One that the next version has changed already, in going back to this one.
SERVES_NEWER_DATABASE = env.flag("MUNDAP_NEWER_DATABASE", default=False)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env.url(
    "REDIS_URL", schemes=(*SCHEMES, *CLUSTER_SCHEMES), default="redis://127.0.0.1:6379/0"
)
_REDIS = read_redis_address(REDIS_URL)
# Where chats' bodies and streams are kept, if not there as well; only this one may be a cluster.
CACHE_REDIS_URL = env.url("MUNDAP_CACHE_REDIS_URL", schemes=(*SCHEMES, *CLUSTER_SCHEMES))
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": [REDIS_URL],  # django-redis would cut a text at the commas between Sentinels
        "KEY_PREFIX": "mundap1",
        "OPTIONS": {
            # JSON, never pickle: whoever can write the cache would run code here.
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_CONNECT_TIMEOUT": 0.2,
            "SOCKET_TIMEOUT": 0.2,
            "IGNORE_EXCEPTIONS": True,
        }
        | (
            {"CONNECTION_FACTORY": "mundap.config.redis_servers.SentinelFactory"}
            if _REDIS.master
            else {}
        ),
    }
}
DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = True  # django-redis knows this one only as a setting
# Of so many chats taken from Redis, one is read again from Postgres and compared; 0 switches that off.
CACHE_CHECK_EVERY = env.integer("MUNDAP_CACHE_CHECK_EVERY", 1000)
EMBEDDING_BASE_URL = env.url("MUNDAP_EMBEDDING_BASE_URL", schemes=("http", "https"))
EMBEDDING_API_KEY = env.text("MUNDAP_EMBEDDING_API_KEY")
EMBEDDING_MODEL = env.text("MUNDAP_EMBEDDING_MODEL")
# Who answers questions until the wanted model has a vector for every passage.
EMBEDDING_PREVIOUS_BASE_URL = env.url(
    "MUNDAP_EMBEDDING_PREVIOUS_BASE_URL", schemes=("http", "https")
)
EMBEDDING_PREVIOUS_API_KEY = env.text("MUNDAP_EMBEDDING_PREVIOUS_API_KEY")
EMBEDDING_PREVIOUS_MODEL = env.text("MUNDAP_EMBEDDING_PREVIOUS_MODEL")
RERANK_BASE_URL = env.url("MUNDAP_RERANK_BASE_URL", schemes=("http", "https"))
RERANK_API_KEY = env.text("MUNDAP_RERANK_API_KEY")
RERANK_MODEL = env.text("MUNDAP_RERANK_MODEL")
CHAT_BASE_URL = env.url("OPENAI_BASE_URL", schemes=("http", "https"))
CHAT_API_KEY = env.text("OPENAI_API_KEY")
CHAT_MODEL = env.text("MUNDAP_CHAT_MODEL")
CHAT_CONTEXT_TOKENS = env.integer("MUNDAP_CHAT_CONTEXT_TOKENS", 8000, minimum=1000)
QUERY_VARIANTS = env.flag("MUNDAP_QUERY_VARIANTS", default=True)

# --- other people's web servers, which sources name
CRAWL_OWN_HOSTS = env.words("MUNDAP_CRAWL_OWN_HOSTS")
CRAWL_DELAY_SECONDS = env.seconds("MUNDAP_CRAWL_DELAY_SECONDS", 0.2)
CRAWL_CONTACT = env.text("MUNDAP_CRAWL_CONTACT")

# What /metrics wants as a bearer token; without one it answers only to this machine.
METRICS_TOKEN = env.text("MUNDAP_METRICS_TOKEN")
WORKER_METRICS = env.listener("MUNDAP_WORKER_METRICS")
# Where traces are sent; OpenTelemetry reads these, and others of its own, by itself.
TRACES_ENDPOINT = env.url(
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", schemes=("http", "https")
) or env.url("OTEL_EXPORTER_OTLP_ENDPOINT", schemes=("http", "https"))
TRACES_SERVICE_NAME = env.text("OTEL_SERVICE_NAME", "mundap")
TRACE_MODEL_CALLS = env.flag("MUNDAP_TRACE_MODEL_CALLS", default=False)

# --- limits
QUESTION_MAX_BYTES = 16 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
UPLOAD_MAX_MB = env.integer("MUNDAP_UPLOAD_MAX_MB", 50, minimum=1)
UPLOAD_QUOTA_MB = env.integer("MUNDAP_UPLOAD_QUOTA_MB", 500, minimum=1)
UPLOAD_MAX_FILES = env.integer("MUNDAP_UPLOAD_MAX_FILES", 2000, minimum=1)
TURNS_PER_USER = env.integer("MUNDAP_TURNS_PER_USER", 3, minimum=1)
TURNS_PER_PROCESS = env.integer("MUNDAP_TURNS_PER_PROCESS", 64, minimum=1)
TURN_SECONDS = env.integer("MUNDAP_TURN_SECONDS", 300, minimum=5)
MODEL_SILENCE_SECONDS = env.integer("MUNDAP_MODEL_SILENCE_SECONDS", 60, minimum=1)
SHUTDOWN_SECONDS = env.integer("MUNDAP_SHUTDOWN_SECONDS", 30)  # that running answers get to end
KEEP_CHATS_DAYS = env.integer("MUNDAP_KEEP_CHATS_DAYS", 0)  # after the last question; 0: for ever
SUMMARY_CALLS = env.integer("MUNDAP_SUMMARY_CALLS", 24, minimum=1)  # of the model, for one summary
ANSWER_MAX_CHARACTERS = env.integer("MUNDAP_ANSWER_MAX_CHARACTERS", 32_000, minimum=1000)
# What a person may use, unless an allowance of theirs or of their groups says otherwise; 0: no limit.
QUESTIONS_PER_DAY = env.integer("MUNDAP_QUESTIONS_PER_DAY", 0)
TOKENS_PER_MONTH = env.integer("MUNDAP_TOKENS_PER_MONTH", 0)  # of the chat model, in and out
SPENDING_PER_MONTH = env.amount("MUNDAP_SPENDING_PER_MONTH")
TOTAL_SPENDING_PER_MONTH = env.amount("MUNDAP_TOTAL_SPENDING_PER_MONTH")  # by all together
MODEL_PRICES = env.prices("MUNDAP_MODEL_PRICES")  # of a million tokens, in and out
CURRENCY = env.text("MUNDAP_CURRENCY", "USD")

# --- apps
INSTALLED_APPS = [
    "mundap.web",
    "mundap.accounts",
    "mundap.library",
    "mundap.retrieval",
    "mundap.chats",
    "mundap.administration",
    "mundap.administration.apps.SiteConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.headless",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.github",
    "allauth.socialaccount.providers.google",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "csp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
]
MIDDLEWARE = [
    "mundap.config.observed.note_request",
    "mundap.config.asked_by_address.known_by_address",
    "django.middleware.security.SecurityMiddleware",
    "mundap.web.compression.CompressedPages",
    "mundap.web.compression.CompressedFiles",
    "mundap.config.private_replies.private_replies",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "mundap.config.bad_input.BadInputMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "mundap.accounts.time_zone.in_readers_time_zone",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "mundap.accounts.preferences.draw_as_preferred",
    "mundap.accounts.sent_on.send_on",
    "allauth.account.middleware.AccountMiddleware",
    "mundap.accounts.guards.AccountGuards",
    "mundap.accounts.sessions.note_session_use",
    "mundap.accounts.audit.note_origin",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "mundap.config.urls"
ASGI_APPLICATION = "mundap.config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "mundap.accounts.preferences.theme",
            ]
        },
    }
]

# --- people
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
    )
]
SIGNUP_IS_OPEN = env.flag("MUNDAP_OPEN_SIGNUP", default=not IS_PRODUCTION)
ACCOUNT_ADAPTER = "mundap.accounts.adapter.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_PREVENT_ENUMERATION = True
# Who has found an open browser cannot change the second step or other log-ins without the password.
ACCOUNT_REAUTHENTICATION_REQUIRED = True
# Off: they live in the cache, and refuse everybody without one. accounts/attempts.py counts in Postgres.
ACCOUNT_RATE_LIMITS = False
ACCOUNT_SESSION_REMEMBER = True
CSRF_FAILURE_VIEW = "mundap.web.errors.csrf_failure"
HEADLESS_CLIENTS = ("app", "browser")
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
# Sessions live in the database: a cache must not keep a logged-out one alive.
SESSION_ENGINE = "mundap.accounts.session_store"
SESSION_COOKIE_AGE = 30 * 24 * 3600
STAFF_SECOND_STEP = env.flag("MUNDAP_STAFF_SECOND_STEP", default=False)
AUDIT_DAYS = env.integer("MUNDAP_AUDIT_DAYS", 365, minimum=30)  # a trigger refuses fewer

# --- a second step, and logging in elsewhere
MFA_ADAPTER = "mundap.accounts.second_step.SecondStepAdapter"
MFA_FORMS = {
    "authenticate": "mundap.accounts.second_step.AuthenticateForm",
    "reauthenticate": "mundap.accounts.second_step.ReauthenticateForm",
}
MFA_TOTP_ISSUER = "Mundap"
MFA_TOTP_TOLERANCE = 1  # a phone's clock may be half a minute off
LOGIN_PROVIDERS = offered(
    [
        LoginProvider(
            "google",
            "Google",
            env.text("MUNDAP_GOOGLE_CLIENT_ID"),
            env.text("MUNDAP_GOOGLE_CLIENT_SECRET"),
        ),
        LoginProvider(
            "github",
            "GitHub",
            env.text("MUNDAP_GITHUB_CLIENT_ID"),
            env.text("MUNDAP_GITHUB_CLIENT_SECRET"),
        ),
        LoginProvider(
            "openid_connect",
            env.text("MUNDAP_OIDC_NAME", "OpenID Connect"),
            env.text("MUNDAP_OIDC_CLIENT_ID"),
            env.text("MUNDAP_OIDC_CLIENT_SECRET"),
            issuer=env.url("MUNDAP_OIDC_ISSUER", schemes=("https", "http")),
        ),
    ]
)
SOCIALACCOUNT_PROVIDERS = as_allauth_settings(LOGIN_PROVIDERS)
SOCIALACCOUNT_ADAPTER = "mundap.accounts.adapter.SocialAccountAdapter"
SOCIALACCOUNT_REQUESTS_TIMEOUT = 10
SOCIAL_SIGNUP_IS_OPEN = env.flag("MUNDAP_SOCIAL_SIGNUP", default=SIGNUP_IS_OPEN)

# --- mail
EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.integer("EMAIL_PORT", 587)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS", default=True)
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Mundap <mundap@localhost>")
HAS_MAIL = bool(EMAIL_HOST)
# The console is for trying things out: in production a log must not hold a link that resets a password.
_WITHOUT_MAIL = "dummy" if IS_PRODUCTION else "console"
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if HAS_MAIL else _WITHOUT_MAIL}.EmailBackend"
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if HAS_MAIL else "optional"
ACCOUNT_EMAIL_NOTIFICATIONS = HAS_MAIL  # of a changed password, address or second step
MFA_ALLOW_UNVERIFIED_EMAIL = not HAS_MAIL

# --- API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "mundap.accounts.authentication.BearerTokenAuthentication",
        "mundap.accounts.authentication.SessionTokenAuthentication",
        "mundap.accounts.authentication.CookieAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["mundap.config.parsers.StrictJSONParser"],
    "DEFAULT_THROTTLE_CLASSES": [
        "mundap.config.throttles.UserThrottle",
        "mundap.config.throttles.AddressThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": {
        "user": env.rate("MUNDAP_THROTTLE_USER", "600/min"),
        "address": env.rate("MUNDAP_THROTTLE_ADDRESS", "120/min"),
        "turns": env.rate("MUNDAP_THROTTLE_TURNS", "120/min"),
    },
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "mundap.config.exceptions.handle",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
# How many proxies in front may be believed about the client's address (X-Forwarded-For).
TRUSTED_PROXIES = env.integer("MUNDAP_TRUSTED_PROXIES", 0)
SPECTACULAR_SETTINGS = {
    "TITLE": "Mundap",
    "DESCRIPTION": "Ask official documentation and your own references; every statement is cited.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "CollectionState": "mundap.library.models.Collection.State",
        "CollectionVisibility": "mundap.library.models.Collection.Visibility",
        "MessageState": "mundap.chats.models.State",
        "DocumentState": "mundap.library.models.Document.State",
        "RunState": "mundap.library.models.Run.State",
        "CitedState": "mundap.chats.citation_states.CitedState",
        "SummaryState": "mundap.library.models.Summary.State",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "mundap.config.schema.add_error_responses",
    ],
}

# --- pages
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("ko", _("Korean"))]
LOCALE_PATHS = [SOURCE / "web" / "locale"]
FORMAT_MODULE_PATH = "mundap.web.formats"
TIME_ZONE = env.time_zone("MUNDAP_TIME_ZONE", "UTC")  # whose days and months limits go by
USE_TZ = True
STATIC_URL = "static/"
# Served from where they lie: there is no build step, and nothing to collect on a first run.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],  # log-in providers too: accounts/sent_on.py
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "manifest-src": ["'self'"],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
# Asked by machines beside the process, not through the proxy that speaks HTTPS.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
if IS_PRODUCTION:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
    SECURE_SSL_REDIRECT = env.flag("MUNDAP_SSL_REDIRECT", default=True)
    SECURE_HSTS_SECONDS = env.integer("MUNDAP_HSTS_SECONDS", 3600)
    # What subdomains do, and lists in browsers, are not ours to promise.
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# --- background work
CELERY = {
    "broker_url": _REDIS.broker_url,
    "broker_connection_retry_on_startup": True,
    "broker_transport_options": {
        "ack_emulation": False,  # of hints that come again anyway (config/celery.py)
        "global_keyprefix": "mundap1:celery:",
        # Without these a worker waits for ever for a Redis that went away without a word.
        "socket_connect_timeout": 5,
        "socket_timeout": 10,
        "socket_keepalive": True,
        **_REDIS.broker_options,
    },
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],
    "worker_prefetch_multiplier": 1,
    # The clock's hints: one that is not taken up before the next one comes is worth nothing.
    "beat_schedule": {
        task: {"task": f"mundap.{task}", "schedule": seconds, "options": {"expires": seconds}}
        for task, seconds in {
            "library.tasks.open_runs": 2.0,
            "library.tasks.read_pages": 5.0,
            "retrieval.tasks.index_passages": 5.0,
            "retrieval.tasks.fill_vectors": 5.0,
            "chats.tasks.index_messages": 5.0,
            "accounts.tasks.clear_sessions": 3600.0,
            "accounts.tasks.forget_old_audit": 3600.0,
        }.items()
    },
}

LOG_LEVEL = env.choice("MUNDAP_LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), default="WARNING")
LOG_FORMAT = env.choice("MUNDAP_LOG_FORMAT", tuple(FORMATS), default="text")
LOGGING = logging_settings(level=LOG_LEVEL, line=LOG_FORMAT)
