"""The names of BSON types, as `$type` takes them."""

# Every type but null and the deprecated undefined; `exists` means: some value of these at the path.
NOT_NULL_TYPES = [
    *("double", "string", "object", "array", "binData", "objectId", "bool", "date", "regex", "javascript"),
    *("javascriptWithScope", "symbol", "dbPointer", "int", "timestamp", "long", "decimal", "minKey", "maxKey"),
]
