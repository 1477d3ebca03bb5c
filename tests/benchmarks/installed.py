"""The program as users have it: from a wheel. An editable install costs a finder, 15 ms at every start."""

import shutil
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@cache
def installed(folder: Path) -> Path:
    """The program in a virtual environment of its own below `folder`, made once per run."""
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)], check=True, capture_output=True)
    target = folder / "venv"
    venv.create(target, with_pip=False, symlinks=True)
    site = next((target / "lib").glob("python*")) / "site-packages"
    shutil.unpack_archive(next(folder.glob("*.whl")), site, "zip")
    for path in Path(next(p for p in sys.path if p.endswith("site-packages"))).iterdir():
        # The dependencies are linked in; what an editable install left there would slow every start.
        if not path.name.startswith(("__editable__", "bpscript", "distutils-precedence", "_distutils", "_virtualenv")) and not (site / path.name).exists():
            (site / path.name).symlink_to(path)
    program = target / "bin" / "bpscript"
    program.write_text(f"#!{target / 'bin' / 'python'}\nimport sys\nfrom bpscript.cli.main import main\nsys.exit(main())\n")
    program.chmod(0o755)
    return program
