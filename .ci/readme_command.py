"""Print the N-th shell command of the README's section 'Try it': readme_command.py N."""

import re
import sys
from pathlib import Path

readme = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
section = readme.partition("## Try it")[2].partition("\n## ")[0]
commands = re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)
if len(commands) != 2:
    sys.exit(f"expected two commands in the README's section 'Try it', found {len(commands)}")
print(commands[int(sys.argv[1]) - 1].strip())
