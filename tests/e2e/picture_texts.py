"""What is written on the pictures of docs/images, in English and in Korean."""

from __future__ import annotations

CACHE = """# Django’s cache framework

## Redis

Redis is an in-memory database that can be used for caching. You need a Redis server that runs locally or on another
machine, and its Python bindings: install redis-py.

To use Redis as your cache backend with Django:

- Set `BACKEND` to `django.core.cache.backends.redis.RedisCache`.
- Set `LOCATION` to the URL that points to your Redis instance, with the right scheme.

```python
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:6379",
    }
}
```

Often Redis servers are protected with authentication. Put the user and the password into the URL.

## The per-site cache

Once the cache is set up, the simplest way to use caching is to cache your entire site. Add `UpdateCacheMiddleware` and
`FetchFromCacheMiddleware` to your `MIDDLEWARE` setting. `CACHE_MIDDLEWARE_SECONDS` is the number of seconds that each
page is cached.
"""
ENGLISH = """To use **Redis** as the cache backend, install `redis-py` and start a Redis server [1]. Then:

1. Set `BACKEND` to `django.core.cache.backends.redis.RedisCache` [1].
2. Set `LOCATION` to the URL that points to your Redis instance [1]:

```python
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:6379",
    }
}
```

To cache your entire site, add `UpdateCacheMiddleware` to your `MIDDLEWARE` setting [2]."""
KOREAN = """**Redis**를 캐시 백엔드로 쓰려면 `redis-py`를 설치하고 Redis 서버를 실행합니다 [1].

1. `BACKEND`를 `django.core.cache.backends.redis.RedisCache`로 설정합니다 [1].
2. `LOCATION`을 Redis 인스턴스의 URL로 설정합니다 [1]:

```python
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:6379",
    }
}
```

사이트 전체를 캐시하려면 `MIDDLEWARE` 설정에 `UpdateCacheMiddleware`를 추가합니다 [2]."""
QUESTIONS = {
    "en": ("How do I use Redis as the cache?", ENGLISH, "Redis as the cache backend"),
    "ko": ("Redis를 캐시로 쓰려면 어떻게 하나요?", KOREAN, "Redis를 캐시 백엔드로"),
}
UNANSWERED = {
    "en": ("How do I deploy it on Kubernetes?", "Deploying on Kubernetes"),
    "ko": ("쿠버네티스에는 어떻게 배포하나요?", "쿠버네티스에 배포하기"),
}
LECTURES = {"en": "Lectures on databases", "ko": "데이터베이스 강의"}
REVIEW = """# Code review

Review within one working day. Ask questions before you ask for changes, and say what you like as well.

## Size

A change that takes more than half an hour to read is two changes.
"""
HANDBOOK = """# 팀 안내서

## 배포

배포는 화요일과 목요일 오전에 합니다. 배포한 사람은 한 시간 동안 오류 기록을 봅니다.
"""
CHATS = {
    "en": (
        "Caching a single view",
        "Vary headers and the cache",
        "select_related or prefetch_related?",
        "A custom user model, later",
        "Running tasks after a commit",
        "Testing signals",
        "Async views and the ORM",
        "Uploading large files",
        "Database indexes on JSON",
        "A form with two models",
    ),
    "ko": (
        "뷰 하나만 캐시하기",
        "Vary 헤더와 캐시",
        "select_related와 prefetch_related의 차이",
        "사용자 모델을 나중에 바꾸려면",
        "커밋한 뒤에 작업 실행하기",
        "시그널 테스트하기",
        "비동기 뷰와 ORM",
        "큰 파일 업로드",
        "JSON 필드의 데이터베이스 인덱스",
        "모델 두 개로 된 폼",
    ),
}
ASKED_IN_VAIN = (
    "How do I deploy Django on Kubernetes?",
    "Django on Kubernetes: which health checks?",
    "Kubernetes 위에 Django를 어떻게 배포하나요?",
    "How do I run Django in a Kubernetes cluster?",
    "Is there a GraphQL API in Django?",
    "How do I write a GraphQL schema?",
    "When is the exam?",
    "When does the exam take place?",
    "Can I use MongoDB with the ORM?",
    "Which editor should I use?",
)
