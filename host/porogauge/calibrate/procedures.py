"""The procedures by the names that commands give them.

>>> PROCEDURES["recipe"].NAME
'recipe'
"""

from . import converter, environment, gap, lasers, mixing, scale

PROCEDURES = {
    module.NAME: module for module in (converter, gap, scale, lasers, environment, mixing)
}
