//! WAITS for the moment at which something is to be done with a connection, as `patience` has it. Touches nothing of the
//! connection but a look whether something has come on it.

use std::{
    future::Future,
    os::fd::RawFd,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;
use tokio::{
    sync::futures::Notified,
    time::{Sleep, sleep_until},
};
use tokio_util::sync::WaitForCancellationFuture;

use super::{
    life::Life,
    limits::Limits,
    listener::is_readable,
    patience::{Deed, Drain, due},
    state::{Progress, Stage},
};

/// Something has come and is about to be read: so much later it is looked again.
const AGAIN: Duration = Duration::from_millis(10);

pin_project! {
    /// A connection's clock.
    pub(super) struct Clock<'a> {
        life: &'a Life,
        limits: Limits,
        socket: RawFd,
        seen: Progress,
        since: Instant,
        due: Option<(Instant, Deed)>,
        drain: Option<Drain>,
        // Was the connection asked to end?
        left: bool,
        armed: Option<Instant>,
        #[pin]
        alarm: Sleep,
        #[pin]
        draining: WaitForCancellationFuture<'a>,
        #[pin]
        told: Notified<'a>,
    }
}

impl<'a> Clock<'a> {
    /// For the connection on this socket, which must stay open as long as the clock is asked.
    pub(super) fn new(life: &'a Life, limits: Limits, socket: RawFd) -> Clock<'a> {
        let now = Instant::now();
        let seen = life.progress();
        let due = due(seen, now, None, &limits);
        let at = due.map_or(now, |(at, _)| at);
        Clock {
            life,
            limits,
            socket,
            seen,
            since: now,
            due,
            drain: None,
            left: false,
            armed: Some(at),
            alarm: sleep_until(at.into()),
            draining: life.hub.draining.cancelled(),
            told: life.told.notified(),
        }
    }

    /// What the connection was at when it was looked at last.
    pub(super) fn stage(&self) -> Stage {
        self.seen.stage
    }

    /// What is to be done now, after the connection itself was asked; with `None` it is to be asked again.
    pub(super) fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Deed>> {
        let mut this = self.project();
        while this.told.as_mut().poll(context).is_ready() {
            this.told.set(this.life.told.notified());
        }
        let begins = this.drain.is_none() && this.draining.as_mut().poll(context).is_ready();
        if begins {
            *this.drain = Some(Drain {
                since: Instant::now(),
                jitter: this.limits.idle_spread.mul_f64(fastrand::f64()),
            });
        }
        let progress = this.life.progress();
        let moved = progress.stage != this.seen.stage;
        if moved {
            *this.since = Instant::now();
        }
        if moved || begins {
            *this.seen = progress;
            *this.due = due(progress, *this.since, *this.drain, this.limits);
        }
        if begins {
            return Poll::Ready(None);
        }
        loop {
            let Some((at, deed)) = this.due.filter(|(_, deed)| !(*this.left && *deed == Deed::Leave)) else {
                return Poll::Pending;
            };
            // It may go off too early, never too late: a connection that is busy does not set it anew for each request.
            if this.armed.is_none_or(|armed| armed > at) {
                this.alarm.as_mut().reset(at.into());
                *this.armed = Some(at);
            }
            if this.alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            *this.armed = None;
            let now = Instant::now();
            if now < at {
                continue;
            }
            if deed == Deed::Leave && is_readable(*this.socket) {
                *this.due = now.checked_add(AGAIN).map(|at| (at, deed));
                continue;
            }
            *this.left |= deed == Deed::Leave;
            return Poll::Ready(Some(deed));
        }
    }
}
