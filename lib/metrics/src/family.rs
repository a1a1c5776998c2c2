//! What is said of a metric family: the same in every form, and in the documentation.

/// All samples of one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Family {
    /// Its name as samples have it: with the suffix `_total` of a counter and `_info` of an info, without `_bucket`, `_sum` and
    /// `_count` of a histogram.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels, in the order in which samples give their values.
    pub labels: &'static [&'static str],
    /// One sentence for people.
    pub help: &'static str,
}

/// Kinds of metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows, and begins at 0 with the process or the thing.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Latencies, in seconds.
    Histogram,
    /// Facts in labels; the value is 1.
    Info,
}

impl Kind {
    /// Prometheus' word for it; an info is a gauge to Prometheus.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

impl Family {
    /// A counter.
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
        Family { name, kind: Kind::Counter, labels, help }
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
        Family { name, kind: Kind::Gauge, labels, help }
    }

    /// A histogram of latencies.
    pub const fn latency(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
        Family { name, kind: Kind::Histogram, labels, help }
    }

    /// Facts.
    pub const fn info(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
        Family { name, kind: Kind::Info, labels, help }
    }

    /// The unit, which is the last word of the name; `None`: a plain number.
    pub fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes", "ratio"]
            .into_iter()
            .find(|unit| self.base_name().strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
    }

    /// The names under which a query finds its samples.
    pub fn sample_names(&self) -> Vec<String> {
        match self.kind {
            Kind::Histogram => ["bucket", "sum", "count"].map(|part| format!("{}_{part}", self.name)).into(),
            Kind::Counter | Kind::Gauge | Kind::Info => vec![self.name.into()],
        }
    }

    /// Whether it follows Prometheus' rules (<https://prometheus.io/docs/concepts/data_model/>) and conventions
    /// (<https://prometheus.io/docs/practices/naming/>).
    ///
    /// # Errors
    /// Says what does not.
    pub fn check(&self) -> Result<(), String> {
        let Family { name, kind, labels, help } = *self;
        let complaint = if !is_name(name) {
            "is no name: letters, digits and underscores"
        } else if (kind == Kind::Counter) != name.ends_with("_total") {
            "ends in _total, or is a counter, but not both"
        } else if (kind == Kind::Info) != name.ends_with("_info") {
            "ends in _info, or is an info, but not both"
        } else if kind == Kind::Histogram && self.unit() != Some("seconds") {
            "is a histogram and has to end in _seconds"
        } else if !labels.iter().all(|label| is_name(label) && !label.starts_with("__") && *label != "le") {
            "has a label with a wrong name"
        } else if labels.iter().enumerate().any(|(at, label)| labels[..at].contains(label)) {
            "has a label twice"
        } else if !help.ends_with('.') || help.contains(['\n', '\\', '|', '"']) {
            "needs one sentence of help"
        } else {
            return Ok(());
        };
        Err(format!("{name}: {complaint}"))
    }

    /// The name without the suffix that its kind gives it.
    pub(crate) fn base_name(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_last_word() {
        let unit = |name| Family::gauge(name, &[], "Help.").unit();
        assert_eq!(unit("srpt_size_bytes"), Some("bytes"));
        assert_eq!(unit("srpt_kilobytes"), None);
        assert_eq!(unit("srpt_bytes_free"), None);
        assert_eq!(Family::counter("srpt_busy_seconds_total", &[], "Help.").unit(), Some("seconds"));
    }

    #[test]
    fn what_breaks_the_rules_is_told() {
        assert_eq!(Family::counter("srpt_commands_total", &["core"], "Commands.").check(), Ok(()));
        assert_eq!(Family::latency("srpt_latency_seconds", &[], "Latency.").check(), Ok(()));
        assert_eq!(Family::info("srpt_build_info", &["version"], "Build.").check(), Ok(()));
        for (wrong, words) in [
            (Family::counter("srpt_commands", &[], "Commands."), "_total"),
            (Family::gauge("srpt_channels_total", &[], "Channels."), "_total"),
            (Family::gauge("srpt_build_info", &[], "Build."), "_info"),
            (Family::gauge("9lives", &[], "Lives."), "name"),
            (Family::gauge("srpt_größe", &[], "Size."), "name"),
            (Family::latency("srpt_latency", &[], "Latency."), "_seconds"),
            (Family::gauge("srpt_channels", &["le"], "Channels."), "label"),
            (Family::gauge("srpt_channels", &["a", "a"], "Channels."), "twice"),
            (Family::gauge("srpt_channels", &[], "Channels"), "sentence"),
        ] {
            assert!(wrong.check().is_err_and(|said| said.contains(words)), "{wrong:?}");
        }
    }
}
