"""Indexes for who looks after the documents: answers that were rated, and questions without one.

Built beside what is being written, so that the version that still serves does not wait.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("chats", "0008_model_usage")]

    operations = [
        AddIndexConcurrently(
            "turn",
            models.Index(
                fields=["finished_at"],
                condition=models.Q(("retrieval__is_answered", False), ("status", "complete")),
                name="turn_unanswered",
            ),
        ),
        AddIndexConcurrently(
            "message",
            models.Index(
                fields=["rating", "-id"],
                condition=models.Q(("rating", ""), _negated=True),
                name="message_rated",
            ),
        ),
    ]
