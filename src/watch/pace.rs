//! GIVES others their turn while there is much to do, so that looking at very many files keeps no signal waiting. It does nothing
//! else.

/// So many steps in one go; each is a few system calls.
const STEPS: u32 = 32;

/// Counts the steps of something long.
#[derive(Debug, Default)]
pub(super) struct Pace(u32);

impl Pace {
    /// One step is done.
    pub(super) async fn step(&mut self) {
        self.0 = self.0.saturating_add(1);
        if self.0 >= STEPS {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}
