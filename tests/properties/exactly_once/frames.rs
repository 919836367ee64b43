//! What the inner service says: frames of all kinds. The event `number` of a universe is always the same.

use super::random::Random;

/// Of which kinds the frames of a case are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kinds {
    pub(crate) seed: u64,
    /// How many of twelve events have an ID.
    pub(crate) ids: usize,
    /// Whether an empty ID comes now and then: none is in force after it.
    pub(crate) resets: bool,
    /// Whether reconnection times stand in events, too.
    pub(crate) retry_in_events: bool,
    /// The frame limit, if frames are to be over it.
    pub(crate) oversize: Option<usize>,
}

/// Numbers that events of other content share the IDs of: a counter that restarts begins a new universe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Universe {
    pub(crate) number: usize,
    /// Names the IDs.
    pub(crate) series: usize,
}

const ENDINGS: [&str; 3] = ["\n", "\r", "\r\n"];
const VALUES: [&str; 9] =
    ["", "x", " two  spaces", "a: b", ":", "id: 9", "\u{feff}", "ünï", "{\"json\":[1,2,3]}"];

impl Kinds {
    fn random(&self, universe: Universe, number: usize) -> Random {
        Random::of(&[self.seed, universe.number as u64, number as u64])
    }

    /// Whether the event has an ID of its own. The same for all universes.
    pub(crate) fn has_id(&self, number: usize) -> bool {
        Random::of(&[self.seed, 77, number as u64]).within(1, 12) <= self.ids
    }

    pub(crate) fn id(universe: Universe, number: usize) -> String {
        let suffix = ["", ".%", "é "][universe.series % 3];
        format!("{}-{number}-{suffix}x", universe.series)
    }

    /// The event `number`, with what comes before and after it.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        universe: Universe,
        number: usize,
        retry: &mut u64,
    ) {
        let mut random = self.random(universe, number);
        noise(out, &mut random, retry);
        let (endings, mixed) = (*random.pick(&ENDINGS), random.one_in(4));
        let line = |out: &mut Vec<u8>, random: &mut Random, text: &str| {
            out.extend_from_slice(text.as_bytes());
            let ending = if mixed { *random.pick(&ENDINGS) } else { endings };
            // A blank line after a CR must not make a CRLF of it.
            let ending = if text.is_empty() && out.ends_with(b"\r") { "\r" } else { ending };
            out.extend_from_slice(ending.as_bytes());
        };
        if random.one_in(8) {
            line(out, &mut random, "\u{feff}event: no field");
        }
        if random.one_in(3) {
            let name = *random.pick(&["event: tick", "event:tock", "event", "event: a b"]);
            line(out, &mut random, name);
        }
        let id = self.has_id(number).then(|| format!("id: {}", Self::id(universe, number)));
        let id_first = random.one_in(2);
        if let Some(id) = id.as_ref().filter(|_| id_first) {
            if random.one_in(5) {
                line(out, &mut random, "id: overwritten");
            }
            line(out, &mut random, id);
        }
        line(out, &mut random, &format!("data: {}:{number}:", universe.number));
        for _ in 0..random.within(0, 2) {
            let value = *random.pick(&VALUES);
            line(out, &mut random, &format!("data:{value}"));
        }
        if self.retry_in_events && random.one_in(6) {
            *retry += 1;
            line(out, &mut random, &format!("retry: {retry}"));
        }
        if let Some(limit) = self.oversize.filter(|_| random.one_in(4)) {
            let long = "o".repeat(limit + random.within(0, limit));
            line(out, &mut random, &format!("data: {long}"));
        }
        if let Some(id) = id.as_ref().filter(|_| !id_first) {
            line(out, &mut random, id);
            if random.one_in(5) {
                line(out, &mut random, "id: no\0 ID");
            }
        } else if id.is_none() && self.resets && random.one_in(6) {
            line(out, &mut random, "id");
        }
        line(out, &mut random, "");
        // A checkpoint: an ID without an event.
        if self.ids > 0 && id.is_none() && random.one_in(4) {
            line(out, &mut random, &format!("id: {}", Self::id(universe, number)));
            line(out, &mut random, "");
        }
    }
}

/// What dispatches nothing, or nothing yet.
fn noise(out: &mut Vec<u8>, random: &mut Random, retry: &mut u64) {
    while random.one_in(4) {
        let ending = *random.pick(&ENDINGS);
        let lines: &[&str] = match random.within(0, 6) {
            0 => &[": comment", ""],
            1 => &[""],
            2 => &["event: without data", ""],
            3 => &["unknown: field", ":", ""],
            4 => &["id: with\0nul", ""],
            5 => &["retry: soon", ""],
            _ => {
                *retry += 1;
                &["retry: %", ""]
            }
        };
        for line in lines {
            out.extend_from_slice(line.replace('%', &retry.to_string()).as_bytes());
            out.extend_from_slice(ending.as_bytes());
        }
    }
}
