"""DNS: the names of a network's ports."""

from apps.dns import resources
from controller.app import App

DNS = App(id=7, name="dns", units=(), extension=lambda conf: resources.extension(conf.dns.domain))
