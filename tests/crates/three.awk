# The three-line change: the crate `loom` is Millpond, at the path `sim`.
/^\[/ { is_loom = ($0 ~ /dependencies\.loom\]$/) }
is_loom && /^version = / { print "package = \"millpond\""; print "path = \"" sim "\""; next }
{ print }
