"""`python -m alexnet` is the `alexnet` command."""

from alexnet.cli.main import main

main()
