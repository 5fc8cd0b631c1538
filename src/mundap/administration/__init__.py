"""Administration: for staff, to see how things stand and to put them right; each act is written into the audit log."""
