"""OpenFlow as values and as bytes. No sockets, no features."""
