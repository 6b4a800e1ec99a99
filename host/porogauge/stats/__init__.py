"""Statistics of a web: control charts, capability, variance components, spectrum.

    from porogauge.stats import Options, statistics
    for found in statistics("roll.db", Options(subgroup_m=2.0), roll="A-17"):
        print(found.report["value"], found.report["mean"])

`windows` reads a database, `readings` makes means over equal lengths of web of it; what is
computed of these is in modules of pure functions on arrays: `control_charts`, `rules`,
`capability`, `variance`, `correlation`, `spectrum`. `analysis` puts them together, `pictures`
draws them. A statistic that cannot be computed raises `NotComputable` with the reason; in the
results it is null, and the reason stands beside it.
"""

from .analysis import Options, statistics
from .estimate import Estimate, NotComputable

__all__ = ["Estimate", "NotComputable", "Options", "statistics"]
