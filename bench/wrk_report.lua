-- Makes wrk end with one line of JSON. `errors` counts refused, broken and late replies and every status above 399.
done = function(summary, latency, requests)
  local e = summary.errors
  print(string.format(
    '{"requests": %.0f, "microseconds": %.0f, "bytes": %.0f, "errors": %.0f, "p50_us": %.0f, "p99_us": %.0f, "max_us": %.0f}',
    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.timeout + e.status,
    latency:percentile(50), latency:percentile(99), latency.max))
end
