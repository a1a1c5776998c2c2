//! Per-core counters and latency histograms, read as snapshots, exported in Prometheus form.
