"""Changes to a home: rows and vector shards together, deletion, compaction, crash recovery and the trash.

`shards.write_transaction` is the transaction that writes both rows and shards. `older_catalogue` recovers a
home with a backup of its catalogue.
"""
