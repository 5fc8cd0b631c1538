"""Real servers from wheels, started where no external one is configured.

`supervisor.running` is the way in. One home folder (`MUNDAP_HOME`) has one server of each kind,
shared by every process that uses the home and stopped by the last of them.
"""
