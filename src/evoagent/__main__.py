"""`python -m evoagent`."""

from evoagent.cli.app import main

if __name__ == "__main__":
    main()
