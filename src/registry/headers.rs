//! The headers that all responses of a stream have: kept once for the streams that have the same, and counted.

use std::ops::Deref;
use std::sync::{Arc, Weak};

use http::{HeaderMap, HeaderValue};

use super::{Registry, lock};
use crate::config::Config;

/// What a header takes beside its value.
const ENTRY: usize = 112;

/// See the [module](self).
pub(crate) struct KeptHeaders {
    headers: HeaderMap,
    bytes: usize,
    registry: Weak<Registry>,
}

impl Deref for KeptHeaders {
    type Target = HeaderMap;

    fn deref(&self) -> &HeaderMap {
        &self.headers
    }
}

impl Drop for KeptHeaders {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.shrink(self.bytes);
        }
    }
}

impl Registry {
    /// Keeps headers. They are the same as the last ones if they are equal.
    pub(crate) fn intern(
        self: &Arc<Self>,
        headers: &HeaderMap,
        config: &Config,
    ) -> Arc<KeptHeaders> {
        let mut last = lock(&self.headers);
        if let Some(kept) = last.upgrade().filter(|kept| kept.headers == *headers) {
            return kept;
        }
        let headers = copy(headers);
        let bytes = size_of::<KeptHeaders>() + heap_bytes(&headers);
        let kept = Arc::new(KeptHeaders { headers, bytes, registry: Arc::downgrade(self) });
        *last = Arc::downgrade(&kept);
        drop(last);
        self.grow(bytes as isize, config);
        kept
    }
}

/// A copy with no more memory than it needs: a value may be a part of all that was read of a response.
fn copy(headers: &HeaderMap) -> HeaderMap {
    let mut copy = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            copy.append(name, value);
        }
    }
    copy
}

fn heap_bytes(headers: &HeaderMap) -> usize {
    let names = headers.keys().map(|name| name.as_str().len());
    let values = headers.values().map(HeaderValue::len);
    headers.capacity() * ENTRY + names.chain(values).sum::<usize>()
}
