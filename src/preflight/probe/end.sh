# What did not end by itself is ended by the watchdog.
for pid in $jobs; do
    wait "$pid"
done 2>/dev/null
kill "$dog" 2>/dev/null
wait "$dog" 2>/dev/null
rec end
