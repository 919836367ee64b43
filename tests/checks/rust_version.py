"""cargo metadata | python3 rust_version.py: no normal dependency asks for a newer Rust than this package does."""

import json
import sys


def version(package):
    return tuple(int(n) for n in (package["rust_version"] or "0").split("."))


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

ours = version(packages[root])
newer = [packages[id] for id in needed if version(packages[id]) > ours]
for p in newer:
    print(f"{p['name']} {p['version']} needs Rust {p['rust_version']}")
highest = max((packages[id] for id in needed), key=version)
print(f"ours is {packages[root]['rust_version']}; of {len(needed)} normal dependencies {len(newer)} need more;", end=" ")
print(f"the highest is {highest['rust_version']} ({highest['name']})")
sys.exit(bool(newer))
