//! CHOOSES the generation that a new request goes to, or lets it wait for one. It knows nothing of HTTP.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use super::upstream::Upstream;

/// Who is there, and who of them gets new requests.
#[derive(Debug, Default)]
struct State {
    known: BTreeMap<u64, Arc<Upstream>>,
    serving: Option<Arc<Upstream>>,
    /// Nobody will serve who does not serve now.
    over: bool,
}

/// All who ask share it.
#[derive(Debug, Clone)]
pub(super) struct Route(Arc<watch::Sender<State>>);

impl Route {
    pub(super) fn new() -> Route {
        Route(Arc::new(watch::Sender::new(State::default())))
    }

    /// New requests go there.
    pub(super) fn steer(&self, generation: u64, port: u16) {
        self.0.send_modify(|state| {
            let upstream = state.known.entry(generation);
            let upstream = upstream.or_insert_with(|| Arc::new(Upstream::new(generation, port)));
            upstream.reopen();
            state.serving = Some(Arc::clone(upstream));
        });
    }

    /// New requests wait: all of them, or those that would go to this generation.
    pub(super) fn hold(&self, only: Option<u64>) {
        self.0.send_modify(|state| {
            state
                .serving
                .take_if(|it| only.is_none_or(|only| it.generation == only));
        });
    }

    /// Nobody else will serve.
    pub(super) fn give_up(&self) {
        self.0.send_modify(|state| state.over = true);
    }

    /// It is of no more use.
    pub(super) fn release(&self, generation: u64) {
        self.hold(Some(generation));
        let mut released = None;
        self.0.send_if_modified(|state| {
            released = state.known.remove(&generation);
            false
        });
        if let Some(released) = released {
            released.close();
        }
    }

    pub(super) fn get(&self, generation: u64) -> Option<Arc<Upstream>> {
        self.0.borrow().known.get(&generation).cloned()
    }

    /// Who serves now.
    pub(super) fn serving(&self) -> Option<Arc<Upstream>> {
        self.0.borrow().serving.clone()
    }

    /// Who serves, as soon as somebody does; `None` once nobody will.
    pub(super) async fn somebody(&self) -> Option<Arc<Upstream>> {
        let mut changes = self.0.subscribe();
        let decided = |state: &State| state.over || state.serving.is_some();
        let state = changes.wait_for(decided).await.ok()?;
        state.serving.clone()
    }

    /// Until somebody else than this one serves: true; or nobody will.
    pub(super) async fn other_than(&self, upstream: &Arc<Upstream>) -> bool {
        let mut changes = self.0.subscribe();
        let other = |state: &State| state.serving.as_ref().is_some_and(|it| !Arc::ptr_eq(it, upstream));
        let state = changes.wait_for(|state| state.over || other(state)).await;
        state.is_ok_and(|state| other(&state))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::Route;

    #[tokio::test]
    async fn requests_go_to_who_serves_or_wait() {
        let route = Route::new();
        assert!(timeout(Duration::ZERO, route.somebody()).await.is_err());
        let waits = tokio::spawn({
            let route = route.clone();
            async move { route.somebody().await.unwrap().generation }
        });
        tokio::task::yield_now().await;
        route.steer(1, 81);
        assert_eq!(waits.await.unwrap(), 1);
        let first = route.somebody().await.unwrap();
        assert!(timeout(Duration::ZERO, route.other_than(&first)).await.is_err());
        route.steer(2, 82);
        assert!(route.other_than(&first).await);
        route.hold(Some(1));
        assert_eq!(route.serving().unwrap().generation, 2, "1 had none any more");
        route.steer(1, 81);
        assert!(
            std::sync::Arc::ptr_eq(&route.somebody().await.unwrap(), &first),
            "back to the same"
        );
        route.release(1);
        assert!(route.serving().is_none() && route.get(1).is_none() && route.get(2).is_some());
        route.give_up();
        assert!(route.somebody().await.is_none() && !route.other_than(&first).await);
    }
}
