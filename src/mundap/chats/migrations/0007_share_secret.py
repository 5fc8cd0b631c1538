"""Links get a secret of their own, so that they outlive a change of the key."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chats", "0006_share"),
    ]

    operations = [
        migrations.AddField(
            model_name="share",
            name="secret",
            field=models.TextField(
                blank=True, db_default="", help_text="encrypted; see sharing.py"
            ),
        ),
    ]
