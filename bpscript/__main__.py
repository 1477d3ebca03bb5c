"""`python -m bpscript`."""

from .cli.main import main

raise SystemExit(main())
