"""Routes of labels: `/v1/labels`, `/v1/studies/{uid}/labels` and `/v1/label-queue`."""
