"""python3 public_api.py TARGET/doc/CRATE.json: the public API names types of no crates but the allowed ones.

Reads what rustdoc writes with `--output-format json`. A crate whose types a user sees cannot be replaced
without a new major version: it belongs here only on purpose.
"""

import json
import sys

ALLOWED = {"std", "core", "alloc", "bytes", "http", "http_body", "tower_layer", "tower_service"}
# Clients of AWS, which users configure in ways that this crate cannot know.
ALLOWED |= {"aws_sdk_dynamodb", "aws_sdk_sns", "aws_sdk_sqs"}

doc = json.load(open(sys.argv[1]))


def named(node):
    """The ids of all types and traits that a part of the document names."""
    if isinstance(node, dict):
        if "id" in node and "path" in node and "args" in node:
            yield node["id"]
        for child in node.values():
            yield from named(child)
    elif isinstance(node, list):
        for child in node:
            yield from named(child)


def by_others(item):
    """Impls that come from other crates for every type, and those of auto traits."""
    block = item["inner"].get("impl", {})
    return block.get("blanket_impl") or block.get("is_synthetic")


foreign = set()
for item in doc["index"].values():
    if item["crate_id"] != 0 or by_others(item):
        continue
    for id in named(item["inner"]):
        path = doc["paths"].get(str(id))
        if path and path["crate_id"] != 0 and path["path"][0] not in ALLOWED and "__private" not in path["path"]:
            foreign.add(f"{'::'.join(path['path'])} (in {item['name'] or 'an impl'})")
for path in sorted(foreign):
    print(path)
print(f"{len(doc['index'])} items, {len(foreign)} names of crates that are not allowed in the public API")
sys.exit(bool(foreign))
