"""The vector engine on a Milvus server: `milvus_engine` is what others use."""
