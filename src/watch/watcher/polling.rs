//! CHOOSES which of the paths are polled: where inotify is blind, or has no more watches.

use super::{Backend, Deaf, Watcher};
use crate::process::mounts::Mounts;

impl Watcher {
    /// Which of the paths have to be polled?
    pub(super) fn choose(&mut self) {
        let mounts = Mounts::read();
        for target in &mut self.targets {
            let real = std::fs::canonicalize(&target.path).unwrap_or_else(|_| target.path.clone());
            let blind = mounts.blind(&real);
            match (self.plan.backend, blind) {
                (Backend::Poll, _) => target.polled = Some("SEGUE_WATCH_BACKEND=poll".to_owned()),
                (Backend::Auto, Some(kind)) => {
                    let why = format!("inotify is blind on {kind}");
                    tracing::warn!(path = %target.path.display(), kind, "inotify is blind there: it is polled");
                    self.why = Some(why.clone());
                    target.polled = Some(why);
                }
                (Backend::Inotify, Some(kind)) => {
                    tracing::warn!(path = %target.path.display(), kind, "inotify may be blind there");
                }
                (Backend::Auto | Backend::Inotify, None) => {}
            }
            if real.is_file() && mounts.is_mount(&real) {
                tracing::warn!(
                    path = %target.path.display(),
                    remedy = "mount its directory (in Kubernetes without subPath)",
                    "this file is a mount by itself: whoever replaces it outside, as editors and Kubernetes do, is not seen here"
                );
            }
        }
    }

    /// Nothing more can be heard of: everything is polled from now on.
    pub(super) fn fall_back(&mut self, deaf: &Deaf) {
        tracing::warn!(reason = %deaf, interval = ?self.plan.poll_interval, "inotify does not do: the files are polled");
        let why = deaf.to_string();
        for target in &mut self.targets {
            target.polled.get_or_insert_with(|| why.clone());
        }
        self.why = Some(why);
        self.hearing = None;
    }
}
