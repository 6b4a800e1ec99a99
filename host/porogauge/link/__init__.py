"""The host's side of the link.

    from porogauge.link.client import Client  # a board on a port, with reconnection
    from porogauge.link.session import HostSession  # the protocol alone

What both tell their caller is in `porogauge.link.events`; operations and names of the protocol,
which the board shares, are in `gauge.link.protocol`.
"""
