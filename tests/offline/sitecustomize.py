"""Read by every Python that a test starts."""

import loopback_only

loopback_only.install()
