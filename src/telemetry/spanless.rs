//! HEARS events and no spans: what tracing-subscriber's lines stand on instead of its registry, whose table of spans is
//! 32 kB to be cleared at the start of a process that opens none. Nothing is filtered or written here.

use std::convert::Infallible;

use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::registry::{Extensions, ExtensionsMut, LookupSpan, SpanData};

/// Whoever opens a span gets this one, which leads nowhere.
const NONE: Id = Id::from_non_zero_u64(std::num::NonZeroU64::MIN);

/// The bottom of the layers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spanless;

impl Subscriber for Spanless {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        NONE
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl LookupSpan<'_> for Spanless {
    type Data = NoSpan;

    fn span_data(&self, _: &Id) -> Option<NoSpan> {
        None
    }
}

/// A span: there is none.
#[derive(Debug)]
pub(super) struct NoSpan(Infallible);

impl SpanData<'_> for NoSpan {
    fn id(&self) -> Id {
        match self.0 {}
    }

    fn metadata(&self) -> &'static Metadata<'static> {
        match self.0 {}
    }

    fn parent(&self) -> Option<&Id> {
        match self.0 {}
    }

    fn extensions(&self) -> Extensions<'_> {
        match self.0 {}
    }

    fn extensions_mut(&self) -> ExtensionsMut<'_> {
        match self.0 {}
    }
}
