"""What a simulator on this machine can take: the program of `scripts/bench`.

It starts servers as users do, over the command line, and measures them from outside: nothing of llmsim is imported.
"""
