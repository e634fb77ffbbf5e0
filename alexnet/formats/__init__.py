"""Readers of untrusted bytes: pickles, protocol buffers, tar archives."""
