"""The HTTP side: asks for refreshes and shows what the engine knows. `app.create_app` builds it."""
