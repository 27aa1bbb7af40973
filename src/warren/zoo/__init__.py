"""Workloads of the paper, real and readable; each can be started by one command."""
