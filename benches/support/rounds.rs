//! Options, and rounds of what is compared, interleaved so that what else the machine does hits all alike.

use std::time::Duration;

/// What the command line asks for.
pub struct Options {
    pub quick: bool,
    pub instructions: bool,
    words: Vec<String>,
}

impl Options {
    pub fn of_args() -> Self {
        let (flags, words): (Vec<_>, Vec<_>) =
            std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
        let flag = |name| flags.iter().any(|flag| flag == name);
        Self { quick: flag("--quick"), instructions: flag("--instructions"), words }
    }

    /// Whether a part is asked for: all are, unless words select some.
    pub fn wants(&self, part: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| part.contains(word.as_str()))
    }

    pub fn rounds(&self, all: usize) -> usize {
        if self.quick { (all / 5).max(3) } else { all }
    }
}

/// Times of several rounds.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The least: what it costs when nothing else gets in between.
    pub fn best(&self) -> Duration {
        self.0.iter().copied().min().unwrap_or_default()
    }

    /// The middle one of the ratios of rounds that ran side by side.
    pub fn median_ratio(&self, other: &Self) -> f64 {
        let ratio = |(a, b): (&Duration, &Duration)| a.as_secs_f64() / b.as_secs_f64();
        let mut ratios: Vec<f64> = self.0.iter().zip(&other.0).map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Nanoseconds of each of `count`.
#[allow(clippy::cast_precision_loss, reason = "counts are small")]
pub fn each(time: Duration, count: usize) -> f64 {
    time.as_nanos() as f64 / count as f64
}
