"""What all pages share: base templates, static files, translations, health and error pages."""
