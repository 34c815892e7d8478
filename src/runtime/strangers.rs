//! NOTICES listeners on the program's address that are not its own: segue cannot know the kernel's numbers then.

use super::Supervisor;
use crate::handover::census;

impl Supervisor {
    /// Whose connections cannot be steered, because others listen on the address, too, is left to the kernel.
    pub(super) fn look_for_strangers(&mut self) {
        if self.sockets.ports().next().is_none() {
            return;
        }
        match census::listeners() {
            Ok(listeners) => {
                for place in self.sockets.leave_strangers_alone(&listeners) {
                    tracing::warn!(
                        address = %place,
                        remedy = "stop what else listens there, then restart the program with SEGUE_RESTART_MODE=stop-first",
                        "a process that segue does not run listens on the program's address, too, so connections are spread \
                         over all listeners by the kernel"
                    );
                }
            }
            Err(error) => tracing::debug!(%error, "cannot ask who listens"),
        }
    }
}
