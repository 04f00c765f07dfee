"""`python -m llmsim` is `llmsim`."""

from llmsim.cli import main

main(prog_name="llmsim")
