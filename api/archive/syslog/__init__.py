"""The audit trail to a syslog receiver: `message` writes events by RFC 5424, `delivery` brings them there by
UDP, TCP or TLS, `forwarding` keeps what was brought in step with the trail.
"""
