"""The life of a job, one file a step. No step owns a thread, and none keeps state between calls."""
