"""What each subscription plan may do: change a number here and ``remint plan`` says what follows from it."""

VERSION = 1
"""Raised with every change below: remint refuses another meaning under a number that was published."""

PLAN_LIMITS = {
    "free": 60,
    "starter": 300,
    "professional": 1000,
    "enterprise": 5000,
}
"""Requests per tenant and minute."""

ABUSE_REQUESTS = 500
"""Requests per tenant and day below which nobody is called abusive."""

ABUSE_RATIO = 5.0
"""Times its own 7-day baseline that a tenant may use in a day."""
