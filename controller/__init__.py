"""The core of Tenantry: model, store, API, engine and switches. It knows no feature."""
