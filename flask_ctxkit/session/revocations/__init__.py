"""Where it is kept which users' sessions are revoked: one file per kind of store."""
