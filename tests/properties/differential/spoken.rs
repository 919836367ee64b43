//! A service that numbers its events: whoever comes back with an ID of it gets what follows.

use support::random::Random;

const ENDS: [&[u8]; 3] = [b"\n", b"\r", b"\r\n"];
/// Lines that say nothing; in the middle of a stream U+FEFF is the name of a field that nobody knows.
const NOISE: [&[u8]; 7] =
    [b": comment", b":", b"\xEF\xBB\xBF", b"\xEF\xBB\xBF:", b"retry: 10", b"unknown", b"x: y"];

/// What the service has to say, in all.
pub(crate) struct Spoken {
    /// The block of each event, blank line and all.
    blocks: Vec<Vec<u8>>,
    /// The ID of each event that has one of its own; no two are alike.
    ids: Vec<Option<Vec<u8>>>,
    /// By how many events a service is too generous that is asked to go on.
    resends: usize,
}

impl Spoken {
    pub(crate) fn new(random: &mut Random, may_resend: bool) -> Self {
        let resends = if random.one_in(3) && may_resend { random.within(1..4) as usize } else { 0 };
        let most = random.pick(&[4, 12, 40]);
        let count = random.within(1..most);
        let (anonymous, strange) = (random.one_in(3), random.one_in(3));
        let (mut blocks, mut ids) = (Vec::new(), Vec::new());
        for number in 0..count {
            let has_id = number == 0 || !(anonymous && random.one_in(3));
            let id = has_id.then(|| id(random, number, strange));
            blocks.push(block(random, number, id.as_deref()));
            ids.push(id);
        }
        Self { blocks, ids, resends }
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// From which event on the service speaks that is asked to go on from this ID.
    pub(crate) fn start(&self, random: &mut Random, last_event_id: Option<&[u8]>) -> usize {
        let known = |id: &[u8]| self.ids.iter().position(|known| known.as_deref() == Some(id));
        let Some(named) = last_event_id.and_then(known) else { return 0 };
        let more = random.within(0..self.resends as u64 + 1) as usize;
        let start = (named + 1).saturating_sub(more);
        // What is said again without an ID could be anything.
        (start..=named).find(|number| self.ids[*number].is_some()).unwrap_or(named + 1)
    }

    /// Whether a client that comes back may get some events again, also without the layer.
    pub(crate) fn may_repeat(&self) -> bool {
        self.resends > 0 || self.ids.contains(&None)
    }

    /// Whether it says some events again that were before where it is asked to go on.
    pub(crate) fn resends(&self) -> bool {
        self.resends > 0
    }

    /// What it says from that event on.
    pub(crate) fn from(&self, start: usize) -> Vec<u8> {
        self.blocks[start..].concat()
    }
}

/// The number of an event, by its data.
pub(crate) fn number(data: &[u8]) -> usize {
    let first = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let number = std::str::from_utf8(first).ok().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("no event of the service: {}", data.escape_ascii()))
}

fn id(random: &mut Random, number: u64, strange: bool) -> Vec<u8> {
    let mut id = format!("e{number}").into_bytes();
    if strange {
        match random.within(0..8) {
            // No header can hold it.
            0 => id.push(1),
            1 => id.extend_from_slice("…%.\"".as_bytes()),
            2 => id.extend(std::iter::repeat_n(b'z', 600)),
            3 => id.extend_from_slice(b" and more"),
            _ => {}
        }
    }
    id
}

fn block(random: &mut Random, number: u64, id: Option<&[u8]>) -> Vec<u8> {
    let mut lines = vec![format!("data: {number}").into_bytes()];
    if random.one_in(4) {
        lines.push(format!("event: {}", random.pick(&["a", "b c", "data"])).into_bytes());
    }
    if let Some(id) = id {
        if random.one_in(8) {
            lines.push(b"id: of no event".to_vec());
        }
        lines.push([b"id: ", id].concat());
    }
    // The last `id` line counts, so those two stay in order.
    for _ in 0..random.within(0..3) {
        if random.one_in(2) {
            lines.insert(
                random.within(0..lines.len() as u64 + 1) as usize,
                random.pick(&NOISE).to_vec(),
            );
        }
    }
    if random.one_in(3) {
        let data = lines.iter().position(|line| line.starts_with(b"data")).unwrap_or_default();
        lines.insert(data + 1, b"data".to_vec());
    }
    let rotated = random.within(0..lines.len() as u64) as usize;
    if id.is_none() || !random.one_in(2) {
        rotate(&mut lines, rotated);
    }
    let (usual, mixed) = (random.pick(&ENDS), random.one_in(3));
    let end = |random: &mut Random| if mixed { random.pick(&ENDS) } else { usual };
    let (mut block, mut last) = (Vec::new(), usual);
    for line in lines {
        block.extend_from_slice(&line);
        last = end(random);
        block.extend_from_slice(last);
    }
    // CR and LF would be one line end.
    let blank = end(random);
    block.extend_from_slice(if last == b"\r" && blank == b"\n" { b"\r" } else { blank });
    block
}

/// Begins with another line, but keeps the order of what belongs together.
fn rotate(lines: &mut [Vec<u8>], by: usize) {
    let splits = |lines: &[Vec<u8>], by: usize, name: &[u8]| {
        lines[..by].iter().any(|line| line.starts_with(name))
            && lines[by..].iter().any(|line| line.starts_with(name))
    };
    if !splits(lines, by, b"id") && !splits(lines, by, b"data") {
        lines.rotate_left(by);
    }
}
