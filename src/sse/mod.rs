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
mod id_filter;
mod line_end;
mod scanner;

pub use field::{Data, Field, Line, Lines, lines};
pub use frame::{BlockKind, Fields, Frame, LineEnding, Span};
pub use id_filter::{IdFilter, Piece};
pub use scanner::Scanner;

const LF: u8 = b'\n';
const CR: u8 = b'\r';
