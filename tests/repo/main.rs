//! What the repository says of itself holds: its structure, its README and its examples.

mod architecture;
mod examples;
mod readme;
