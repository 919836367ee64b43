"""cargo metadata | python3 licences.py: every dependency's licence is one that deny.toml allows."""

import json
import re
import sys
import tomllib
from pathlib import Path

ALLOWED = tomllib.loads((Path(__file__).parents[2] / "deny.toml").read_text())["licenses"]["allow"]


def allowed(expression):
    """Whether an SPDX expression (or its old form, with `/` for `OR`) can be met: AND binds closer than OR."""
    tokens = re.findall(r"[()]|[^()\s]+", expression.replace("/", " OR "))

    def either():
        result = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            result = both() or result
        return result

    def both():
        result = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            result = one() and result
        return result

    def one():
        token = tokens.pop(0)
        if token == "(":
            result = either()
            tokens.pop(0)
            return result
        if tokens and tokens[0] == "WITH":
            token = " ".join([token, tokens.pop(0), tokens.pop(0)])
        return token in ALLOWED

    return either()


packages = json.load(sys.stdin)["packages"]
refused = [p for p in packages if not (p["license"] and allowed(p["license"]))]
for p in refused:
    print(f"{p['name']} {p['version']}: {p['license'] or 'no licence'}")
print(f"{len(packages)} packages, {len(refused)} with a licence that deny.toml does not allow")
sys.exit(bool(refused))
