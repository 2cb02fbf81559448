"""What is measured: each module has functions from a subject and sizes to figures."""
