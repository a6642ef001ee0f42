# Lets a worker go: from now on it is nobody's to clean up. Given: ID.
# shellcheck disable=SC2154
mv "$W/$ID/in" "$W/$ID/kept" && put kept
