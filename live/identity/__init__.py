"""Who may use the platform: accounts, log-in, sessions and API keys. It knows no HTTP."""
