//! Any store behind one type, for a program that chooses when it starts.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{
    Append, Claim, Error, Extent, Key, NewSession, NewStream, Page, Purge, Record, Session,
    SessionStore, Store, Swept,
};

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Declares the twin of a trait that can be a trait object, implements it for all that have the trait, and the trait for
/// a type that holds one. The brackets around the types of arguments let it write lifetimes into them.
macro_rules! erase {
    (
        $(#[$doc:meta])*
        $any:ident, $erased:ident, $trait:ident {
            $(fn $method:ident(&self $(, $arg:ident: [$($type:tt)+])*) -> $output:ty;)*
        }
    ) => {
        // The lifetimes are those of all arguments, which a macro cannot elide one by one.
        #[allow(clippy::elidable_lifetime_names)]
        trait $erased: Send + Sync {
            $(fn $method<'a>(&'a self $(, $arg: erase!(@life 'a $($type)+))*) -> Answer<'a, $output>;)*
        }

        #[allow(clippy::elidable_lifetime_names)]
        impl<S: $trait> $erased for S {
            $(fn $method<'a>(&'a self $(, $arg: erase!(@life 'a $($type)+))*) -> Answer<'a, $output> {
                Box::pin($trait::$method(self $(, $arg)*))
            })*
        }

        $(#[$doc])*
        #[derive(Clone)]
        pub struct $any(Arc<dyn $erased>);

        impl $any {
            /// Holds this store.
            pub fn new(store: impl $trait + 'static) -> Self {
                Self(Arc::new(store))
            }
        }

        impl $trait for $any {
            $(async fn $method(&self $(, $arg: $($type)+)*) -> Result<$output, Error> {
                $erased::$method(&*self.0 $(, $arg)*).await
            })*
        }

        impl fmt::Debug for $any {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($any)).finish_non_exhaustive()
            }
        }
    };
    (@life $life:lifetime & $($type:tt)+) => { &$life $($type)+ };
    (@life $life:lifetime Option<&$type:ident>) => { Option<&$life $type> };
    (@life $life:lifetime $($type:tt)+) => { $($type)+ };
}

erase! {
    /// Any [`Store`]. Clones share it.
    AnyStore, ErasedStore, Store {
        fn create(&self, stream: [&Key], new: [&NewStream]) -> ();
        fn append(&self, batch: [&[Append]]) -> Vec<Result<(), Error>>;
        fn record(&self, stream: [&Key]) -> Record;
        fn read(&self, stream: [&Key], after: [u64], bytes: [usize]) -> Page;
        fn wait(&self, stream: [&Key], seen: [&Extent]) -> Extent;
        fn claim(&self, stream: [&Key], claim: [&Claim]) -> Record;
        fn renew(&self, instance: [&Key], lease: [Duration]) -> ();
        fn sweep(&self) -> Swept;
        fn purge(&self, what: [&Purge]) -> u64;
    }
}

erase! {
    /// Any [`SessionStore`]. Clones share it.
    AnySessionStore, ErasedSessionStore, SessionStore {
        fn create_session(&self, id: [&Key], new: [&NewSession], most: [u64]) -> ();
        fn session(&self, id: [&Key]) -> Session;
        fn touch(&self, id: [&Key]) -> ();
        fn value(&self, id: [&Key], name: [&Key]) -> Option<Bytes>;
        fn set_value(&self, id: [&Key], name: [&Key], value: [Option<Bytes>]) -> ();
        fn compare_and_set(&self, id: [&Key], name: [&Key], expected: [Option<Bytes>], value: [Option<Bytes>]) -> bool;
        fn list(&self, after: [Option<&Key>], limit: [usize]) -> Vec<Session>;
        fn count(&self) -> u64;
        fn expire(&self) -> Vec<Key>;
        fn delete(&self, id: [&Key]) -> bool;
    }
}
