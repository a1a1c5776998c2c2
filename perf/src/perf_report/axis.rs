//! Axes: where a value stands on one, and which values are written at it.

/// How values are spread over an axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// From zero, evenly.
    Linear,
    /// Each power of ten takes as much room, with labels at round numbers.
    Log,
    /// Each doubling takes as much room, with labels at the values that there are, which are bytes or not.
    Doubling { bytes: bool },
    /// Shares of all in percent, each nine of which takes as much room: 90, 99, 99.9.
    Nines,
}

/// What an axis is drawn from.
#[derive(Clone, PartialEq, Debug)]
pub struct Axis {
    /// First and last place.
    pub from: f64,
    pub to: f64,
    /// Places with their labels, in ascending order.
    pub ticks: Vec<(f64, String)>,
}

/// Most nines of an axis on which each has its label.
const NINES_LABELLED_ALL: f64 = 6.0;
/// Labels of an axis whose values are those of the points, at most.
const DOUBLING_TICKS_MAX: f64 = 12.0;

impl Scale {
    /// Where a value stands.
    pub fn place(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).log10(),
            Scale::Doubling { .. } => value.max(f64::MIN_POSITIVE).log2(),
            Scale::Nines => -(1.0 - value).max(f64::EPSILON).log10(),
        }
    }

    /// An axis on which all of these values have a place.
    pub fn axis(self, values: impl Iterator<Item = f64>) -> Axis {
        let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let (first, last) = (values.first().copied().unwrap_or(1.0), values.last().copied().unwrap_or(1.0));
        match self {
            Scale::Linear => linear(last),
            Scale::Log => log(values.into_iter().find(|&value| value > 0.0).unwrap_or(1.0), last.max(1e-3)),
            Scale::Doubling { bytes } => doubling(&values, first, last, bytes),
            Scale::Nines => nines(self.place(last)),
        }
    }
}

/// From zero to what the highest value needs, in three to six round steps.
fn linear(last: f64) -> Axis {
    let last = if last > 0.0 { last } else { 1.0 };
    let step = round_up(last / 6.0);
    let steps = (last / step - 1e-9).ceil().max(1.0);
    let ticks = (0..=steps as u32).map(|tick| f64::from(tick) * step).map(|place| (place, short(place)));
    Axis { from: 0.0, to: steps * step, ticks: ticks.collect() }
}

/// The next of 1, 2, 5, 10, 20 … that is not lower.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= value * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// Labels at 1, 2 and 5 of each power of ten, or at the powers alone where there are many.
fn log(first: f64, last: f64) -> Axis {
    let to = round_up(last.max(first));
    let from = {
        let above = round_up(first);
        if above > first * (1.0 + 1e-9) || above >= to { round_down(first, above) } else { above }
    };
    let decades = (to / from).log10();
    let factors: &[f64] = if decades <= 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let (low, high) = (from.log10().floor() as i32, to.log10().ceil() as i32);
    let all = (low..=high).flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
    let inside = |value: &f64| (from * (1.0 - 1e-9)..=to * (1.0 + 1e-9)).contains(value);
    let ticks = all.filter(inside).map(|value| (value.log10(), plain(value))).collect();
    Axis { from: from.log10(), to: to.log10(), ticks }
}

/// The one of 1, 2, 5, 10 … before `above`, and below `first`.
fn round_down(first: f64, above: f64) -> f64 {
    [2.0, 2.5, 5.0]
        .into_iter()
        .map(|factor| above / factor)
        .find(|&lower| is_round(lower) && lower <= first)
        .unwrap_or(above / 10.0)
}

fn is_round(value: f64) -> bool {
    (round_up(value) / value - 1.0).abs() < 1e-6
}

fn doubling(values: &[f64], first: f64, last: f64, bytes: bool) -> Axis {
    let (from, to) = (first.max(f64::MIN_POSITIVE).log2(), last.max(f64::MIN_POSITIVE).log2());
    // Points do not lie on the frame, and one alone has room on both sides.
    let margin = ((to - from) * 0.03).max(0.1);
    let mut ticks: Vec<(f64, String)> = Vec::new();
    for &value in values {
        let place = value.max(f64::MIN_POSITIVE).log2();
        let has_room = ticks.last().is_none_or(|(before, _)| place - before >= (to - from) / DOUBLING_TICKS_MAX);
        if has_room {
            ticks.push((place, if bytes { binary(value) } else { plain(value) }));
        }
    }
    Axis { from: from - margin, to: to + margin, ticks }
}

