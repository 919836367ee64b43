//! What is printed: three columns, in colour on a terminal.

use std::io::IsTerminal;

const RED: &str = "31";
const GREEN: &str = "32";
const DIM: &str = "2";
/// How wide the middle column is.
const COLUMN: usize = 20;

pub(crate) fn row(what: &str, without: &str, with: &str) {
    println!("  {what:<10} {without:<COLUMN$} {with}");
}

pub(crate) fn rule(what: &str) {
    let line = "─".repeat(58 - what.len());
    println!("  {}", paint(DIM, &format!("── {what} {line}")));
}

/// A cell of the middle column; filled here, for colours take no room.
pub(crate) fn bad(text: &str) -> String {
    paint(RED, &format!("{text:<COLUMN$}"))
}

pub(crate) fn good(text: &str) -> String {
    paint(GREEN, text)
}

fn paint(colour: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
