# SPDX-License-Identifier: Apache-2.0

"""The core of Tenantry: model, store, API, engine and switches. It knows no feature."""
