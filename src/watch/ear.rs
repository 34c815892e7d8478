//! HEARS of one directory after the other, until the system says that there are too many.

use std::path::Path;

use super::inotify::{Deaf, Hearing};

/// Hears of directories, as long as it can.
pub(super) struct Ear<'a> {
    pub(super) hearing: Option<&'a mut Hearing>,
    pub(super) deaf: Option<Deaf>,
}

impl Ear<'_> {
    pub(super) fn hear(&mut self, path: &Path) {
        let Some(hearing) = self.hearing.as_mut().filter(|_| self.deaf.is_none()) else {
            return;
        };
        match hearing.add(path) {
            Ok(()) => {}
            Err(deaf @ (Deaf::Watches | Deaf::Instances)) => self.deaf = Some(deaf),
            // It has gone already, or may not be read.
            Err(Deaf::System(error)) => tracing::debug!(path = %path.display(), %error, "nothing is heard of this"),
        }
    }
}
