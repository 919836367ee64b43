//! Takes `id` lines out of a block that lies in one piece, so that all other lines stay as they are.
//!
//! A line that ends in CR, a cut, and then an LF that ends a blank line: the two would be one line ending, and the blank
//! line gone. So the LF of a line that is cut stays where what is before it ends in CR: it only makes that a CRLF.

use std::ops::Range;

use super::{CR, Field, LF, lines};

/// Moves all but the `id` lines to the front of `block`. Returns how many bytes these are, with what follows the lines.
pub(crate) fn cut_id_lines(block: &mut [u8]) -> usize {
    let (mut kept, mut at) = (0, 0);
    while let Some(line) = lines(&block[at..]).next() {
        let end = at + line.range.end;
        let from = match line.field {
            Field::Id(_) => cut_line(block[..kept].last(), &block[..end]),
            _ => at,
        };
        move_down(block, from..end, kept);
        (kept, at) = (kept + end - from, end);
    }
    let end = block.len();
    move_down(block, at..end, kept);
    kept + end - at
}

/// From where on bytes stay of a line that is cut, the last one of `line`, where `before` comes just before it.
#[inline]
pub(crate) fn cut_line(before: Option<&u8>, line: &[u8]) -> usize {
    let joins = before == Some(&CR) && line.last() == Some(&LF);
    line.len() - usize::from(joins)
}

/// Moves bytes towards the front.
pub(crate) fn move_down(bytes: &mut [u8], from: Range<usize>, to: usize) {
    #[cfg(test)]
    MOVED.with(|moved| moved.set(moved.get() + from.len()));
    bytes.copy_within(from, to);
}

#[cfg(test)]
thread_local! {
    /// How many bytes were moved on this thread.
    pub(crate) static MOVED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(block: &str) -> String {
        let mut block = block.as_bytes().to_vec();
        let kept = cut_id_lines(&mut block);
        String::from_utf8(block[..kept].to_vec()).unwrap()
    }

    #[test]
    fn id_lines_go_and_all_else_stays() {
        assert_eq!(cut("id: 1\ndata: a\nid\nidea\nid:2\n\n"), "data: a\nidea\n\n");
        assert_eq!(cut("id: 1\r\ndata: a\r\nid: 2\r\n\r\n"), "data: a\r\n\r\n");
        assert_eq!(cut("data: a\rid: 1\rid: 2\r\r"), "data: a\r\r");
        assert_eq!(cut("id: 1\n\n"), "\n");
        assert_eq!(cut("data: a\nid: unfinished"), "data: a\nid: unfinished");
        assert_eq!(cut(""), "");
    }

    #[test]
    fn a_cr_before_a_cut_is_not_joined_with_an_lf_after_it() {
        assert_eq!(cut("event: e\rid: 1\n\n"), "event: e\r\n\n");
        assert_eq!(cut("event: e\rid: 1\r\n\n"), "event: e\r\n\n");
        assert_eq!(cut("event: e\rid: 1\nid: 2\nid: 3\n\n"), "event: e\r\n\n");
        assert_eq!(cut("event: e\rid: 1\rid: 2\n\n"), "event: e\r\n\n");
        assert_eq!(cut("id: 1\rid: 2\n\n"), "\n");
    }
}
