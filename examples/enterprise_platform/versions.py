"""The number of each logic: raised with every change of its meaning, or remint refuses to plan."""

ORDER_VERSION = 1
REVENUE_VERSION = 1
