//! The futures of reads. By hand, so that a hit neither allocates nor carries the state of a miss.

use std::{
    future::Future,
    hash::Hash,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use equivalent::Equivalent;

use super::{Inner, LoadError, Loaded, inner::Probe, stats::count};
use crate::error::BoxError;

type Slow<'a, T> = Pin<Box<dyn Future<Output = Result<T, LoadError>> + Send + 'a>>;

/// The future of [`Cache::get`](super::Cache::get).
pub(super) enum Get<'a, K: Send, V: Send + Sync, Q: ?Sized> {
    Start { inner: &'a Inner<K, V>, key: &'a Q },
    Slow(Slow<'a, Option<V>>),
}

impl<'a, K: Send, V: Send + Sync, Q: ?Sized> Get<'a, K, V, Q> {
    pub(super) const fn new(inner: &'a Inner<K, V>, key: &'a Q) -> Self {
        Self::Start { inner, key }
    }
}

impl<K, V, Q> Future for Get<'_, K, V, Q>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync,
    Q: ?Sized + Hash + Sync + Equivalent<K>,
{
    type Output = Result<Option<V>, LoadError>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Self::Start { inner, key } = *this {
            match inner.probe(key) {
                Probe::Hit(value) => return Poll::Ready(Ok(Some(value))),
                Probe::Miss => {
                    count(&inner.counters.misses);
                    return Poll::Ready(Ok(None));
                }
                Probe::NotFresh => *this = Self::Slow(Box::pin(inner.get_after_wait(key))),
            }
        }
        match this {
            // Taken apart and put together again: else the hit passes through the memory that the slow path
            // writes to, which costs it a third.
            Self::Slow(slow) => match slow.as_mut().poll(context) {
                Poll::Ready(Ok(Some(value))) => Poll::Ready(Ok(Some(value))),
                Poll::Ready(Ok(None)) => Poll::Ready(Ok(None)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            },
            Self::Start { .. } => unreachable!("a start was just replaced"),
        }
    }
}

/// The future of [`Cache::get_or_load`](super::Cache::get_or_load).
pub(super) enum GetOrLoad<'a, K: Send, V: Send + Sync, Q: ?Sized, F> {
    Start {
        inner: &'a Inner<K, V>,
        key: &'a Q,
        load: F,
    },
    Slow(Slow<'a, V>),
}

impl<'a, K: Send, V: Send + Sync, Q: ?Sized, F> GetOrLoad<'a, K, V, Q, F> {
    pub(super) const fn new(inner: &'a Inner<K, V>, key: &'a Q, load: F) -> Self {
        Self::Start { inner, key, load }
    }
}

// Nothing in it is ever pinned in place: the slow path is in a box.
impl<K: Send, V: Send + Sync, Q: ?Sized, F> Unpin for GetOrLoad<'_, K, V, Q, F> {}

impl<'a, K, V, Q, F, Fut, T, E> Future for GetOrLoad<'a, K, V, Q, F>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync,
    Q: ?Sized + Hash + Sync + ToOwned<Owned = K> + Equivalent<K>,
    F: FnOnce() -> Fut + Send + 'a,
    Fut: Future<Output = Result<T, E>> + Send + 'a,
    T: Into<Loaded<V>> + Send + 'a,
    E: Into<BoxError> + Send + 'a,
{
    type Output = Result<V, LoadError>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Self::Start { inner, key, .. } = this {
            if let Probe::Hit(value) = inner.probe(*key) {
                return Poll::Ready(Ok(value));
            }
            // The box of a type without a size allocates nothing.
            let placeholder = Self::Slow(Box::pin(std::future::pending()));
            if let Self::Start { inner, key, load } = mem::replace(this, placeholder) {
                *this = Self::Slow(Box::pin(inner.load(key, load)));
            }
        }
        match this {
            Self::Slow(slow) => slow.as_mut().poll(context),
            Self::Start { .. } => unreachable!("a start was just replaced"),
        }
    }
}
