//! HEARS events and no spans: what tracing-subscriber's lines stand on instead of its registry, whose table of spans is
//! 32 kB to be cleared at the start of a process that needs none. Which events count is decided above, and nothing is written here.

use std::convert::Infallible;

use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::registry::{Extensions, ExtensionsMut, LookupSpan, SpanData};

/// A span that nobody opens.
const NONE: Id = Id::from_non_zero_u64(std::num::NonZeroU64::MIN);

/// The bottom of the layers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spanless;

impl Subscriber for Spanless {
    /// A library's spans are not even opened: the layers above would look for what is not kept.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
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

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read};

    use tracing_subscriber::{fmt, layer::SubscriberExt};

    use super::Spanless;

    /// Libraries open spans, hyper's HTTP/2 among them, and log within.
    #[test]
    fn events_within_spans_are_written() {
        let (reader, writer) = std::io::pipe().unwrap();
        let lines = fmt::layer().with_writer(File::from(std::os::fd::OwnedFd::from(writer)));
        tracing::subscriber::with_default(Spanless.with(lines), || {
            let outer = tracing::error_span!("outer", number = 1);
            let _entered = outer.enter();
            tracing::error_span!(parent: &outer, "inner").in_scope(|| tracing::error!("said"));
        });
        let mut text = String::new();
        File::from(std::os::fd::OwnedFd::from(reader))
            .read_to_string(&mut text)
            .unwrap();
        assert!(text.contains("said"), "{text}");
    }
}
