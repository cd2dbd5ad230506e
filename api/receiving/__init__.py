"""The program that receives instances, and the hand-over of quiet studies to ingest jobs."""
