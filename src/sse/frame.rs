//! What the scanner tells about one frame.

use std::ops::{BitOr, BitOrAssign};

use super::{Lines, field};

/// One whole frame: the bytes of a block up to and with its blank line.
///
/// All positions but `end` are relative to the first byte of the raw frame, over all inputs that it
/// was split into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// Index in the last scanned input just past the frame: where the next one begins.
    pub end: usize,
    /// Raw length over all inputs, `lead` and blank line included.
    pub len: usize,
    /// Leading raw bytes that are no part of the block and are left out: 3 for the byte order mark
    /// at the very start of the stream, 1 for the LF of a CRLF whose CR already completed the frame
    /// before, else 0.
    pub lead: usize,
    /// Where the blank line begins; `blank..len` is its terminator: LF, CR or CRLF.
    pub blank: usize,
    /// Which kinds of lines the block has.
    pub fields: Fields,
    /// The only `id` line, with its terminator. `None` if there is no `id` line, and also if there
    /// are several ([`Fields::SEVERAL_IDS`]): then walk the frame's [`lines`](Self::lines).
    pub id_line: Option<Span>,
    /// How the last line before the blank one ends. `None` if there is no line before it.
    pub ending: Option<LineEnding>,
}

impl Frame {
    /// What the block means to a client.
    #[inline]
    pub fn kind(&self) -> BlockKind {
        if self.fields.contains(Fields::DATA) {
            BlockKind::Event
        } else if self.fields.contains(Fields::EVENT) {
            BlockKind::EventWithoutData
        } else if self.fields.is_empty() {
            BlockKind::Blank
        } else {
            BlockKind::Silent
        }
    }

    /// The lines of this frame, whose whole raw bytes (`len` of them, from the first byte on) are
    /// `raw`. Ranges of the lines are positions in `raw`.
    #[inline]
    pub fn lines<'a>(&self, raw: &'a [u8]) -> Lines<'a> {
        field::lines_from(raw, self.lead)
    }
}

/// What a block means to a client (section 9.2.6, "dispatch the event").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// It has a `data` line, perhaps an empty one: an event is dispatched.
    Event,
    /// It has an `event` line but no `data`: by the specification nothing is dispatched, some
    /// clients do it anyway.
    EventWithoutData,
    /// Only comments, `retry`, `id` and unknown fields: nothing is dispatched.
    Silent,
    /// Nothing but the blank line.
    Blank,
}

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineEnding {
    /// U+000A alone.
    Lf,
    /// U+000D alone.
    Cr,
    /// U+000D U+000A.
    CrLf,
}

impl LineEnding {
    /// The bytes of this line ending.
    #[inline]
    pub fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::Cr => b"\r",
            Self::CrLf => b"\r\n",
        }
    }
}

/// A range of positions that is `Copy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first position.
    pub start: usize,
    /// Just past the last position.
    pub end: usize,
}

impl Span {
    /// The same as a range, to index with.
    #[inline]
    pub fn range(self) -> std::ops::Range<usize> {
        self.start..self.end
    }
}

/// A set of kinds of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fields(u8);

impl Fields {
    /// No line.
    pub const NONE: Self = Self(0);
    /// A `data` line.
    pub const DATA: Self = Self(1);
    /// An `event` line.
    pub const EVENT: Self = Self(2);
    /// An `id` line, whether its value is valid or not.
    pub const ID: Self = Self(4);
    /// A `retry` line, whether its value is valid or not.
    pub const RETRY: Self = Self(8);
    /// A comment or a field with an unknown name.
    pub const OTHER: Self = Self(16);
    /// More than one `id` line; [`Fields::ID`] is set too.
    pub const SEVERAL_IDS: Self = Self(32);

    /// Whether all of `other` is in this set.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is no line at all.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Fields {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Fields {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
