//! Streams by their tokens, and in an order that depends on nothing but what came and went.

use std::collections::HashMap;
use std::sync::Arc;

use crate::resume::event_id::Token;
use crate::stream::Stream;

/// See the [module](self).
#[derive(Default)]
pub(super) struct ByToken {
    places: HashMap<Token, usize>,
    streams: Vec<Arc<Stream>>,
}

impl ByToken {
    /// What a stream takes here.
    pub(super) const BYTES: usize = size_of::<(Token, usize)>() + size_of::<Arc<Stream>>();

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn get(&self, token: &Token) -> Option<&Arc<Stream>> {
        self.places.get(token).map(|place| &self.streams[*place])
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.streams.iter()
    }

    /// Adds a stream, in place of the one that has its token. Returns that one.
    pub(super) fn insert(&mut self, stream: Arc<Stream>) -> Option<Arc<Stream>> {
        if let Some(place) = self.places.get(&stream.token) {
            return Some(std::mem::replace(&mut self.streams[*place], stream));
        }
        self.places.insert(stream.token, self.streams.len());
        self.streams.push(stream);
        None
    }

    pub(super) fn remove(&mut self, token: &Token) -> Option<Arc<Stream>> {
        let place = self.places.remove(token)?;
        let removed = self.streams.swap_remove(place);
        // The last one has its place now.
        if let Some(moved) = self.streams.get(place) {
            self.places.insert(moved.token, place);
        }
        Some(removed)
    }
}
