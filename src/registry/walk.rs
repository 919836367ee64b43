//! Goes through all streams without holding their lock meanwhile.

use std::sync::Arc;

use super::streams::Key;
use super::{Registry, lock};
use crate::stream::Stream;

/// How many streams are looked up at once.
const AT_ONCE: usize = 256;

/// See the [module](self).
pub(crate) struct Walk<'a> {
    registry: &'a Registry,
    page: std::vec::IntoIter<(Key, Arc<Stream>)>,
    last: Option<Key>,
    is_over: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        Self { registry, page: Vec::new().into_iter(), last: None, is_over: false }
    }
}

impl Iterator for Walk<'_> {
    type Item = Arc<Stream>;

    fn next(&mut self) -> Option<Arc<Stream>> {
        if self.page.len() == 0 && !self.is_over {
            let page = lock(&self.registry.streams).page(self.last, AT_ONCE);
            self.is_over = page.len() < AT_ONCE;
            self.last = page.last().map(|(key, _)| *key);
            self.page = page.into_iter();
        }
        self.page.next().map(|(_, stream)| stream)
    }
}
