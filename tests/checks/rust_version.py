"""cargo metadata | python3 rust_version.py [FEATURE]: no normal dependency asks for a newer Rust than is promised.

That is the package's `rust-version`, or what `package.metadata.rust-version` says for this feature.
"""

import json
import sys


def version(package):
    return numbers(package["rust_version"] or "0")


def numbers(text):
    return tuple(int(n) for n in (text + ".0.0").split(".")[:3])


metadata = json.load(sys.stdin)
packages = {p["id"]: p for p in metadata["packages"]}
nodes = {n["id"]: n for n in metadata["resolve"]["nodes"]}
root = metadata["resolve"]["root"]

needed, todo = set(), [root]
while todo:
    for dependency in nodes[todo.pop()]["deps"]:
        normal = any(kind["kind"] in (None, "build") for kind in dependency["dep_kinds"])
        if normal and dependency["pkg"] not in needed:
            needed.add(dependency["pkg"])
            todo.append(dependency["pkg"])

exceptions = (packages[root]["metadata"] or {}).get("rust-version", {})
promised = exceptions.get(sys.argv[1]) if len(sys.argv) > 1 else None
promised = promised or packages[root]["rust_version"]
ours = numbers(promised)
newer = [packages[id] for id in needed if version(packages[id]) > ours]
for p in newer:
    print(f"{p['name']} {p['version']} needs Rust {p['rust_version']}")
highest = max((packages[id] for id in needed), key=version)
print(f"{' '.join(sys.argv[1:])} promises {promised}; of {len(needed)} normal dependencies {len(newer)} need more;", end=" ")
print(f"the highest is {highest['rust_version']} ({highest['name']})")
sys.exit(bool(newer))