fn nines(last: f64) -> Axis {
    let to = last.clamp(1.0, 15.0);
    let label = |nines: u32| match nines {
        0 => "0".to_owned(),
        1 => "90".to_owned(),
        2 => "99".to_owned(),
        more => format!("99.{}", "9".repeat(more as usize - 2)),
    };
    // Where labels would become too long to stand beside each other, every other one is left out.
    let has_room = |nines: &u32| to <= NINES_LABELLED_ALL || nines % 2 == 1 || *nines == 0;
    Axis {
        from: 0.0,
        to,
        ticks: (0..=to as u32).filter(has_room).map(|nines| (f64::from(nines), label(nines))).collect(),
    }
}

/// A number in short: 1.5M, 200k, 0.25.
pub fn short(value: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let unit = units.into_iter().find(|(unit, _)| value >= unit * (1.0 - 1e-9));
    unit.map_or_else(|| plain(value), |(unit, name)| format!("{}{name}", plain(value / unit)))
}

/// A number with no more digits than tell it from its neighbours: three, or all before the point.
pub fn plain(value: f64) -> String {
    let digits = if value > 0.0 { (2 - value.log10().floor() as i32).clamp(0, 9) } else { 0 };
    let text = format!("{value:.*}", digits as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Bytes: 512 B, 4 KiB, 1 MiB.
pub fn binary(bytes: f64) -> String {
    let units = [(f64::from(1 << 30), "GiB"), (f64::from(1 << 20), "MiB"), (f64::from(1 << 10), "KiB")];
    let unit = units.into_iter().find(|&(unit, _)| bytes >= unit);
    unit.map_or_else(|| format!("{} B", plain(bytes)), |(unit, name)| format!("{} {name}", plain(bytes / unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, values: &[f64]) -> Vec<String> {
        scale.axis(values.iter().copied()).ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(labels(Scale::Linear, &[30.0, 187_659.0]), ["0", "50k", "100k", "150k", "200k"]);
        assert_eq!(labels(Scale::Linear, &[1_450_000.0]), ["0", "500k", "1M", "1.5M"]);
        assert_eq!(labels(Scale::Linear, &[0.0]), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(labels(Scale::Log, &[20.4, 389.2]), ["20", "50", "100", "200", "500"]);
        assert_eq!(labels(Scale::Log, &[0.05, 2_000.0]), ["0.1", "1", "10", "100", "1000"][..].to_vec());
        assert_eq!(labels(Scale::Doubling { bytes: false }, &[1.0, 2.0, 32.0, 128.0]), ["1", "2", "32", "128"]);
        assert_eq!(labels(Scale::Doubling { bytes: true }, &[512.0, 4096.0, 1_048_576.0]), ["512 B", "4 KiB", "1 MiB"]);
        assert_eq!(labels(Scale::Nines, &[0.1, 0.999_95]), ["0", "90", "99", "99.9", "99.99"]);
        assert_eq!(labels(Scale::Nines, &[0.999_999_95]), ["0", "90", "99.9", "99.999", "99.99999"]);
        assert!(labels(Scale::Doubling { bytes: false }, &(1..=1000).map(f64::from).collect::<Vec<_>>()).len() < 15);
    }

    #[test]
    fn every_value_has_a_place_on_its_axis() {
        let extremes = [0.0, 1e-9, 0.001, 0.5, 1.0, 7.0, 99.0, 1e15];
        for scale in [Scale::Linear, Scale::Log, Scale::Doubling { bytes: true }, Scale::Nines] {
            for (index, &low) in extremes.iter().enumerate() {
                for &high in &extremes[index..] {
                    let axis = scale.axis([low, high].into_iter());
                    assert!(
                        axis.from < axis.to && axis.from.is_finite() && axis.to.is_finite(),
                        "{scale:?} {low} {high}"
                    );
                    assert!(axis.ticks.len() < 30, "{scale:?} {low} {high}: {axis:?}");
                    let place = scale.place(high);
                    let slack = 1e-6 * axis.to.abs().max(1.0);
                    let inside = (axis.from - slack..=axis.to + slack).contains(&place);
                    assert!(
                        inside || (scale == Scale::Log && high == 0.0) || (scale == Scale::Nines && high >= 1.0),
                        "{scale:?} {low} {high}: {place} {axis:?}"
                    );
                }
            }
        }
    }
}
