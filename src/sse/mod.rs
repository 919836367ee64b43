//! The event stream format of WHATWG HTML, section 9.2: bytes to frames and back. Pure: no I/O, no
//! clock.
//!
//! A [`Scanner`] finds where each frame ends and what kinds of lines it has, without decoding
//! anything and over inputs that are cut anywhere. [`lines`] then walks the fields of a whole
//! frame, and [`IdFilter`] takes the `id` lines out of one that is too large to hold.
//!
//! ```
//! use tower_sse_resume::sse::{BlockKind, Scanner};
//!
//! let mut scanner = Scanner::new();
//! let input = b": hello\n\nid: 7\ndata: a\ndata: b\n\ndata: unfini";
//!
//! let hello = scanner.scan(input).unwrap();
//! assert_eq!(hello.kind(), BlockKind::Silent);
//!
//! let rest = &input[hello.end..];
//! let event = scanner.scan(rest).unwrap();
//! assert_eq!(event.kind(), BlockKind::Event);
//! assert_eq!(event.lines(&rest[..event.end]).last_id(), Some(&b"7"[..]));
//!
//! assert!(scanner.scan(&rest[event.end..]).is_none());
//! assert_eq!(scanner.unfinished(), "data: unfini".len());
//! ```

pub(crate) mod encode;
mod field;
mod frame;
mod frames;
mod id_filter;
mod id_lines;
mod line_end;
mod scanner;

pub use field::{Data, Field, Line, Lines, lines};
pub use frame::{BlockKind, Fields, Frame, LineEnding, Span};
pub(crate) use frames::frames;
pub use id_filter::{IdFilter, Piece};
#[cfg(test)]
pub(crate) use id_lines::MOVED;
pub(crate) use id_lines::{cut_id_lines, cut_line, move_down};
pub use scanner::Scanner;

/// U+FEFF in UTF-8. Clients ignore one at the very start of an event stream; anywhere else it is ordinary bytes.
pub(crate) const BYTE_ORDER_MARK: [u8; 3] = *b"\xEF\xBB\xBF";

const LF: u8 = b'\n';
const CR: u8 = b'\r';
