"""A storage SCP: associations, instances on the disk, storage commitment (PS3.4, annexes B and J).

`listening.bind` opens the port, and `server.serve` answers associations on it in as many processes as inherit
it. What becomes of an instance is told to `options.Receiving`; nothing here knows an archive or a database.
"""
