"""The errors that the BIDS validator finds in a dataset: `CODE path`, subjects as sub-NN, each once."""
import json
import re
import subprocess
import sys

validator, dataset = sys.argv[1:]
said = subprocess.run([validator, "--json", dataset], capture_output=True, text=True, check=False)
try:
    issues = json.loads(said.stdout)["issues"]["issues"]
except (ValueError, KeyError):
    sys.exit(f"the validator ends with {said.returncode}: {said.stderr or said.stdout}")
errors = set()
for issue in issues:
    if issue["severity"] == "error":
        place = re.sub(r"sub-\d+", "sub-NN", issue.get("location", ""))
        errors.add(f"{issue['code']} {place}")
print("\n".join(sorted(errors)), end="\n" if errors else "")
